#include "backend/cpu/strided_copy.h"

#include <cstring>
#include <utility>

#include "backend/cpu/strided_loop.h"
#include "backend/cpu/strided_transpose.h"

namespace tegula::cpu {
namespace {

struct Axis {
  int64_t size = 1, dst = 0, src = 0;
};

// Rows and columns of one rectangular part; the destination is densest along the columns.
struct Plane {
  Axis row, col;
};

template <class T>
void copy_plane(T* dst, const T* src, const Plane& plane, Transpose transpose, bool stream) {
  const auto [rows, dst_row, src_row] = plane.row;
  const auto [cols, dst_col, src_col] = plane.col;
  if (dst_col == 1 && src_row == 1 && rows > 1 && src_col != 0 && src_col != 1)
    return transpose(reinterpret_cast<std::byte*>(dst), dst_row,
                     reinterpret_cast<const std::byte*>(src), src_col, rows, cols, stream);
  for (int64_t r = 0; r < rows; ++r, dst += dst_row, src += src_row) {
    if (dst_col == 1 && src_col == 1) {
      if (cols * sizeof(T) >= 64) {
        std::memcpy(dst, src, cols * sizeof(T));
      } else {
        for (int64_t c = 0; c < cols; ++c) dst[c] = src[c];
      }
    } else if (dst_col == 1 && src_col == 0) {
      std::fill_n(dst, cols, *src);
    } else {
      for (int64_t c = 0; c < cols; ++c) dst[c * dst_col] = src[c * src_col];
    }
  }
}

// Transposed copies of this size and more do not go through the caches.
constexpr int64_t kStreamBytes = int64_t(16) << 20;
// What one piece transposes: runs of the source long enough to be fetched ahead, few enough of them
// to have a place each in the caches.
constexpr int64_t kTransposedRows = 512, kTransposedCols = 128;

using Axes = SmallVector<Axis, 6>;

// Axes with the destination's largest stride first, none of size 1, merged where they can be.
// Moves both pointers to where every destination stride is positive.
Axes ordered_axes(std::byte*& dst, const Dims& dst_strides, const std::byte*& src,
                  const Dims& src_strides, const Dims& shape, int64_t itemsize) {
  Axes axes;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    Axis axis{shape[i], dst_strides[i], src_strides[i]};
    if (axis.dst < 0) {
      dst += (axis.size - 1) * axis.dst * itemsize;
      src += (axis.size - 1) * axis.src * itemsize;
      axis.dst = -axis.dst;
      axis.src = -axis.src;
    }
    size_t at = axes.size();
    while (at > 0 && axes[at - 1].dst < axis.dst) --at;
    axes.insert(at, axis);
  }
  Axes merged;
  for (const Axis& axis : axes) {
    if (!merged.empty() && merged.back().dst == axis.dst * axis.size &&
        merged.back().src == axis.src * axis.size) {
      merged.back() = {merged.back().size * axis.size, axis.dst, axis.src};
    } else {
      merged.push_back(axis);
    }
  }
  return merged;
}

// Takes from `axes` the one to walk as rows: that in which the source is dense if the columns are
// not, else the longest.
Axis take_row_axis(Axes& axes, const Axis& col, bool& transposing) {
  if (axes.empty()) return {};
  size_t densest = 0, longest = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t step = std::abs(axes[i].src), best = std::abs(axes[densest].src);
    if (step != 0 && (best == 0 || step < best)) densest = i;
    if (axes[i].size >= axes[longest].size) longest = i;
  }
  const int64_t step = std::abs(axes[densest].src);
  transposing = step != 0 && step < std::abs(col.src);
  const size_t chosen = transposing ? densest : longest;
  const Axis row = axes[chosen];
  axes.erase(chosen);
  return row;
}

}  // namespace

void strided_copy(std::byte* dst, const Dims& dst_strides, const std::byte* src,
                  const Dims& src_strides, const Dims& shape, size_t itemsize) {
  if (numel(shape) == 0) return;
  Axes outer = ordered_axes(dst, dst_strides, src, src_strides, shape, int64_t(itemsize));
  Axis col;
  if (!outer.empty()) {
    col = outer.back();
    outer.pop_back();
  } else {
    col = {1, 1, 1};
  }
  bool transposing = false;
  const Axis row = take_row_axis(outer, col, transposing);

  const int64_t piece = tile_size(kPieceWork);
  int64_t row_step, col_step;
  if (transposing) {
    row_step = std::min(row.size, tile_size(kTransposedRows));
    col_step = std::min(col.size, tile_size(kTransposedCols));
  } else {
    col_step = std::min(col.size, piece);
    row_step = std::min(row.size, std::max<int64_t>(1, piece / col_step));
  }
  const int64_t row_parts = (row.size + row_step - 1) / row_step;
  const int64_t col_parts = (col.size + col_step - 1) / col_step;
  int64_t planes = 1;
  for (const Axis& axis : outer) planes *= axis.size;

  const Transpose transpose = transpose_function(itemsize);
  const bool stream = numel(shape) * int64_t(itemsize) >= kStreamBytes;
  dispatch_size(itemsize, [&](auto zero) {
    using T = decltype(zero);
    for_pieces(planes * row_parts * col_parts, row_step * col_step,
               [&](int64_t begin, int64_t end) {
                 for (int64_t part = begin; part < end; ++part) {
                   int64_t rest = part;
                   const int64_t c = rest % col_parts * col_step;
                   rest /= col_parts;
                   const int64_t r = rest % row_parts * row_step;
                   rest /= row_parts;
                   int64_t to = r * row.dst + c * col.dst, from = r * row.src + c * col.src;
                   for (size_t i = outer.size(); i-- > 0;) {
                     const int64_t index = rest % outer[i].size;
                     rest /= outer[i].size;
                     to += index * outer[i].dst;
                     from += index * outer[i].src;
                   }
                   const Plane plane{{std::min(row_step, row.size - r), row.dst, row.src},
                                     {std::min(col_step, col.size - c), col.dst, col.src}};
                   copy_plane(reinterpret_cast<T*>(dst) + to,
                              reinterpret_cast<const T*>(src) + from, plane, transpose, stream);
                 }
               });
  });
}

void copy_dense(std::byte* dst, const View& view) {
  strided_copy(dst, contiguous_strides(view.shape), view.data, view.strides, view.shape,
               itemsize(view.dtype));
}

DenseInput::DenseInput(const View& view) : data_(view.data) {
  if (is_contiguous(view.shape, view.strides)) return;
  copy_ = std::make_unique_for_overwrite<std::byte[]>(numel(view.shape) * itemsize(view.dtype));
  copy_dense(copy_.get(), view);
  data_ = copy_.get();
}

}  // namespace tegula::cpu
