// What the families of array functions share: order, statistics, placement, arrangement.
#pragma once

#include "ops/ops.h"

namespace tegula {

// ---- movement.cc -------------------------------------------------------------------------------
Tensor moveaxis(const Tensor& x, const Dims& source, const Dims& destination);

// ---- arithmetic.cc -----------------------------------------------------------------------------
Tensor logaddexp(const Tensor& x1, const Tensor& x2);

// ---- nan.cc ------------------------------------------------------------------------------------
// How many numbers over axes are not NaN.
Tensor count_numbers(const Tensor& x, const Dims& axes, bool keepdims);
// x with a value where it is NaN.
Tensor with_nan_as(const Tensor& x, double value);

// ---- placement.cc ------------------------------------------------------------------------------
// Whether column - row == k in a matrix.
Tensor on_diagonal(int64_t rows, int64_t columns, int64_t k);

// x over axis as its last axis; of the flattened x for none.
inline Tensor lines_last(const Tensor& x, const Dims& axes) {
  Dims order;
  Shape shape;
  int64_t length = 1;
  for (int64_t i = 0; i < int64_t(x.rank()); ++i) {
    bool reduced = false;
    for (const int64_t axis : axes) reduced |= axis == i;
    if (reduced) continue;
    order.push_back(i);
    shape.push_back(x.shape()[size_t(i)]);
  }
  for (const int64_t axis : axes) {
    order.push_back(axis);
    length *= x.shape()[size_t(axis)];
  }
  shape.push_back(length);
  return reshape(permute_dims(x, order), shape);
}

}  // namespace tegula
