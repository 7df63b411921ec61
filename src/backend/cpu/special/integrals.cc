#include <cmath>
#include <numbers>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

// The sum over k >= 1 of x^k / (k k!) (DLMF 6.6.1).
double exponential_series(double x) {
  double power = 1, sum = 0;
  for (int k = 1; k < 500; ++k) {
    power *= x / k;
    const double term = power / k;
    sum += term;
    if (std::abs(term) <= 0.25 * kEpsilon * std::abs(sum)) break;
  }
  return sum;
}

// Complete elliptic integrals by the arithmetic-geometric mean (DLMF 19.8); m <= 1.
double elliptic(double m, bool second) {
  if (std::isnan(m) || m > 1) return kNaN;
  if (m == 1) return second ? 1 : kInfinity;
  if (m == -kInfinity) return second ? kInfinity : 0;
  double a = 1, g = std::sqrt(1 - m), power = 0.5, sum = 0.5 * m;
  for (int i = 0; i < 60 && std::abs(a - g) > 4 * kEpsilon * a; ++i) {
    const double mean = 0.5 * (a + g), half = 0.5 * (a - g);
    g = std::sqrt(a * g);
    a = mean;
    power *= 2;
    sum += power * half * half;
  }
  const double first = std::numbers::pi / (a + g);
  return second ? first * (1 - sum) : first;
}

}  // namespace

double exp1(double x) {
  if (std::isnan(x) || x < 0) return kNaN;
  if (x == 0) return kInfinity;
  if (x <= 1) return -kEuler - std::log(x) - exponential_series(-x);
  if (x > 745) return 0;
  // DLMF 6.9.1, contracted, by Lentz's method.
  double b = x + 1, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 1000; ++i) {
    const double a = -double(i) * i;
    b += 2;
    d = 1 / (a * d + b);
    c = b + a / c;
    const double step = c * d;
    h *= step;
    if (std::abs(step - 1) <= kEpsilon) break;
  }
  return h * std::exp(-x);
}

double expi(double x) {
  if (std::isnan(x)) return x;
  if (x < 0) return -exp1(-x);
  if (x == 0) return -kInfinity;
  if (x == kInfinity) return x;
  if (x <= 40) return kEuler + std::log(x) + exponential_series(x);
  double term = 1, sum = 1;  // DLMF 6.12.2
  for (int k = 1; k < 60 && std::abs(term) > 0.25 * kEpsilon; ++k) {
    if (k > x) break;
    term *= k / x;
    sum += term;
  }
  const double half = std::exp(0.5 * x);
  return half * (sum / x) * half;
}

double ellipk(double m) { return elliptic(m, false); }
double ellipe(double m) { return elliptic(m, true); }

}  // namespace tegula::cpu::special
