#include "backend/cpu/contraction/winograd.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/winograd_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kWidth = int64_t(hn::MaxLanes(D()));

HWY_INLINE V times(float factor, V v) { return hn::Mul(hn::Set(D(), factor), v); }

// The transforms of one axis for tiles of kTile, interpolating at 0, 1, -1, infinity, and for 4
// also at 2 and -2. Two passes, along rows and columns, make the transform of a tile.
template <int kTile>
struct Axis;

template <>
struct Axis<2> {
  static HWY_INLINE void source(const V* x, V* y) {
    y[0] = hn::Sub(x[0], x[2]);
    y[1] = hn::Add(x[1], x[2]);
    y[2] = hn::Sub(x[2], x[1]);
    y[3] = hn::Sub(x[1], x[3]);
  }
  static HWY_INLINE void filter(const V* x, V* y) {
    const V sum = times(0.5f, hn::Add(x[0], x[2])), half = times(0.5f, x[1]);
    y[0] = x[0];
    y[1] = hn::Add(sum, half);
    y[2] = hn::Sub(sum, half);
    y[3] = x[2];
  }
  static HWY_INLINE void result(const V* x, V* y) {
    y[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
    y[1] = hn::Sub(hn::Sub(x[1], x[2]), x[3]);
  }
  // The transposes of result and filter, for the weight gradient.
  static HWY_INLINE void upstream(const V* x, V* y) {
    y[0] = x[0];
    y[1] = hn::Add(x[0], x[1]);
    y[2] = hn::Sub(x[0], x[1]);
    y[3] = hn::Neg(x[1]);
  }
  static HWY_INLINE void taps(const V* x, V* y) {
    const V half = times(0.5f, hn::Add(x[1], x[2]));
    y[0] = hn::Add(x[0], half);
    y[1] = times(0.5f, hn::Sub(x[1], x[2]));
    y[2] = hn::Add(half, x[3]);
  }
};

template <>
struct Axis<4> {
  static HWY_INLINE void source(const V* x, V* y) {
    const V a = hn::Sub(x[4], times(4, x[2])), b = hn::Sub(x[3], times(4, x[1]));
    const V c = hn::Sub(x[4], x[2]), d = times(2, hn::Sub(x[3], x[1]));
    y[0] = hn::Add(hn::Sub(times(4, x[0]), times(5, x[2])), x[4]);
    y[1] = hn::Add(a, b);
    y[2] = hn::Sub(a, b);
    y[3] = hn::Add(c, d);
    y[4] = hn::Sub(c, d);
    y[5] = hn::Add(hn::Sub(times(4, x[1]), times(5, x[3])), x[5]);
  }
  static HWY_INLINE void filter(const V* x, V* y) {
    const V even = hn::Add(x[0], x[2]);
    const V far = hn::Add(times(1.0f / 24, x[0]), times(1.0f / 6, x[2]));
    const V odd = times(1.0f / 12, x[1]);
    y[0] = times(0.25f, x[0]);
    y[1] = times(-1.0f / 6, hn::Add(even, x[1]));
    y[2] = times(-1.0f / 6, hn::Sub(even, x[1]));
    y[3] = hn::Add(far, odd);
    y[4] = hn::Sub(far, odd);
    y[5] = x[2];
  }
  static HWY_INLINE void result(const V* x, V* y) {
    const V sum1 = hn::Add(x[1], x[2]), apart1 = hn::Sub(x[1], x[2]);
    const V sum2 = hn::Add(x[3], x[4]), apart2 = hn::Sub(x[3], x[4]);
    y[0] = hn::Add(hn::Add(x[0], sum1), sum2);
    y[1] = hn::Add(apart1, times(2, apart2));
    y[2] = hn::Add(sum1, times(4, sum2));
    y[3] = hn::Add(hn::Add(apart1, times(8, apart2)), x[5]);
  }
};

// Applies a transform of kIn to kOut elements to the columns and then the rows of a square of
// vectors; load(i, j) reads it and store(i, j, v) gets the result.
template <int kIn, int kOut, class Transform, class Load, class Store>
HWY_INLINE void transform_square(Transform transform, Load load, Store store) {
  V half[kOut][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    V x[kIn], y[kOut];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) x[i] = load(i, j);
    transform(x, y);
#pragma GCC unroll 6
    for (int i = 0; i < kOut; ++i) half[i][j] = y[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kOut; ++i) {
    V y[kOut];
    transform(half[i], y);
#pragma GCC unroll 6
    for (int j = 0; j < kOut; ++j) store(i, j, y[j]);
  }
}

template <int kTile>
void transform_source(const float* const* pixels, int64_t count, int64_t ahead, float* to,
                      int64_t point) {
  constexpr int kSide = kTile + 2;
  const D d;
  for (int64_t c = 0; c < count; c += kWidth) {
    // The tile before has read the others already, or will have.
    for (int i = 2; i < kSide; ++i)
      for (int j = 2; j < kSide; ++j) hwy::Prefetch(pixels[i * kSide + j] + c + ahead);
    transform_square<kSide, kSide>(
        Axis<kTile>::source, [&](int i, int j) { return hn::LoadU(d, pixels[i * kSide + j] + c); },
        [&](int i, int j, V v) { hn::StoreU(v, d, to + (i * kSide + j) * point + c); });
  }
}

template <int kTile>
void transform_filters(const float* taps, int64_t tap, int64_t count, float* to, int64_t point) {
  constexpr int kSide = kTile + 2;
  const D d;
  for (int64_t c = 0; c < count; c += kWidth)
    transform_square<3, kSide>(
        Axis<kTile>::filter,
        [&](int i, int j) { return hn::LoadU(d, taps + (i * 3 + j) * tap + c); },
        [&](int i, int j, V v) { hn::StoreU(v, d, to + (i * kSide + j) * point + c); });
}

template <int kTile>
void transform_result(const float* from, int64_t point, int64_t count, float* const* pixels) {
  constexpr int kSide = kTile + 2;
  const D d;
  for (int64_t c = 0; c < count; c += kWidth)
    transform_square<kSide, kTile>(
        Axis<kTile>::result,
        [&](int i, int j) { return hn::LoadU(d, from + (i * kSide + j) * point + c); },
        [&](int i, int j, V v) { hn::StoreU(v, d, pixels[i * kTile + j] + c); });
}

void transform_upstream(const float* const* pixels, int64_t count, int64_t ahead, float* to,
                        int64_t point) {
  const D d;
  for (int64_t c = 0; c < count; c += kWidth) {
    for (int i = 0; i < 4; ++i) hwy::Prefetch(pixels[i] + c + ahead);
    transform_square<2, 4>(
        Axis<2>::upstream, [&](int i, int j) { return hn::LoadU(d, pixels[i * 2 + j] + c); },
        [&](int i, int j, V v) { hn::StoreU(v, d, to + (i * 4 + j) * point + c); });
  }
}

void transform_sums(const float* from, int64_t point, int64_t count, float* to, int64_t tap) {
  const D d;
  for (int64_t c = 0; c < count; c += kWidth)
    transform_square<4, 3>(
        Axis<2>::taps, [&](int i, int j) { return hn::LoadU(d, from + (i * 4 + j) * point + c); },
        [&](int i, int j, V v) { hn::StoreU(v, d, to + (i * 3 + j) * tap + c); });
}

constexpr WinogradGradKernels kGradKernels = {transform_upstream, transform_sums};

template <int kTile>
constexpr WinogradKernels kKernels = {kTile, transform_source<kTile>, transform_filters<kTile>,
                                      transform_result<kTile>};
const WinogradKernels& kernels_2() { return kKernels<2>; }
const WinogradKernels& kernels_4() { return kKernels<4>; }
const WinogradGradKernels& grad_kernels() { return kGradKernels; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(kernels_2);
HWY_EXPORT(kernels_4);
HWY_EXPORT(grad_kernels);

}  // namespace

const WinogradKernels& winograd_kernels(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd4 ? HWY_DYNAMIC_DISPATCH(kernels_4)()
                                               : HWY_DYNAMIC_DISPATCH(kernels_2)();
}

const WinogradGradKernels& winograd_grad_kernels() { return HWY_DYNAMIC_DISPATCH(grad_kernels)(); }

}  // namespace tegula::cpu
#endif
