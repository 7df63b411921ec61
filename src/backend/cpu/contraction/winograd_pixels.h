// Where the pixels of Winograd's tiles are: in the image itself where a pixel's channels lie side
// by side, else in a copy.
#pragma once

#include <algorithm>

#include "backend/cpu/contraction/conv_kernels.h"

namespace tegula::cpu {

constexpr int64_t kMostPixels = 36;  // of a tile

// Whether `width` channels from one on can be read, or written, at a pixel of the image.
inline bool has_whole_pixels(const Image& image, int64_t channels, int64_t width) {
  return image.dtype == DType::float32 && image.channel_stride == 1 && channels == width;
}

// Pixels that are read: channels [channel, channel + channels) of a region, followed by zeros up to
// `width`. Outside of the image they are zero.
class SourcePixels {
 public:
  // What `space` has to hold.
  static size_t elements(const Image& image, const Region& region, int64_t channels,
                         int64_t width) {
    return size_t(has_whole_pixels(image, channels, width) ? width : region.pixels() * width);
  }
  SourcePixels(const ConvKernels<float>& kernels, const Image& image, const Region& region,
               int64_t channel, int64_t channels, int64_t width, float* space)
      : image_(image),
        region_(region),
        channel_(channel),
        width_(width),
        in_place_(has_whole_pixels(image, channels, width)),
        space_(space) {
    if (in_place_) std::fill_n(space, width, 0.0f);
    else kernels.fill(image, region, channel, channels, width, space);
  }

  // The side x side pixels of the region from (n, z, y, x) on.
  void find(int64_t n, int64_t z, int64_t y, int64_t x, int64_t side, const float** pixels) const {
    if (!in_place_) {
      const int64_t line = (n * region_.extent[0] + z) * region_.extent[1] + y;
      for (int64_t i = 0; i < side; ++i)
        for (int64_t j = 0; j < side; ++j)
          *pixels++ = space_ + ((line + i) * region_.extent[2] + x + j) * width_;
      return;
    }
    z += region_.first[0];
    y += region_.first[1];
    x += region_.first[2];
    const float* const plane = image_.as<float>((region_.image + n) * image_.image_stride +
                                                z * image_.stride[0] + channel_);
    const bool inside = z >= 0 && z < image_.size[0];
    for (int64_t i = y; i < y + side; ++i) {
      const bool line = inside && i >= 0 && i < image_.size[1];
      for (int64_t j = x; j < x + side; ++j)
        *pixels++ = line && j >= 0 && j < image_.size[2]
                        ? plane + i * image_.stride[1] + j * image_.stride[2]
                        : space_;
    }
  }

  // From a tile's pixels to those of a later one in the row, that can be fetched meanwhile.
  int64_t ahead(int64_t tile) const {
    return in_place_ ? kTilesAhead * tile * image_.stride[2] : 0;
  }

 private:
  static constexpr int64_t kTilesAhead = 2;

  const Image& image_;
  const Region region_;
  const int64_t channel_, width_;
  const bool in_place_;
  float* const space_;
};

}  // namespace tegula::cpu
