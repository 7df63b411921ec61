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

// The atan of |x| is that of q = |x|, or of -1 / |x| with pi / 2 added, or between tan(pi / 8) and
// its reciprocal of (|x| - 1) / (|x| + 1) with pi / 4: the fit is to (atan(q) / q - 1) / q^2.
template <class D, class V>
V atan_double(D d, V x) {
  const V one = hn::Set(d, 1.0), quarter = hn::Set(d, 0x1.921fb54442d18p-1);
  const V a = clamp(d, hn::Abs(x), 0, 0x1p60);  // beyond, pi / 2 is nearest
  const auto some = hn::Gt(a, hn::Set(d, 0.4142135623730951));
  const auto steep = hn::Gt(a, hn::Set(d, 2.414213562373095));
  const auto less = exact_sum(a, hn::Neg(one)), more = exact_sum(a, one);
  const V top = hn::IfThenElse(steep, hn::Neg(one), hn::IfThenElse(some, less.high, a));
  const V bottom = hn::IfThenElse(steep, a, hn::IfThenElse(some, more.high, one));
  const auto between = hn::AndNot(steep, some);
  const auto q = quotient(d, Pair<V>{top, hn::IfThenElseZero(between, less.low)},
                          Pair<V>{bottom, hn::IfThenElseZero(between, more.low)});
  const V z = hn::Mul(q.high, q.high);
  const V p = polynomial(d, z, 0x1.09796dc30ed31p-6, -0x1.1a9728438ef4cp-5, 0x1.74a0c491b3d5dp-5,
                         -0x1.ac6d26767bcdfp-5, 0x1.e1983fa6f4a1dp-5, -0x1.110e73a004ca0p-4,
                         0x1.3b1391b609670p-4, -0x1.745d1653d3f69p-4, 0x1.c71c71c2d0779p-4,
                         -0x1.249249248d3a1p-3, 0x1.999999999994fp-3, -0x1.5555555555555p-2);
  const V base =
      hn::IfThenElse(steep, hn::Add(quarter, quarter), hn::IfThenElseZero(some, quarter));
  const auto sum = ordered_sum(base, q.high);
  const V rest = hn::MulAdd(base, hn::Set(d, 0x1.1a62633145c07p-54 / 0x1.921fb54442d18p+0), q.low);
  const V low = hn::Add(sum.low, hn::MulAdd(hn::Mul(q.high, z), p, rest));
  return hn::CopySign(hn::Add(sum.high, low), x);
}

// With s = a up to 1/2, beyond it s = sqrt((1 - a) / 2) and asin(a) = pi / 2 - 2 asin(s): the fit
// is to (asin(s) / s - 1) / s^2.
template <class D, class V>
V asin_double(D d, V x) {
  const V one = hn::Set(d, 1.0), half = hn::Set(d, 0.5), a = hn::Abs(x);
  const auto steep = hn::Gt(a, half);
  const V z = hn::IfThenElse(steep, hn::Mul(hn::Sub(one, a), half), hn::Mul(a, a));
  const V root = hn::Sqrt(z), s = hn::IfThenElse(steep, root, a);
  const V q = polynomial(d, z, 0x1.e58a4f278e007p-6, -0x1.3bd7e353ddbc2p-6, 0x1.40c91fa8deb7ep-6,
                         0x1.8dcdf11997e0fp-9, 0x1.31777489dfd29p-7, 0x1.3b462d121c5d2p-7,
                         0x1.7b02ef007d23ep-7, 0x1.c990a42b32b03p-7, 0x1.1c4efd20ebb99p-6,
                         0x1.6e8ba121b9d5fp-6, 0x1.f1c71c7a5e151p-6, 0x1.6db6db6dac0eap-5,
                         0x1.3333333333389p-4, 0x1.5555555555555p-3);
  const V rest = hn::Mul(hn::Mul(s, z), q);
  const auto square = exact_product(d, root, root);
  const V lost = hn::Div(hn::Sub(hn::Sub(z, square.high), square.low), hn::Add(root, root));
  const V low = hn::Add(rest, hn::IfThenElseZero(hn::Lt(a, one), lost));
  const auto far = ordered_sum(hn::Set(d, 0x1.921fb54442d18p+0), hn::Neg(hn::Add(s, s)));
  const V far_low = hn::Sub(hn::Add(far.low, hn::Set(d, 0x1.1a62633145c07p-54)), hn::Add(low, low));
  const V y = hn::IfThenElse(steep, hn::Add(far.high, far_low), hn::Add(a, rest));
  return hn::CopySign(y, x);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
