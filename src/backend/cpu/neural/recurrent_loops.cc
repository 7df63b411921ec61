#include "backend/cpu/neural/recurrent_loops.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neural/recurrent_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/tile/circle_double-inl.h"
#include "backend/cpu/tile/circle_float-inl.h"
#include "backend/cpu/tile/exp_double-inl.h"
#include "backend/cpu/tile/exp_float-inl.h"
#include "backend/cpu/tile/log_double-inl.h"
#include "backend/cpu/tile/log_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/math_functions.h"

// The units [at, at + count) of a row in one vector; a part of a vector goes through memory of a
// whole one, so that a unit's bits do not depend on where it falls.
template <class T>
struct Units {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr int64_t kLanes = int64_t(hn::MaxLanes(D()));
  int64_t at, count;

  V load(const T* from) const {
    if (count == kLanes) return hn::LoadU(D(), from + at);
    alignas(64) T lanes[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = from[at + i];
    return hn::Load(D(), lanes);
  }
  // What will be read next, as a rule in the row that follows.
  void prefetch(const T* from) const { hwy::Prefetch(from + at); }
  void store(V v, T* to) const {
    if (count == kLanes) return hn::StoreU(v, D(), to + at);
    alignas(64) T lanes[kLanes];
    hn::Store(v, D(), lanes);
    for (int64_t i = 0; i < count; ++i) to[at + i] = lanes[i];
  }
};

template <class T, class F>
HWY_INLINE void for_units(int64_t count, F&& body) {
  constexpr int64_t kLanes = Units<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(Units<T>{i, kLanes});
  if (i < count) body(Units<T>{i, count - i});
}

template <class T>
void lstm(const UnitRange& r, const T* in, const T* bias, const T* sums, const T* cell,
          T* next_cell, T* out, T* kept) {
  const hn::ScalableTag<T> d;
  for_units<T>(r.count, [&](Units<T> u) HWY_ATTR {
    const auto gate = [&](int64_t k) HWY_ATTR {
      u.prefetch(in + (k + 4) * r.hidden);
      const auto given = hn::Add(u.load(in + k * r.hidden), u.load(bias + k * r.hidden));
      return hn::Add(given, u.load(sums + k * r.pitch));
    };
    const auto i = Sigmoid::apply(d, gate(0)), f = Sigmoid::apply(d, gate(1));
    const auto g = Tanh::apply(d, gate(2)), o = Sigmoid::apply(d, gate(3));
    const auto c = hn::Add(hn::Mul(f, u.load(cell)), hn::Mul(i, g));
    u.store(c, next_cell);
    u.store(hn::Mul(o, Tanh::apply(d, c)), out);
    if (!kept) return;
    u.store(i, kept);
    u.store(f, kept + r.hidden);
    u.store(g, kept + 2 * r.hidden);
    u.store(o, kept + 3 * r.hidden);
  });
}

// The derivatives of the sigmoid and of tanh by their results, times dy.
template <class D, class V>
V sigmoid_grad(D d, V y, V dy) {
  return hn::Mul(dy, hn::Mul(y, hn::Sub(hn::Set(d, hn::TFromD<D>(1)), y)));
}
template <class D, class V>
V tanh_grad(D d, V y, V dy) {
  return hn::Mul(dy, hn::NegMulAdd(y, y, hn::Set(d, hn::TFromD<D>(1))));
}

template <class T>
void lstm_grad(const UnitRange& r, const T* gates, const T* cell, const T* next_cell, const T* dy,
               const T* sums, T* dcell, T* dgates) {
  const hn::ScalableTag<T> d;
  for_units<T>(r.count, [&](Units<T> u) HWY_ATTR {
    for (int64_t k = 4; k < 8; ++k) u.prefetch(gates + k * r.hidden);
    for (const T* from : {cell, next_cell, dy}) u.prefetch(from + r.hidden);
    const auto i = u.load(gates), f = u.load(gates + r.hidden);
    const auto g = u.load(gates + 2 * r.hidden), o = u.load(gates + 3 * r.hidden);
    const auto dh = hn::Add(u.load(dy), u.load(sums));
    const auto y = Tanh::apply(d, u.load(next_cell));
    const auto dc = hn::Add(u.load(dcell), tanh_grad(d, y, hn::Mul(dh, o)));
    u.store(sigmoid_grad(d, i, hn::Mul(dc, g)), dgates);
    u.store(sigmoid_grad(d, f, hn::Mul(dc, u.load(cell))), dgates + r.hidden);
    u.store(tanh_grad(d, g, hn::Mul(dc, i)), dgates + 2 * r.hidden);
    u.store(sigmoid_grad(d, o, hn::Mul(dh, y)), dgates + 3 * r.hidden);
    u.store(hn::Mul(dc, f), dcell);
  });
}

template <class T>
void gru(const UnitRange& range, const T* in, const T* sums, const T* bias, const T* before, T* out,
         T* kept) {
  const hn::ScalableTag<T> d;
  for_units<T>(range.count, [&](Units<T> u) HWY_ATTR {
    const auto state = [&](int64_t k) HWY_ATTR {
      return hn::Add(u.load(sums + k * range.pitch), u.load(bias + k * range.hidden));
    };
    for (int64_t k = 3; k < 6; ++k) u.prefetch(in + k * range.hidden);
    const auto r = Sigmoid::apply(d, hn::Add(u.load(in), state(0)));
    const auto z = Sigmoid::apply(d, hn::Add(u.load(in + range.hidden), state(1)));
    const auto q = state(2);
    const auto n = Tanh::apply(d, hn::Add(u.load(in + 2 * range.hidden), hn::Mul(r, q)));
    const auto rest = hn::Sub(hn::Set(d, T(1)), z);
    const auto h = u.load(before);
    u.store(hn::Add(hn::Mul(rest, n), hn::Mul(z, h)), out);
    if (!kept) return;
    u.store(r, kept);
    u.store(z, kept + range.hidden);
    u.store(n, kept + 2 * range.hidden);
    u.store(q, kept + 3 * range.hidden);
  });
}

template <class T>
void gru_grad(const UnitRange& range, const T* kept, const T* before, const T* dy, const T* sums,
              T* carry, T* din, T* dsums) {
  const hn::ScalableTag<T> d;
  for_units<T>(range.count, [&](Units<T> u) HWY_ATTR {
    for (int64_t k = 4; k < 8; ++k) u.prefetch(kept + k * range.hidden);
    u.prefetch(dy + range.hidden);
    const auto r = u.load(kept), z = u.load(kept + range.hidden);
    const auto n = u.load(kept + 2 * range.hidden), q = u.load(kept + 3 * range.hidden);
    const auto dh = hn::Add(hn::Add(u.load(dy), u.load(sums)), u.load(carry));
    const auto dn = tanh_grad(d, n, hn::Mul(dh, hn::Sub(hn::Set(d, T(1)), z)));
    const auto dz = sigmoid_grad(d, z, hn::Mul(dh, hn::Sub(u.load(before), n)));
    const auto dr = sigmoid_grad(d, r, hn::Mul(dn, q));
    u.store(dr, din);
    u.store(dz, din + range.hidden);
    u.store(dn, din + 2 * range.hidden);
    u.store(dr, dsums);
    u.store(dz, dsums + range.hidden);
    u.store(hn::Mul(dn, r), dsums + 2 * range.hidden);
    u.store(hn::Mul(dh, z), carry);
  });
}

template <class T>
constexpr RecurrentLoops<T> kLoops = {lstm<T>, lstm_grad<T>, gru<T>, gru_grad<T>};

const RecurrentLoops<float>& recurrent_f32() { return kLoops<float>; }
const RecurrentLoops<double>& recurrent_f64() { return kLoops<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(recurrent_f32);
HWY_EXPORT(recurrent_f64);

}  // namespace

template <>
const RecurrentLoops<float>& recurrent_loops<float>() {
  return HWY_DYNAMIC_DISPATCH(recurrent_f32)();
}
template <>
const RecurrentLoops<double>& recurrent_loops<double>() {
  return HWY_DYNAMIC_DISPATCH(recurrent_f64)();
}

}  // namespace tegula::cpu
#endif
