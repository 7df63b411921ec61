#include <cmath>
#include <numbers>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

// Near its positive root, on [1, 2]: J. Maddock's rational approximation in Boost (digamma.hpp).
double digamma_from_1_to_2(double x) {
  constexpr double kP[] = {-0.0020713321167745952, -0.045251321448739056, -0.28919126444774784,
                           -0.65031853770896507,   -0.32555031186804491,  0.25479851061131551};
  constexpr double kQ[] = {-0.55789841321675513e-6,
                           0.0021284987017821144,
                           0.054151797245674225,
                           0.43593529692665969,
                           1.4606242909763515,
                           2.0767117023730469,
                           1.0};
  constexpr double kRoot1 = 1569415565.0 / 1073741824.0;
  constexpr double kRoot2 = (381566830.0 / 1073741824.0) / 1073741824.0;
  constexpr double kRoot3 = 0.9016312093258695918615325266959189453125e-19;
  constexpr double kY = 0.99558162689208984;
  const double apart = ((x - kRoot1) - kRoot2) - kRoot3, t = x - 1;
  double p = 0, q = 0;
  for (double c : kP) p = p * t + c;
  for (double c : kQ) q = q * t + c;
  return apart * kY + apart * (p / q);
}

// Gamma(b + a) / Gamma(b) less its first part, for large b: what betaln is made of.
double stirling_difference(double a, double b) { return stirling_error(b) - stirling_error(a + b); }

}  // namespace

double lgamma(double x) {
  int sign;  // std::lgamma writes a global one
  return lgamma_r(x, &sign);
}

double gamma(double x) { return std::tgamma(x); }

double digamma(double x) {
  if (std::isnan(x) || x == kInfinity) return x;
  if (x == -kInfinity) return kNaN;
  if (x == 0) return std::copysign(kInfinity, -x);
  double y = 0;
  if (x < 0) {  // psi(x) = psi(1 - x) - pi / tan(pi x)
    const double apart = x - std::round(x);
    if (apart == 0) return kNaN;
    y = -std::numbers::pi / std::tan(std::numbers::pi * apart);
    x = 1 - x;
  }
  if (x < 1) {
    y -= 1 / x;
    x += 1;
  }
  if (x < 10) {
    for (; x > 2; y += 1 / x) x -= 1;
    return y + digamma_from_1_to_2(x);
  }
  // DLMF 5.11.2.
  constexpr double kB[] = {1.0 / 12,  -691.0 / 32760, 1.0 / 132, -1.0 / 240,
                           1.0 / 252, -1.0 / 120,     1.0 / 12};
  const double z = 1 / (x * x);
  double sum = 0;
  for (double c : kB) sum = sum * z + c;
  return y + (std::log(x) - 0.5 / x - z * sum);
}

// Euler-Maclaurin summation, as in Cephes (S. Moshier, zeta.c).
double zeta(double s, double q) {
  if (std::isnan(s) || std::isnan(q)) return kNaN;
  if (s == 1) return kInfinity;
  if (s < 1) return kNaN;
  if (q <= 0) {
    if (q == std::floor(q) && q > -kInfinity) return kInfinity;
    if (s != std::floor(s) || q < -1e5) return kNaN;
  }
  if (q > 1e8) return (1 / (s - 1) + 1 / (2 * q)) * std::pow(q, 1 - s);
  constexpr double kA[] = {12.0,
                           -720.0,
                           30240.0,
                           -1209600.0,
                           47900160.0,
                           -1.8924375803183791606e9,
                           7.47242496e10,
                           -2.950130727918164224e12,
                           1.1646782814350067249e14,
                           -4.5979787224074726105e15,
                           1.8152105401943546773e17,
                           -7.1661652561756670113e18};
  double sum = std::pow(q, -s), a = q, b = 0;
  for (int i = 0; i < 9 || a <= 9; ++i) {
    a += 1;
    b = std::pow(a, -s);
    sum += b;
    if (std::abs(b) < kEpsilon * std::abs(sum)) return sum;
  }
  const double w = a;
  sum += b * w / (s - 1) - 0.5 * b;
  double factor = 1, k = 0;
  for (double divisor : kA) {
    factor *= s + k;
    b /= w;
    const double term = factor * b / divisor;
    sum += term;
    if (std::abs(term) < kEpsilon * std::abs(sum)) break;
    k += 1;
    factor *= s + k;
    b /= w;
    k += 1;
  }
  return sum;
}

double polygamma(double n, double x) {
  if (n == 0) return digamma(x);
  if (!(n > 0) || n != std::floor(n)) return kNaN;
  const double sum = zeta(n + 1, x);
  const double size = n < 150 ? std::tgamma(n + 1) * sum : std::exp(lgamma(n + 1) + std::log(sum));
  return std::fmod(n, 2) == 0 ? -size : size;
}

double log1pmx(double x) {
  if (!(std::abs(x) < 0.5)) return std::log1p(x) - x;
  // log(1 + x) = 2 artanh(r), r = x / (2 + x).
  const double r = x / (2 + x), y = r * r;
  double sum = 0;
  for (int k = 41; k >= 3; k -= 2) sum = sum * y + 1.0 / k;
  return r * (2 * y * sum - x);
}

double stirling_error(double x) {
  double shift = 0;  // each step is about 1 / (12 x^2)
  for (; x < 12; x += 1) shift += (x + 0.5) * std::log1p(1 / x) - 1;
  constexpr double kB[] = {-691.0 / 360360, 1.0 / 1188, -1.0 / 1680,
                           1.0 / 1260,      -1.0 / 360, 1.0 / 12};
  const double z = 1 / (x * x);
  double sum = 0;
  for (double c : kB) sum = sum * z + c;
  return sum / x + shift;
}

// Didonato and Morris, 1992 (ACM TOMS 708), by the size of the smaller argument.
double betaln(double x, double y) {
  if (std::isnan(x) || std::isnan(y)) return kNaN;
  const double a = std::fmin(x, y), b = std::fmax(x, y);
  if (a == 0 || (a > 0 && b == kInfinity)) return a == 0 ? kInfinity : -kInfinity;
  if (a < 0) return lgamma(a) + lgamma(b) - lgamma(a + b);
  const double log_rest = -std::log1p(a / b);  // log(b / (a + b))
  if (a >= 10) {
    const double correction = stirling_error(a) + stirling_difference(a, b);
    return -0.5 * std::log(b) + 0.5 * std::log(2 * std::numbers::pi) + correction +
           (a - 0.5) * std::log(a / (a + b)) + b * log_rest;
  }
  if (b >= 10)
    return lgamma(a) + stirling_difference(a, b) + a - a * std::log(a + b) + (b - 0.5) * log_rest;
  return std::log(std::tgamma(a) * (std::tgamma(b) / std::tgamma(a + b)));
}

double beta(double a, double b) {
  if (a > 0 && b > 0 && (a >= 10 || b >= 10)) return std::exp(betaln(a, b));
  const auto pole = [](double x) { return x <= 0 && x == std::floor(x); };
  if (pole(a + b) && !pole(a) && !pole(b)) return 0;
  if (std::fmax(std::abs(a), std::abs(b)) < 100)
    return std::tgamma(a) * (std::tgamma(b) / std::tgamma(a + b));
  int sign_a, sign_b, sign_sum;
  const double size = lgamma_r(a, &sign_a) + lgamma_r(b, &sign_b) - lgamma_r(a + b, &sign_sum);
  return sign_a * sign_b * sign_sum * std::exp(size);
}

}  // namespace tegula::cpu::special
