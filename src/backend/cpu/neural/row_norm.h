// Layer and RMS normalisation of rows, forward and backward, each row while it is in the cache.
//
// A row's sums are made of blocks of kRowNormBlock elements; those of the blocks are added in
// double precision. The gradients of weight and bias are sums over the rows: blocks of rows are
// added up one after the other, in chains fixed by the shape, and the chains in order.
#pragma once

#include <cstdint>

#include "runtime/kernel.h"

namespace tegula::cpu {

constexpr int64_t kRowNormBlock = 1024;

// Null weight and bias are 1 and 0; without `centered` the mean is taken to be 0.
template <class T>
struct RowNorm {
  int64_t length;
  const T *weight, *bias;
  bool centered;
  double eps;
};
template <class T>
struct RowNormKernels {
  void (*forward)(const RowNorm<T>& norm, const T* x, T* y, T* mean, T* scale);
  // Adds a row's part to dweight and dbias where they are not null.
  void (*backward)(const RowNorm<T>& norm, const T* x, const T* dy, T mean, T scale, T* dx,
                   T* dweight, T* dbias);
};
template <class T>
const RowNormKernels<T>& row_norm_kernels();

void run_row_norm(const KernelArgs& args);
void run_row_norm_grad(const KernelArgs& args);

}  // namespace tegula::cpu
