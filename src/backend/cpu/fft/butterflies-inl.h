// Transforms of a few numbers in registers. Included once per instruction set.
#if defined(TEGULA_FFT_BUTTERFLIES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_BUTTERFLIES_INL_H_
#undef TEGULA_FFT_BUTTERFLIES_INL_H_
#else
#define TEGULA_FFT_BUTTERFLIES_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Part of a row: 64 bytes, or a vector where that is shorter.
template <class T>
using Tag = hn::CappedTag<T, 64 / sizeof(T)>;
template <class T>
using Vector = hn::Vec<Tag<T>>;
template <class T>
inline constexpr int64_t kVector = int64_t(hn::MaxLanes(Tag<T>()));

template <class T>
struct Complex {
  // Written out: the compiler's own would not be compiled for the target at hand.
  HWY_INLINE Complex() {}
  HWY_INLINE Complex(Vector<T> real, Vector<T> imaginary) : re(real), im(imaginary) {}

  Vector<T> re, im;
};

template <class T>
HWY_INLINE Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)};
}
template <class T>
HWY_INLINE Complex<T> operator-(Complex<T> a, Complex<T> b) {
  return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)};
}
template <class T>
HWY_INLINE Complex<T> operator*(Complex<T> a, Complex<T> b) {
  return {hn::NegMulAdd(a.im, b.im, hn::Mul(a.re, b.re)),
          hn::MulAdd(a.im, b.re, hn::Mul(a.re, b.im))};
}
// a - i b and a + i b.
template <class T>
HWY_INLINE Complex<T> minus_i(Complex<T> a, Complex<T> b) {
  return {hn::Add(a.re, b.im), hn::Sub(a.im, b.re)};
}
template <class T>
HWY_INLINE Complex<T> plus_i(Complex<T> a, Complex<T> b) {
  return {hn::Sub(a.re, b.im), hn::Add(a.im, b.re)};
}

template <class T>
HWY_INLINE void four(Complex<T>& a, Complex<T>& b, Complex<T>& c, Complex<T>& d) {
  const Complex<T> s = a + c, t = a - c, u = b + d, v = b - d;
  a = s + u;
  b = minus_i(t, v);
  c = s - u;
  d = plus_i(t, v);
}

// cos and sin of 2 pi k / P for k <= P / 2.
template <int P>
struct Roots;
template <>
struct Roots<3> {
  static constexpr double cos[] = {1, -0.5};
  static constexpr double sin[] = {0, 0.866025403784438646763723170752936183};
};
template <>
struct Roots<5> {
  static constexpr double cos[] = {1, 0.309016994374947424102293417182819059,
                                   -0.809016994374947424102293417182819059};
  static constexpr double sin[] = {0, 0.951056516295153572116439333379382143,
                                   0.587785252292473129168705954639072769};
};
template <>
struct Roots<7> {
  static constexpr double cos[] = {1, 0.623489801858733530525004884004239811,
                                   -0.222520933956314404288902564496794760,
                                   -0.900968867902419126236102319507445051};
  static constexpr double sin[] = {0, 0.781831482468029808708444526674057750,
                                   0.974927912181823607018131682993931217,
                                   0.433883739117558120475768332848358754};
};
template <>
struct Roots<11> {
  static constexpr double cos[] = {1,
                                   0.841253532831181168861811648919367717,
                                   0.415415013001886425529274149229623203,
                                   -0.142314838273285140443792668616369669,
                                   -0.654860733945285064056925072466293553,
                                   -0.959492973614497389890368057066327699};
  static constexpr double sin[] = {0,
                                   0.540640817455597582107635954318691696,
                                   0.909631995354518371411715383079028460,
                                   0.989821441880932732376092037776718787,
                                   0.755749574354258283774035843972344420,
                                   0.281732556841429697711417915346616899};
};

// An odd prime: x_k + x_(P - k) meets cosines, x_k - x_(P - k) sines.
template <int P, class T>
HWY_INLINE void odd_prime(Complex<T>* x) {
  constexpr int kHalf = P / 2;
  const Tag<T> d;
  Complex<T> sums[kHalf + 1], differences[kHalf + 1];
  Complex<T> total = x[0];
#pragma GCC unroll 16
  for (int k = 1; k <= kHalf; ++k) {
    sums[k] = x[k] + x[P - k];
    differences[k] = x[k] - x[P - k];
    total = total + sums[k];
  }
  const Complex<T> zeroth = x[0];
  x[0] = total;
#pragma GCC unroll 16
  for (int j = 1; j <= kHalf; ++j) {
    Complex<T> even = zeroth, odd{};
#pragma GCC unroll 16
    for (int k = 1; k <= kHalf; ++k) {
      const int turn = j * k % P;
      const int index = turn <= kHalf ? turn : P - turn;
      const auto c = hn::Set(d, T(Roots<P>::cos[index]));
      const auto s = hn::Set(d, T(turn <= kHalf ? Roots<P>::sin[index] : -Roots<P>::sin[index]));
      even = {hn::MulAdd(c, sums[k].re, even.re), hn::MulAdd(c, sums[k].im, even.im)};
      if (k == 1) odd = {hn::Mul(s, differences[k].re), hn::Mul(s, differences[k].im)};
      else
        odd = {hn::MulAdd(s, differences[k].re, odd.re), hn::MulAdd(s, differences[k].im, odd.im)};
    }
    x[j] = minus_i(even, odd);
    x[P - j] = plus_i(even, odd);
  }
}

template <int R, class T>
HWY_INLINE void butterfly(Complex<T>* x) {
  if constexpr (R == 1) {
    // itself
  } else if constexpr (R == 2) {
    const Complex<T> a = x[0];
    x[0] = a + x[1];
    x[1] = a - x[1];
  } else if constexpr (R == 4) {
    four(x[0], x[1], x[2], x[3]);
  } else if constexpr (R == 8) {
    const auto half = hn::Set(Tag<T>(), T(0.707106781186547524400844362104849039));
    four(x[0], x[2], x[4], x[6]);
    four(x[1], x[3], x[5], x[7]);
    const Complex<T> a = x[3], b = x[7];
    const Complex<T> p{hn::Mul(hn::Add(a.re, a.im), half), hn::Mul(hn::Sub(a.im, a.re), half)};
    const Complex<T> q{hn::Mul(hn::Sub(b.im, b.re), half), hn::Mul(hn::Add(b.re, b.im), half)};
    const Complex<T> e0 = x[0], e1 = x[2], e2 = x[4], e3 = x[6], o0 = x[1], o2 = x[5];
    x[0] = e0 + o0;
    x[4] = e0 - o0;
    x[1] = e1 + p;
    x[5] = e1 - p;
    x[2] = minus_i(e2, o2);
    x[6] = plus_i(e2, o2);
    x[3] = {hn::Add(e3.re, q.re), hn::Sub(e3.im, q.im)};
    x[7] = {hn::Sub(e3.re, q.re), hn::Add(e3.im, q.im)};
  } else {
    odd_prime<R>(x);
  }
}

// Any odd prime, with its roots from memory; y has `radix` numbers, as x.
template <class T>
HWY_INLINE void any_prime(int64_t radix, const T* roots, Complex<T>* x, Complex<T>* y) {
  const Tag<T> d;
  const int64_t half = radix / 2;
  Complex<T> total = x[0];
  for (int64_t k = 1; k <= half; ++k) {
    const Complex<T> a = x[k], b = x[radix - k];
    x[k] = a + b;
    x[radix - k] = a - b;
    total = total + x[k];
  }
  y[0] = total;
  for (int64_t j = 1; j <= half; ++j) {
    Complex<T> even = x[0], odd{hn::Zero(d), hn::Zero(d)};
    for (int64_t k = 1, turn = j; k <= half; ++k) {
      const auto c = hn::Set(d, roots[2 * turn]), s = hn::Set(d, -roots[2 * turn + 1]);
      even = {hn::MulAdd(c, x[k].re, even.re), hn::MulAdd(c, x[k].im, even.im)};
      odd = {hn::MulAdd(s, x[radix - k].re, odd.re), hn::MulAdd(s, x[radix - k].im, odd.im)};
      turn += j;
      if (turn >= radix) turn -= radix;
    }
    y[j] = minus_i(even, odd);
    y[radix - j] = plus_i(even, odd);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
