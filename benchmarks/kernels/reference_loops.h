// Loops written by hand for one case each, with everything fused that can be: what a kernel that
// serves all shapes is compared with. They take their operands like kernels, as dense float32.
#pragma once

#include <string_view>

#include "runtime/kernel.h"

namespace tegula::bench {

// The loop called "reference.<name>", or null.
const Kernel* find_reference_loop(std::string_view kind);

}  // namespace tegula::bench
