// What the files of the indexing family share.
#pragma once

#include "ops/ops.h"

namespace tegula {

// The indices as int64 inside [0, size), checked when they are computed (at once for a Python
// number). Negative ones count from the end unless `strict`. The name begins the message for
// one outside.
Tensor check_index(const Tensor& index, int64_t size, size_t axis, bool strict = false,
                   std::string_view name = "");

// The primitives; indices have been checked and shapes fit.
Tensor gather_checked(const Tensor& x, const Tensor& index, size_t axis);
Tensor take_along_checked(const Tensor& x, const Tensor& index, size_t axis);
Tensor scatter_checked(const Tensor& x, const Tensor& index, const Tensor& source, size_t axis,
                       ScatterMode mode);
Tensor scatter_along_checked(const Tensor& x, const Tensor& index, const Tensor& source,
                             size_t axis, ScatterMode mode);
// x.shape[:axis] + index.shape + x.shape[axis + 1:].
Shape scatter_shape(const Tensor& x, const Tensor& index, size_t axis);

// Indices for axis `axis` of x, checked; outside of it their shape is made x's, of sizes of 1 too.
Tensor indices_along(const Tensor& x, const Tensor& indices, size_t axis, const char* op,
                     std::string_view name = "");
// The source of a scatter into x: of x's dtype, broadcast to `shape`.
Tensor source_for(const Tensor& x, const Tensor& source, const Shape& shape, const char* op);

// Positions of the true elements of a mask, flattened. Evaluates the mask.
Tensor true_positions(const Tensor& mask);

// A subscript in plain terms. Reading it means: slice x; reshape to `base` (integer axes dropped,
// axes of a mask merged, an axis of size 1 added for a 0-d mask); index the axes of `arrays`,
// whose broadcast shape takes the place `array_place` among the others; reshape to `result`.
struct Subscript {
  struct Array {
    size_t axis;    // in `base`
    Tensor index;   // integers, or a mask over the merged axis
    Shape mask_shape;  // of a mask
    size_t x_axis;  // the axis of x it indexes, for messages
    bool is_mask = false;
  };
  Dims starts, sizes, steps;  // for every axis of x
  Shape base;
  SmallVector<Array, 2> arrays;
  // Where the new axes go: sizes of the result before arrays are put in, -1 for the arrays.
  Dims layout;
  bool arrays_adjacent = true;
  bool whole = true;  // the slices take all of x
};
Subscript parse_subscript(const Tensor& x, std::span<const IndexItem> items);

// log_softmax_at.cc: the log-softmax of scores (N, C) or (C,), not empty, at a checked index (N, 1)
// or (1,).
Tensor log_softmax_at(const Tensor& scores, const Tensor& index);

}  // namespace tegula
