// The contraction kernels' entry points.
#pragma once

#include "backend/cpu/contraction/gemm.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

// Shorter rows of a result are too short for an epilogue to start anew with each.
inline constexpr int64_t kEpilogueColumns = 32;

void run_matmul(const KernelArgs& args);
bool matmul_takes_epilogue(const StepSpec& step);
std::shared_ptr<void> prepare_matmul(const StepSpec& step);
void run_conv(const KernelArgs& args);
bool conv_takes_epilogue(const StepSpec& step);
void run_conv_input_grad(const KernelArgs& args);
bool conv_input_grad_takes_epilogue(const StepSpec& step);
std::shared_ptr<void> prepare_conv(const StepSpec& step);  // both
ChannelsLast conv_channels_last(const StepSpec& step);     // both
void run_conv_weight_grad(const KernelArgs& args);
ChannelsLast conv_weight_grad_channels_last(const StepSpec& step);

}  // namespace tegula::cpu
