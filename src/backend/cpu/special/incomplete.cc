#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <type_traits>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

// A value and its derivative with respect to the shape parameter.
struct Dual {
  double value, slope;
};
Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
Dual operator*(Dual a, Dual b) {
  return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
Dual operator/(Dual a, Dual b) {
  const double ratio = a.value / b.value;
  return {ratio, (a.slope - ratio * b.slope) / b.value};
}
Dual operator*(Dual a, double b) { return {a.value * b, a.slope * b}; }
double size(double a) { return std::abs(a); }
double size(Dual a) { return std::max(std::abs(a.value), std::abs(a.slope)); }
bool settled(double now, double before) {
  return std::abs(now - before) <= kEpsilon * std::abs(now);
}
bool settled(Dual now, Dual before) {
  return settled(now.value, before.value) &&
         std::abs(now.slope - before.slope) <= 4 * kEpsilon * std::abs(now.slope);
}
template <class N>
N number(double x) {
  if constexpr (std::is_same_v<N, Dual>) return {x, 0};
  else return x;
}

constexpr int kMost = 100000;  // steps: about 10 sqrt(a) are needed
constexpr double kVast = 1e8;  // from this a on by the asymptotic expansion

// gammainc(a, x) / gamma_density(a, x) (DLMF 8.11.4), for x not much above a.
template <class N>
N gamma_series(N a, double x) {
  N term = number<N>(1), sum = term, n = a;
  for (int i = 0; i < kMost; ++i) {
    n = n + number<N>(1);
    term = term * number<N>(x) / n;
    const N next = sum + term;
    if (settled(next, sum)) return next;
    sum = next;
  }
  return sum;
}

// gammaincc(a, x) / (a gamma_density(a, x)) for x > a (DLMF 8.9.2, contracted).
template <class N>
N gamma_fraction(N a, double x) {
  N y = number<N>(1) - a, z = number<N>(x + 1) + y;
  N p2 = number<N>(1), q2 = number<N>(x), p1 = number<N>(x + 1), q1 = z * number<N>(x);
  N ratio = p1 / q1;
  for (int c = 1; c < kMost; ++c) {
    y = y + number<N>(1);
    z = z + number<N>(2);
    const N yc = y * double(c);
    const N p = p1 * z - p2 * yc, q = q1 * z - q2 * yc;
    p2 = p1;
    p1 = p;
    q2 = q1;
    q1 = q;
    if (size(p) > 1e100 || size(q) > 1e100) {
      p2 = p2 * 1e-100;
      p1 = p1 * 1e-100;
      q2 = q2 * 1e-100;
      q1 = q1 * 1e-100;
    }
    const N next = p1 / q1;
    if (settled(next, ratio)) return next;
    ratio = next;
  }
  return ratio;
}

// lgamma(1 + a) for |a| <= 1/2 (DLMF 5.7.3), accurate near 0.
double lgamma1p(double a) {
  if (std::abs(a) > 0.5) return lgamma(1 + a);
  static const auto zetas = [] {
    std::array<double, 60> values{};
    for (int k = 2; k < 60; ++k) values[size_t(k)] = zeta(k, 1) / k;
    return values;
  }();
  double sum = 0;
  for (int k = 59; k >= 2; --k) sum = zetas[size_t(k)] - a * sum;
  return a * (a * sum - kEuler);
}

// gammaincc(a, x) for small a and x, where it is 1 less nearly 1.
double gammaincc_small(double a, double x) {
  double factor = 1, sum = 0;
  for (int n = 1; n < kMost; ++n) {
    factor *= -x / n;
    const double term = factor / (a + n);
    sum += term;
    if (std::abs(term) <= kEpsilon * std::abs(sum)) break;
  }
  const double log_x = std::log(x);
  return -std::expm1(a * log_x - lgamma1p(a)) - std::exp(a * log_x - lgamma(a)) * sum;
}

// gammaincc for vast a: Temme's uniform expansion (DLMF 8.12.4), of which one term is enough.
double gammaincc_vast(double a, double x, bool upper) {
  const double mu = (x - a) / a;
  const double eta = std::copysign(std::sqrt(std::max(0.0, -2 * log1pmx(mu))), mu);
  const double c0 =
      std::abs(eta) < 1e-3 ? -1.0 / 3 + eta / 12 - 2 * eta * eta / 135 : 1 / mu - 1 / eta;
  const double rest = std::exp(-0.5 * a * eta * eta) / std::sqrt(2 * std::numbers::pi * a) * c0;
  const double normal = 0.5 * std::erfc((upper ? eta : -eta) * std::sqrt(0.5 * a));
  return upper ? normal + rest : normal - rest;
}

// Both by one look at the edges; nothing for what is inside.
bool at_edge(double a, double x, double& lower) {
  if (std::isnan(a) || std::isnan(x) || a < 0 || x < 0 || (a == 0 && x == 0)) lower = kNaN;
  else if (a == kInfinity) lower = x == kInfinity ? kNaN : 0;
  else if (a == 0 || x == kInfinity) lower = 1;
  else if (x == 0) lower = 0;
  else return false;
  return true;
}

}  // namespace

// log(ratio) - apart, for apart = ratio - 1: by whichever has kept its digits.
static double log_apart(double ratio, double apart) {
  return std::abs(apart) < 0.5 ? log1pmx(apart) : std::log(ratio) - apart;
}

double gamma_density(double a, double x) {
  if (x == 0) return a == 0 ? 1 : 0;
  if (a < 10) {
    if (x > 900) return 0;
    const double half = std::exp(-0.5 * x);
    return half * std::pow(x, a) / std::tgamma(a + 1) * half;
  }
  const double mu = (x - a) / a;
  return std::exp(a * log_apart(x / a, mu) - stirling_error(a)) /
         std::sqrt(2 * std::numbers::pi * a);
}

double gammainc(double a, double x) {
  double lower;
  if (at_edge(a, x, lower)) return lower;
  if (a > kVast) return gammaincc_vast(a, x, false);
  if (x > 1 && x > a) return 1 - gammaincc(a, x);
  return gamma_density(a, x) * gamma_series(a, x);
}

double gammaincc(double a, double x) {
  double lower;
  if (at_edge(a, x, lower)) return 1 - lower;
  if (a > kVast) return gammaincc_vast(a, x, true);
  if (x > 1.1 && x > a) return a * gamma_density(a, x) * gamma_fraction(a, x);
  // Cephes' choice (igam.c).
  const bool small = x <= 0.5 ? -0.4 / std::log(x) >= a : x <= 1.1 && 0.75 * x >= a;
  return small ? gammaincc_small(a, x) : 1 - gamma_density(a, x) * gamma_series(a, x);
}

double gammaincinv_slope(double a, double x) {
  if (std::isnan(a) || std::isnan(x) || a <= 0) return kNaN;
  if (x == 0 || x == kInfinity) return x;
  if (a > kVast) return 0.5 * (1 + x / a);
  const double log_x = std::log(x);
  if (x > 1 && x > a) {
    const Dual fraction = gamma_fraction(Dual{a, 1}, x);
    return x * (fraction.slope + fraction.value * (log_x - digamma(a)));
  }
  const Dual series = gamma_series(Dual{a, 1}, x);
  return -x / a * (series.slope + series.value * (log_x - digamma(a + 1)));
}

double gammaincinv(double a, double p) {
  if (std::isnan(a) || std::isnan(p) || a < 0 || p < 0 || p > 1) return kNaN;
  if (p == 0 || a == 0) return 0;
  if (p == 1) return kInfinity;
  // Wilson and Hilferty, 1931, or the first term of the series where that is small.
  const double t = 1 / (9 * a), cube = 1 - t + ndtri(p) * std::sqrt(t);
  double x = a * cube * cube * cube;
  const double head = std::exp((std::log(p) + lgamma(a + 1)) / a);
  if (!(cube > 0) || x < 0.2 * (a + 1) || a < 0.5) x = head;
  if (x == 0) return 0;
  double least = 0, most = kInfinity;
  const bool lower = p <= 0.5;
  for (int i = 0; i < 100; ++i) {
    const double error = lower ? gammainc(a, x) - p : (1 - p) - gammaincc(a, x);
    (error < 0 ? least : most) = x;
    const double density = gamma_density(a, x) * a / x;
    const double newton = error / density;
    double next = x - newton / std::max(0.5, 1 - 0.5 * newton * ((a - 1) / x - 1));  // Halley
    if (error == 0 || std::abs(next - x) <= 4 * kEpsilon * x) break;
    if (!(next > least && next < most))
      next = most == kInfinity ? 2 * x : least == 0 ? 0.5 * most : 0.5 * (least + most);
    x = next;
  }
  return x;
}

namespace {

// x^a (1 - x)^b / (a B(a, b)), 0 < x < 1, without losing digits to large a and b.
double beta_density(double a, double b, double x, double y) {
  if (a < 10 && b < 10)
    return std::pow(x, a) * std::pow(y, b) *
           (std::tgamma(a + b) / std::tgamma(a + 1) / std::tgamma(b));
  if (a >= 10 && b >= 10) {
    const double sum = a + b, apart = b * x - a * y;
    const double exponent = a * log_apart(x * (sum / a), apart / a) +
                            b * log_apart(y * (sum / b), -apart / b) + stirling_error(sum) -
                            stirling_error(a) - stirling_error(b);
    return std::exp(exponent) * std::sqrt(b / (2 * std::numbers::pi * a * sum));
  }
  const double log_y = x < y ? std::log1p(-x) : std::log(y);
  const double log_x = y < x ? std::log1p(-y) : std::log(x);
  return std::exp(a * log_x + b * log_y - betaln(a, b)) / a;
}

// The rest of betainc: DLMF 8.17.22 by Lentz's method.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  if (std::abs(d) < kTiny) d = kTiny;
  d = 1 / d;
  double h = d;
  for (int m = 1; m < kMost; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (double term : {even, odd}) {
      d = 1 + term * d;
      c = 1 + term / c;
      if (std::abs(d) < kTiny) d = kTiny;
      if (std::abs(c) < kTiny) c = kTiny;
      d = 1 / d;
      step = d * c;
      h *= step;
    }
    if (std::abs(step - 1) <= 2 * kEpsilon) break;
  }
  return h;
}

}  // namespace

double betainc(double a, double b, double x) {
  if (std::isnan(a) || std::isnan(b) || !(x >= 0 && x <= 1) || a < 0 || b < 0) return kNaN;
  if (a == 0 || b == 0 || a == kInfinity || b == kInfinity) {
    const bool left = a == 0 || b == kInfinity, right = b == 0 || a == kInfinity;
    if (left == right) return kNaN;
    return left ? 1 : x == 1 ? 1 : 0;
  }
  if (x == 0 || x == 1) return x;
  const double y = 1 - x;
  const auto direct = [&] { return beta_density(a, b, x, y) * beta_fraction(a, b, x); };
  if (x <= (a + 1) / (a + b + 2)) return direct();
  const double rest = beta_density(b, a, y, x) * beta_fraction(b, a, y);
  // What is left of 1 keeps few digits: the fraction converges here as well, slowly.
  return rest > 0.9 && y > 1e-6 ? direct() : 1 - rest;
}

}  // namespace tegula::cpu::special
