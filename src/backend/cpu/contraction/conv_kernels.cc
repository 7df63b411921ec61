#include "backend/cpu/contraction/conv_kernels.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/conv_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "backend/cpu/contraction/scratch.h"

#include "backend/cpu/contraction/pack-inl.h"
#include "backend/cpu/contraction/table_kernel-inl.h"
#include "backend/cpu/contraction/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

// Calls f with a null pointer to the element type of `dtype`, which T computes.
template <class T, class F>
void with_stored_type(DType dtype, F&& f) {
  if constexpr (std::is_same_v<T, double>) {
    f(static_cast<double*>(nullptr));
  } else if (dtype == DType::float16) {
    f(static_cast<float16*>(nullptr));
  } else if (dtype == DType::bfloat16) {
    f(static_cast<bfloat16*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}

// dst[i] = src[i], converted.
template <class S, class T>
HWY_INLINE void copy_elements(const S* HWY_RESTRICT src, int64_t count, T* HWY_RESTRICT dst) {
  int64_t i = 0;
  if constexpr (std::is_same_v<S, T>) {
    const hn::ScalableTag<T> d;
    for (; i + kLanes<T> <= count; i += kLanes<T>) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
    if (i == count) return;
  }
  convert(src + i, count - i, dst + i);
}

// `count` pixels of a row.
template <class S, class T>
void fill_row(const S* from, int64_t pixel_stride, int64_t channel_stride, int64_t count,
              int64_t channels, int64_t pitch, T* out) {
  if (channel_stride == 1) {
    if (pixel_stride == channels && pitch == channels)
      return copy_elements(from, count * channels, out);
    for (int64_t i = 0; i < count; ++i)
      copy_elements(from + i * pixel_stride, channels, out + i * pitch);
    return;
  }
  if constexpr (std::is_same_v<S, T>) {
    if (pixel_stride == 1) {
      const hn::ScalableTag<T> d;
      return transpose<decltype(d), T>(
          d, channels, count, [&](int64_t c) { return from + c * channel_stride; },
          [&](int64_t i) { return out + i * pitch; });
    }
  }
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = 0; i < count; ++i)
      out[i * pitch + c] = T(from[i * pixel_stride + c * channel_stride]);
}

template <class T>
void fill_channels(const Image& image, const Region& region, int64_t channel, int64_t channels,
                   int64_t pitch, T* out) {
  const int64_t width = region.extent[2], row = width * pitch;
  const int64_t begin = std::clamp<int64_t>(-region.first[2], 0, width);
  const int64_t end = std::clamp(image.size[2] - region.first[2], begin, width);
  const auto zero = [&](int64_t first, int64_t last) {
    if (channels == pitch) {
      std::fill(out + first * pitch, out + last * pitch, T(0));
    } else {
      for (int64_t i = first; i < last; ++i) std::fill_n(out + i * pitch, channels, T(0));
    }
  };
  for (int64_t n = region.image; n < region.image + region.images; ++n)
    for (int64_t z = region.first[0]; z < region.first[0] + region.extent[0]; ++z)
      for (int64_t y = region.first[1]; y < region.first[1] + region.extent[1]; ++y, out += row) {
        if (z < 0 || z >= image.size[0] || y < 0 || y >= image.size[1]) {
          zero(0, width);
          continue;
        }
        zero(0, begin);
        zero(end, width);
        const std::byte* from =
            image.at(n * image.image_stride + channel * image.channel_stride + z * image.stride[0] +
                     y * image.stride[1] + (region.first[2] + begin) * image.stride[2]);
        with_stored_type<T>(image.dtype, [&](auto* type) {
          fill_row(reinterpret_cast<decltype(type)>(const_cast<std::byte*>(from)), image.stride[2],
                   image.channel_stride, end - begin, channels, pitch, out + begin * pitch);
        });
      }
}

template <class T>
void fill(const Image& image, const Region& region, int64_t channel, int64_t channels,
          int64_t pitch, T* out) {
  if (image.channel_stride == 1) {
    fill_channels(image, region, channel, channels, pitch, out);
  } else {
    // Few channels at a time, so that the processor sees as few streams.
    for (int64_t c = 0; c < channels; c += kLanes<T>)
      fill_channels(image, region, channel + c, std::min(kLanes<T>, channels - c), pitch, out + c);
  }
  if (channels < pitch)
    for (int64_t i = 0; i < region.pixels(); ++i)
      std::fill_n(out + i * pitch + channels, pitch - channels, T(0));
}

template <class S, class T>
void pack_filters_from(const Filters& w, int64_t lanes, int64_t channels, T* out) {
  const S* from = reinterpret_cast<const S*>(w.data);
  const int64_t taps = w.tap_count;
  if constexpr (std::is_same_v<S, T>) {
    const hn::ScalableTag<T> d;
    if (w.lane_stride == 1) {
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t c = 0; c < channels; ++c)
          convert(from + w.taps[t] + c * w.channel_stride, lanes,
                  out + (t * channels + c) * kPanel<T>);
      return;
    }
    if (w.channel_stride == 1) {
      for (int64_t t = 0; t < taps; ++t)
        transpose<decltype(d), T>(
            d, lanes, channels, [&](int64_t l) { return from + l * w.lane_stride + w.taps[t]; },
            [&](int64_t c) { return out + (t * channels + c) * kPanel<T>; });
      return;
    }
    const int64_t* const first = std::min_element(w.taps, w.taps + taps);
    if (taps >= 4 && *std::max_element(w.taps, w.taps + taps) - *first == taps - 1) {
      // Taps follow one another in memory, perhaps in another order: element k of a lane's run
      // goes to the row where[k].
      const bool joined = w.channel_stride == taps;
      const int64_t runs = joined ? 1 : channels, length = channels / runs * taps;
      const Scratch<int64_t> where(ScratchUse::vector, size_t(length));
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t c = 0; c < channels / runs; ++c)
          where.get()[c * taps + w.taps[t] - *first] = (t * channels + c) * kPanel<T>;
      for (int64_t c = 0; c < runs; ++c)
        transpose<decltype(d), T>(
            d, lanes, length,
            [&](int64_t l) { return from + *first + c * w.channel_stride + l * w.lane_stride; },
            [&](int64_t k) { return out + where.get()[k] + c * kPanel<T>; });
      return;
    }
  }
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t l = 0; l < lanes; ++l) {
      const S* filter = from + c * w.channel_stride + l * w.lane_stride;
      for (int64_t t = 0; t < taps; ++t)
        out[(t * channels + c) * kPanel<T> + l] = T(filter[w.taps[t]]);
    }
}

template <class T>
void pack_filters(const Filters& w, int64_t lanes, int64_t channels, T* out) {
  with_stored_type<T>(w.dtype, [&](auto* type) {
    pack_filters_from<std::remove_pointer_t<decltype(type)>>(w, lanes, channels, out);
  });
  if (lanes < kPanel<T>) zero_lanes(lanes, kPanel<T>, w.tap_count * channels, out);
}

template <class T>
void place(const T* from, const int64_t* rows, int64_t count, int64_t columns, std::byte* to,
           DType dtype, int64_t row_stride, int64_t column_stride) {
  if (column_stride == 1) {
    for (int64_t i = 0; i < count; ++i)
      round_to(from + rows[i], columns, dtype, to + i * row_stride * int64_t(itemsize(dtype)));
    return;
  }
  with_stored_type<T>(dtype, [&](auto* type) {
    using S = std::remove_pointer_t<decltype(type)>;
    S* out = reinterpret_cast<S*>(to);
    if constexpr (std::is_same_v<S, T>) {
      if (row_stride == 1) {
        const hn::ScalableTag<T> d;
        return transpose<decltype(d), T>(
            d, count, columns, [&](int64_t i) { return from + rows[i]; },
            [&](int64_t j) { return out + j * column_stride; });
      }
    }
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = 0; i < count; ++i)
        out[i * row_stride + j * column_stride] = S(from[rows[i] + j]);
  });
}

template <class T>
constexpr ConvKernels<T> kKernels = {kPanel<T>, kTileRows,       table_multiply<T>,
                                     fill<T>,   pack_filters<T>, place<T>};

const ConvKernels<float>& conv_kernels_f32() { return kKernels<float>; }
const ConvKernels<double>& conv_kernels_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(conv_kernels_f32);
HWY_EXPORT(conv_kernels_f64);

}  // namespace

template <>
const ConvKernels<float>& conv_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(conv_kernels_f32)();
}
template <>
const ConvKernels<double>& conv_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(conv_kernels_f64)();
}

}  // namespace tegula::cpu
#endif
