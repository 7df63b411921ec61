// Recomputation in the backward pass.
#pragma once

#include <functional>

#include "graph/body.h"

namespace tegula {

// What a traced function gives for its operands (the draft's parameters, then what it captured).
// For derivatives nothing in between is kept, but the results of operations whose name `keeps`
// accepts: it is computed again, with the same random numbers.
Tensors checkpoint(BodyDraft draft, const Tensors& parameters,
                   const std::function<bool(std::string_view)>& keeps);

}  // namespace tegula
