// Trigonometric functions in float64, for arguments of any size, and their inverses. Included once
// per instruction set.
#if defined(TEGULA_CIRCLE_DOUBLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_CIRCLE_DOUBLE_INL_H_
#undef TEGULA_CIRCLE_DOUBLE_INL_H_
#else
#define TEGULA_CIRCLE_DOUBLE_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <limits>

#include "backend/cpu/tile/exp_double-inl.h"
#include "backend/cpu/tile/math_pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr double kCircleLimit = 0x1p20;

// x less the nearest multiple of pi / 2, whose number modulo 4 is in the lowest bits of `number`;
// |x| < kCircleLimit, so that three products with parts of pi / 2 of 33 bits are exact.
template <class D>
struct QuartersDouble {
  Pair<hn::Vec<D>> distance;
  hn::Vec<hn::RebindToUnsigned<D>> number;
};
template <class D, class V>
QuartersDouble<D> reduce_angle_double(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const V shift = hn::Set(d, kWholeShift);
  const V shifted = hn::MulAdd(x, hn::Set(d, 0x1.45f306dc9c883p-1), shift);
  const V n = hn::Neg(hn::Sub(shifted, shift));
  const V near = hn::MulAdd(n, hn::Set(d, 0x1.921fb544p+0), x);
  const auto second = exact_sum(near, hn::Mul(n, hn::Set(d, 0x1.0b4611a6p-34)));
  const auto third = exact_sum(second.high, hn::Mul(n, hn::Set(d, 0x1.3198a2e0p-69)));
  const V rest = hn::MulAdd(n, hn::Set(d, 0x1.b839a252049c1p-104), hn::Add(second.low, third.low));
  return {ordered_sum(third.high, rest), hn::BitCast(du, shifted)};
}

// Sine and cosine of |r| <= pi / 4.
template <class D, class V>
Pair<V> sine_near(D d, Pair<V> r) {
  const V s = hn::Mul(r.high, r.high);
  const V q = polynomial(d, s, 0x1.5dfb39c3139b6p-33, -0x1.ae5fde7f12068p-26, 0x1.71de376b644ccp-19,
                         -0x1.a01a019e620eep-13, 0x1.1111111110b23p-7, -0x1.5555555555555p-3);
  const V low = hn::NegMulAdd(hn::Mul(s, hn::Set(d, 0.5)), r.low, r.low);
  return ordered_sum(r.high, hn::MulAdd(hn::Mul(r.high, s), q, low));
}
template <class D, class V>
Pair<V> cosine_near(D d, Pair<V> r) {
  const V one = hn::Set(d, 1.0);
  const V s = hn::Mul(r.high, r.high), half = hn::Mul(s, hn::Set(d, 0.5));
  const V q =
      polynomial(d, s, -0x1.906dbf4fda044p-37, 0x1.1eeb52a201da3p-29, -0x1.27e4fa0241f7cp-22,
                 0x1.a01a019f3dde1p-16, -0x1.6c16c16c1691fp-10, 0x1.5555555555555p-5);
  const auto w = ordered_sum(one, hn::Neg(half));
  const V low = hn::NegMulAdd(r.high, r.low, w.low);
  return ordered_sum(w.high, hn::MulAdd(hn::Mul(s, s), q, low));
}

// y, but for arguments beyond the limit what the C library says, lane by lane.
template <class D, class V>
V with_library(D d, V x, V y, double (*function)(double)) {
  const V limit = hn::Set(d, kCircleLimit);
  if (HWY_LIKELY(hn::AllTrue(d, hn::Lt(hn::Abs(x), limit)))) return y;
  alignas(64) double in[hn::MaxLanes(D())], out[hn::MaxLanes(D())];
  hn::Store(x, d, in);
  hn::Store(y, d, out);
  for (size_t i = 0; i < hn::Lanes(d); ++i)
    if (!(std::abs(in[i]) < kCircleLimit)) out[i] = function(in[i]);
  return hn::Load(d, out);
}

template <class D, class V>
V quarter_sine_double(D d, Pair<V> r, hn::Vec<hn::RebindToUnsigned<D>> number) {
  const hn::RebindToSigned<D> di;
  const hn::RebindToUnsigned<D> du;
  const auto low = hn::BitCast(di, hn::And(number, hn::Set(du, 1)));
  const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(low)));
  const V y = hn::IfThenElse(odd, cosine_near(d, r).high, sine_near(d, r).high);
  const V sign = hn::BitCast(d, hn::ShiftLeft<62>(hn::And(number, hn::Set(du, 2))));
  return hn::Xor(y, sign);
}
template <class D, class V>
V sin_double(D d, V x) {
  const auto [r, number] = reduce_angle_double(d, hn::Abs(x));
  const V y = quarter_sine_double(d, r, number);
  return with_library(d, x, hn::Xor(y, hn::And(hn::SignBit(d), x)), std::sin);
}
template <class D, class V>
V cos_double(D d, V x) {
  const auto [r, number] = reduce_angle_double(d, hn::Abs(x));
  const auto next = hn::Add(number, hn::Set(hn::RebindToUnsigned<D>(), 1));
  return with_library(d, x, quarter_sine_double(d, r, next), std::cos);
}
template <class D, class V>
V tan_double(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto [r, number] = reduce_angle_double(d, hn::Abs(x));
  const auto low = hn::And(hn::BitCast(di, number), hn::Set(di, 1));
  const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(low)));
  const auto s = sine_near(d, r), c = cosine_near(d, r);
  const auto q =
      quotient(d, Pair<V>{hn::IfThenElse(odd, c.high, s.high), hn::IfThenElse(odd, c.low, s.low)},
               Pair<V>{hn::IfThenElse(odd, s.high, c.high), hn::IfThenElse(odd, s.low, c.low)});
  const V y = hn::Add(q.high, q.low);
  const V sign = hn::Xor(hn::IfThenElseZero(odd, hn::SignBit(d)), hn::And(hn::SignBit(d), x));
  return with_library(d, x, hn::Xor(y, sign), std::tan);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
