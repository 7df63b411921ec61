#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/kernels.h"

namespace tegula::cpu {
namespace {

constexpr KernelEntry kEntries[] = {
    {"matmul", {run_matmul}},
    {"conv", {run_conv}},
    {"conv_input_grad", {run_conv_input_grad}},
    {"conv_weight_grad", {run_conv_weight_grad}},
};

}  // namespace

std::span<const KernelEntry> contraction_kernels() { return kEntries; }

}  // namespace tegula::cpu
