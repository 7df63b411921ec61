// Convolution with as many groups as channels and results: every channel has a filter of its own,
// so there is no product of matrices. Vectors go over channels; other layouts are brought into that
// order on the way. A result is one chain over the taps in order, a weight's gradient a fixed
// number of chains over the results.
#pragma once

#include "backend/cpu/contraction/window_product.h"

namespace tegula::cpu {

inline bool is_depthwise(const Image& source, const Image& out, int64_t groups) {
  return groups > 1 && source.channels == groups && out.channels == groups;
}

template <class T>
void run_depthwise(const Windows& windows, const Image& source, const FilterLayout& filters,
                   const Image& out, const Placement& placement);
template <class T>
void run_depthwise_weight_grad(const Image& x, const Image& dy, const Image& dw,
                               const Steps& steps);

// A row of results, for `pitch` channels, a multiple of kPitch. Result i reads from[i * step +
// taps[t]]; weights and sums of tap t are t * pitch apart.
template <class T>
struct DepthwiseRow {
  static constexpr int64_t kPitch = 16;
  const T* from;
  int64_t step, count;
  const int64_t* taps;
  int64_t tap_count, pitch;
};
template <class T>
struct DepthwiseKernels {
  // out[i * out_step + c] = sum over the taps of weights times what result i reads.
  void (*forward)(const DepthwiseRow<T>& row, const T* weights, T* out, int64_t out_step);
  // Adds to sums[t * pitch + c] what each result reads times dy[i * dy_step + c].
  void (*weight_grad)(const DepthwiseRow<T>& row, const T* dy, int64_t dy_step, T* sums);
};
template <class T>
const DepthwiseKernels<T>& depthwise_kernels();

}  // namespace tegula::cpu
