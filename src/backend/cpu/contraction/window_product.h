// Sums, for each result of a grid, of the windows of a source times filters: convolution and its
// input gradient.
//
// The sum for a result: channels are cut into blocks (channel_block), each block is one chain over
// its taps and, for each tap, its channels; block sums are added in order. It is the same for
// every layout of the operands.
#pragma once

#include "backend/cpu/contraction/conv_kernels.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/tile/epilogue.h"
#include "runtime/buffer.h"

namespace tegula::cpu {

// Where results go: result r is the image's element r * step + first; and what follows, for which
// every step is 1.
struct Placement {
  int64_t first[kAxes], step[kAxes];
  const Epilogue* epilogue = nullptr;

  // Channels [channel, channel + channels) of the results of a box are in the image.
  void finish(const Image& out, const Box& box, int64_t channel, int64_t channels) const;
};
// The elements of an image that lie side by side: an epilogue's rows.
int64_t row_length(const Image& image);

// The filters of one group: (lane, channel, tap) with the group's results as lanes.
struct FilterLayout {
  const std::byte* data;
  DType dtype;
  int64_t group_stride, lane_stride, channel_stride;
  SmallVector<int64_t, 32> taps;  // their offsets, in the order of the windows' taps
  Buffer* buffer = nullptr;       // where they are kept if they stay the same from call to call
};
// The filters in the form, of `bytes` bytes, that prepare() writes, kept with their buffer from the
// second use on. Null where nothing is kept: so many results share the preparation that it costs
// little. `kernels` and `shape` tell the forms of the same filters apart.
std::shared_ptr<const std::byte> kept_filters(const FilterLayout& filters, const void* kernels,
                                              const Dims& shape, int64_t results, size_t bytes,
                                              FunctionRef<void(std::byte*)> prepare);

template <class T>
class WindowProduct {
 public:
  WindowProduct(const Windows& windows, const Image& source, int64_t groups,
                const FilterLayout& filters, const Image& out, const Placement& placement);
  void run();

 private:
  int64_t block_channels(int64_t block) const {
    return std::min(block_, channels_ - block * block_);
  }
  // Where a block's panel lies among the packed filters.
  int64_t packed(int64_t group, int64_t block, int64_t panel) const {
    const int64_t width = panels_ * kernels_.panel;
    return (group * channels_ + block * block_) * taps_ * width +
           panel * kernels_.panel * block_channels(block) * taps_;
  }
  size_t packed_elements() const {
    return size_t(groups_ * panels_ * kernels_.panel * channels_ * taps_);
  }
  void pack_all(T* to, double microseconds) const;
  void pack(int64_t group, int64_t block, int64_t panel, T* to) const;

  // A part of the panels for the results of a box: vectors of channels (window_product.cc), or
  // vectors of neighbouring results (window_rows.cc).
  void multiply(int64_t group, const Box& box, int64_t part) const;
  void multiply_rows(int64_t group, const Box& box, int64_t part) const;
  void fill_planes(const Region& region, int64_t first, int64_t channels, T* planes) const;
  void set_segments(const int64_t* strides, int64_t channels, Segment* segments,
                    TableProduct<T>& product) const;
  void place(const Box& box, const T* tile, const int64_t* rows, int64_t columns,
             const int64_t* strides, int64_t corner) const;

  // The strides of results, and the offset of a box's first one.
  int64_t place_box(const Box& box, int64_t channel, int64_t* strides) const;

  Windows windows_;
  Image source_;
  const Image& out_;
  const Placement placement_;
  const FilterLayout& filters_;
  const ConvKernels<T>& kernels_;
  const int64_t groups_, channels_, outputs_, taps_, block_, blocks_, panels_;
  const bool by_rows_;
  const Boxes boxes_;
  const std::shared_ptr<const std::byte> kept_;
  const Scratch<T> packed_;
  const T* const filters_packed_;
  bool in_place_, direct_;
  int64_t parts_;
};

}  // namespace tegula::cpu
