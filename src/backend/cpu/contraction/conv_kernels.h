// The instruction-set dependent parts of convolution: copies between layouts, and products whose
// operands are reached through tables of offsets instead of being spread out as a matrix.
#pragma once

#include "backend/cpu/contraction/conv_shapes.h"
#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/contraction/scratch.h"

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

// Writes weight gradients from[(tap * channels + c) * width + o] as filters [lane, lane + lanes)
// for channels [channel, channel + channels) of dw.
template <class T>
void place_filters(const ConvKernels<T>& kernels, const T* from, int64_t width, const Image& dw,
                   int64_t lane, int64_t lanes, int64_t channel, int64_t channels) {
  const int64_t taps = dw.size[0] * dw.size[1] * dw.size[2], rows = channels * taps;
  const Scratch<int64_t> order(ScratchUse::vector, size_t(rows));
  const int64_t corner = lane * dw.image_stride + channel * dw.channel_stride;
  int64_t dense = 1;
  bool taps_dense = true;
  for (int i = kAxes - 1; i >= 0; --i) {
    taps_dense &= dw.size[i] == 1 || dw.stride[i] == dense;
    dense *= dw.size[i];
  }
  if (taps_dense && dw.channel_stride == taps) {
    for (int64_t c = 0, i = 0; c < channels; ++c)
      for (int64_t t = 0; t < taps; ++t) order.get()[i++] = (t * channels + c) * width;
    kernels.place(from, order, rows, lanes, dw.at(corner), dw.dtype, 1, dw.image_stride);
    return;
  }
  for (int64_t c = 0; c < channels; ++c) order.get()[c] = c * width;
  for (int64_t z = 0, t = 0; z < dw.size[0]; ++z)
    for (int64_t y = 0; y < dw.size[1]; ++y)
      for (int64_t x = 0; x < dw.size[2]; ++x, ++t)
        kernels.place(from + t * channels * width, order, channels, lanes,
                      dw.at(corner + z * dw.stride[0] + y * dw.stride[1] + x * dw.stride[2]),
                      dw.dtype, dw.channel_stride, dw.image_stride);
}

}  // namespace tegula::cpu
