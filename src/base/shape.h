// Shapes and strides. Strides count elements, may be zero (broadcast) or negative (flipped).
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

#include "base/small_vector.h"

namespace tegula {

using Dims = SmallVector<int64_t, 4>;
using Shape = Dims;
using Strides = Dims;

inline constexpr int64_t kMaxElements = int64_t(1) << 47;  // no tensor has more
// Number of elements. Throws ValueError naming `what` when a size is negative or the product
// is above kMaxElements.
int64_t checked_numel(const Shape& shape, std::string_view what);
inline int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

Strides contiguous_strides(const Shape& shape);
// Of images (N, C, spatial axes...) in memory with the elements of a pixel, its channels, side by
// side.
Strides channels_last_strides(const Shape& shape);
bool is_contiguous(const Shape& shape, const Strides& strides);
// Whether that is so for some order of the axes: the elements fill a stretch of memory.
bool is_dense(const Shape& shape, const Strides& strides);

// NumPy broadcasting; the message names `op` and both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);

// Brings an axis into [0, rank); throws IndexError naming `op`, the axis and the valid range.
int64_t normalize_axis(int64_t axis, size_t rank, const char* op);
// The same for a list, which must not repeat an axis (ValueError). Sorted.
Dims normalize_axes(const Dims& axes, size_t rank, const char* op);

// As Python prints a tuple: (3, 4), (5,), ().
std::string to_string(const Dims& dims);
std::ostream& operator<<(std::ostream& out, const Dims& dims);

}  // namespace tegula
