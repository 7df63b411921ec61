#include "backend/cpu/neural/attention_loops.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neural/attention_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <limits>

#include "backend/cpu/neural/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

template <class T>
constexpr T kLowest = -std::numeric_limits<T>::infinity();

// What to subtract from scores: a row that is hidden altogether has minus infinity as its largest.
template <class D, class V>
V shift_for(D d, V top) {
  return hn::IfThenZeroElse(hn::Eq(top, hn::Set(d, kLowest<hn::TFromD<D>>)), top);
}

// kVectors columns of vectors at once, so that their chains of sums run side by side.
template <int kVectors, class T>
void online_columns(T* HWY_RESTRICT scores, int64_t keys, int64_t width, T* top, T* total,
                    T* factor) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = int64_t(hn::Lanes(d));
  V largest[kVectors], shift[kVectors], sum[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) largest[j] = hn::LoadU(d, top + j * lanes);
  for (int64_t s = 0; s < keys; ++s)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      largest[j] = hn::Max(largest[j], hn::LoadU(d, scores + s * width + j * lanes));
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    shift[j] = shift_for(d, largest[j]);
    sum[j] = hn::Zero(d);
  }
  for (int64_t s = 0; s < keys; ++s)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      T* at = scores + s * width + j * lanes;
      const V power = exp2_below_zero(d, hn::Sub(hn::LoadU(d, at), shift[j]));
      sum[j] = hn::Add(sum[j], power);
      hn::StoreU(power, d, at);
    }
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    const V by = exp2_below_zero(d, hn::Sub(hn::LoadU(d, top + j * lanes), shift[j]));
    hn::StoreU(by, d, factor + j * lanes);
    hn::StoreU(hn::MulAdd(hn::LoadU(d, total + j * lanes), by, sum[j]), d, total + j * lanes);
    hn::StoreU(largest[j], d, top + j * lanes);
  }
}

template <class T>
void online(T* scores, int64_t keys, int64_t width, T* top, T* total, T* factor) {
  const int64_t lanes = int64_t(hn::Lanes(hn::ScalableTag<T>()));
  int64_t l = 0;
  for (; l + 4 * lanes <= width; l += 4 * lanes)
    online_columns<4>(scores + l, keys, width, top + l, total + l, factor + l);
  for (; l < width; l += lanes)
    online_columns<1>(scores + l, keys, width, top + l, total + l, factor + l);
}

template <class T>
T online_row(T* scores, int64_t keys, T& top, T& total) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  auto largest = hn::Set(d, top);
  for (int64_t s = 0; s < keys; s += lanes) largest = hn::Max(largest, hn::LoadU(d, scores + s));
  const auto all = hn::MaxOfLanes(d, largest);
  const auto shift = shift_for(d, all);
  auto sum = hn::Zero(d);
  for (int64_t s = 0; s < keys; s += lanes) {
    const auto power = exp2_below_zero(d, hn::Sub(hn::LoadU(d, scores + s), shift));
    sum = hn::Add(sum, power);
    hn::StoreU(power, d, scores + s);
  }
  const T factor = hn::GetLane(exp2_below_zero(d, hn::Sub(hn::Set(d, top), shift)));
  total = total * factor + hn::GetLane(hn::SumOfLanes(d, sum));
  top = hn::GetLane(all);
  return factor;
}

template <class T>
void weights(T* HWY_RESTRICT scores, int64_t keys, int64_t width, const T* HWY_RESTRICT logsum) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t s = 0; s < keys; ++s)
    for (int64_t l = 0; l < width; l += lanes) {
      T* at = scores + s * width + l;
      hn::StoreU(exp2_below_zero(d, hn::Sub(hn::LoadU(d, at), hn::LoadU(d, logsum + l))), d, at);
    }
}

template <class T>
void score_grads(T* HWY_RESTRICT grads, const T* HWY_RESTRICT weights, int64_t keys, int64_t width,
                 const T* HWY_RESTRICT delta) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t s = 0; s < keys; ++s)
    for (int64_t l = 0; l < width; l += lanes) {
      const int64_t at = s * width + l;
      const auto apart = hn::Sub(hn::LoadU(d, grads + at), hn::LoadU(d, delta + l));
      hn::StoreU(hn::Mul(hn::LoadU(d, weights + at), apart), d, grads + at);
    }
}

template <class T>
void scale(T* x, int64_t count, T factor) {
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}
template <class T>
void scale_rows(T* x, int64_t rows, int64_t width, const T* factor) {
  for (int64_t i = 0; i < rows; ++i) scale(x + i * width, width, factor[i]);
}
template <class T>
void add(T* HWY_RESTRICT to, const T* HWY_RESTRICT from, int64_t count, T factor) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i] * factor;
}

template <class T>
T dot(const T* a, const T* b, int64_t count) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  T rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  return hn::GetLane(hn::SumOfLanes(d, sum)) + rest;
}

template <class T>
constexpr AttentionLoops<T> kLoops = {online<T>,     online_row<T>, weights<T>, score_grads<T>,
                                      scale_rows<T>, scale<T>,      add<T>,     dot<T>};

const AttentionLoops<float>& attention_f32() { return kLoops<float>; }
const AttentionLoops<double>& attention_f64() { return kLoops<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(attention_f32);
HWY_EXPORT(attention_f64);

}  // namespace

template <>
const AttentionLoops<float>& attention_loops<float>() {
  return HWY_DYNAMIC_DISPATCH(attention_f32)();
}
template <>
const AttentionLoops<double>& attention_loops<double>() {
  return HWY_DYNAMIC_DISPATCH(attention_f64)();
}

}  // namespace tegula::cpu
#endif
