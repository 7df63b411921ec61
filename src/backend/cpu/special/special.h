// Special functions of single numbers, in float64. float32 is computed by them too, and rounded
// once. The references are SciPy and the NIST Digital Library of Mathematical Functions (DLMF).
#pragma once

#include <limits>

namespace tegula::cpu::special {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kEpsilon = 0x1p-53;
inline constexpr double kEuler = 0.57721566490153286060651209008240243;

// ---- gamma.cc --------------------------------------------------------------------------------
double lgamma(double x);
double gamma(double x);
double digamma(double x);
double polygamma(double n, double x);  // n = 0, 1, 2, ...
double zeta(double s, double q);       // Hurwitz's
double beta(double a, double b);
double betaln(double a, double b);
double log1pmx(double x);           // log(1 + x) - x
double stirling_error(double x);    // lgamma(x) less Stirling's formula, x > 0

// ---- incomplete.cc ---------------------------------------------------------------------------
double gammainc(double a, double x);
double gammaincc(double a, double x);
double gammaincinv(double a, double p);
double gammaincinv_slope(double a, double x);  // dx / da at constant gammainc(a, x)
double gamma_density(double a, double x);      // x^a e^-x / Gamma(a + 1)
double betainc(double a, double b, double x);

// ---- normal.cc -------------------------------------------------------------------------------
double erfc(double x);
double erfcx(double x);
double erfinv(double y);
double erfcinv(double y);
double ndtr(double x);
double ndtri(double p);
double log_ndtr(double x);

// ---- bessel.cc -------------------------------------------------------------------------------
double i0(double x);
double i0e(double x);
double i1(double x);
double i1e(double x);
double j0(double x);
double j1(double x);
double y0(double x);
double y1(double x);
double k0(double x);
double k0e(double x);
double k1(double x);
double k1e(double x);
double spherical_jn(double n, double x);  // n = 0, 1, 2, ...

// ---- integrals.cc ----------------------------------------------------------------------------
double exp1(double x);
double expi(double x);
double ellipk(double m);
double ellipe(double m);

// ---- quantiles.cc ----------------------------------------------------------------------------
// The least count whose cumulative probability is above u, in (0, 1).
double poisson_quantile(double rate, double u);
double binomial_quantile(double trials, double p, double u);

}  // namespace tegula::cpu::special
