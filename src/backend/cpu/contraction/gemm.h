// The contraction engine: C = A B from packed or directly readable blocks. Matmul and convolution
// share it; they differ in how a block of B comes about.
//
// The sum for an element of C is: K is cut into depth blocks (k_block), each block is one chain of
// multiply-adds in order of k that starts at zero, and block sums are added in order. Nothing else
// (tiles, packing, strides, threads) enters into it.
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

  Matrix at(int64_t i, int64_t j) const {
    return {data + (i * row + j * column) * int64_t(itemsize(dtype)), dtype, row, column};
  }
  Matrix transposed() const { return {data, dtype, column, row}; }
};

// The dtype that the engine computes in for T.
template <class T>
constexpr DType kNative = sizeof(T) == 8 ? DType::float64 : DType::float32;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// C[m x n] = or += A[m x k] B[k x n], k at most one depth block.
template <class T>
struct Block {
  int64_t m, n, k;
  // A in place: strides row and depth, one of which is 1. Packed (see row_tiles): a_packed, and
  // the strides are ignored.
  const T* a;
  int64_t a_row, a_depth;
  bool a_packed;
  // B in panels of GemmKernels::panel columns, contiguous inside a panel. b_padded: the last panel
  // may be read to its full width.
  const T* b;
  int64_t b_depth, b_panel;
  bool b_padded;
  T* c;
  int64_t c_row;
  bool accumulate;
};

// The kernels of the instruction set in use, for T float or double.
template <class T>
struct GemmKernels {
  int64_t tile_rows;  // the most rows a register tile has
  int64_t panel;      // columns of a register tile
  void (*multiply)(const Block<T>&);
  // dst[k * width + lane] = src(lane, k) for lane < lanes, zero for lanes <= lane < width.
  void (*pack)(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst);
  // Writes `count` elements of T as `dtype`, rounded.
  void (*round)(const T* src, int64_t count, DType dtype, std::byte* dst);
  // y[i] = sum over k of a(i, k) x[k]; x is padded with zeros to a multiple of 64 bytes.
  void (*matvec)(const Matrix& a, int64_t rows, int64_t k, const T* x, T* y);
};
template <class T>
const GemmKernels<T>& gemm_kernels();

// The length of the depth blocks that K is cut into: equal but for the last, and fixed by K alone.
inline int64_t depth_block(int64_t k) {
  constexpr int64_t kDepth = 384, kMultiple = 8;
  const int64_t blocks = std::max<int64_t>(1, ceil_div(k, kDepth));
  const int64_t length = ceil_div(k, blocks);
  return std::max<int64_t>(1, ceil_div(length, kMultiple) * kMultiple);
}

// Rows are cut into tiles of nearly equal height: tile t of `tiles` starts here.
inline int64_t tile_start(int64_t rows, int64_t tiles, int64_t t) {
  return t * (rows / tiles) + std::min(t, rows % tiles);
}
inline int64_t row_tiles(int64_t rows, int64_t tile_rows) { return ceil_div(rows, tile_rows); }

// Packs A(m, k) so that tile t is k-major at dst + tile_start(t) * k.
template <class T>
void pack_rows(const GemmKernels<T>& kernels, const Matrix& a, int64_t m, int64_t k, T* dst) {
  const int64_t tiles = row_tiles(m, kernels.tile_rows);
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = tile_start(m, tiles, t), end = tile_start(m, tiles, t + 1);
    kernels.pack(a.at(begin, 0), end - begin, end - begin, k, dst + begin * k);
  }
}
// Packs B(k, n) into panels, the last padded with zeros; panel p is at dst + p * panel * k.
template <class T>
void pack_columns(const GemmKernels<T>& kernels, const Matrix& b, int64_t k, int64_t n, T* dst) {
  for (int64_t j = 0; j < n; j += kernels.panel)
    kernels.pack(b.at(0, j).transposed(), std::min(kernels.panel, n - j), kernels.panel, k,
                 dst + j * k);
}

}  // namespace tegula::cpu
