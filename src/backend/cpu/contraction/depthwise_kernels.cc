#include "backend/cpu/contraction/depthwise.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/depthwise_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
void forward(const DepthwiseRow<T>& row, const T* HWY_RESTRICT weights, T* HWY_RESTRICT out,
             int64_t out_step) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kLanes = int64_t(hn::MaxLanes(d));
  constexpr int64_t kResults = 4;  // whose chains overlap
  constexpr int64_t kAhead = 16;    // results between what is brought near and what is made
  for (int64_t i = 0; i < row.count; i += kResults) {
    const int64_t results = std::min(kResults, row.count - i);
    for (int64_t c = 0; c < row.pitch; c += kLanes) {
      auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      const T* from = row.from + i * row.step + c;
      if (results == kResults) {
        // Pixels of the last tap's row are those that nothing has read before.
        const T* ahead = from + row.taps[row.tap_count - 1] + kAhead * row.step;
#pragma GCC unroll 4
        for (int64_t r = 0; r < kResults; ++r) {
          hwy::Prefetch(ahead + r * row.step);
          __builtin_prefetch(out + (i + r + kAhead) * out_step + c, 1);
        }
        for (int64_t t = 0; t < row.tap_count; ++t) {
          const auto w = hn::LoadU(d, weights + t * row.pitch + c);
          const T* x = from + row.taps[t];
          s0 = hn::MulAdd(hn::LoadU(d, x), w, s0);
          s1 = hn::MulAdd(hn::LoadU(d, x + row.step), w, s1);
          s2 = hn::MulAdd(hn::LoadU(d, x + 2 * row.step), w, s2);
          s3 = hn::MulAdd(hn::LoadU(d, x + 3 * row.step), w, s3);
        }
        T* to = out + i * out_step + c;
        hn::StoreU(s0, d, to);
        hn::StoreU(s1, d, to + out_step);
        hn::StoreU(s2, d, to + 2 * out_step);
        hn::StoreU(s3, d, to + 3 * out_step);
        continue;
      }
      for (int64_t r = 0; r < results; ++r, from += row.step) {
        s0 = hn::Zero(d);
        for (int64_t t = 0; t < row.tap_count; ++t)
          s0 = hn::MulAdd(hn::LoadU(d, from + row.taps[t]),
                          hn::LoadU(d, weights + t * row.pitch + c), s0);
        hn::StoreU(s0, d, out + (i + r) * out_step + c);
      }
    }
  }
}

template <class T>
void weight_grad(const DepthwiseRow<T>& row, const T* HWY_RESTRICT dy, int64_t dy_step,
                 T* HWY_RESTRICT sums) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kLanes = int64_t(hn::MaxLanes(d));
  for (int64_t c = 0; c < row.pitch; c += kLanes) {
    int64_t t = 0;
    for (; t + 3 <= row.tap_count; t += 3) {  // chains that overlap
      T* to = sums + t * row.pitch + c;
      auto s0 = hn::LoadU(d, to), s1 = hn::LoadU(d, to + row.pitch);
      auto s2 = hn::LoadU(d, to + 2 * row.pitch);
      const T* x = row.from + c;
      for (int64_t i = 0; i < row.count; ++i, x += row.step) {
        const auto g = hn::LoadU(d, dy + i * dy_step + c);
        s0 = hn::MulAdd(hn::LoadU(d, x + row.taps[t]), g, s0);
        s1 = hn::MulAdd(hn::LoadU(d, x + row.taps[t + 1]), g, s1);
        s2 = hn::MulAdd(hn::LoadU(d, x + row.taps[t + 2]), g, s2);
      }
      hn::StoreU(s0, d, to);
      hn::StoreU(s1, d, to + row.pitch);
      hn::StoreU(s2, d, to + 2 * row.pitch);
    }
    for (; t < row.tap_count; ++t) {
      T* to = sums + t * row.pitch + c;
      auto s = hn::LoadU(d, to);
      for (int64_t i = 0; i < row.count; ++i)
        s = hn::MulAdd(hn::LoadU(d, row.from + i * row.step + row.taps[t] + c),
                       hn::LoadU(d, dy + i * dy_step + c), s);
      hn::StoreU(s, d, to);
    }
  }
}

template <class T>
constexpr DepthwiseKernels<T> kKernels = {forward<T>, weight_grad<T>};
const DepthwiseKernels<float>& depthwise_f32() { return kKernels<float>; }
const DepthwiseKernels<double>& depthwise_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(depthwise_f32);
HWY_EXPORT(depthwise_f64);

}  // namespace

template <>
const DepthwiseKernels<float>& depthwise_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(depthwise_f32)();
}
template <>
const DepthwiseKernels<double>& depthwise_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(depthwise_f64)();
}

}  // namespace tegula::cpu
#endif
