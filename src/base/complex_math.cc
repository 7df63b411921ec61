#include "base/complex_math.h"

#include <cmath>
#include <numbers>

namespace tegula {
namespace {

using C = std::complex<double>;

bool is_finite(C z) { return std::isfinite(z.real()) && std::isfinite(z.imag()); }
C divided(C z, double by) { return {z.real() / by, z.imag() / by}; }

C whole_power(C z, int n) {
  complex128 base(z), result(1);
  for (int left = std::abs(n); left; left >>= 1, base = base * base)
    if (left & 1) result = result * base;
  return C(n < 0 ? complex128(1) / result : result);
}

}  // namespace

complex64 complex_quotient(complex64 a, complex64 b) { return a / b; }
complex128 complex_quotient(complex128 a, complex128 b) { return a / b; }

C complex_exp2(C z) {
  return std::exp(C(z.real() * std::numbers::ln2, z.imag() * std::numbers::ln2));
}

C complex_expm1(C z) {
  if (!is_finite(z)) {
    const C e = std::exp(z);
    return {e.real() - 1, e.imag()};
  }
  const double x = z.real(), y = z.imag(), half = std::sin(y / 2);
  return {std::expm1(x) * std::cos(y) - 2 * half * half, std::exp(x) * std::sin(y)};
}

C complex_log1p(C z) {
  const double x = z.real(), y = z.imag();
  if (std::abs(x) < 0.5 && std::abs(y) < 0.5)
    return {0.5 * std::log1p(x * (2 + x) + y * y), std::atan2(y, 1 + x)};
  return std::log(C(1 + x, y));
}

C complex_log2(C z) { return divided(std::log(z), std::numbers::ln2); }
C complex_log10(C z) { return divided(std::log(z), std::numbers::ln10); }

C complex_sigmoid(C z) {
  if (z.real() >= 0) return C(complex128(1) / complex128(1.0 + std::exp(-z)));
  const C e = std::exp(z);
  return C(complex128(e) / complex128(1.0 + e));
}

C complex_pow(C z, C exponent) {
  const double n = exponent.real();
  if (exponent == 0.0) return 1;
  if (z == 0.0) {
    const double nan = std::nan("");
    return n > 0 ? C(0) : C(nan, nan);
  }
  if (exponent.imag() == 0 && n == std::floor(n) && std::abs(n) < 100)
    return whole_power(z, int(n));
  return std::pow(z, exponent);
}

}  // namespace tegula
