// The contraction kernels' entry points.
#pragma once

#include "backend/cpu/contraction/gemm.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

void run_matmul(const KernelArgs& args);
void run_conv(const KernelArgs& args);
void run_conv_input_grad(const KernelArgs& args);
void run_conv_weight_grad(const KernelArgs& args);

}  // namespace tegula::cpu
