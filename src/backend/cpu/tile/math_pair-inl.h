// Numbers kept as a sum of two, for functions whose last bit a single rounding would spoil.
// Included once per instruction set.
#if defined(TEGULA_MATH_PAIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_MATH_PAIR_INL_H_
#undef TEGULA_MATH_PAIR_INL_H_
#else
#define TEGULA_MATH_PAIR_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/tile/exp_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// `low` is what rounding to `high` lost, or an estimate of it.
template <class V>
struct Pair {
  V high, low;
};

// a + b, exactly, where |a| >= |b| or a = 0.
template <class V>
Pair<V> ordered_sum(V a, V b) {
  const V high = hn::Add(a, b);
  return {high, hn::Sub(b, hn::Sub(high, a))};
}
// a + b, exactly.
template <class V>
Pair<V> exact_sum(V a, V b) {
  const V high = hn::Add(a, b), of_b = hn::Sub(high, a);
  return {high, hn::Add(hn::Sub(a, hn::Sub(high, of_b)), hn::Sub(b, of_b))};
}
// a b, exactly, for float64 below 2^996.
template <class D, class V>
Pair<V> exact_product(D d, V a, V b) {
  const V high = hn::Mul(a, b);
#if HWY_NATIVE_FMA
  (void)d;
  return {high, hn::MulSub(a, b, high)};
#else
  const V split = hn::Set(d, 0x1p27 + 1);  // Dekker: halves of 26 bits have exact products
  const auto top = [&](V x) {
    const V t = hn::Mul(x, split);
    return hn::Sub(t, hn::Sub(t, x));
  };
  const V a1 = top(a), b1 = top(b), a2 = hn::Sub(a, a1), b2 = hn::Sub(b, b1);
  const V rest = hn::Add(hn::Add(hn::Sub(hn::Mul(a1, b1), high), hn::Mul(a1, b2)), hn::Mul(a2, b1));
  return {high, hn::Add(rest, hn::Mul(a2, b2))};
#endif
}
// a / b; `high` is the quotient rounded.
template <class D, class V>
Pair<V> quotient(D d, Pair<V> a, Pair<V> b) {
  const V q = hn::Div(a.high, b.high);
  const auto p = exact_product(d, q, b.high);
  const V rest = hn::Add(hn::Sub(hn::Sub(a.high, p.high), p.low), hn::NegMulAdd(q, b.low, a.low));
  return {q, hn::Div(rest, b.high)};
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
