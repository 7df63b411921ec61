// Whether two traces of a function did the same.
#pragma once

#include <string>

#include "graph/trace.h"

namespace tegula {

// The first thing that `now` does otherwise than `before`, in words that name the lines of both; ""
// where they do the same. Which functions of the host they call does not count. `counterpart`: by
// input of `now`, the input of `before` that stands for the same tensor, or -1.
std::string difference(const Graph& before, const Graph& now, std::span<const int32_t> counterpart);

}  // namespace tegula
