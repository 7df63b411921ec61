// Register tiles over operands that are reached through tables of offsets. Included once per
// instruction set.
#if defined(TEGULA_TABLE_KERNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_TABLE_KERNEL_INL_H_
#undef TEGULA_TABLE_KERNEL_INL_H_
#else
#define TEGULA_TABLE_KERNEL_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <array>
#include <utility>

#include "backend/cpu/contraction/conv_kernels.h"

#include "backend/cpu/contraction/micro_kernel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows [row, row + kRows) and kVectors vectors of columns, the last of which has `lanes` columns.
// The rows that come next are brought near meanwhile.
template <class T, int kRows, int kVectors>
void table_kernel(const TableProduct<T>& p, int64_t row, int64_t column, int64_t lanes) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sums[kRows][kVectors];
  const T* rows[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    rows[i] = p.a + p.a_rows[row + i];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = hn::Zero(d);
      hwy::Prefetch(p.c + column + p.c_rows[row + i] + j * kLanes<T>);
    }
  }
  constexpr int64_t kAhead = 16;
  const int64_t ahead_mask = p.m >= kAhead ? kAhead - 1 : 0;
  const int64_t* const ahead = p.a_rows + std::max<int64_t>(0, std::min(row + kRows, p.m - kAhead));
  const T* const panel = p.b + column / kPanel<T> * p.b_panel;
  const int64_t a_step = p.a_step, b_step = p.b_step, length = p.length;
  for (const Segment* s = p.segments; s != p.segments + p.segment_count; ++s) {
    int64_t a = s->a;
    const T* b = panel + s->b;
    for (int64_t k = 0; k < length; ++k) {
      hwy::Prefetch(p.a + ahead[k & ahead_mask] + a);
      V right[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) right[j] = hn::LoadU(d, b + j * kLanes<T>);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const V left = hn::Set(d, rows[i][a]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(left, right[j], sums[i][j]);
      }
      a += a_step;
      b += b_step;
    }
  }
  T* const c = p.c + column;
  const bool whole = lanes == kLanes<T>;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    T* to = c + p.c_rows[row + i];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j, to += kLanes<T>) {
      if (j < kVectors - 1 || whole) {
        hn::StoreU(p.accumulate ? hn::Add(hn::LoadU(d, to), sums[i][j]) : sums[i][j], d, to);
      } else {
        const auto mask = hn::FirstN(d, size_t(lanes));
        const V sum = p.accumulate ? hn::Add(hn::MaskedLoad(mask, d, to), sums[i][j]) : sums[i][j];
        hn::BlendedStore(sum, mask, d, to);
      }
    }
  }
}

template <class T>
using TableKernel = void (*)(const TableProduct<T>&, int64_t, int64_t, int64_t);

template <class T, int kVectors, int... kRows>
constexpr std::array<TableKernel<T>, kTileRows> table_kernel_row(
    std::integer_sequence<int, kRows...>) {
  return {table_kernel<T, kRows + 1, kVectors>...};
}
// [vectors - 1][rows - 1]
template <class T>
constexpr std::array<TableKernel<T>, kTileRows> kTableKernels[kTileVectors] = {
    table_kernel_row<T, 1>(std::make_integer_sequence<int, kTileRows>()),
    table_kernel_row<T, 2>(std::make_integer_sequence<int, kTileRows>())};

template <class T>
void table_multiply(const TableProduct<T>& p) {
  const int64_t tiles = row_tiles(p.m, kTileRows);
  for (int64_t j = 0; j < p.n; j += kPanel<T>) {
    const int64_t columns = std::min(kPanel<T>, p.n - j);
    const int64_t vectors = ceil_div(columns, kLanes<T>);
    const auto& kernels = kTableKernels<T>[vectors - 1];
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t rows = tile_start(p.m, tiles, t + 1) - i;
      kernels[rows - 1](p, i, j, columns - (vectors - 1) * kLanes<T>);
      i += rows;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
