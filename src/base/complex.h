// Complex numbers as they lie in memory: real part, imaginary part. Products are the plain formula
// and quotients are scaled (Smith, CACM 5(8), 1962), as in NumPy; std::complex would recover
// infinities in every product.
#pragma once

#include <cmath>
#include <complex>

namespace tegula {

template <class F>
struct Complex {
  F re = 0, im = 0;

  Complex() = default;
  constexpr Complex(F real, F imag = 0) : re(real), im(imag) {}
  template <class G>
  constexpr explicit Complex(Complex<G> z) : re(F(z.re)), im(F(z.im)) {}
  constexpr explicit Complex(std::complex<double> z) : re(F(z.real())), im(F(z.imag())) {}
  constexpr explicit operator std::complex<double>() const { return {double(re), double(im)}; }

  friend Complex operator-(Complex a) { return {-a.re, -a.im}; }
  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  friend Complex operator/(Complex a, Complex b) {
    if (std::abs(b.re) >= std::abs(b.im)) {
      if (b.re == 0 && b.im == 0) return {a.re / std::abs(b.re), a.im / std::abs(b.re)};
      const F ratio = b.im / b.re, scale = F(1) / (b.re + b.im * ratio);
      return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
    }
    const F ratio = b.re / b.im, scale = F(1) / (b.im + b.re * ratio);
    return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
  }
  Complex& operator+=(Complex b) { return *this = *this + b; }
  friend bool operator==(Complex a, Complex b) { return a.re == b.re && a.im == b.im; }
};

using complex64 = Complex<float>;
using complex128 = Complex<double>;

}  // namespace tegula
