// The natural logarithm of float32, of x and of 1 + x. Included once per instruction set.
#if defined(TEGULA_LOG_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_LOG_FLOAT_INL_H_
#undef TEGULA_LOG_FLOAT_INL_H_
#else
#define TEGULA_LOG_FLOAT_INL_H_
#endif

#include <hwy/highway.h>

#include <limits>

#include "backend/cpu/tile/exp_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// log(m 2^e) + tail for m in [3/4, 3/2): the fit is to (log(1 + f) - f + f^2 / 2) / f^3.
template <class D, class V>
V log_of_parts(D d, V m, V e, V tail) {
  const V f = hn::Sub(m, hn::Set(d, 1.0f)), square = hn::Mul(f, f);
  const V q = polynomial(d, f, -0x1.7140dap-5, 0x1.ac90c6p-4, -0x1.0d8a8ap-3, 0x1.28847ap-3,
                         -0x1.54efdcp-3, 0x1.9969b0p-3, -0x1.000040p-2, 0x1.5555a4p-2);
  const V rest = hn::MulAdd(square, hn::MulSub(f, q, hn::Set(d, 0.5f)),
                            hn::MulAdd(e, hn::Set(d, 0x1.7f7d1cp-20f), tail));
  return hn::Add(hn::MulAdd(e, hn::Set(d, 0x1.62e4p-1f), f), rest);
}

// log(x) + tail, for a tail small beside it.
template <class D, class V>
V log_with_tail(D d, V x, V tail) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (sizeof(V) == 64) {
    // NaN below 0, the exponent infinite for 0 and infinity: nothing is left to mend.
    const V m{_mm512_getmant_ps(x.raw, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan)};
    const V e{_mm512_sub_ps(_mm512_getexp_ps(x.raw), _mm512_getexp_ps(m.raw))};
    return log_of_parts(d, m, e, tail);
  }
#endif
  using Limits = std::numeric_limits<float>;
  const hn::RebindToSigned<D> di;
  const V zero = hn::Zero(d), infinity = hn::Set(d, Limits::infinity());
  const auto tiny = hn::Lt(x, hn::Set(d, Limits::min()));
  const auto bits = hn::BitCast(di, hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 0x1p23f)), x));
  const auto three_quarters = hn::Set(di, 0x3f400000);
  const auto power = hn::ShiftRight<23>(hn::Sub(bits, three_quarters));
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(power)));
  const V e = hn::Sub(hn::ConvertTo(d, power), hn::IfThenElseZero(tiny, hn::Set(d, 23.0f)));
  const V y = hn::IfThenElse(hn::Lt(x, infinity), log_of_parts(d, m, e, tail), x);  // NaN stays too
  const V edge =
      hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), hn::Set(d, Limits::quiet_NaN()));
  return hn::IfThenElse(hn::Le(x, zero), edge, y);
}

template <class D, class V>
V log_float(D d, V x) {
  return log_with_tail(d, x, hn::Zero(d));
}

// log(u) + rest / u, where u is 1 + x rounded and rest what rounding lost.
template <class D, class V>
V log1p_float(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V u = hn::Add(x, one);
  const V rest = hn::Sub(hn::Min(x, one), hn::Sub(u, hn::Max(x, one)));
  const auto counts = hn::And(hn::Gt(x, hn::Neg(one)), hn::Lt(x, hn::Set(d, 0x1p30f)));
  const V tail = hn::IfThenElseZero(counts, hn::Div(rest, u));
  return hn::CopySign(log_with_tail(d, u, tail), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
