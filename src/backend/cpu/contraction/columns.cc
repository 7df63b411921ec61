#include "backend/cpu/contraction/columns.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/columns.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <vector>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A copy in vectors, the last overlapping the one before.
template <class D, class T>
void copy_vectors(D d, const T* HWY_RESTRICT src, int64_t count, T* HWY_RESTRICT dst) {
  const int64_t lanes = int64_t(hn::Lanes(d));
  if (count >= lanes) {
    for (int64_t i = 0; i + lanes < count; i += lanes)
      hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
    hn::StoreU(hn::LoadU(d, src + count - lanes), d, dst + count - lanes);
    return;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) * sizeof(T) > 16)
    return copy_vectors(hn::Half<D>(), src, count, dst);
#endif
  for (int64_t i = 0; i < count; ++i) dst[i] = src[i];
}

// dst[i] = src[i * stride], converted.
template <class S, class T>
void copy_run(const S* HWY_RESTRICT src, int64_t stride, int64_t count, T* HWY_RESTRICT dst) {
  if (stride != 1) {
    for (int64_t i = 0; i < count; ++i) dst[i] = T(src[i * stride]);
  } else if constexpr (std::is_same_v<S, T>) {
    copy_vectors(hn::ScalableTag<T>(), src, count, dst);
  } else {
    for (int64_t i = 0; i < count; ++i) dst[i] = T(src[i]);
  }
}

// Zeros at least dst[0, count), and up to a vector more.
template <class T>
void zero_run(int64_t count, T* dst) {
  const hn::ScalableTag<T> d;
  for (int64_t i = 0; i < count; i += int64_t(hn::Lanes(d))) hn::StoreU(hn::Zero(d), d, dst + i);
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
          zero_run(planes.row, out);
          out += planes.row;
          continue;
        }
        for (int64_t phase = 0; phase < w.step[1]; ++phase, out += planes.run) {
          // Elements [begin, end) of the run lie inside the image.
          const int64_t x = planes.first[1] + phase, step = w.step[1];
          const int64_t begin = x >= 0 ? 0 : std::min(planes.run, (-x + step - 1) / step);
          const int64_t inside = w.size[1] > x ? (w.size[1] - x + step - 1) / step : 0;
          const int64_t end = std::clamp(inside, begin, planes.run);
          zero_run(begin, out);
          copy_run(plane + y * strides[2] + (x + begin * step) * strides[3], step * strides[3],
                   end - begin, out + begin);
          zero_run(planes.run - end, out + end);
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

// Where the plane of a channel holds what the piece's first result reads under a tap.
inline int64_t tap_offset(const Windows& w, const Planes& planes, const Piece& piece, int64_t tap) {
  const int64_t tap_columns = int64_t(w.columns.size());
  const int64_t y = piece.row * w.step[0] + w.rows[tap / tap_columns] - planes.first[0];
  const int64_t x = w.columns[tap % tap_columns] - planes.first[1];
  return y * planes.row + x % w.step[1] * planes.run + x / w.step[1];
}

template <class D, class T>
void columns_by(D d, const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
                const T* source, int64_t first, int64_t count, T* out, int64_t stride) {
  constexpr int64_t kL = int64_t(hn::MaxLanes(D()));
  static_assert(kL <= kColumnSlack);
  const int64_t taps = w.taps(), width = w.grid[1];
  const int64_t plane = planes.height * planes.row, row_step = w.step[0] * planes.row;
  for (int64_t k = first; k < first + count; ++k, out += stride) {
    const int64_t offset = tap_offset(w, planes, piece, k % taps);
    T* to = out;
    for (int64_t image = 0; image < piece.images(); ++image) {
      const T* from = source + (image * channels + k / taps) * plane + offset;
      // Whole vectors: what is written past a row's end is overwritten by the next.
      for (int64_t r = 0; r < piece.rows(); ++r, from += row_step, to += width)
        for (int64_t i = 0; i < width; i += kL) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    }
  }
}

template <class T>
void columns(const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
             const T* source, int64_t first, int64_t count, T* out, int64_t stride) {
  const hn::ScalableTag<T> d;
#if HWY_TARGET == HWY_AVX3
  const hn::Half<decltype(d)> half;
  if (w.grid[1] <= int64_t(hn::Lanes(half)))
    return columns_by(half, w, planes, piece, channels, source, first, count, out, stride);
#endif
  columns_by(d, w, planes, piece, channels, source, first, count, out, stride);
}

// Some grid rows at once: chains of multiply-adds that do not wait for each other.
template <int kRows, class T>
void multiply_rows(const T* source, const int64_t* offsets, int64_t count, const T* weights,
                   int64_t row_step, int64_t width, bool accumulate, T* out) {
  const hn::ScalableTag<T> d;
  hn::Vec<decltype(d)> sums[kRows];
  for (int64_t i = 0; i < width; i += int64_t(hn::Lanes(d))) {
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[r] = hn::Zero(d);
    for (int64_t k = 0; k < count; ++k) {
      const T* from = source + offsets[k] + i;
      const auto weight = hn::Set(d, weights[k]);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
        sums[r] = hn::MulAdd(weight, hn::LoadU(d, from + r * row_step), sums[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      T* to = out + r * width + i;
      if (accumulate) sums[r] = hn::Add(hn::LoadU(d, to), sums[r]);
      hn::StoreU(sums[r], d, to);
    }
  }
}

template <class T>
void window_products(const Windows& w, const Planes& planes, const Piece& piece, int64_t channels,
                     const T* source, int64_t first, int64_t count, const T* weights,
                     int64_t weight_stride, int64_t rows, bool accumulate, T* out, int64_t stride) {
  const int64_t taps = w.taps(), width = padded_width(w), row_step = w.step[0] * planes.row;
  const int64_t plane = planes.height * planes.row;
  std::vector<int64_t> offsets(count);
  for (int64_t k = 0; k < count; ++k)
    offsets[k] = (first + k) / taps * plane + tap_offset(w, planes, piece, (first + k) % taps);
  for (int64_t m = 0; m < rows; ++m, weights += weight_stride) {
    T* to = out + m * stride;
    for (int64_t image = 0; image < piece.images(); ++image) {
      const T* from = source + image * channels * plane;
      int64_t r = 0;
      for (; r + 4 <= piece.rows(); r += 4, to += 4 * width)
        multiply_rows<4>(from + r * row_step, offsets.data(), count, weights, row_step, width,
                         accumulate, to);
      for (; r < piece.rows(); ++r, to += width)
        multiply_rows<1>(from + r * row_step, offsets.data(), count, weights, row_step, width,
                         accumulate, to);
    }
  }
}

template <class T>
constexpr ColumnKernels<T> kKernels = {planes<T>, columns<T>, window_products<T>};

const ColumnKernels<float>& column_kernels_f32() { return kKernels<float>; }
const ColumnKernels<double>& column_kernels_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(column_kernels_f32);
HWY_EXPORT(column_kernels_f64);

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
const ColumnKernels<float>& column_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(column_kernels_f32)();
}
template <>
const ColumnKernels<double>& column_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(column_kernels_f64)();
}

}  // namespace tegula::cpu
#endif
