// float32 functions of whom float64 vectors give the right bits but for one in many thousands: the
// error of their polynomials, about 2^-35, shows only beside a tie. Included once per instruction
// set.
#if defined(TEGULA_WIDE_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_WIDE_FLOAT_INL_H_
#undef TEGULA_WIDE_FLOAT_INL_H_
#else
#define TEGULA_WIDE_FLOAT_INL_H_
#endif

#include <hwy/highway.h>

#include <limits>

#include "backend/cpu/tile/circle_double-inl.h"
#include "backend/cpu/tile/circle_float-inl.h"
#include "backend/cpu/tile/log_double-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whether the sign bit is set, of -0 and NaN too.
template <class D, class V>
auto is_negative(D d, V x) {
  const hn::RebindToSigned<D> bits;
  return hn::RebindMask(d, hn::Lt(hn::BitCast(bits, x), hn::Zero(bits)));
}

// log2(x): the fits are to 2 atanh(s) / s / log(2).
template <class D, class V>
V wide_log2(D d, V x) {
  const auto [m, e] = split_exponent(d, x);
  const V one = hn::Set(d, 1.0);
  const V s = hn::Div(hn::Sub(m, one), hn::Add(m, one)), z = hn::Mul(s, s);
  const V q = polynomial(d, z, 0x1.21e53de2c2ce7p-2, 0x1.4791e1df48979p-2, 0x1.a61a42ed20d2cp-2,
                         0x1.2776c27bbbbc6p-1, 0x1.ec709dc54f22bp-1, 0x1.71547652b8248p+1);
  return hn::MulAdd(s, q, e);
}
struct WideLog2 {
  template <class D, class V>
  static V apply(D d, V x) {
    return finish_log(d, x, wide_log2(d, x));
  }
};
struct WideLog10 {
  template <class D, class V>
  static V apply(D d, V x) {
    return finish_log(d, x, hn::Mul(wide_log2(d, x), hn::Set(d, 0x1.34413509f79ffp-2)));
  }
};

// 2^x for |x| < 1000 or NaN: the fit is to (2^r - 1) / r.
template <class D, class V>
V wide_exp2(D d, V x) {
  const V shift = hn::Set(d, kWholeShift);
  const V n = hn::Sub(hn::Add(x, shift), shift), r = hn::Sub(x, n);
  const V q = polynomial(d, r, 0x1.63b4ca4794ec6p-20, 0x1.00c2a6c439612p-16, 0x1.4308c5df52f85p-13,
                         0x1.5d877363a0553p-10, 0x1.3b2ab70b30951p-7, 0x1.c6b08da860e2bp-5,
                         0x1.ebfbdff82a637p-3, 0x1.62e42fef9c8dap-1);
  return hn::Mul(hn::MulAdd(r, q, hn::Set(d, 1.0)), power_of_two_double(d, n));
}

// 2^(y log2 |x|), with the sign and the special cases of the C standard.
struct WidePow {
  template <class D, class V>
  static V apply(D d, V x, V y) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1.0), a = hn::Abs(x);
    const V infinity = hn::Set(d, std::numeric_limits<double>::infinity());
    const V nan = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
    const V log = finish_log(d, a, wide_log2(d, a));
    V r = wide_exp2(d, clamp(d, hn::Mul(y, log), -200, 200));
    r = hn::IfThenElse(hn::Eq(a, one), one, r);
    const auto negative = hn::Lt(x, zero);
    const auto signs = is_negative(d, x);
    if (HWY_UNLIKELY(!hn::AllFalse(d, signs))) {
      const V half = hn::Mul(y, hn::Set(d, 0.5));
      const auto whole = hn::Eq(hn::Floor(y), y);
      const auto odd = hn::And(whole, hn::Ne(hn::Floor(half), half));
      r = hn::Xor(r, hn::IfThenElseZero(odd, hn::And(hn::SignBit(d), x)));
      const auto broken = hn::And(hn::And(negative, hn::Lt(a, infinity)), hn::Not(whole));
      r = hn::IfThenElse(broken, nan, r);
    }
    r = hn::IfThenElse(hn::Or(hn::Ne(x, x), hn::Ne(y, y)), nan, r);
    return hn::IfThenElse(hn::Or(hn::Eq(x, one), hn::Eq(y, zero)), one, r);
  }
};

// Of sine and cosine, each a polynomial.
struct WideTan {
  template <class D, class V>
  static V apply(D d, V x) {
    const hn::RebindToSigned<D> di;
    const V a = hn::Abs(x), shift = hn::Set(d, kWholeShift);
    const V shifted = hn::MulAdd(a, hn::Set(d, 0x1.45f306dc9c883p-1), shift);
    const V n = hn::Sub(shifted, shift);
    V r = hn::NegMulAdd(n, hn::Set(d, 0x1.921fb544p+0), a);  // exact, as is the next product
    r = hn::NegMulAdd(n, hn::Set(d, 0x1.0b4611a6p-34), r);
    r = hn::NegMulAdd(n, hn::Set(d, 0x1.3198a2e037073p-69), r);
    auto number = hn::BitCast(di, shifted);
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Lt(a, hn::Set(d, kCircleLimit)))))
      reduce_large(d, a, r, number);
    const V s = hn::Mul(r, r);
    const V sine = polynomial(d, s, 0x1.6da8eb8e30cdfp-19, -0x1.a01365cb7d412p-13,
                              0x1.11110dbdfb290p-7, -0x1.5555555449984p-3);
    const V cosine = polynomial(d, s, -0x1.2516355dc2b23p-22, 0x1.a01598916be10p-16,
                                -0x1.6c16bf340de7ep-10, 0x1.55555554fbfbfp-5, -0.5, 1.0);
    const V y = hn::MulAdd(hn::Mul(r, s), sine, r);
    const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(hn::And(number, hn::Set(di, 1)))));
    const V tangent = hn::Div(hn::IfThenElse(odd, cosine, y), hn::IfThenElse(odd, y, cosine));
    const V sign = hn::IfThenElseZero(odd, hn::SignBit(d));
    return hn::Xor(tangent, hn::Xor(sign, hn::And(hn::SignBit(d), x)));
  }
  // Lanes beyond the limit, one by one.
  template <class D, class V>
  static void reduce_large(D d, V a, V& r, hn::Vec<hn::RebindToSigned<D>>& number) {
    constexpr size_t kLanes = hn::MaxLanes(D());
    const hn::RebindToSigned<D> di;
    alignas(64) double angles[kLanes], distances[kLanes];
    alignas(64) int64_t numbers[kLanes];
    hn::Store(a, d, angles);
    hn::Store(r, d, distances);
    hn::Store(number, di, numbers);
    for (size_t i = 0; i < hn::Lanes(d); ++i) {
      if (angles[i] < kCircleLimit) continue;
      const Quarter quarter = reduce_any(float(angles[i]));
      distances[i] = quarter.distance;
      numbers[i] = quarter.number;
    }
    r = hn::Load(d, distances);
    number = hn::Load(di, numbers);
  }
};

// atan(q) for q in [0, 1]
template <class D, class V>
V wide_atan(D d, V q) {
  const V z = hn::Mul(q, q);
  const V p = polynomial(d, z, 0x1.36ecfc48d188bp-11, -0x1.14abab0185470p-8, 0x1.cd243cc325c05p-7,
                         -0x1.ea18af61c3e87p-6, 0x1.837061ab40426p-5, -0x1.ffb2b9595f5b2p-5,
                         0x1.36bfd2210f14ap-4, -0x1.73a719b0b93d9p-4, 0x1.c70a6be6d4163p-4,
                         -0x1.2491d128f2977p-3, 0x1.9999971f594e7p-3, -0x1.555555543c557p-2);
  return hn::MulAdd(hn::Mul(q, z), p, q);
}
struct WideAtan {
  template <class D, class V>
  static V apply(D d, V x) {
    const V one = hn::Set(d, 1.0), a = hn::Abs(x);
    const auto steep = hn::Gt(a, one);
    const V y = wide_atan(d, hn::Div(hn::IfThenElse(steep, one, a), hn::IfThenElse(steep, a, one)));
    return hn::CopySign(hn::IfThenElse(steep, hn::Sub(hn::Set(d, 0x1.921fb54442d18p+0), y), y), x);
  }
};
struct WideAtan2 {
  template <class D, class V>
  static V apply(D d, V y, V x) {
    const V a = hn::Abs(y), b = hn::Abs(x), zero = hn::Zero(d);
    const V infinity = hn::Set(d, std::numeric_limits<double>::infinity());
    const auto steep = hn::Gt(a, b);
    const V low = hn::IfThenElse(steep, b, a), high = hn::IfThenElse(steep, a, b);
    V q = hn::IfThenElseZero(hn::Ne(low, zero), hn::Div(low, high));  // also 0 / 0
    q = hn::IfThenElse(hn::Eq(low, infinity), hn::Set(d, 1.0), q);
    V r = wide_atan(d, q);
    r = hn::IfThenElse(steep, hn::Sub(hn::Set(d, 0x1.921fb54442d18p+0), r), r);
    const auto left = is_negative(d, x);
    r = hn::IfThenElse(left, hn::Sub(hn::Set(d, 0x1.921fb54442d18p+1), r), r);
    const auto number = hn::And(hn::Eq(x, x), hn::Eq(y, y));
    r = hn::IfThenElse(number, r, hn::Set(d, std::numeric_limits<double>::quiet_NaN()));
    return hn::CopySign(r, y);
  }
};
struct WideHypot {
  template <class D, class V>
  static V apply(D d, V x, V y) {
    const V infinity = hn::Set(d, std::numeric_limits<double>::infinity());
    const V r = hn::Sqrt(hn::Add(hn::Mul(x, x), hn::Mul(y, y)));
    const auto far = hn::Or(hn::Eq(hn::Abs(x), infinity), hn::Eq(hn::Abs(y), infinity));
    return hn::IfThenElse(far, infinity, r);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
