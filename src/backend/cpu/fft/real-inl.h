// Between the transform of real numbers and that of half as many pairs of them. Included once per
// instruction set.
#if defined(TEGULA_FFT_REAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_REAL_INL_H_
#undef TEGULA_FFT_REAL_INL_H_
#else
#define TEGULA_FFT_REAL_INL_H_
#endif

#include "backend/cpu/fft/butterflies-inl.h"
#include "backend/cpu/fft/passes-inl.h"
#include "backend/cpu/fft/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// From the transform z of the pairs to that of the numbers themselves: rows of z, to x.
template <class T>
void untangle_rows(const T* z, const T* twiddles, int64_t half, T* x) {
  const Tag<T> d;
  const auto point = hn::Set(d, T(0.5));
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const Complex<T> first = load(z, v);
    const auto zero = hn::Zero(d);
    store(Complex<T>{hn::Add(first.re, first.im), zero}, x, v);
    store(Complex<T>{hn::Sub(first.re, first.im), zero}, x + half * kRow<T>, v);
  }
  for (int64_t k = 1; k <= half - k; ++k)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      const Complex<T> p = load(z + k * kRow<T>, v), q = load(z + (half - k) * kRow<T>, v);
      const Complex<T> even{hn::Mul(point, hn::Add(p.re, q.re)),
                            hn::Mul(point, hn::Sub(p.im, q.im))};
      const Complex<T> odd{hn::Mul(point, hn::Add(p.im, q.im)),
                           hn::Mul(point, hn::Sub(q.re, p.re))};
      const Complex<T> turned = odd * spread(twiddles + 2 * k);
      store(even + turned, x + k * kRow<T>, v);
      store(Complex<T>{hn::Sub(even.re, turned.re), hn::Sub(turned.im, even.im)},
            x + (half - k) * kRow<T>, v);
    }
}

// The reverse, with parts exchanged, for the inverse transform: rows of x, to z.
template <class T>
void tangle_rows(const T* x, const T* twiddles, int64_t half, T* z) {
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const Complex<T> first = load(x, v), last = load(x + half * kRow<T>, v);
    store(Complex<T>{hn::Sub(first.re, last.re), hn::Add(first.re, last.re)}, z, v);
  }
  for (int64_t k = 1; k <= half - k; ++k)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      const Complex<T> p = load(x + k * kRow<T>, v), q = load(x + (half - k) * kRow<T>, v);
      const Complex<T> w = spread(twiddles + 2 * k);
      const Complex<T> even{hn::Add(p.re, q.re), hn::Sub(p.im, q.im)};
      const Complex<T> odd =
          Complex<T>{hn::Sub(p.re, q.re), hn::Add(p.im, q.im)} * Complex<T>{w.re, hn::Neg(w.im)};
      const Complex<T> a = plus_i(even, odd), b = minus_i(even, odd);
      store(swapped(a), z + k * kRow<T>, v);
      store(Complex<T>{hn::Neg(b.im), b.re}, z + (half - k) * kRow<T>, v);
    }
}

// All numbers of a real result's transform, of which the first half is in x; parts exchanged.
template <class T>
void complete_rows(int64_t n, T* x) {
  const Tag<T> d;
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    store(Complex<T>{hn::Zero(d), load(x, v).re}, x, v);
    for (int64_t k = 1; k <= n / 2; ++k) {
      const Complex<T> p = load(x + k * kRow<T>, v);
      store(Complex<T>{hn::Neg(p.im), p.re}, x + (n - k) * kRow<T>, v);
      store(swapped(p), x + k * kRow<T>, v);
    }
  }
}

template <class T>
void untangle(T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end) {
  const Tag<T> d;
  int64_t k = begin;
  if (k == 0) {
    const T re = z[0], im = z[1];
    z[0] = re + im;
    z[2 * half] = re - im;
    z[1] = z[2 * half + 1] = 0;
    k = 1;
  }
  // Vectors from both ends must not meet.
  const auto point = hn::Set(d, T(0.5));
  for (; k + kVector<T> <= end && 2 * (k + kVector<T>) <= half; k += kVector<T>) {
    T* other = z + 2 * (half - k - kVector<T> + 1);
    const Complex<T> p = load_interleaved(z + 2 * k, 0);
    Complex<T> q = load_interleaved(other, 0);
    q = {hn::Reverse(d, q.re), hn::Reverse(d, q.im)};
    const Complex<T> even{hn::Mul(point, hn::Add(p.re, q.re)), hn::Mul(point, hn::Sub(p.im, q.im))};
    const Complex<T> odd{hn::Mul(point, hn::Add(p.im, q.im)), hn::Mul(point, hn::Sub(q.re, p.re))};
    const Complex<T> turned = odd * load_interleaved(twiddles + 2 * k, 0);
    store_interleaved(even + turned, z + 2 * k, 0);
    store_interleaved(Complex<T>{hn::Reverse(d, hn::Sub(even.re, turned.re)),
                                 hn::Reverse(d, hn::Sub(turned.im, even.im))},
                      other, 0);
  }
  for (; k < end; ++k) {
    T *p = z + 2 * k, *q = z + 2 * (half - k);
    const T even_re = T(0.5) * (p[0] + q[0]), even_im = T(0.5) * (p[1] - q[1]);
    const T odd_re = T(0.5) * (p[1] + q[1]), odd_im = T(0.5) * (q[0] - p[0]);
    const T re = odd_re * twiddles[2 * k] - odd_im * twiddles[2 * k + 1];
    const T im = odd_re * twiddles[2 * k + 1] + odd_im * twiddles[2 * k];
    p[0] = even_re + re;
    p[1] = even_im + im;
    q[0] = even_re - re;
    q[1] = im - even_im;
  }
}

template <class T>
void tangle(const T* x, T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end) {
  const Tag<T> d;
  int64_t k = begin;
  if (k == 0) {
    z[0] = x[0] + x[2 * half];
    z[1] = x[0] - x[2 * half];
    k = 1;
  }
  for (; k + kVector<T> <= end && 2 * (k + kVector<T>) <= half; k += kVector<T>) {
    const int64_t other = 2 * (half - k - kVector<T> + 1);
    const Complex<T> p = load_interleaved(x + 2 * k, 0), w = load_interleaved(twiddles + 2 * k, 0);
    Complex<T> q = load_interleaved(x + other, 0);
    q = {hn::Reverse(d, q.re), hn::Reverse(d, q.im)};
    const Complex<T> even{hn::Add(p.re, q.re), hn::Sub(p.im, q.im)};
    const Complex<T> odd =
        Complex<T>{hn::Sub(p.re, q.re), hn::Add(p.im, q.im)} * Complex<T>{w.re, hn::Neg(w.im)};
    store_interleaved(plus_i(even, odd), z + 2 * k, 0);
    const Complex<T> b = minus_i(even, odd);
    store_interleaved(Complex<T>{hn::Reverse(d, b.re), hn::Reverse(d, hn::Neg(b.im))}, z + other,
                      0);
  }
  for (; k < end; ++k) {
    const T *p = x + 2 * k, *q = x + 2 * (half - k);
    const T even_re = p[0] + q[0], even_im = p[1] - q[1];
    const T re = p[0] - q[0], im = p[1] + q[1];
    const T odd_re = re * twiddles[2 * k] + im * twiddles[2 * k + 1];
    const T odd_im = im * twiddles[2 * k] - re * twiddles[2 * k + 1];
    T *a = z + 2 * k, *b = z + 2 * (half - k);
    a[0] = even_re - odd_im;
    a[1] = even_im + odd_re;
    b[0] = even_re + odd_im;
    b[1] = odd_re - even_im;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
