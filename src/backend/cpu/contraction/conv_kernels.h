// The instruction-set dependent parts of convolution: copies between layouts, and products whose
// operands are reached through tables of offsets instead of being spread out as a matrix.
#pragma once

#include "backend/cpu/contraction/conv_shapes.h"
#include "backend/cpu/contraction/gemm.h"

namespace tegula::cpu {

// A run of the summed axis: where it begins in A's rows and in B.
struct Segment {
  int64_t a, b;
};

// C(i, j) = or += sum over the segments and their steps of A(i, k) B(k, j): one chain of
// multiply-adds in that order, which starts at zero. Step s of a segment is at
// a[a_rows[i] + segment.a + s * a_step] and b[segment.b + s * b_step + j], and C(i, j) at
// c[c_rows[i] + j]. Panels of columns (ConvKernels::panel) of B are b_panel apart and padded to
// whole vectors.
template <class T>
struct TableProduct {
  int64_t m, n;
  const T* a;
  const int64_t* a_rows;
  int64_t a_step;
  const T* b;
  int64_t b_step, b_panel;
  const Segment* segments;
  int64_t segment_count, length;
  T* c;
  const int64_t* c_rows;
  bool accumulate;
};

// Weights as (lane, channel, tap): taps holds an offset for each tap.
struct Filters {
  const std::byte* data;
  DType dtype;
  int64_t lane_stride, channel_stride;
  const int64_t* taps;
  int64_t tap_count;
};

template <class T>
struct ConvKernels {
  int64_t panel;      // columns of a register tile
  int64_t tile_rows;  // the most rows a register tile has
  void (*multiply)(const TableProduct<T>&);
  // Copies channels of a region, zero outside the image: the elements of a pixel side by side,
  // pixels `pitch` apart; elements from `channels` to `pitch` are zero.
  void (*fill)(const Image& image, const Region& region, int64_t channel, int64_t channels,
               int64_t pitch, T* out);
  // out[(tap * channels + channel) * panel + lane]; zero for lanes <= lane < panel.
  void (*pack_filters)(const Filters& filters, int64_t lanes, int64_t channels, T* out);
  // to[i * row_stride + j * column_stride] = from[rows[i] + j], rounded, for i < count and
  // j < columns.
  void (*place)(const T* from, const int64_t* rows, int64_t count, int64_t columns, std::byte* to,
                DType dtype, int64_t row_stride, int64_t column_stride);
};
template <class T>
const ConvKernels<T>& conv_kernels();

}  // namespace tegula::cpu
