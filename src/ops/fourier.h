// Fourier transforms along the last axis, for composites.
#pragma once

#include "ops/ops.h"

namespace tegula {

// x in float32 or float64; the result times `scale`.
Tensor rfft(const Tensor& x, double scale);
Tensor irfft(const Tensor& x, int64_t n, double scale);  // n: the length of the result

}  // namespace tegula
