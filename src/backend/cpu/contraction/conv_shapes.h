// Convolutions in one to three dimensions as the kernels see them: images with three spatial axes
// (the missing ones have one element), and a grid of results that read windows of them.
#pragma once

#include "base/dtype.h"
#include "base/shape.h"
#include "graph/attrs.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

constexpr int kAxes = 3;

// A view (N, C, spatial axes...); strides in elements.
struct Image {
  std::byte* data;
  DType dtype;
  int64_t images, channels, size[kAxes];
  int64_t image_stride, channel_stride, stride[kAxes];
  Buffer* buffer;  // where it is kept, if its contents last (see View)

  std::byte* at(int64_t offset) const { return data + offset * int64_t(itemsize(dtype)); }
  template <class T>
  T* as(int64_t offset) const {
    return reinterpret_cast<T*>(data) + offset;
  }
};
Image image_of(const View& view);
// Whether convolutions would rather have an image (N, C, ...) channels-last: a pixel's channels
// fill a cache line.
inline bool prefers_channels_last(const View& image) {
  return image.shape[1] * int64_t(itemsize(image.dtype)) >= 64;
}

// Stride, padding before the first element, and dilation per axis.
struct Steps {
  int64_t stride[kAxes], padding[kAxes], dilation[kAxes], groups;
};
Steps steps_of(std::span<const int64_t> attrs);

// Result r of the grid reads the source at r * step + tap for every combination of one tap per
// axis; outside the source it reads zero.
struct Windows {
  int64_t size[kAxes];  // of the source
  int64_t grid[kAxes];
  int64_t step[kAxes];
  Dims taps[kAxes];  // ascending; may be negative

  int64_t tap_count() const { return int64_t(taps[0].size() * taps[1].size() * taps[2].size()); }
  int64_t results() const { return grid[0] * grid[1] * grid[2]; }
  // Whether every tap of every result lies inside the source.
  bool inside() const;
};
// The windows of a forward convolution of `x` to `grid`, by a kernel of `kernel` taps.
Windows forward_windows(const Image& x, const int64_t* grid, const int64_t* kernel, const Steps&);
// Where a window has a single tap, elements that no window reads are stepped over in the strides.
void drop_unread(Windows& windows, Image& source);

// Results [begin, end) of the images, then of each axis.
struct Box {
  int64_t begin[1 + kAxes], end[1 + kAxes];

  int64_t extent(int i) const { return end[i] - begin[i]; }
  int64_t results() const { return extent(0) * extent(1) * extent(2) * extent(3); }
};

// Cuts the results of a batch into boxes of about `most` results.
class Boxes {
 public:
  Boxes(int64_t images, const Windows& windows, int64_t most);
  int64_t count() const { return cuts_[0] * cuts_[1] * cuts_[2] * cuts_[3]; }
  Box operator[](int64_t index) const;

 private:
  int64_t sizes_[1 + kAxes], cuts_[1 + kAxes];
};

// A part of some images, which may reach outside them.
struct Region {
  int64_t image, images, first[kAxes], extent[kAxes];

  int64_t pixels() const { return images * extent[0] * extent[1] * extent[2]; }
};
// What the results of a box read.
Region region_of(const Windows& windows, const Box& box);

// Calls f(image, position on each axis) for every result of the box, in order, relative to its
// beginning.
template <class F>
void for_results(const Box& box, F&& f) {
  for (int64_t n = 0; n < box.extent(0); ++n)
    for (int64_t z = 0; z < box.extent(1); ++z)
      for (int64_t y = 0; y < box.extent(2); ++y)
        for (int64_t x = 0; x < box.extent(3); ++x) f(n, z, y, x);
}

}  // namespace tegula::cpu
