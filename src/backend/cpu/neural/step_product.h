// Products of a recurrent layer's state with weights that stay the same for all steps.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/cpu/contraction/product.h"

namespace tegula::cpu {

// Some rows of the left operand, as the register tiles read them.
template <class T>
struct LeftRows {
  const T* data;
  int64_t stride, rows;
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
  int64_t left_size(int64_t rows) const { return rows * (depth_ + kPad); }
  LeftRows<T> left(const T* data, int64_t stride, int64_t rows, T* space) const {
    // Rows that share a cache set are copied apart; a single row is padded for matvec.
    if (packed_ && stride * int64_t(sizeof(T)) % kCacheSetBytes != 0) return {data, stride, rows};
    const int64_t pitch = depth_ + kPad;
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(data + r * stride, depth_, space + r * pitch);
      std::fill_n(space + r * pitch + depth_, kPad, T(0));
    }
    return {space, pitch, rows};
  }
  // Columns [begin, end); begin is a multiple of a panel.
  void multiply(const LeftRows<T>& a, int64_t begin, int64_t end, T* sums, int64_t pitch) const {
    if (!packed_) return kernels_.matvec(weights_.at(begin, 0), end - begin, depth_, a.data, sums);
    Block<T> block;
    block.m = a.rows;
    block.n = end - begin;
    block.a_packed = false;
    block.a_row = a.stride;
    block.a_depth = 1;
    block.b_padded = true;
    block.b_depth = kernels_.panel;
    block.c = sums;
    block.c_row = pitch;
    for (int64_t k = 0; k < depth_; k += block_) {
      block.k = std::min(block_, depth_ - k);
      block.a = a.data + k;
      block.b_panel = panel_size(kernels_, block.k);
      block.b = packed_ + packed_right_offset(kernels_, count_, k, block_) +
                begin / kernels_.panel * block.b_panel;
      block.accumulate = k > 0;
      kernels_.multiply(block);
    }
  }

 private:
  static constexpr int64_t kPad = 64 / sizeof(T);

  const GemmKernels<T>& kernels_ = gemm_kernels<T>();
  Matrix weights_;
  int64_t count_, depth_, block_;
  std::shared_ptr<const std::byte> kept_;
  const T* packed_ = nullptr;
};

// Products of the same rows with several such matrices, one below the other in `weights`.
template <class T>
class StepProducts {
 public:
  StepProducts(const Matrix& weights, int64_t parts, int64_t count, int64_t depth, int64_t rows,
               Buffer* buffer)
      : packed_(ScratchUse::shared, parts * StepProduct<T>::packed_size(count, depth)) {
    T* space = packed_;
    for (int64_t k = 0; k < parts; ++k, space += StepProduct<T>::packed_size(count, depth))
      products_.emplace_back(weights.at(k * count, 0), count, depth, rows, buffer, space);
  }
  int64_t size() const { return int64_t(products_.size()); }
  int64_t left_size(int64_t rows) const { return products_[0].left_size(rows); }
  LeftRows<T> left(const T* data, int64_t stride, int64_t rows, T* space) const {
    return products_[0].left(data, stride, rows, space);
  }
  // Part k of the sums is part_pitch behind part k - 1.
  void multiply(const LeftRows<T>& a, int64_t begin, int64_t end, T* sums, int64_t pitch,
                int64_t part_pitch) const {
    for (const StepProduct<T>& product : products_) {
      product.multiply(a, begin, end, sums, pitch);
      sums += part_pitch;
    }
  }

 private:
  Scratch<T> packed_;
  std::vector<StepProduct<T>> products_;
};

}  // namespace tegula::cpu
