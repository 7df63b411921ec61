#include "backend/cpu/kernels.h"
#include "backend/cpu/neural/attention.h"
#include "backend/cpu/neural/log_softmax_at.h"
#include "backend/cpu/neural/moments.h"
#include "backend/cpu/neural/recurrent.h"
#include "backend/cpu/neural/row_norm.h"

namespace tegula::cpu {
namespace {

constexpr KernelEntry kEntries[] = {
    {"attention", {run_attention}},
    {"attention_grad", {run_attention_grad}},
    {"gru", {.run = run_gru, .optional_outputs = true}},
    {"gru_grad", {.run = run_gru_grad, .optional_outputs = true}},
    {"log_softmax_at", {run_log_softmax_at}},
    {"log_softmax_at_grad", {run_log_softmax_at_grad}},
    {"lstm", {.run = run_lstm, .optional_outputs = true}},
    {"lstm_grad", {.run = run_lstm_grad, .optional_outputs = true}},
    {"moments", {.run = run_moments, .channels_last = moments_channels_last}},
    {"row_norm", {run_row_norm}},
    {"row_norm_grad", {run_row_norm_grad}},
};

}  // namespace

std::span<const KernelEntry> neural_kernels() { return kEntries; }

}  // namespace tegula::cpu
