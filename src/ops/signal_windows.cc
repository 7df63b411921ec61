// tegula.signal: windows for spectra and filters.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr double kPi = std::numbers::pi;

// i / (n - 1) for the n points of a window, or i / n where it is one period of what goes on.
struct Points {
  Tensor at;
  DType dtype;
  int64_t steps;
  bool single = false;
};

Points points(const Args& a, size_t dtype, const char* op) {
  const int64_t n = a.integer(0);
  require(n >= 0 && n < int64_t(1) << 31, op, ": n must not be negative or that large, got ", n);
  const DType wanted = a.dtype_or(dtype, DType::float32);
  if (!is_floating(wanted))
    fail(ErrorKind::type, op, ": dtype must be a real floating-point dtype, got ", wanted);
  const int64_t steps = a.boolean(1) ? n : n - 1;
  const Tensor i = astype(iota(n), DType::float64);
  return {i * constant(1 / double(std::max<int64_t>(steps, 1))), wanted, steps, n == 1};
}

Tensors finished(const Points& p, const Tensor& window) {
  return {astype(p.single ? ones({1}, DType::float64) : window, p.dtype)};
}

// A sum of cosines.
Tensors cosines(const Args& a, const char* op, std::initializer_list<double> factors) {
  const Points p = points(a, 2, op);
  Tensor sum;
  double turns = 0, sign = 1;
  for (const double factor : factors) {
    const Tensor term = turns == 0
                            ? p.at * constant(0) + constant(factor)
                            : cos(p.at * constant(2 * kPi * turns)) * constant(sign * factor);
    sum = sum ? sum + term : term;
    ++turns;
    sign = -sign;
  }
  return finished(p, sum);
}

Tensors bartlett(const Args& a) {
  const Points p = points(a, 2, "signal.bartlett");
  return finished(p, constant(1) - abs(p.at * constant(2) - constant(1)));
}

// The modified Bessel function I0 to full precision: Abramowitz and Stegun 1964, 9.6.12, a series
// whose terms fall once they pass x / 2.
Tensor bessel_i0(const Tensor& x, double most) {
  const Tensor q = square(x) * constant(0.25);
  Tensor term = x * constant(0) + constant(1), sum = term;
  const int count = int(20 + 1.5 * most);
  for (int k = 1; k <= count; ++k) {
    term = term * q * constant(1 / (double(k) * k));
    sum = sum + term;
  }
  return sum;
}

Tensors kaiser(const Args& a) {
  const Points p = points(a, 3, "signal.kaiser");
  const double beta = a.real(2);
  require(beta >= 0 && beta <= 100, "signal.kaiser: beta must be between 0 and 100, got ", beta);
  const Tensor r = p.at * constant(2) - constant(1);
  const Tensor inside = maximum(constant(1) - square(r), constant(0));
  const Tensor top = bessel_i0(scalar(beta, DType::float64), beta);
  return finished(p, bessel_i0(sqrt(inside) * constant(beta), beta) / top);
}

Tensors cosine(const Args& a) {
  const Points p = points(a, 2, "signal.cosine");
  const double n = double(p.steps + 1);
  return finished(p, sin((p.at * constant(double(p.steps)) + constant(0.5)) * constant(kPi / n)));
}

// f of the distance to the middle, in points.
template <class F>
Tensors around_middle(const Args& a, const char* op, const char* argument, F&& f) {
  const Points p = points(a, 3, op);
  const double width = a.real(2);
  require(width > 0, op, ": ", argument, " must be positive, got ", width);
  const Tensor distance = (p.at - constant(0.5)) * constant(double(p.steps));
  return finished(p, f(distance * constant(1 / width)));
}

constexpr std::string_view kWindow = "n: int, periodic: bool = True, dtype: dtype? = None";

// clang-format off
const Family kSignalWindows("Signals: windows", {
    {.name = "signal.hann",
     .parameters = kWindow,
     .doc = "The Hann window 0.5 - 0.5 cos(2 pi i / N) of n points: N is n where it is periodic, for "
            "spectra, and n - 1 where it is symmetric, for filters. float32 unless dtype says.",
     .call = [](const Args& a) { return cosines(a, "signal.hann", {0.5, 0.5}); },
     .samples = "8;;7, False;;1;;0;;5, True, 'float64'",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('hann', n, periodic, dtype)"},
    {.name = "signal.hamming",
     .parameters = kWindow,
     .doc = "The Hamming window 0.54 - 0.46 cos(2 pi i / N); see hann.",
     .call = [](const Args& a) { return cosines(a, "signal.hamming", {0.54, 0.46}); },
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('hamming', n, periodic, dtype)"},
    {.name = "signal.blackman",
     .parameters = kWindow,
     .doc = "The Blackman window 0.42 - 0.5 cos(2 pi i / N) + 0.08 cos(4 pi i / N); see hann.",
     .call = [](const Args& a) { return cosines(a, "signal.blackman", {0.42, 0.5, 0.08}); },
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('blackman', n, periodic, dtype)"},
    {.name = "signal.bartlett",
     .parameters = kWindow,
     .doc = "The triangular window 1 - |2 i / N - 1|; see hann.",
     .call = bartlett,
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('bartlett', n, periodic, dtype)"},
    {.name = "signal.kaiser",
     .parameters = "n: int, periodic: bool = True, beta: float = 12.0, dtype: dtype? = None",
     .doc = "The Kaiser window I0(beta sqrt(1 - (2 i / N - 1)^2)) / I0(beta): the larger beta, up to "
            "100, the lower its side lobes; see hann. Kaiser and Schafer 1980, IEEE Trans. ASSP "
            "28(1).",
     .call = kaiser,
     .samples = "8;;7, False, 5.0;;1;;6, True, 0.0;;9, False, 100.0",
     .reference = "lambda n, periodic=True, beta=12.0, dtype='float32': reference.spectral_window(('kaiser', beta), n, periodic, dtype)"},
    {.name = "signal.nuttall",
     .parameters = kWindow,
     .doc = "Nuttall's window of four cosines with the smallest side lobes: Nuttall 1981, IEEE Trans. "
            "ASSP 29(1); see hann.",
     .call =
         [](const Args& a) {
           return cosines(a, "signal.nuttall", {0.3635819, 0.4891775, 0.1365995, 0.0106411});
         },
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('nuttall', n, periodic, dtype)"},
    {.name = "signal.blackman_harris",
     .parameters = kWindow,
     .doc = "The window of four cosines of Harris 1978, Proc. IEEE 66(1); see hann.",
     .call =
         [](const Args& a) {
           return cosines(a, "signal.blackman_harris", {0.35875, 0.48829, 0.14128, 0.01168});
         },
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('blackmanharris', n, periodic, dtype)"},
    {.name = "signal.cosine",
     .parameters = kWindow,
     .doc = "Half a period of a sine, sin(pi (i + 0.5) / (N + 1)); see hann.",
     .call = cosine,
     .samples = "8;;7, False;;1",
     .reference = "lambda n, periodic=True, dtype='float32': reference.spectral_window('cosine', n, periodic, dtype)"},
    {.name = "signal.gaussian",
     .parameters = "n: int, periodic: bool = True, std: float = 1.0, dtype: dtype? = None",
     .doc = "exp(-d^2 / (2 std^2)) at the distances d to the middle, in points; see hann.",
     .call =
         [](const Args& a) {
           return around_middle(a, "signal.gaussian", "std", [](const Tensor& d) {
             return exp(square(d) * constant(-0.5));
           });
         },
     .samples = "8;;7, False, 2.5;;1",
     .reference = "lambda n, periodic=True, std=1.0, dtype='float32': reference.spectral_window(('gaussian', std), n, periodic, dtype)"},
    {.name = "signal.exponential",
     .parameters = "n: int, periodic: bool = True, tau: float = 1.0, dtype: dtype? = None",
     .doc = "exp(-|d| / tau) at the distances d to the middle, in points; see hann.",
     .call =
         [](const Args& a) {
           return around_middle(a, "signal.exponential", "tau",
                                [](const Tensor& d) { return exp(-abs(d)); });
         },
     .samples = "8;;7, False, 2.5;;1",
     .reference = "lambda n, periodic=True, tau=1.0, dtype='float32': reference.spectral_window(('exponential', None, tau), n, periodic, dtype)"},
});
// clang-format on

}  // namespace
}  // namespace tegula
