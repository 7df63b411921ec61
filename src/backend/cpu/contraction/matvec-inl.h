// Matrix times vector. Element i is the sum over lanes l, as a tree of halves, of the chain of
// multiply-adds over k = l, l + L, ..., where L is the vector's lane count; the end of K is padded
// with zeros. Both storage orders of the matrix keep to this. Included once per instruction set.
#if defined(TEGULA_MATVEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_MATVEC_INL_H_
#undef TEGULA_MATVEC_INL_H_
#else
#define TEGULA_MATVEC_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/contraction/pack-inl.h"
#include "backend/cpu/contraction/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
hn::TFromD<D> tree_sum(D, hn::Vec<D> v) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    return tree_sum(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  return hn::GetLane(v);
}

// Rows contiguous along k.
template <int kRows, class T>
void dot_rows(const T* a, int64_t stride, int64_t depth, const T* x, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int64_t kL = int64_t(hn::MaxLanes(d));
  V sums[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sums[r] = hn::Zero(d);
  int64_t k = 0;
  for (; k + kL <= depth; k += kL) {
    const V right = hn::LoadU(d, x + k);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      sums[r] = hn::MulAdd(hn::LoadU(d, a + r * stride + k), right, sums[r]);
  }
  if (k < depth) {
    const V right = hn::LoadU(d, x + k);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      alignas(64) T rest[kL] = {};
      for (int64_t l = 0; l < depth - k; ++l) rest[l] = a[r * stride + k + l];
      sums[r] = hn::MulAdd(hn::Load(d, rest), right, sums[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) y[r] = tree_sum(d, sums[r]);
}

// sums(k, i) += column(k, i) x[k] for some columns at once, so that several streams of memory are
// under way.
template <int kColumns, class T>
void add_columns(const T* HWY_RESTRICT a, int64_t stride, int64_t count, const T* x,
                 T* HWY_RESTRICT sums, int64_t width) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kL = int64_t(hn::MaxLanes(d));
  int64_t i = 0;
  for (; i + kL <= count; i += kL) {
#pragma GCC unroll 8
    for (int k = 0; k < kColumns; ++k)
      hn::StoreU(hn::MulAdd(hn::LoadU(d, a + k * stride + i), hn::Set(d, x[k]),
                            hn::LoadU(d, sums + k * width + i)),
                 d, sums + k * width + i);
  }
  if (i == count) return;
  for (int k = 0; k < kColumns; ++k) {
    alignas(64) T rest[kL] = {};
    std::copy(a + k * stride + i, a + k * stride + count, rest);
    hn::StoreU(hn::MulAdd(hn::Load(d, rest), hn::Set(d, x[k]), hn::LoadU(d, sums + k * width + i)),
               d, sums + k * width + i);
  }
}

// Columns contiguous: k in the outer loop, one row of sums for each lane.
template <class T>
void dot_columns(const T* a, int64_t stride, int64_t rows, int64_t depth, const T* x, T* y) {
  constexpr int64_t kL = int64_t(hn::MaxLanes(hn::ScalableTag<T>()));
  // A long row of sums makes long runs of each column; the sums stay in the second-level cache.
  constexpr int64_t kMostRows = 65536 / kL;
  constexpr int kStreams = int(std::min<int64_t>(8, kL));
  const int64_t width = ceil_div(std::min(rows, kMostRows), kL) * kL + kL;
  const Scratch<T> scratch(ScratchUse::columns, kL * width);
  T* const sums = scratch;
  for (int64_t first = 0; first < rows; first += kMostRows) {
    const int64_t count = std::min(kMostRows, rows - first);
    std::fill_n(sums, kL * width, T(0));
    int64_t k = 0;
    for (; k + kStreams <= depth; k += kStreams)
      add_columns<kStreams>(a + k * stride + first, stride, count, x + k, sums + k % kL * width,
                            width);
    for (; k < depth; ++k)
      add_columns<1>(a + k * stride + first, stride, count, x + k, sums + k % kL * width, width);
    if (depth % kL != 0)
      for (int64_t l = depth % kL; l < kL; ++l)
        for (int64_t i = 0; i < count; ++i) sums[l * width + i] += T(0);
    for (int64_t half = kL / 2; half > 0; half /= 2)
      for (int64_t l = 0; l < half; ++l)
        for (int64_t i = 0; i < count; ++i) sums[l * width + i] += sums[(l + half) * width + i];
    std::copy(sums, sums + count, y + first);
  }
}

template <class T>
void dot_each_row(const T* a, int64_t stride, int64_t rows, int64_t depth, const T* x, T* y) {
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) dot_rows<8>(a + i * stride, stride, depth, x, y + i);
  if (i + 4 <= rows) {
    dot_rows<4>(a + i * stride, stride, depth, x, y + i);
    i += 4;
  }
  for (; i < rows; ++i) dot_rows<1>(a + i * stride, stride, depth, x, y + i);
}

template <class T>
void matvec(const Matrix& a, int64_t rows, int64_t depth, const T* x, T* y) {
  const bool native = itemsize(a.dtype) == sizeof(T);
  const T* data = reinterpret_cast<const T*>(a.data);
  if (native && (a.column == 1 || depth == 1)) {
    dot_each_row(data, a.row, rows, depth, x, y);
  } else if (native && a.row == 1) {
    dot_columns(data, a.column, rows, depth, x, y);
  } else {
    // Some rows at a time, converted to contiguous columns.
    constexpr int64_t kGroup = 32;
    const Scratch<T> packed(ScratchUse::left, kGroup * depth);
    for (int64_t i = 0; i < rows; i += kGroup) {
      const int64_t group = std::min(kGroup, rows - i);
      pack(a.at(i, 0), group, kGroup, depth, packed.get());
      dot_columns(packed.get(), kGroup, group, depth, x, y + i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
