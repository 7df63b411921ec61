// Pieces of images as the pooling kernels take them: with their channels side by side.
#pragma once

#include <algorithm>
#include <cstring>

#include "backend/cpu/contraction/conv_kernels.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/pooling.h"

namespace tegula::cpu {

// Channels of a piece. Working memory has room for at least kPoolLanes of them.
struct Slice {
  int64_t channel, channels;

  int64_t lanes() const { return std::max(kPoolLanes, channels); }
  int64_t pitch() const { return round_up(channels, kPoolLanes); }
};

// Transposes 8 x 8 bytes.
inline void transpose_bytes(const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step) {
  uint64_t rows[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&rows[i], from + i * from_step, 8);
  constexpr uint64_t kMasks[] = {0, 0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0, 0x00000000ffffffff};
  for (int k = 4; k > 0; k /= 2)  // exchanges squares of k x k
    for (int i = 0; i < 8; ++i) {
      if (i & k) continue;
      const uint64_t differ = (rows[i] >> (8 * k) ^ rows[i + k]) & kMasks[k];
      rows[i + k] ^= differ;
      rows[i] ^= differ << (8 * k);
    }
  for (int i = 0; i < 8; ++i) std::memcpy(to + i * to_step, &rows[i], 8);
}

// to[j * to_step + i] = from[i * from_step + j] for i < rows and j < columns.
template <class T>
void transpose_choices(const T* from, int64_t from_step, int64_t rows, int64_t columns, T* to,
                       int64_t to_step) {
  for (int64_t i = 0; i < rows; i += 8)
    for (int64_t j = 0; j < columns; j += 8) {
      const int64_t end_i = std::min(rows, i + 8), end_j = std::min(columns, j + 8);
      if constexpr (sizeof(T) == 1) {
        if (end_i - i == 8 && end_j - j == 8) {
          transpose_bytes(from + i * from_step + j, from_step, to + j * to_step + i, to_step);
          continue;
        }
      }
      for (int64_t y = i; y < end_i; ++y)
        for (int64_t x = j; x < end_j; ++x) to[x * to_step + y] = from[y * from_step + x];
    }
}

// A region of an image with its channels side by side: T is what is computed with, or how choices,
// which are dense, are stored.
template <class T>
class Field {
 public:
  Field(const Image& image, const Region& region, const Slice& slice, ScratchUse use,
        bool copied = false)
      : image_(image),
        region_(region),
        slice_(slice),
        in_place_(!copied && image.channel_stride == 1 && slice.channels >= kPoolLanes &&
                  size_t(itemsize(image.dtype)) == sizeof(T)),
        copy_(use, in_place_ ? 0 : size_t(region.pixels() * slice.pitch())) {
    int64_t step = slice.pitch();
    for (int axis = kAxes - 1; axis >= 0; --axis) {
      stride_[1 + axis] = in_place_ ? image.stride[axis] : step;
      step *= region.extent[axis];
    }
    stride_[0] = in_place_ ? image.image_stride : step;
    data_ = in_place_ ? image.as<T>(first()) : copy_.get();
  }
  const Region& region() const { return region_; }
  T* data() const { return data_; }
  int64_t step() const { return stride_[3]; }
  bool in_place() const { return in_place_; }
  // From the region's first element; positions are those in the whole image.
  int64_t offset(int64_t n, int64_t z, int64_t y, int64_t x) const {
    return (n - region_.image) * stride_[0] + (z - region_.first[0]) * stride_[1] +
           (y - region_.first[1]) * stride_[2] + (x - region_.first[2]) * stride_[3];
  }
  T* at(int64_t n, int64_t z, int64_t y, int64_t x) const { return data_ + offset(n, z, y, x); }
  int64_t stride(int axis) const { return stride_[1 + axis]; }

  void load() {
    if (in_place_) return;
    if constexpr (std::is_floating_point_v<T>) {
      conv_kernels<T>().fill(image_, region_, slice_.channel, slice_.channels, slice_.pitch(),
                             data_);
    } else {
      T* to = data_;
      for_rows([&](int64_t at) {
        transpose_choices(image_.as<T>(at), image_.channel_stride, slice_.channels, width(), to,
                          slice_.pitch());
        to += width() * slice_.pitch();
      });
    }
  }
  // Does nothing for results that nobody reads, which have no memory.
  void store() {
    if (in_place_ || !image_.data) return;
    if constexpr (std::is_floating_point_v<T>) {
      const Scratch<int64_t> rows(ScratchUse::columns, size_t(width()));
      for (int64_t x = 0; x < width(); ++x) rows.get()[x] = x * slice_.pitch();
      const T* from = data_;
      for_rows([&](int64_t at) {
        conv_kernels<T>().place(from, rows.get(), width(), slice_.channels, image_.at(at),
                                image_.dtype, image_.stride[2], image_.channel_stride);
        from += width() * slice_.pitch();
      });
    } else {
      const T* from = data_;
      for_rows([&](int64_t at) {
        transpose_choices(from, slice_.pitch(), width(), slice_.channels, image_.as<T>(at),
                          image_.channel_stride);
        from += width() * slice_.pitch();
      });
    }
  }

 private:
  int64_t width() const { return region_.extent[2]; }
  int64_t first() const {
    return region_.image * image_.image_stride + slice_.channel * image_.channel_stride +
           region_.first[0] * image_.stride[0] + region_.first[1] * image_.stride[1] +
           region_.first[2] * image_.stride[2];
  }
  // Calls f with the place of each row in the image.
  template <class F>
  void for_rows(F&& f) const {
    for (int64_t n = 0; n < region_.images; ++n)
      for (int64_t z = 0; z < region_.extent[0]; ++z)
        for (int64_t y = 0; y < region_.extent[1]; ++y)
          f(first() + n * image_.image_stride + z * image_.stride[0] + y * image_.stride[1]);
  }
  const Image& image_;
  const Region region_;
  const Slice slice_;
  const bool in_place_;
  const Scratch<T> copy_;
  int64_t stride_[1 + kAxes];
  T* data_;
};

}  // namespace tegula::cpu
