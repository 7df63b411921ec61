// float64 functions made of the exponential, within 2 ulp. Included once per instruction set.
//
// The polynomials of the float64 files are Chebyshev fits in 60 digits, rounded to float64.
#if defined(TEGULA_EXP_DOUBLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_EXP_DOUBLE_INL_H_
#undef TEGULA_EXP_DOUBLE_INL_H_
#else
#define TEGULA_EXP_DOUBLE_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/tile/exp_float-inl.h"
#include "backend/cpu/tile/math_pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A whole number up to 2^51 in the lowest bits of 1.5 2^52 and more.
inline constexpr double kWholeShift = 0x1.8p52;

// exp(x) = (1 + p) 2^n, with n whole and |x - n log 2| <= log(2) / 2.
template <class V>
struct ExpPair {
  V n;
  Pair<V> p;
};
template <class D, class V>
ExpPair<V> reduce_exp_double(D d, V x) {
  const V shift = hn::Set(d, kWholeShift);
  const V n = hn::Sub(hn::MulAdd(x, hn::Set(d, 0x1.71547652b82fep+0), shift), shift);
  const V far = hn::NegMulAdd(n, hn::Set(d, 0x1.62e42fefa3800p-1), x);  // exact
  const V tail = hn::Mul(n, hn::Set(d, 0x1.ef35793c76730p-45));
  const auto r = ordered_sum(far, hn::Neg(tail));
  const V q = polynomial(d, r.high, 0x1.1f73c9e1e5555p-29, 0x1.af4f451d9ec2bp-26,
                         0x1.27e4db04b53c8p-22, 0x1.71de018a0d245p-19, 0x1.a01a01a6f6cefp-16,
                         0x1.a01a01ac1cfa8p-13, 0x1.6c16c16c1629dp-10, 0x1.111111111007ap-7,
                         0x1.5555555555556p-5, 0x1.5555555555557p-3, 0.5);
  return {n, ordered_sum(r.high, hn::MulAdd(hn::Mul(r.high, r.high), q, r.low))};
}

// 2^n for whole n in [-1022, 1023].
template <class D, class V>
V power_of_two_double(D d, V n) {
  const hn::RebindToUnsigned<D> du;
  const V biased = hn::Add(n, hn::Set(d, kWholeShift + 1023));
  return hn::BitCast(d, hn::ShiftLeft<52>(hn::BitCast(du, biased)));
}
// y 2^n, rounded once, for y about 1 and n in [-1077, 1026].
template <class D, class V>
V scale_double(D d, V y, V n) {
  const V shift = hn::Set(d, kWholeShift);
  const V half = hn::Sub(hn::MulAdd(n, hn::Set(d, 0.5), shift), shift);
  return hn::Mul(hn::Mul(y, power_of_two_double(d, half)),
                 power_of_two_double(d, hn::Sub(n, half)));
}

// Below log(2^-1075) exp rounds to 0, which is set, not computed (see exp_float).
inline constexpr double kVanishes = -745.1332191019412;

// exp(x) 2^-less
template <class D, class V>
V exp_double(D d, V x, double less = 0) {
  const auto vanishes = hn::Lt(x, hn::Set(d, kVanishes));
  const auto [n, p] = reduce_exp_double(d, at_most(d, hn::IfThenZeroElse(vanishes, x), 712));
  const V y = scale_double(d, hn::Add(p.high, hn::Set(d, 1.0)), hn::Sub(n, hn::Set(d, less)));
  return hn::IfThenZeroElse(vanishes, y);
}

// 2^x
template <class D, class V>
V exp2_double(D d, V x) {
  const auto vanishes = hn::Lt(x, hn::Set(d, -1075.0));
  const V inside = at_most(d, hn::IfThenZeroElse(vanishes, x), 1025);
  const V shift = hn::Set(d, kWholeShift);
  const V n = hn::Sub(hn::Add(inside, shift), shift);
  const V r = hn::Mul(hn::Sub(inside, n), hn::Set(d, 0x1.62e42fefa39efp-1));
  const V y = scale_double(d, hn::Add(reduce_exp_double(d, r).p.high, hn::Set(d, 1.0)), n);
  return hn::IfThenZeroElse(vanishes, y);
}

// exp(x) - 1 for |x| up to 60, below which it is -1 to the last bit.
template <class D, class V>
Pair<V> expm1_near(D d, V x) {
  const auto [n, p] = reduce_exp_double(d, clamp(d, x, -60, 60));
  const V power = power_of_two_double(d, n);
  const auto y = ordered_sum(hn::Sub(power, hn::Set(d, 1.0)), hn::Mul(power, p.high));
  return ordered_sum(y.high, hn::MulAdd(power, p.low, y.low));
}
template <class D, class V>
V expm1_double(D d, V x) {
  const auto far = hn::Gt(x, hn::Set(d, 60.0));
  V y = expm1_near(d, x).high;
  if (HWY_UNLIKELY(!hn::AllFalse(d, far))) y = hn::IfThenElse(far, exp_double(d, x), y);
  return hn::CopySign(y, x);
}

// t / (t + c), rounded once
template <class D, class V>
Pair<V> share(D d, Pair<V> t, double c) {
  auto sum = exact_sum(t.high, hn::Set(d, c));
  sum.low = hn::Add(sum.low, t.low);
  return quotient(d, t, sum);
}

// t / (t + 2), where t = expm1(2 |x|)
template <class D, class V>
V tanh_double(D d, V x) {
  const V a = clamp(d, hn::Abs(x), 0, 20);
  const auto y = share(d, expm1_near(d, hn::Add(a, a)), 2);
  return hn::CopySign(hn::Add(y.high, y.low), x);
}

// With e = exp(-|x|): e / (e + 1) for negative x, 1 / (e + 1) for others.
template <class D, class V>
V sigmoid_double(D d, V x) {
  const V one = hn::Set(d, 1.0), zero = hn::Zero(d);
  const V below = hn::Neg(hn::Abs(x));
  const auto vanishes = hn::Lt(below, hn::Set(d, kVanishes));
  const auto [n, p] = reduce_exp_double(d, hn::IfThenZeroElse(vanishes, below));
  const auto y = ordered_sum(one, p.high);
  const V high = scale_double(d, y.high, n), low = scale_double(d, hn::Add(y.low, p.low), n);
  const Pair<V> e = {hn::IfThenZeroElse(vanishes, high), hn::IfThenZeroElse(vanishes, low)};
  auto sum = ordered_sum(one, e.high);
  sum.low = hn::Add(sum.low, e.low);
  const auto negative = hn::Lt(x, zero);
  const auto q = quotient(
      d, Pair<V>{hn::IfThenElse(negative, e.high, one), hn::IfThenElseZero(negative, e.low)}, sum);
  return hn::Add(q.high, q.low);
}

// (t + t / (t + 1)) / 2, where t = expm1(|x|)
template <class D, class V>
V sinh_double(D d, V x) {
  const V a = hn::Abs(x);
  const auto far = hn::Gt(a, hn::Set(d, 22.0));
  const auto t = expm1_near(d, a), q = share(d, t, 1);
  const auto sum = ordered_sum(t.high, q.high);
  const V low = hn::Add(sum.low, hn::Add(t.low, q.low));
  V y = hn::Mul(hn::Add(sum.high, low), hn::Set(d, 0.5));
  if (HWY_UNLIKELY(!hn::AllFalse(d, far))) y = hn::IfThenElse(far, exp_double(d, a, 1), y);
  return hn::CopySign(y, x);
}
template <class D, class V>
V cosh_double(D d, V x) {
  const V half = exp_double(d, hn::Abs(x), 1);
  return hn::Add(half, hn::Div(hn::Set(d, 0.25), half));
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
