// The contraction engine: C = A B from packed or directly readable blocks. Matmul and convolution
// share it; they differ in how a block of B comes about.
//
// The sum for an element of C is: K is cut into depth blocks (depth_block), each block is one chain
// of multiply-adds in order of k that starts at zero, and block sums are added in order. Nothing
// else (tiles, packing, strides, threads) enters into it. An operand type whose tiles use dot
// instructions sums each group of GemmTraits::kGroup as the instruction does; one whose tiles use
// matrix instructions sums each GemmKernels::step so, and adds that to the sum of all before it,
// across depth blocks. Products with M or N of 1 sum as matvec-inl.h says.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/dtype.h"

namespace tegula::cpu {

// A matrix in memory, of any dtype and strides (in elements).
struct Matrix {
  const std::byte* data;
  DType dtype;
  int64_t row, column;  // strides

  Matrix at(int64_t i, int64_t j) const { return moved(i * row + j * column); }
  Matrix moved(int64_t elements) const {
    return {data + elements * int64_t(itemsize(dtype)), dtype, row, column};
  }
  Matrix transposed() const { return {data, dtype, column, row}; }
};

// The dtype that the engine computes in for T.
template <class T>
constexpr DType kNative =
    std::is_integral_v<T> ? (sizeof(T) == 8 ? DType::int64 : DType::int32)
                          : (sizeof(T) == 8 ? DType::float64 : DType::float32);

// What the register tiles make of operands of type T: the type of the sums, and how many
// consecutive k of a row lie together in a packed operand (the width of a dot instruction).
template <class T>
struct GemmTraits {
  using Sum = T;
  static constexpr int64_t kGroup = 1;
};
template <>
struct GemmTraits<bfloat16> {
  using Sum = float;
  static constexpr int64_t kGroup = 2;
};
template <>
struct GemmTraits<int16_t> {
  using Sum = int32_t;
  static constexpr int64_t kGroup = 2;
};
// int8_t and uint8_t name the left operand; the right one is int8_t.
template <>
struct GemmTraits<int8_t> {
  using Sum = int32_t;
  static constexpr int64_t kGroup = 4;
};
template <>
struct GemmTraits<uint8_t> : GemmTraits<int8_t> {};
template <class T>
using Sum = typename GemmTraits<T>::Sum;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }
// Rows are cut into tiles of nearly equal height: tile t of `tiles` starts here. Consecutive tiles
// taken out of such a cut are such a cut of their rows.
inline int64_t tile_start(int64_t rows, int64_t tiles, int64_t t) {
  return t * (rows / tiles) + std::min(t, rows % tiles);
}
inline int64_t row_tiles(int64_t rows, int64_t tile_rows) { return ceil_div(rows, tile_rows); }

// C[m x n] = or += A[m x k] B[k x n], k at most one depth block.
template <class T>
struct Block {
  int64_t m, n, k;
  int64_t tiles = 0;  // that m is cut into; 0: row_tiles
  // A in place: strides row and depth, one of which is 1. Packed (see pack_rows): a_packed, and
  // the strides are ignored.
  const T* a;
  int64_t a_row, a_depth;
  bool a_packed;
  // B in panels of GemmKernels::panel columns, contiguous inside a panel. b_padded: the last panel
  // may be read to its full width.
  const T* b;
  int64_t b_depth, b_panel;
  bool b_padded;
  Sum<T>* c;
  int64_t c_row;
  bool accumulate;
};

// The kernels of the instruction set in use for operands of type T. Both operands must be packed
// where GemmTraits<T>::kGroup is not 1, and for integers, but for what whole_registers says.
template <class T>
struct GemmKernels {
  int64_t tile_rows;  // the most rows a register tile has
  int64_t panel;  // columns of a register tile
  int64_t panel_tail;  // elements that pack_panel writes after a panel
  // The k of a packed operand are a multiple of this, which kGroup divides: zeros follow the last.
  int64_t step;
  int64_t depth;  // the most k of a depth block
  double speed;  // multiply-adds done in the time of one of float32, about
  int64_t task_rows, task_columns;  // of C, about: operands and sums fit the second-level cache
  // Whether a register tile is stored and loaded by rows of whole registers, as matrix instructions
  // do: multiply then takes dense rows of A in place, for depths that are a multiple of step, and
  // consecutive tasks share rows of A, which stay in the second-level cache while B passes.
  bool whole_registers;
  void (*multiply)(const Block<T>&);
  // dst[k * width + lane] = src(lane, k) for lane < lanes, zero for lanes <= lane < width. With a
  // group g: dst[(k / g * width + lane) * g + k % g], zero for k up to packed_depth. Matrix
  // instructions read rows of a step: for them g is the step.
  void (*pack)(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst);
  // The same for columns of B, given as lanes, with g of kGroup.
  void (*pack_panel)(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst);
  // Writes `count` sums as `dtype`, rounded.
  void (*round)(const Sum<T>* src, int64_t count, DType dtype, std::byte* dst);
  // y[i] = sum over k of a(i, k) x[k]; x is padded with zeros to a multiple of 64 bytes.
  void (*matvec)(const Matrix& a, int64_t rows, int64_t k, const T* x, Sum<T>* y);
};
template <class T>
const GemmKernels<T>& gemm_kernels();

// The k that a packed operand holds.
template <class T>
int64_t packed_depth(const GemmKernels<T>& kernels, int64_t k) {
  return round_up(k, kernels.step);
}

// What GemmKernels::depth is for chains of multiply-adds.
template <class T>
constexpr int64_t kChainDepth = 384 * GemmTraits<T>::kGroup;

// The length of the depth blocks that K is cut into: equal but for the last, and fixed by K and the
// instruction set.
template <class T>
int64_t depth_block(int64_t k) {
  constexpr int64_t kMultiple = 8;
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t blocks = std::max<int64_t>(1, ceil_div(k, kernels.depth));
  const int64_t multiple = std::max(kMultiple, kernels.step);
  return std::max<int64_t>(1, round_up(ceil_div(k, blocks), multiple));
}

// Calls pack(k, length) for runs of k that cover the depth: short ones when the lanes that are
// packed together lie next to each other, so that neighbours in memory are read close in time.
template <class F>
void for_depth_runs(const Matrix& lanes, int64_t k, int64_t step, F&& pack) {
  const int64_t run = std::max<int64_t>(8, step);
  if (lanes.row != 1 || k <= run) return pack(0, k);
  for (int64_t at = 0; at < k; at += run) pack(at, std::min(run, k - at));
}

// Packs A(m, k) so that tile t of `tiles` is k-major at dst + tile_start(t) * packed_depth(k).
template <class T>
void pack_rows(const GemmKernels<T>& kernels, const Matrix& a, int64_t m, int64_t tiles, int64_t k,
               T* dst) {
  const int64_t depth = packed_depth(kernels, k);
  for_depth_runs(a, k, kernels.step, [&](int64_t at, int64_t length) {
    for (int64_t t = 0, begin = 0; t < tiles; ++t) {
      const int64_t rows = m / tiles + (t < m % tiles);
      kernels.pack(a.at(begin, at), rows, rows, length, dst + begin * depth + at * rows);
      begin += rows;
    }
  });
}
template <class T>
void pack_rows(const GemmKernels<T>& kernels, const Matrix& a, int64_t m, int64_t k, T* dst) {
  pack_rows(kernels, a, m, row_tiles(m, kernels.tile_rows), k, dst);
}
// The elements of a packed panel.
template <class T>
int64_t panel_size(const GemmKernels<T>& kernels, int64_t k) {
  return kernels.panel * packed_depth(kernels, k) + kernels.panel_tail;
}
// Packs B(k, n) into panels, the last padded with zeros; panel p is at dst + p * panel_size(k).
template <class T>
void pack_columns(const GemmKernels<T>& kernels, const Matrix& b, int64_t k, int64_t n, T* dst) {
  const int64_t panel = kernels.panel, size = panel_size(kernels, k);
  const auto pack = [&](int64_t at, int64_t length) {
    for (int64_t j = 0; j < n; j += panel)
      kernels.pack_panel(b.at(at, j).transposed(), std::min(panel, n - j), panel, length,
                         dst + j / panel * size + at * panel);
  };
  if (kernels.panel_tail == 0) {
    for_depth_runs(b.transposed(), k, kernels.step, pack);
  } else {
    pack(0, k);  // the tail is made of a whole panel
  }
}

}  // namespace tegula::cpu
