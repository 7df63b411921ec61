// Rows of a softmax whose weights are not kept.
#pragma once

#include <cstdint>

#include "runtime/kernel.h"

namespace tegula::cpu {

template <class T>
struct SoftmaxRows {
  // The largest element and the sum of exp(x - top).
  void (*total)(const T* x, int64_t count, T& top, T& total);
  // dx = factor * exp(x - top)
  void (*grad)(const T* x, int64_t count, T top, T factor, T* dx);
};

// scores (N, C), index (N, 1) -> value, largest element and sum of powers, each (N, 1).
void run_log_softmax_at(const KernelArgs& args);
// scores, index, largest, sum, upstream gradient -> dscores.
void run_log_softmax_at_grad(const KernelArgs& args);

}  // namespace tegula::cpu
