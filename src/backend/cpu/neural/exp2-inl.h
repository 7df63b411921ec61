// 2^x for what a softmax takes powers of: differences to the largest score, at most about 0, so
// that nothing overflows. Below -126 (float32) the result is 0; NaN stays NaN. Included once per
// instruction set.
#if defined(TEGULA_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_EXP2_INL_H_
#undef TEGULA_EXP2_INL_H_
#else
#define TEGULA_EXP2_INL_H_
#endif

#include <hwy/highway.h>

#include <numbers>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 2^n 2^r with n a whole number and |r| <= 1/2; the polynomial is that of Cephes' exp2f.
template <class D>
hn::Vec<D> exp2_below_zero(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const auto power = hn::Exp(d, hn::Mul(x, hn::Set(d, std::numbers::ln2)));
    return hn::IfThenElse(hn::IsNaN(x), x, power);
  } else {
    const hn::RebindToSigned<D> bits;
    const auto set = [d](float c) { return hn::Set(d, c); };
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the lowest bits.
    const auto magic = set(12582912.0f);
    const auto shifted = hn::Add(x, magic);
    const auto r = hn::Sub(x, hn::Sub(shifted, magic));
    auto p = hn::MulAdd(set(1.535336188319500e-4f), r, set(1.339887440266574e-3f));
    p = hn::MulAdd(p, r, set(9.618437357674640e-3f));
    p = hn::MulAdd(p, r, set(5.550332471162809e-2f));
    p = hn::MulAdd(p, r, set(2.402264791363012e-1f));
    p = hn::MulAdd(p, r, set(6.931472028550421e-1f));
    p = hn::MulAdd(p, r, set(1.0f));
    const auto power =
        hn::Add(hn::ShiftLeft<23>(hn::BitCast(bits, shifted)), hn::Set(bits, int32_t(0x3f800000)));
    return hn::IfThenZeroElse(hn::Lt(x, set(-126.0f)), hn::Mul(p, hn::BitCast(d, power)));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
