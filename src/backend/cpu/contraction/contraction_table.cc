#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/kernels.h"

namespace tegula::cpu {
namespace {

constexpr KernelEntry kEntries[] = {
    {"matmul", {run_matmul}},
    {"conv2d", {run_conv2d}},
    {"conv2d_input_grad", {run_conv2d_input_grad}},
    {"conv2d_weight_grad", {run_conv2d_weight_grad}},
};

}  // namespace

std::span<const KernelEntry> contraction_kernels() { return kEntries; }

}  // namespace tegula::cpu
