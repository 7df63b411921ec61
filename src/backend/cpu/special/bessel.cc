#include <cmath>
#include <numbers>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

constexpr double kSeriesEnd = 20;  // where the asymptotic series of I has terms below e^-40

// I_order(x) for |x| <= kSeriesEnd, order 0 or 1: all terms have one sign (DLMF 10.25.2).
double i_series(int order, double x) {
  const double quarter = 0.25 * x * x;
  double term = order == 0 ? 1 : 0.5 * x, sum = term;
  for (int k = 1; std::abs(term) > kEpsilon * std::abs(sum); ++k) {
    term *= quarter / (double(k) * (k + order));
    sum += term;
  }
  return sum;
}

// I_order(x) e^-x for large x (DLMF 10.40.1).
double i_large(int order, double x) {
  const double mu = 4.0 * order * order;
  double term = 1, sum = 1;
  for (int k = 1; k < 40 && std::abs(term) > 0.25 * kEpsilon; ++k) {
    const double odd = 2 * k - 1;
    term *= (odd * odd - mu) / (8 * k * x);
    sum += term;
  }
  return sum / std::sqrt(2 * std::numbers::pi * x);
}

double i_scaled(int order, double x) {
  const double size = std::abs(x);
  if (!(size > kSeriesEnd)) return i_series(order, x) * std::exp(-size);
  if (size == kInfinity) return order == 1 ? std::copysign(0.0, x) : 0;
  const double value = i_large(order, size);
  return order == 1 && x < 0 ? -value : value;
}

double i_plain(int order, double x) {
  const double size = std::abs(x);
  if (!(size > kSeriesEnd)) return i_series(order, x);
  if (size == kInfinity) return order == 1 ? x : size;
  const double half = std::exp(0.5 * size);  // e^x overflows before I does
  return half * i_scaled(order, x) * half;
}

// K_0 and K_1 times e^x for x > 1: Temme's continued fraction by Steed's method (N. Temme, 1975).
void k_large(double x, double& first, double& second) {
  double b = 2 * (1 + x), d = 1 / b, h = d, step = d;
  double q1 = 0, q2 = 1, q = 0.25, c = 0.25, a = -0.25, sum = 1 + q * step;
  for (int i = 2; i < 10000; ++i) {
    a -= 2 * (i - 1);
    c = -a * c / i;
    const double next = (q1 - b * q2) / a;
    q1 = q2;
    q2 = next;
    q += c * next;
    b += 2;
    d = 1 / (b + a * d);
    step *= b * d - 1;
    h += step;
    const double more = q * step;
    sum += more;
    if (std::abs(more) < 0.25 * kEpsilon * std::abs(sum)) break;
  }
  first = std::sqrt(std::numbers::pi / (2 * x)) / sum;
  second = first * (x + 0.5 - 0.25 * h) / x;
}

// K_order(x) for x <= 1 (DLMF 10.31.1 and .2).
double k_small(int order, double x) {
  const double quarter = 0.25 * x * x, log_half = std::log(0.5 * x);
  double term = 1, harmonic = 0, sum = 0;  // H_k
  for (int k = 0; k < 30; ++k) {
    if (k > 0) {
      term *= quarter / (double(k) * (k + order));
      harmonic += 1.0 / k;
    }
    const double digammas =
        order == 0 ? harmonic - kEuler : 2 * (harmonic - kEuler) + 1.0 / (k + 1);
    sum += term * digammas;
  }
  if (order == 0) return sum - log_half * i_series(0, x);
  return 1 / x + log_half * i_series(1, x) - 0.25 * x * sum;
}

double k_of(int order, double x, bool scaled) {
  if (std::isnan(x) || x < 0) return kNaN;
  if (x == 0) return kInfinity;
  if (x == kInfinity) return 0;
  if (x <= 1) return k_small(order, x) * (scaled ? std::exp(x) : 1);
  double first, second;
  k_large(x, first, second);
  return (order == 0 ? first : second) * (scaled ? 1 : std::exp(-x));
}

}  // namespace

double i0(double x) { return i_plain(0, x); }
double i0e(double x) { return i_scaled(0, x); }
double i1(double x) { return i_plain(1, x); }
double i1e(double x) { return i_scaled(1, x); }
double j0(double x) { return ::j0(x); }
double j1(double x) { return ::j1(x); }
double y0(double x) { return x < 0 ? kNaN : x == 0 ? -kInfinity : ::y0(x); }
double y1(double x) { return x < 0 ? kNaN : x == 0 ? -kInfinity : ::y1(x); }
double k0(double x) { return k_of(0, x, false); }
double k0e(double x) { return k_of(0, x, true); }
double k1(double x) { return k_of(1, x, false); }
double k1e(double x) { return k_of(1, x, true); }

double spherical_jn(double n, double x) {
  if (std::isnan(x) || !(n >= 0) || n != std::floor(n)) return kNaN;
  const double size = std::abs(x), sign = x < 0 && std::fmod(n, 2) == 1 ? -1 : 1;
  if (size == kInfinity) return 0;
  if (size * size <= 2 * n + 3) {  // DLMF 10.53.1: the terms fall at once
    double first = 1;
    for (double k = 1; k <= n && first != 0; k += 1) first *= size / (2 * k + 1);
    double term = 1, sum = 1;
    for (double k = 1; std::abs(term) > kEpsilon * std::abs(sum); k += 1) {
      term *= -0.5 * size * size / (k * (2 * (n + k) + 1));
      sum += term;
    }
    return sign * first * sum;
  }
  const double zeroth = std::sin(size) / size, first = (zeroth - std::cos(size)) / size;
  if (n == 0) return zeroth;
  if (n <= size) {  // upwards, which is stable up to n = x
    double before = zeroth, now = first;
    for (double k = 1; k < n; k += 1) {
      const double next = (2 * k + 1) / size * now - before;
      before = now;
      now = next;
    }
    return sign * now;
  }
  // Miller's downwards recurrence, normalised by the larger of the two known values.
  double above = 0, now = 1e-300, wanted = 0;
  for (double k = std::floor(n + 30 + 4 * std::sqrt(n)); k > 0; k -= 1) {
    const double below = (2 * k + 1) / size * now - above;
    above = now;
    now = below;
    if (k - 1 == n) wanted = now;
    if (std::abs(now) > 1e200) {
      now *= 1e-200;
      above *= 1e-200;
      wanted *= 1e-200;
    }
  }
  return sign * wanted * (std::abs(zeroth) > std::abs(first) ? zeroth / now : first / above);
}

}  // namespace tegula::cpu::special
