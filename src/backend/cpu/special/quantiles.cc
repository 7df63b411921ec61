#include <algorithm>
#include <cmath>

#include "backend/cpu/special/special.h"

namespace tegula::cpu::special {
namespace {

// The quantile of a count in [0, most] from the cumulative probability and the probability at a
// guess near it: one step after the other, each from the probability before it.
template <class Cumulative, class Probability, class Ratio>
double walk(double guess, double most, double u, Cumulative cumulative, Probability probability,
            Ratio ratio) {
  double k = std::clamp(std::floor(guess), 0.0, most);
  double below = cumulative(k), here = probability(k);
  while (k > 0 && below - here > u) {
    below -= here;
    here /= ratio(k);
    k -= 1;
  }
  while (k < most && below <= u) {
    k += 1;
    here *= ratio(k);
    below += here;
    if (here < 1e-300) break;
  }
  return k;
}

// Cornish and Fisher's first terms.
double near_quantile(double mean, double variance, double skew, double u) {
  const double z = ndtri(u);
  return mean + std::sqrt(variance) * (z + skew * (z * z - 1) / 6);
}

}  // namespace

double poisson_quantile(double rate, double u) {
  if (!(rate >= 0 && rate < kInfinity) || std::isnan(u)) return kNaN;
  if (rate == 0) return 0;
  const double guess = near_quantile(rate, rate, 1 / std::sqrt(rate), u);
  if (rate > 1e12) return std::floor(guess);  // the normal distribution, to all its digits
  return walk(
      guess, kInfinity, u, [&](double k) { return gammaincc(k + 1, rate); },
      [&](double k) { return gamma_density(k, rate); }, [&](double k) { return rate / k; });
}

double binomial_quantile(double trials, double p, double u) {
  if (!(trials >= 0 && trials < kInfinity) || !(p >= 0 && p <= 1) || std::isnan(u)) return kNaN;
  const double n = std::floor(trials), q = 1 - p;
  if (n == 0 || p == 0) return 0;
  if (p == 1) return n;
  const double variance = n * p * q;
  const double guess = near_quantile(n * p, variance, (q - p) / std::sqrt(variance), u);
  if (variance > 1e12) return std::clamp(std::floor(guess), 0.0, n);
  const auto probability = [&](double k) {
    return std::exp(k * std::log(p) + (n - k) * std::log1p(-p) - betaln(k + 1, n - k + 1)) /
           (n + 1);
  };
  return walk(
      guess, n, u, [&](double k) { return k >= n ? 1 : betainc(n - k, k + 1, q); }, probability,
      [&](double k) { return (n - k + 1) / k * (p / q); });
}

}  // namespace tegula::cpu::special
