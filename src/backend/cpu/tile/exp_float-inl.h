// float32 functions made of the exponential. Included once per instruction set.
//
// The polynomials of these files are least-maximum fits by Remez exchange in 40 digits, weighted so
// that the function's relative error is what is levelled, and rounded to float32. Each is within
// 2^-27 of its function. Without fused multiply and add the reductions still hold: the leading
// part of every constant is short enough for exact products.
#if defined(TEGULA_EXP_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_EXP_FLOAT_INL_H_
#undef TEGULA_EXP_FLOAT_INL_H_
#else
#define TEGULA_EXP_FLOAT_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The polynomial with these coefficients, the highest first.
template <class D, class V, class... Rest>
V polynomial(D d, V x, double highest, Rest... rest) {
  using T = hn::TFromD<D>;
  V y = hn::Set(d, T(highest));
  ((y = hn::MulAdd(y, x, hn::Set(d, T(rest)))), ...);
  return y;
}

// x within [low, high]; a NaN stays.
template <class D, class V>
V clamp(D d, V x, double low, double high) {
  using T = hn::TFromD<D>;
  const V bottom = hn::Set(d, T(low)), top = hn::Set(d, T(high));
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3
  return hn::Max(bottom, hn::Min(top, x));  // these give the second operand where one is a NaN
#else
  return hn::IfThenElse(hn::Eq(x, x), hn::Max(bottom, hn::Min(top, x)), x);
#endif
}

// x, or `high` where it is larger; a NaN stays.
template <class D, class V>
V at_most(D d, V x, double high) {
  const V top = hn::Set(d, hn::TFromD<D>(high));
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3
  return hn::Min(top, x);
#else
  return hn::IfThenElse(hn::Eq(x, x), hn::Min(top, x), x);
#endif
}

// The whole number nearest to x, up to 2^22.
template <class D, class V>
V nearest(D d, V x) {
  const V shift = hn::Set(d, 0x1.8p23f);
  return hn::Sub(hn::Add(x, shift), shift);
}

// exp(x) = (1 + p) 2^n, with n whole and |x - n log 2| <= log(2) / 2.
template <class V>
struct PowerOfTwo {
  V n, p;
};
template <class D, class V>
PowerOfTwo<V> reduce_exp(D d, V x) {
  const V shift = hn::Set(d, 0x1.8p23f);
  const V n = hn::Sub(hn::MulAdd(x, hn::Set(d, 0x1.715476p+0f), shift), shift);
  V r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), r);
  const V q =
      polynomial(d, r, 0x1.6a2358p-10, 0x1.123a6cp-7, 0x1.5558f4p-5, 0x1.555490p-3, 0x1.fffffcp-2);
  return {n, hn::MulAdd(hn::Mul(r, r), q, r)};
}

#if HWY_TARGET == HWY_AVX3
template <class V>
inline constexpr bool kHasScale = sizeof(V) == 64;
template <class V>
V native_scale(V y, V n) {
  return V{_mm512_scalef_ps(y.raw, n.raw)};
}
#else
template <class V>
inline constexpr bool kHasScale = false;
#endif

template <class D, class V>
V power_of_two(D d, hn::Vec<hn::RebindToSigned<D>> n, V) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127))));
}
// y 2^n, rounded once, for y about 1 and n in [-152, 129].
template <class D, class V>
V scale(D d, V y, V n) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kHasScale<V>) return native_scale(y, n);
#endif
  const auto whole = hn::ConvertTo(hn::RebindToSigned<D>(), n);
  const auto half = hn::ShiftRight<1>(whole);
  return hn::Mul(hn::Mul(y, power_of_two(d, half, y)), power_of_two(d, hn::Sub(whole, half), y));
}
// The same for results that are normal numbers.
template <class D, class V>
V scale_normal(D d, V y, V n) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kHasScale<V>) return native_scale(y, n);
#endif
  return hn::Mul(y, power_of_two(d, hn::ConvertTo(hn::RebindToSigned<D>(), n), y));
}

// Below log(2^-150) the result rounds to 0. It is set, not computed: results that underflow take
// some processors ten times as long, and masked scores are full of them.
template <class D, class V>
V exp_float(D d, V x) {
  const auto vanishes = hn::Lt(x, hn::Set(d, -103.972084f));
  const auto [n, p] = reduce_exp(d, at_most(d, hn::IfThenZeroElse(vanishes, x), 89));
  return hn::IfThenZeroElse(vanishes, scale(d, hn::Add(p, hn::Set(d, 1.0f)), n));
}

// 2^x: the fit is to (2^r - 1) / r.
template <class D, class V>
V exp2_float(D d, V x) {
  const auto vanishes = hn::Lt(x, hn::Set(d, -150.0f));
  const V inside = at_most(d, hn::IfThenZeroElse(vanishes, x), 129);
  const V n = nearest(d, inside), r = hn::Sub(inside, n);
  const V q = polynomial(d, r, 0x1.00a70ap-16, 0x1.44427ep-13, 0x1.5d879ep-10, 0x1.3b2a18p-7,
                         0x1.c6b08ep-5, 0x1.ebfbe0p-3, 0x1.62e430p-1);
  return hn::IfThenZeroElse(vanishes, scale(d, hn::MulAdd(r, q, hn::Set(d, 1.0f)), n));
}

// 2^n (1 + p) - 1, apart where 2^n overflows or hides the 1.
template <class D, class V>
V expm1_float(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const auto [n, p] = reduce_exp(d, clamp(d, x, -50, 89));
  const V power = scale(d, one, n);
  const V near = hn::MulAdd(power, p, hn::Sub(power, one));
  const V far = scale(d, hn::Add(p, one), n);
  return hn::CopySign(hn::IfThenElse(hn::Gt(x, hn::Set(d, 60.0f)), far, near), x);
}

// An odd polynomial near 0, beyond it 1 - 2 / (exp(2 |x|) + 1).
template <class D, class V>
V tanh_float(D d, V x) {
  const V one = hn::Set(d, 1.0f), a = hn::Abs(x);
  const auto [n, p] = reduce_exp(d, clamp(d, hn::Add(a, a), 0, 20));
  const V power = scale_normal(d, hn::Add(p, one), n);
  const V far = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(power, one)));
  const V s = hn::Mul(a, a);
  const V q = polynomial(d, s, -0x1.830c00p-8, 0x1.54e01cp-6, -0x1.b89edap-5, 0x1.1109dcp-3,
                         -0x1.55553ep-2);
  const V near = hn::MulAdd(hn::Mul(a, s), q, a);
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.6f)), near, far), x);
}

// With e = exp(-|x|) and z = e / (1 + e): e - e z for negative x, 1 - z for others.
template <class D, class V>
V sigmoid_float(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V e = exp_float(d, hn::Neg(hn::Abs(x)));
  const V z = hn::Div(e, hn::Add(e, one));
  const auto negative = hn::Lt(x, hn::Zero(d));
  return hn::NegMulAdd(hn::IfThenElse(negative, e, one), z, hn::IfThenElse(negative, e, one));
}

// A polynomial in x^2 near 0, beyond it 1 - exp(-t (1 + g(t))): fits to erf(x) / x - 1 and
// -log(erfc(t)) / t - 1.
template <class D, class V>
V erf_float(D d, V x) {
  const V one = hn::Set(d, 1.0f), a = hn::Abs(x), s = hn::Mul(x, x);
  const V near = polynomial(d, s, 8.370131399715319e-05, -0.0008142712758854032,
                            0.005201033316552639, -0.026859398931264877, 0.11283695697784424,
                            -0.37612634897232056, 0.12837916612625122);
  const V t = clamp(d, a, 0, 4);
  const V g = polynomial(d, t, 4.905368768959306e-06, -4.518016430665739e-05,
                         -5.163519745110534e-05, 0.002935833530500531, -0.02268335595726967,
                         0.10527147352695465, 0.6356207132339478, 0.12855273485183716);
  const auto [n, p] = reduce_exp(d, hn::Neg(hn::MulAdd(g, t, t)));
  const V far = hn::Sub(one, scale_normal(d, hn::Add(p, one), n));
  const auto small = hn::Lt(a, hn::Set(d, 0.921875f));
  return hn::CopySign(hn::IfThenElse(small, hn::MulAdd(near, a, a), far), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
