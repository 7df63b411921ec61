// Sine and cosine of float32, for arguments of any size. Included once per instruction set.
#if defined(TEGULA_CIRCLE_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_CIRCLE_FLOAT_INL_H_
#undef TEGULA_CIRCLE_FLOAT_INL_H_
#else
#define TEGULA_CIRCLE_FLOAT_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <limits>

#include "backend/cpu/tile/exp_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The distance of an angle from a multiple of pi / 2, and the multiple modulo 4.
struct Quarter {
  double distance;
  int32_t number;
};

// Of any positive angle, by Payne and Hanek: a = m 2^shift with a whole m of 24 bits, so the bits
// of 2 / pi that give multiples of 4 need not be multiplied, and 96 behind them are enough.
inline Quarter reduce_any(float a) {
  constexpr uint64_t kTwoOverPi[] = {0,  // from the bit worth 2^63 on
                                     0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041,
                                     0xfe5163abdebbc561};
  if (!(a <= std::numeric_limits<float>::max()))
    return {std::numeric_limits<double>::quiet_NaN(), 0};
  if (a < 0.5f) return {a, 0};
  uint32_t bits;
  std::memcpy(&bits, &a, sizeof(bits));
  const uint64_t m = (bits & 0x7fffff) | 0x800000;
  const int first = int(bits >> 23) - 150 + 62, word = first / 64, bit = first % 64;
  const auto window = [&](int w) {
    return bit == 0 ? kTwoOverPi[w] : kTwoOverPi[w] << bit | kTwoOverPi[w + 1] >> (64 - bit);
  };
  // The angle in quarters of the circle modulo 4, 62 bits of it behind the point.
  const uint64_t quarters = window(word) * m + ((window(word + 1) >> 32) * m >> 32);
  const uint64_t number = (quarters + (uint64_t(1) << 61)) >> 62;
  const double rest = double(int64_t(quarters - (number << 62)));
  return {rest * (0x1.921fb54442d18p+0 * 0x1p-62), int32_t(number)};
}

// `number` counts in the lowest bits of a float beyond 2^22.
template <class D>
struct Quarters {
  hn::Vec<D> distance;
  hn::Vec<hn::RebindToSigned<D>> number;
};
template <class D, class V>
Quarters<D> reduce_angle(D d, V a) {
  const hn::RebindToSigned<D> di;
  const V shift = hn::Set(d, 0x1.8p23f);
  const V shifted = hn::MulAdd(a, hn::Set(d, 0x1.45f306p-1f), shift);
  const V n = hn::Sub(shifted, shift);
  // pi / 2 in three parts. The first difference is exact: both numbers are multiples of 2^-23.
  V r = hn::NegMulAdd(n, hn::Set(d, 0x1.921fb6p+0f), a);
  r = hn::NegMulAdd(n, hn::Set(d, -0x1.777a5cp-25f), r);
  r = hn::NegMulAdd(n, hn::Set(d, -0x1.ee59dap-50f), r);
  auto number = hn::BitCast(di, shifted);
#if HWY_NATIVE_FMA
  constexpr float kLimit = 0x1p17f;
#else
  constexpr float kLimit = 0.5f;  // the products above are not exact
#endif
  if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Lt(a, hn::Set(d, kLimit))))) {
    constexpr size_t kLanes = hn::MaxLanes(D());
    alignas(64) float angles[kLanes], distances[kLanes];
    alignas(64) int32_t numbers[kLanes];
    hn::Store(a, d, angles);
    hn::Store(r, d, distances);
    hn::Store(number, di, numbers);
    for (size_t i = 0; i < hn::Lanes(d); ++i) {
      if (angles[i] < kLimit) continue;
      const Quarter quarter = reduce_any(angles[i]);
      distances[i] = float(quarter.distance);
      numbers[i] = quarter.number;
    }
    r = hn::Load(d, distances);
    number = hn::Load(di, numbers);
  }
  return {r, number};
}

// The sine of distance + number pi / 2, but for the sign of an odd half turn.
template <class D, class V>
V quarter_sine(D d, V r, hn::Vec<hn::RebindToSigned<D>> number) {
  const hn::RebindToSigned<D> di;
  const V s = hn::Mul(r, r);
  const V p = polynomial(d, s, -0x1.994222p-13, 0x1.110736p-7, -0x1.555546p-3);
  const V sine = hn::MulAdd(hn::Mul(r, s), p, r);
  const V q = polynomial(d, s, 0x1.99ea02p-16, -0x1.6c0c2ep-10, 0x1.55554ap-5);
  const V cosine =
      hn::MulAdd(hn::Mul(s, s), q, hn::NegMulAdd(s, hn::Set(d, 0.5f), hn::Set(d, 1.0f)));
  const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(hn::And(number, hn::Set(di, 1)))));
  return hn::IfThenElse(odd, cosine, sine);
}
// The sign bit where `number` is 2 or 3 modulo 4.
template <class D>
hn::Vec<D> half_turn_sign(D d, hn::Vec<hn::RebindToSigned<D>> number) {
  return hn::And(hn::SignBit(d), hn::BitCast(d, hn::ShiftLeft<30>(number)));
}

template <class D, class V>
V sin_float(D d, V x) {
  const auto [r, number] = reduce_angle(d, hn::Abs(x));
  const V sign = hn::Xor(half_turn_sign(d, number), hn::And(hn::SignBit(d), x));
  return hn::Xor(quarter_sine(d, r, number), sign);
}
template <class D, class V>
V cos_float(D d, V x) {
  const auto quarters = reduce_angle(d, hn::Abs(x));
  const auto number = hn::Add(quarters.number, hn::Set(hn::RebindToSigned<D>(), 1));
  return hn::Xor(quarter_sine(d, quarters.distance, number), half_turn_sign(d, number));
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
