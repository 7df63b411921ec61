#include "backend/cpu/contraction/columns.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/columns.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// dst[i] = src[i * stride], converted.
template <class S, class T>
void copy_run(const S* HWY_RESTRICT src, int64_t stride, int64_t count, T* HWY_RESTRICT dst) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) dst[i] = T(src[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) dst[i] = T(src[i * stride]);
  }
}

template <class S, class T>
void planes_from(const Windows& w, const Planes& planes, const View& image, const Piece& piece,
                 int64_t channel, int64_t channels, T* out) {
  const auto& strides = image.strides;
  for (int64_t n = piece.image; n < piece.image_end; ++n)
    for (int64_t c = channel; c < channel + channels; ++c) {
      const S* plane = image.as<const S>() + n * strides[0] + c * strides[1];
      for (int64_t y = planes.first[0]; y < planes.first[0] + planes.height; ++y) {
        if (y < 0 || y >= w.size[0]) {
          std::fill_n(out, planes.row, T(0));
          out += planes.row;
          continue;
        }
        for (int64_t phase = 0; phase < w.step[1]; ++phase, out += planes.run) {
          // Elements [begin, end) of the run lie inside the image.
          const int64_t x = planes.first[1] + phase, step = w.step[1];
          const int64_t begin = x >= 0 ? 0 : std::min(planes.run, (-x + step - 1) / step);
          const int64_t inside = w.size[1] > x ? (w.size[1] - x + step - 1) / step : 0;
          const int64_t end = std::clamp(inside, begin, planes.run);
          std::fill_n(out, begin, T(0));
          copy_run(plane + y * strides[2] + (x + begin * step) * strides[3], step * strides[3],
                   end - begin, out + begin);
          std::fill_n(out + end, planes.run - end, T(0));
        }
      }
    }
}

template <class T>
void planes(const Windows& w, const Planes& planes, const View& image, const Piece& piece,
            int64_t channel, int64_t channels, T* out) {
  if constexpr (std::is_same_v<T, double>) {
    planes_from<double>(w, planes, image, piece, channel, channels, out);
  } else {
    switch (image.dtype) {
      case DType::float16:
        return planes_from<float16>(w, planes, image, piece, channel, channels, out);
      case DType::bfloat16:
        return planes_from<bfloat16>(w, planes, image, piece, channel, channels, out);
      default:
        return planes_from<float>(w, planes, image, piece, channel, channels, out);
    }
  }
}

template <class T>
void columns(const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
             const T* source, int64_t first, int64_t count, T* out, int64_t stride) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kL = int64_t(hn::MaxLanes(d));
  static_assert(kL <= kColumnSlack);
  const int64_t taps = w.taps(), tap_columns = int64_t(w.columns.size()), width = w.grid[1];
  const int64_t plane = planes.height * planes.row, row_step = w.step[0] * planes.row;
  const int64_t first_y = piece.row * w.step[0] - planes.first[0];
  for (int64_t k = first; k < first + count; ++k, out += stride) {
    const int64_t tap = k % taps;
    const int64_t x = w.columns[tap % tap_columns] - planes.first[1];
    const int64_t offset = (first_y + w.rows[tap / tap_columns]) * planes.row +
                           x % w.step[1] * planes.run + x / w.step[1];
    T* to = out;
    for (int64_t image = 0; image < piece.images(); ++image) {
      const T* from = source + (image * channels + k / taps) * plane + offset;
      // Whole vectors: what is written past a row's end is overwritten by the next.
      for (int64_t r = 0; r < piece.rows(); ++r, from += row_step, to += width)
        for (int64_t i = 0; i < width; i += kL) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    }
  }
}

void planes_f32(const Windows& w, const Planes& p, const View& image, const Piece& piece,
                int64_t channel, int64_t channels, float* out) {
  planes(w, p, image, piece, channel, channels, out);
}
void planes_f64(const Windows& w, const Planes& p, const View& image, const Piece& piece,
                int64_t channel, int64_t channels, double* out) {
  planes(w, p, image, piece, channel, channels, out);
}
void columns_f32(const Windows& w, const Planes& p, const Piece& piece, int64_t channels,
                 const float* source, int64_t first, int64_t count, float* out, int64_t stride) {
  columns(w, p, piece, channels, source, first, count, out, stride);
}
void columns_f64(const Windows& w, const Planes& p, const Piece& piece, int64_t channels,
                 const double* source, int64_t first, int64_t count, double* out, int64_t stride) {
  columns(w, p, piece, channels, source, first, count, out, stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(planes_f32);
HWY_EXPORT(planes_f64);
HWY_EXPORT(columns_f32);
HWY_EXPORT(columns_f64);

int64_t lowest(const Dims& taps) { return *std::min_element(taps.begin(), taps.end()); }
int64_t highest(const Dims& taps) { return *std::max_element(taps.begin(), taps.end()); }

}  // namespace

Pieces::Pieces(const Windows& windows, int64_t images, int64_t columns)
    : images_(images), grid_rows_(windows.grid[0]), grid_columns_(windows.grid[1]) {
  const int64_t results = windows.results();
  if (results <= columns) {
    groups_ = ceil_div(images, std::max<int64_t>(1, columns / std::max<int64_t>(1, results)));
    bands_ = 1;
  } else {
    groups_ = images;
    bands_ = ceil_div(grid_rows_, std::max<int64_t>(1, columns / grid_columns_));
  }
}

Piece Pieces::operator[](int64_t index) const {
  const int64_t group = index / bands_, band = index % bands_;
  return {tile_start(images_, groups_, group), tile_start(images_, groups_, group + 1),
          tile_start(grid_rows_, bands_, band), tile_start(grid_rows_, bands_, band + 1)};
}

int64_t Pieces::most_columns() const {
  return ceil_div(images_, groups_) * ceil_div(grid_rows_, bands_) * grid_columns_;
}

Planes planes_of(const Windows& w, const Piece& piece) {
  Planes planes;
  planes.first[0] = piece.row * w.step[0] + lowest(w.rows);
  planes.first[1] = lowest(w.columns);
  planes.height = (piece.rows() - 1) * w.step[0] + highest(w.rows) - lowest(w.rows) + 1;
  const int64_t width = (w.grid[1] - 1) * w.step[1] + highest(w.columns) - planes.first[1] + 1;
  planes.run = ceil_div(width, w.step[1]);
  planes.row = planes.run * w.step[1];
  return planes;
}

template <>
void fill_planes(const Windows& w, const Planes& planes, const View& image, const Piece& piece,
                 int64_t channel, int64_t channels, float* out) {
  HWY_DYNAMIC_DISPATCH(planes_f32)(w, planes, image, piece, channel, channels, out);
}
template <>
void fill_planes(const Windows& w, const Planes& planes, const View& image, const Piece& piece,
                 int64_t channel, int64_t channels, double* out) {
  HWY_DYNAMIC_DISPATCH(planes_f64)(w, planes, image, piece, channel, channels, out);
}
template <>
void fill_columns(const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
                  const float* source, int64_t first, int64_t count, float* out, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(columns_f32)(w, planes, piece, channels, source, first, count, out, stride);
}
template <>
void fill_columns(const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
                  const double* source, int64_t first, int64_t count, double* out,
                  int64_t stride) {
  HWY_DYNAMIC_DISPATCH(columns_f64)(w, planes, piece, channels, source, first, count, out, stride);
}

}  // namespace tegula::cpu
#endif
