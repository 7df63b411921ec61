#include "backend/cpu/kernels.h"
#include "backend/cpu/neural/attention.h"

namespace tegula::cpu {
namespace {

constexpr KernelEntry kEntries[] = {
    {"attention", {run_attention}},
    {"attention_grad", {run_attention_grad}},
};

}  // namespace

std::span<const KernelEntry> neural_kernels() { return kEntries; }

}  // namespace tegula::cpu
