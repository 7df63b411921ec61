#pragma once

#include <span>

#include "backend/cpu/kernels.h"

namespace tegula::cpu {

std::span<const KernelEntry> effect_kernels();  // host_call, custom_kernel, ...

}  // namespace tegula::cpu
