#include "backend/cpu/neural/moments.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neural/moments_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kSums = 16;

// The block's total, in a fixed tree.
template <class T>
T row_tree(T* sums) {
  for (int64_t width = kSums / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  return sums[0];
}
template <class D, class V>
V column_tree(D d, V* sums) {
  for (int64_t width = kSums / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) sums[i] = hn::Add(sums[i], sums[i + width]);
  (void)d;
  return sums[0];
}

// The sum of f of every element; f takes a vector or a scalar.
template <class T, class F, class S>
T row_sum(const T* x, int64_t count, F&& vector_term, S&& scalar_term) {
  const hn::CappedTag<T, kSums> d;
  constexpr int64_t kLanes = int64_t(hn::MaxLanes(d)), kVectors = kSums / kLanes;
  using V = hn::Vec<decltype(d)>;
  V sums[kVectors];
  for (V& s : sums) s = hn::Zero(d);
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
#pragma GCC unroll 16
    for (int64_t j = 0; j < kVectors; ++j)
      sums[j] = hn::Add(sums[j], vector_term(hn::LoadU(d, x + i + j * kLanes)));
  alignas(64) T each[kSums];
  for (int64_t j = 0; j < kVectors; ++j) hn::Store(sums[j], d, each + j * kLanes);
  for (int64_t j = 0; i + j < count; ++j) each[j] += scalar_term(x[i + j]);
  return row_tree(each);
}

template <class T>
void row_moments(const T* x, int64_t count, T* mean, T* spread) {
  const auto same = [](auto v) { return v; };
  const T center = row_sum(x, count, same, same) / T(count);
  const hn::CappedTag<T, kSums> d;
  const auto around = hn::Set(d, center);
  *mean = center;
  *spread = row_sum(
      x, count,
      [&](auto v) {
        const auto apart = hn::Sub(v, around);
        return hn::Mul(apart, apart);
      },
      [&](T v) { return (v - center) * (v - center); });
}

template <class D, class F>
hn::Vec<D> column_sum(D d, const hn::TFromD<D>* x, int64_t step, int64_t count, F&& term) {
  hn::Vec<D> sums[kSums];
  for (auto& s : sums) s = hn::Zero(d);
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
#pragma GCC unroll 16
    for (int64_t j = 0; j < kSums; ++j) sums[j] = hn::Add(sums[j], term(x + (i + j) * step));
  for (int64_t j = 0; i + j < count; ++j) sums[j] = hn::Add(sums[j], term(x + (i + j) * step));
  return column_tree(d, sums);
}

template <class T>
void column_moments(const T* x, int64_t step, int64_t count, int64_t columns, T* mean, T* spread) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t c = 0; c < columns; c += lanes) {
    const int64_t valid = std::min(lanes, columns - c);
    const auto mask = hn::FirstN(d, size_t(valid));
    const auto load = [&](const T* from) {
      return valid == lanes ? hn::LoadU(d, from) : hn::MaskedLoad(mask, d, from);
    };
    const auto center = hn::Div(column_sum(d, x + c, step, count, load), hn::Set(d, T(count)));
    const auto apart = column_sum(d, x + c, step, count, [&](const T* from) {
      const auto distance = hn::Sub(load(from), center);
      return hn::Mul(distance, distance);
    });
    hn::BlendedStore(center, mask, d, mean + c);
    hn::BlendedStore(apart, mask, d, spread + c);
  }
}

template <class T>
constexpr MomentsKernels<T> kMoments = {row_moments<T>, column_moments<T>};
const MomentsKernels<float>& moments_f32() { return kMoments<float>; }
const MomentsKernels<double>& moments_f64() { return kMoments<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(moments_f32);
HWY_EXPORT(moments_f64);

}  // namespace

template <>
const MomentsKernels<float>& moments_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(moments_f32)();
}
template <>
const MomentsKernels<double>& moments_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(moments_f64)();
}

}  // namespace tegula::cpu
#endif
