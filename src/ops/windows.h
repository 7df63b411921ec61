// Windows that slide along an axis, and their sums.
#pragma once

#include "ops/ops.h"

namespace tegula {

// Windows of `size` elements, the first ones `step` apart, along an axis, which becomes their
// number; their elements are a new axis at the end. A view.
Tensor windows_of(const Tensor& x, size_t axis, int64_t size, int64_t step);
// The transpose: each window (..., F, ..., size) added where it was taken from an axis of `extent`.
Tensor overlap_add(const Tensor& windows, size_t axis, int64_t step, int64_t extent);

}  // namespace tegula
