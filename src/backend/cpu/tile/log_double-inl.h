// float64 functions made of the logarithm, within 2 ulp. Included once per instruction set.
#if defined(TEGULA_LOG_DOUBLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_LOG_DOUBLE_INL_H_
#undef TEGULA_LOG_DOUBLE_INL_H_
#else
#define TEGULA_LOG_DOUBLE_INL_H_
#endif

#include <hwy/highway.h>

#include <limits>

#include "backend/cpu/tile/exp_double-inl.h"
#include "backend/cpu/tile/math_pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// m 2^e, with m in [sqrt(1/2), sqrt(2)).
template <class V>
struct Exponent {
  V m, e;
};
// Of a positive finite x.
template <class D, class V>
Exponent<V> split_exponent(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const auto tiny = hn::Lt(x, hn::Set(d, 0x1p-1022));
  const auto bits = hn::BitCast(du, hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 0x1p54)), x));
  // The exponent counts from sqrt(1/2) on; biased, it is positive.
  const auto shifted = hn::Add(bits, hn::Set(du, 0x3ff0000000000000ull - 0x3fe6a09e00000000ull));
  const auto biased = hn::ShiftRight<52>(shifted);
  const auto power = hn::ShiftLeft<52>(hn::Sub(biased, hn::Set(du, 0x3ffull)));
  const V shift = hn::Set(d, 0x1p52);  // whole numbers below it are its lowest bits
  const V e = hn::Sub(hn::BitCast(d, hn::Or(biased, hn::BitCast(du, shift))), shift);
  const V bias = hn::IfThenElse(tiny, hn::Set(d, 1023.0 + 54), hn::Set(d, 1023.0));
  return {hn::BitCast(d, hn::Sub(bits, power)), hn::Sub(e, bias)};
}

// -(log(m) - f) for f = m - 1, less `tail`: with s = f / (2 + f), log(1 + f) is 2 atanh(s), and
// that is f - f^2 / 2 + s (f^2 / 2 + 2 atanh(s) / s - 2).
template <class D, class V>
V log_correction(D d, V f, V tail) {
  const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2.0))), z = hn::Mul(s, s);
  const V half = hn::Mul(hn::Mul(f, f), hn::Set(d, 0.5));
  const V q = polynomial(d, z, 0x1.0c4d8297b1431p-3, 0x1.0fb77bcdefa76p-3, 0x1.3b1c79943fca2p-3,
                         0x1.745cf7c1d5dafp-3, 0x1.c71c7204621fep-3, 0x1.249249247513dp-2,
                         0x1.9999999999a43p-2, 0x1.5555555555555p-1);
  return hn::Sub(half, hn::MulAdd(s, hn::MulAdd(z, q, half), tail));
}

// Completes a logarithm that is right for positive finite x.
template <class D, class V>
V finish_log(D d, V x, V y) {
  using Limits = std::numeric_limits<double>;
  const V zero = hn::Zero(d), infinity = hn::Set(d, Limits::infinity());
  const V edge =
      hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), hn::Set(d, Limits::quiet_NaN()));
  y = hn::IfThenElse(hn::Gt(x, zero), y, edge);
  return hn::IfThenElse(hn::Eq(x, infinity), x, y);
}

// log(x) + tail, for a tail small beside it.
template <class D, class V>
V log_with_tail_double(D d, V x, V tail) {
  const auto [m, e] = split_exponent(d, x);
  const V f = hn::Sub(m, hn::Set(d, 1.0));
  const V low = log_correction(d, f, hn::MulAdd(e, hn::Set(d, 0x1.ef35793c76730p-45), tail));
  const V y = hn::Sub(hn::Mul(e, hn::Set(d, 0x1.62e42fefa3800p-1)), hn::Sub(low, f));
  return finish_log(d, x, y);
}
template <class D, class V>
V log_double(D d, V x) {
  return log_with_tail_double(d, x, hn::Zero(d));
}

// log(x) / log(2)
template <class D, class V>
V log2_double(D d, V x) {
  const auto [m, e] = split_exponent(d, x);
  const V f = hn::Sub(m, hn::Set(d, 1.0));
  const auto log = ordered_sum(f, hn::Neg(log_correction(d, f, hn::Zero(d))));
  const V scale = hn::Set(d, 0x1.71547652b82fep+0);
  const auto p = exact_product(d, log.high, scale);
  const V rest =
      hn::MulAdd(log.high, hn::Set(d, 0x1.777d0ffda0d24p-56), hn::MulAdd(log.low, scale, p.low));
  const auto sum = ordered_sum(e, p.high);
  return finish_log(d, x, hn::Add(sum.high, hn::Add(sum.low, rest)));
}
// log(x) / log(10)
template <class D, class V>
V log10_double(D d, V x) {
  const auto [m, e] = split_exponent(d, x);
  const V f = hn::Sub(m, hn::Set(d, 1.0));
  const auto log = ordered_sum(f, hn::Neg(log_correction(d, f, hn::Zero(d))));
  const V scale = hn::Set(d, 0x1.bcb7b1526e50ep-2);
  const auto p = exact_product(d, log.high, scale);
  const V rest =
      hn::MulAdd(log.high, hn::Set(d, 0x1.95355baaafad3p-57), hn::MulAdd(log.low, scale, p.low));
  const auto sum = ordered_sum(hn::Mul(e, hn::Set(d, 0x1.34413509f7800p-2)), p.high);
  const V low = hn::MulAdd(e, hn::Set(d, 0x1.fef311f12b358p-46), rest);
  return finish_log(d, x, hn::Add(sum.high, hn::Add(sum.low, low)));
}

// log(1 + x), x >= 0 or x.low = 0
template <class D, class V>
V log1p_pair(D d, Pair<V> x) {
  const auto u = exact_sum(hn::Set(d, 1.0), x.high);
  const V tail = hn::Div(hn::Add(u.low, x.low), u.high);
  const auto counts = hn::And(hn::Gt(u.high, hn::Zero(d)), hn::Lt(u.high, hn::Set(d, 0x1p60)));
  return log_with_tail_double(d, u.high, hn::IfThenElseZero(counts, tail));
}
template <class D, class V>
V log1p_double(D d, V x) {
  return hn::CopySign(log1p_pair(d, Pair<V>{x, hn::Zero(d)}), x);
}

// log(2 a) for a beyond 2^54, elsewhere log(1 + near).
template <class D, class V>
V log1p_or_large(D d, V a, Pair<V> near) {
  const auto large = hn::Gt(a, hn::Set(d, 0x1p54));
  const V y = log1p_pair(
      d, Pair<V>{hn::IfThenElse(large, a, near.high), hn::IfThenZeroElse(large, near.low)});
  return hn::Add(y, hn::IfThenElseZero(large, hn::Set(d, 0x1.62e42fefa39efp-1)));
}
// log(1 + a + a^2 / (1 + sqrt(a^2 + 1))), where a = |x|
template <class D, class V>
V asinh_double(D d, V x) {
  const V one = hn::Set(d, 1.0), a = hn::Abs(x), square = hn::Mul(a, a);
  const V root = hn::Sqrt(hn::Add(square, one));
  const auto near = ordered_sum(a, hn::Div(square, hn::Add(root, one)));
  return hn::CopySign(log1p_or_large(d, a, near), x);
}
// log(1 + t + sqrt(t (t + 2))), where t = x - 1
template <class D, class V>
V acosh_double(D d, V x) {
  const V one = hn::Set(d, 1.0), t = hn::Sub(x, one);
  const auto sum = exact_sum(x, one);
  const auto square = exact_product(d, t, sum.high);
  const V root = hn::Sqrt(square.high);
  const auto back = exact_product(d, root, root);
  const V rest = hn::Add(hn::Sub(hn::Sub(square.high, back.high), back.low),
                         hn::MulAdd(t, sum.low, square.low));
  const V low = hn::Div(rest, hn::Add(root, root));
  auto near = exact_sum(root, t);
  near.low = hn::Add(near.low, hn::IfThenElseZero(hn::Gt(t, hn::Zero(d)), low));
  const V y = log1p_or_large(d, x, near);
  const V nan = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
  return hn::IfThenElse(hn::Ge(x, one), y, nan);
}
// log(1 + 2 a / (1 - a)) / 2, where a = |x|
template <class D, class V>
V atanh_double(D d, V x) {
  const V one = hn::Set(d, 1.0), zero = hn::Zero(d), a = hn::Abs(x);
  auto ratio = quotient(d, Pair<V>{hn::Add(a, a), zero}, ordered_sum(one, hn::Neg(a)));
  ratio.low = hn::IfThenElseZero(hn::Lt(a, one), ratio.low);
  const V y = log1p_pair(d, ratio);
  return hn::CopySign(hn::Mul(y, hn::Set(d, 0.5)), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
