// What the two directions of attention share: the operands of a call, and blocks of scores.
//
// Scores are computed transposed, keys by queries: the products then read keys, values, queries
// and gradients where they lie, and largest scores and sums are found lane by lane. All sums run in
// an order that the shapes alone decide: blocks of kQueryBlock queries by kKeyBlock keys.
#pragma once

#include <algorithm>
#include <limits>
#include <numbers>

#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/neural/attention_loops.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

inline constexpr int64_t kQueryBlock = 64;
inline constexpr int64_t kKeyBlock = 128;
// Work under this many multiply-adds is not worth handing to other threads.
inline constexpr double kAttentionParallelWork = 500'000;
// Scores are computed as logarithms to base 2.
inline constexpr double kLog2E = std::numbers::log2e;

struct AttentionCall {
  View query, key, value, mask;  // (N, H, L, E), (N, G, S, E), (N, G, S, F), (N, H, L, S) if any
  bool has_mask, causal;
  double scale;

  AttentionCall(const KernelArgs& args, size_t mask_at);

  int64_t batch() const { return query.shape[0]; }
  int64_t heads() const { return query.shape[1]; }
  int64_t kv_heads() const { return key.shape[1]; }
  int64_t heads_per_kv() const { return heads() / std::max<int64_t>(1, kv_heads()); }
  int64_t rows() const { return query.shape[2]; }
  int64_t keys() const { return key.shape[2]; }
  int64_t size() const { return query.shape[3]; }
  int64_t out_size() const { return value.shape[3]; }
  double work() const {
    return double(batch()) * double(heads()) * double(rows()) * double(keys()) *
           double(size() + out_size());
  }
  // Keys [0, limit) are those that some query of [0, end) may see.
  int64_t key_limit(int64_t end) const { return causal ? std::min(keys(), end) : keys(); }
};

// The last two axes of a view (n, h, ., .).
Matrix head_matrix(const View& view, int64_t n, int64_t h);

// Rows whose elements are of type T and contiguous.
template <class T>
struct Rows {
  const T* data;
  int64_t stride;

  const T* at(int64_t row) const { return data + row * stride; }
};

// `count` rows of x from row `begin` on: where they lie, or copied to `space`. Rows whose strides
// crowd them into a few sets of the cache are copied, too.
template <class T>
Rows<T> native_rows(const GemmKernels<T>& kernels, const Matrix& x, int64_t begin, int64_t count,
                    int64_t size, T* space) {
  constexpr int64_t kHalfSetBytes = 2048;
  const Matrix from = x.at(begin, 0);
  const bool crowded = from.row != 0 && from.row * int64_t(sizeof(T)) % kHalfSetBytes == 0;
  if (from.dtype == kNative<T> && from.column == 1 && !crowded)
    return {reinterpret_cast<const T*>(from.data), from.row};
  kernels.pack(from.transposed(), size, size, count, space);
  return {space, size};
}

// One operand A of a product.
template <class T>
struct Left {
  const T* data;
  int64_t row, depth;  // strides, one of which is 1
};

// C[m x n] = or += A[m x k] B[k x n], B in rows; C is dense.
template <class T>
void multiply_rows(const GemmKernels<T>& kernels, int64_t m, int64_t n, int64_t k, Left<T> a,
                   Rows<T> b, T* c, bool accumulate) {
  Block<T> block;
  block.m = m;
  block.n = n;
  block.k = k;
  block.a = a.data;
  block.a_row = a.row;
  block.a_depth = a.depth;
  block.a_packed = false;
  block.b = b.data;
  block.b_depth = b.stride;
  block.b_panel = kernels.panel;
  block.b_padded = false;
  block.c = c;
  block.c_row = n;
  block.accumulate = accumulate;
  kernels.multiply(block);
}

// Queries (or gradients) [begin, begin + lanes) as the right operand of products with keys: a
// column each, padded to whole panels.
template <class T>
void pack_lanes(const GemmKernels<T>& kernels, const Matrix& x, int64_t begin, int64_t lanes,
                int64_t size, T* packed) {
  pack_columns(kernels, x.at(begin, 0).transposed(), size, lanes, packed);
}
template <class T>
int64_t padded_lanes(const GemmKernels<T>& kernels, int64_t lanes) {
  return ceil_div(lanes, kernels.panel) * kernels.panel;
}
// The elements that pack_lanes writes.
template <class T>
int64_t packed_lanes(const GemmKernels<T>& kernels, int64_t lanes, int64_t size) {
  return ceil_div(lanes, kernels.panel) * panel_size(kernels, size);
}
// scores[m x width] = rows times packed lanes.
template <class T>
void multiply_lanes(const GemmKernels<T>& kernels, int64_t m, int64_t width, int64_t size,
                    Rows<T> rows, const T* packed, T* scores) {
  Block<T> block;
  block.m = m;
  block.n = width;
  block.k = size;
  block.a = rows.data;
  block.a_row = rows.stride;
  block.a_depth = 1;
  block.a_packed = false;
  block.b = packed;
  block.b_depth = kernels.panel;
  block.b_panel = panel_size(kernels, size);
  block.b_padded = true;
  block.c = scores;
  block.c_row = width;
  block.accumulate = false;
  kernels.multiply(block);
}

// Hides the scores of keys [first_key, first_key + keys) that queries [first, first + lanes) do
// not see, and adds the mask of head (n, h). `space` has room for the block.
template <class T>
void mask_scores(const AttentionCall& call, int64_t n, int64_t h, int64_t first, int64_t lanes,
                 int64_t first_key, int64_t keys, int64_t width, T* scores, T* space) {
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  if (call.has_mask) {
    const Matrix mask = head_matrix(call.mask, n, h).at(first, first_key);
    if (mask.dtype != DType::bool_) {
      gemm_kernels<T>().pack(mask, lanes, width, keys, space);
      attention_loops<T>().add(scores, space, keys * width, T(kLog2E));
    } else {
      const auto* seen = reinterpret_cast<const bool*>(mask.data);
      for (int64_t s = 0; s < keys; ++s)
        for (int64_t l = 0; l < lanes; ++l)
          if (!seen[l * mask.row + s * mask.column]) scores[s * width + l] = kHidden;
    }
  }
  if (!call.causal) return;
  for (int64_t s = std::max<int64_t>(0, first + 1 - first_key); s < keys; ++s)
    std::fill_n(scores + s * width, std::min(width, first_key + s - first), kHidden);
}

void run_attention(const KernelArgs& args);
void run_attention_grad(const KernelArgs& args);

}  // namespace tegula::cpu
