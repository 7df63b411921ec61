#include <cmath>
#include <numbers>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

constexpr double kSqrtPi = 1.7724538509055160272981674833411;

// x with ndtr(x) = 1/2 + q, to 1e-9 of itself; `tail` is the smaller of 1/2 +- q. P. Acklam, 2003.
double rough_ndtri(double q, double tail) {
  constexpr double kA[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                           1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kB[] = {-5.447609879822406e+01, 1.615858368580409e+02,  -1.556989798598866e+02,
                           6.680131188771972e+01,  -1.328068155288572e+01, 1};
  constexpr double kC[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                           -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kD[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                           3.754408661907416e+00, 1};
  const auto at = [](const auto& coefficients, double x) {
    double sum = 0;
    for (double c : coefficients) sum = sum * x + c;
    return sum;
  };
  if (tail > 0.02425) return q * at(kA, q * q) / at(kB, q * q);
  const double r = std::sqrt(-2 * std::log(tail));
  const double x = at(kC, r) / at(kD, r);
  return q < 0 ? x : -x;
}

}  // namespace

double erfc(double x) { return std::erfc(x); }

double erfcx(double x) {
  if (x < 0) {
    const double square = x * x, rest = std::fma(x, x, -square);
    return x < -27 ? kInfinity : 2 * std::exp(square) * (1 + rest) - erfcx(-x);
  }
  if (x < 10) {
    const double square = x * x, rest = std::fma(x, x, -square);
    return std::exp(square) * (1 + rest) * std::erfc(x);
  }
  // DLMF 7.12.1; its eighth term is below 1e-12 of the first at 10, its last used one below 1e-17.
  const double z = -0.5 / x / x;
  double sum = 1;
  for (int k = 19; k >= 1; k -= 2) sum = 1 + k * z * sum;
  return sum / (x * kSqrtPi);
}

double ndtr(double x) { return 0.5 * std::erfc(-x * (std::numbers::sqrt2 / 2)); }

double log_ndtr(double x) {
  const double t = x * (std::numbers::sqrt2 / 2);
  if (x < -1) return std::log(erfcx(-t) * 0.5) - t * t;
  return std::log1p(-0.5 * std::erfc(t));
}

double erfinv(double y) {
  const double size = std::abs(y);
  if (!(size < 1)) return size == 1 ? std::copysign(kInfinity, y) : kNaN;
  if (size > 0.5) return std::copysign(erfcinv(1 - size), y);
  // Two of Halley's steps.
  double x = rough_ndtri(0.5 * y, 0.5 - 0.5 * size) * (std::numbers::sqrt2 / 2);
  for (int i = 0; i < 2; ++i) {
    const double step = (std::erf(x) - y) * (0.5 * kSqrtPi) * std::exp(x * x);
    x -= step / (1 + x * step);
  }
  return y == 0 ? y : x;
}

double erfcinv(double y) {
  if (!(y > 0 && y < 2)) return y == 0 ? kInfinity : y == 2 ? -kInfinity : kNaN;
  if (y > 0.5 && y < 1.5) return erfinv(1 - y);
  if (y > 1) return -erfcinv(2 - y);
  double x = -rough_ndtri(0.5 * y - 0.5, 0.5 * y) * (std::numbers::sqrt2 / 2);
  for (int i = 0; i < 2; ++i) {  // erfc(x) e^(x^2) neither under- nor overflows
    const double half = std::exp(0.5 * x * x);
    const double step = (half * y * half - erfcx(x)) * (0.5 * kSqrtPi);
    x -= step / (1 + x * step);
  }
  return x;
}

double ndtri(double p) {
  if (p > 0.25 && p < 0.75) return std::numbers::sqrt2 * erfinv(2 * p - 1);
  return -std::numbers::sqrt2 * (p <= 0.5 ? erfcinv(2 * p) : -erfcinv(2 * (1 - p)));
}

}  // namespace tegula::cpu::special
