#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/kernels.h"

namespace tegula::cpu {
namespace {

constexpr KernelEntry kEntries[] = {
    {"matmul",
     {.run = run_matmul, .prepare = prepare_matmul, .takes_epilogue = matmul_takes_epilogue}},
    {"conv",
     {.run = run_conv,
      .prepare = prepare_conv,
      .takes_epilogue = conv_takes_epilogue,
      .channels_last = conv_channels_last}},
    {"conv_input_grad",
     {.run = run_conv_input_grad,
      .prepare = prepare_conv,
      .takes_epilogue = conv_input_grad_takes_epilogue,
      .channels_last = conv_channels_last}},
    {"conv_weight_grad",
     {.run = run_conv_weight_grad, .channels_last = conv_weight_grad_channels_last}},
};

}  // namespace

std::span<const KernelEntry> contraction_kernels() { return kEntries; }

}  // namespace tegula::cpu
