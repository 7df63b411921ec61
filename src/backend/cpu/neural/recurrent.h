// What the kernels of recurrent layers share: a product of a step's state with weights that stay
// the same for all steps, and how steps, rows and hidden units are cut into tasks.
//
// A row's state depends on no other row, so blocks of rows go through all steps on their own. Where
// there are few rows, or weights that are better read once for all of them, the hidden units of one
// step after another are shared out instead. Neither changes the order of a sum (see gemm.h).
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/cpu/contraction/product.h"
#include "backend/cpu/neural/recurrent_loops.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

// A view of up to three axes whose last one is contiguous: where it lies, or copied. Axes that are
// missing come first.
template <class T>
class Lines {
 public:
  explicit Lines(const View& view) {
    const size_t rank = view.shape.size();
    for (size_t i = 0; i < rank; ++i) {
      shape_[i + 3 - rank] = view.shape[i];
      stride_[i + 3 - rank] = view.strides[i];
    }
    data_ = view.as<T>();
    if (stride_[2] == 1 || shape_[2] <= 1) return;
    const Matrix from{view.data, view.dtype, stride_[1], stride_[2]};
    copy_ = allocate_aligned(size_t(shape_[0] * shape_[1] * shape_[2]) * sizeof(T));
    T* to = reinterpret_cast<T*>(copy_.get());
    data_ = to;
    for (int64_t i = 0; i < shape_[0]; ++i)
      for (int64_t j = 0; j < shape_[1]; ++j, to += shape_[2])
        gemm_kernels<T>().pack(from.moved(i * stride_[0]).at(j, 0), 1, 1, shape_[2], to);
    stride_[0] = shape_[1] * shape_[2];
    stride_[1] = shape_[2];
  }
  const T* at(int64_t i, int64_t j) const { return data_ + i * stride_[0] + j * stride_[1]; }
  int64_t row_stride() const { return stride_[1]; }

 private:
  int64_t shape_[3] = {1, 1, 1}, stride_[3] = {};
  const T* data_;
  AlignedBytes copy_;
};

// An output that a kernel also works with: memory of its own where nobody reads it.
template <class T>
class Result {
 public:
  explicit Result(const View& view) : data_(view.as<T>()), size_(view.shape.back()) {
    if (data_) return;
    own_ = allocate_aligned(size_t(numel(view.shape)) * sizeof(T));
    data_ = reinterpret_cast<T*>(own_.get());
  }
  T* row(int64_t i) const { return data_ + i * size_; }

 private:
  T* data_;
  int64_t size_;
  AlignedBytes own_;
};

// Some rows of the left operand, as the register tiles read them.
template <class T>
struct LeftRows {
  const T* data;
  int64_t stride, rows;
  bool packed;
};

// Products of rows with one matrix: sums(row, j) = sum over k of row[k] weights(j, k), for `count`
// columns j. A single row is multiplied as matvec-inl.h says, from the weights as they lie.
template <class T>
class StepProduct {
 public:
  // The elements of `space`.
  static int64_t packed_size(int64_t count, int64_t depth) {
    return packed_right_size(gemm_kernels<T>(), depth, count);
  }
  // `buffer`: where the weights are kept, if they last (see View); packed into `space` if not.
  StepProduct(const Matrix& weights, int64_t count, int64_t depth, int64_t rows, Buffer* buffer,
              T* space)
      : weights_(weights), count_(count), depth_(depth), block_(depth_block<T>(depth)) {
    if (rows == 1) return;
    Product p{rows, count, depth, {}, weights.transposed(), nullptr, kNative<T>};
    p.b_buffer = buffer;
    kept_ = kept_right(kernels_, p);
    if (!kept_) pack_right(kernels_, p.b, depth, count, space);
    packed_ = kept_ ? reinterpret_cast<const T*>(kept_.get()) : space;
  }

  // The elements that left() may write.
  int64_t left_size(int64_t rows) const { return rows * depth_ + 64; }
  LeftRows<T> left(const T* data, int64_t stride, int64_t rows, T* space) const {
    const Matrix a{reinterpret_cast<const std::byte*>(data), kNative<T>, stride, 1};
    if (!packed_) {  // one row, padded for matvec
      std::copy_n(data, depth_, space);
      std::fill_n(space + depth_, 64 / sizeof(T), T(0));
      return {space, depth_, 1, false};
    }
    if (readable_rows<T>(a, count_)) return {data, stride, rows, false};
    for (int64_t k = 0; k < depth_; k += block_)
      pack_rows(kernels_, a.at(0, k), rows, std::min(block_, depth_ - k), space + rows * k);
    return {space, 0, rows, true};
  }
  // Columns [begin, end); begin is a multiple of a panel.
  void multiply(const LeftRows<T>& a, int64_t begin, int64_t end, T* sums, int64_t pitch) const {
    if (!packed_) return kernels_.matvec(weights_.at(begin, 0), end - begin, depth_, a.data, sums);
    Block<T> block;
    block.m = a.rows;
    block.n = end - begin;
    block.a_packed = a.packed;
    block.a_row = a.stride;
    block.a_depth = 1;
    block.b_padded = true;
    block.b_depth = kernels_.panel;
    block.c = sums;
    block.c_row = pitch;
    for (int64_t k = 0; k < depth_; k += block_) {
      block.k = std::min(block_, depth_ - k);
      block.a = a.data + (a.packed ? a.rows * k : k);
      block.b_panel = panel_size(kernels_, block.k);
      block.b = packed_ + packed_right_offset(kernels_, count_, k, block_) +
                begin / kernels_.panel * block.b_panel;
      block.accumulate = k > 0;
      kernels_.multiply(block);
    }
  }

 private:
  const GemmKernels<T>& kernels_ = gemm_kernels<T>();
  Matrix weights_;
  int64_t count_, depth_, block_;
  std::shared_ptr<const std::byte> kept_;
  const T* packed_ = nullptr;
};

// A task's part of a step: rows [row, row + rows), hidden units [unit, unit_end).
struct StepPart {
  int64_t row, rows, unit, unit_end;
};

struct RecurrentSizes {
  int64_t steps, rows, hidden, gates;

  double step_work() const { return double(rows) * double(hidden) * double(hidden * gates); }
};

// Units whose sums stay in the first-level cache between product and gates.
template <class T>
int64_t unit_block() {
  return round_up(64, gemm_kernels<T>().panel);
}

// Calls step(t, part) for t < `steps` in order, for parts that cover all rows and units.
template <class T, class F>
void for_steps(const RecurrentSizes& sizes, int64_t steps, F&& step) {
  constexpr int64_t kRows = 16, kCachedBytes = int64_t(1) << 20;
  const double work = sizes.step_work();
  const int64_t row_parts = ceil_div(sizes.rows, kRows), units = unit_block<T>();
  const int64_t unit_parts = ceil_div(sizes.hidden, units);
  const int64_t bytes = sizes.hidden * sizes.hidden * sizes.gates * int64_t(sizeof(T));
  const bool by_units = (row_parts == 1 || bytes > kCachedBytes) && work >= 4 * kPieceWork;
  if (!by_units)
    return for_pieces(row_parts, work * double(steps), [&](int64_t part) {
      const int64_t row = tile_start(sizes.rows, row_parts, part);
      const int64_t rows = tile_start(sizes.rows, row_parts, part + 1) - row;
      for (int64_t t = 0; t < steps; ++t) step(t, StepPart{row, rows, 0, sizes.hidden});
    });
  for (int64_t t = 0; t < steps; ++t)
    for_pieces(unit_parts, work, [&](int64_t part) {
      const int64_t end = std::min(sizes.hidden, (part + 1) * units);
      step(t, StepPart{0, sizes.rows, part * units, end});
    });
}

void run_lstm(const KernelArgs& args);
void run_lstm_grad(const KernelArgs& args);
void run_gru(const KernelArgs& args);
void run_gru_grad(const KernelArgs& args);

}  // namespace tegula::cpu
