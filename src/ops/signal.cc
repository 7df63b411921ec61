// tegula.signal: windows for spectra, frames, and the short-time Fourier transform.
#include <cmath>
#include <numbers>

#include "ops/fourier.h"
#include "ops/op.h"
#include "ops/windows.h"

namespace tegula {
namespace {

constexpr double kPi = std::numbers::pi;

// i / (n - 1) for the n points of a window, or i / n where it is one period of what goes on.
struct Points {
  Tensor at;
  DType dtype;
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
  return {i * constant(1 / double(std::max<int64_t>(steps, 1))), wanted, n == 1};
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

int64_t positive(int64_t value, const char* op, const char* argument) {
  require(value > 0 && value < int64_t(1) << 31, op, ": ", argument, " must be positive, got ",
          value);
  return value;
}

Tensor frame(const Tensor& x, int64_t length, int64_t hop, const char* op) {
  require(x.rank() > 0, op, ": x must have at least 1 dimension");
  const int64_t n = x.shape().back();
  require(n >= length, op, ": frames of ", length, " do not fit into the ", n,
          " elements of x's last axis");
  return windows_of(x, x.rank() - 1, length, hop);
}

// Elements put around the last axis, x's own in mirror order.
Tensor reflected(const Tensor& x, int64_t count, const char* op) {
  const size_t axis = x.rank() - 1;
  const int64_t n = x.shape()[axis];
  require(count < n, op, ": with center, x must be longer than half of n_fft, got ", n);
  const Dims last{int64_t(axis)};
  return concat({flip(part_of(x, axis, 1, count + 1), last), x,
                 flip(part_of(x, axis, n - count - 1, n - 1), last)},
                int64_t(axis));
}

// A window of n_fft elements: the given one in the middle of zeros, or ones.
Tensor window_of(const Tensor& given, int64_t n_fft, DType dtype, const char* op) {
  if (!given) return ones({n_fft}, dtype);
  require(given.rank() == 1 && given.shape()[0] <= n_fft, op, ": window of shape ", given.shape(),
          " must be 1-d, of at most n_fft = ", n_fft, " elements");
  if (!is_floating(given.dtype()))
    fail(ErrorKind::type, op, ": window must be floating-point, got ", given.dtype());
  const int64_t rest = n_fft - given.shape()[0];
  return pad(astype(given, dtype), {rest / 2}, {rest - rest / 2}, constant(0));
}

Tensors stft(const Args& a) {
  constexpr const char* kOp = "signal.stft";
  Tensor x = a.tensor(0);
  if (!is_floating(x.dtype()))
    fail(ErrorKind::type, kOp, ": x must be real and floating-point, got ", x.dtype());
  x = widened(x);
  require(x.rank() > 0, kOp, ": x must have at least 1 dimension");
  const int64_t n = positive(a.integer(1), kOp, "n_fft");
  const int64_t hop =
      a.has(2) ? positive(a.integer(2), kOp, "hop_length") : std::max<int64_t>(n / 4, 1);
  if (a.boolean(4)) x = reflected(x, n / 2, kOp);
  const Tensor window = window_of(a.optional_tensor(3), n, x.dtype(), kOp);
  Tensor y = rfft(frame(x, n, hop, kOp) * window, a.boolean(5) ? 1 / std::sqrt(double(n)) : 1);
  return {matrix_transpose(y)};
}

Tensors istft(const Args& a) {
  constexpr const char* kOp = "signal.istft";
  const Tensor& x = a.tensor(0);
  if (!is_complex(x.dtype())) fail(ErrorKind::type, kOp, ": x must be complex, got ", x.dtype());
  require(x.rank() >= 2, kOp, ": x must be (..., frequencies, frames), got shape ", x.shape());
  const int64_t n = positive(a.integer(1), kOp, "n_fft");
  const int64_t hop =
      a.has(2) ? positive(a.integer(2), kOp, "hop_length") : std::max<int64_t>(n / 4, 1);
  const int64_t frames = x.shape().back();
  require(x.shape()[x.rank() - 2] == n / 2 + 1 && frames > 0, kOp, ": x of shape ", x.shape(),
          " must have ", n / 2 + 1, " frequencies for n_fft = ", n, ", and a frame");
  const Tensor window = window_of(a.optional_tensor(3), n, real_dtype(x.dtype()), kOp);
  const double scale = a.boolean(5) ? 1 / std::sqrt(double(n)) : 1 / double(n);
  const Tensor parts = irfft(matrix_transpose(x), n, scale) * window;
  const int64_t extent = (frames - 1) * hop + n;
  Tensor y = overlap_add(parts, parts.rank() - 2, hop, extent);
  const Tensor squares = broadcast_to(square(window), {frames, n});
  const Tensor weight = overlap_add(squares, 0, hop, extent);
  const Tensor none = less(weight, constant(1e-11));  // where no window reaches
  y = where(none, constant(0), y / where(none, constant(1), weight));
  const int64_t begin = a.boolean(4) ? n / 2 : 0;
  const int64_t length = a.has(6) ? positive(a.integer(6), kOp, "length") : extent - 2 * begin;
  require(length > 0, kOp, ": x has too few frames to be centered");
  const int64_t end = std::min(begin + length, extent);
  y = part_of(y, y.rank() - 1, begin, end);
  Dims no(y.rank(), 0), after = no;
  after.back() = begin + length - end;
  return {pad(y, no, after, constant(0))};
}

constexpr std::string_view kWindow = "n: int, periodic: bool = True, dtype: dtype? = None";

// clang-format off
const Family kSignal("Signals", {
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
    {.name = "signal.frame",
     .parameters = "x: Tensor, length: int, hop: int",
     .doc = "The parts of `length` elements of x's last axis that begin hop apart: (..., n) -> (..., "
            "frames, length). No memory is copied. ValueError where none fits.",
     .call =
         [](const Args& a) {
           const int64_t length = positive(a.integer(1), "signal.frame", "length");
           const int64_t hop = positive(a.integer(2), "signal.frame", "hop");
           return Tensors{frame(a.tensor(0), length, hop, "signal.frame")};
         },
     .samples = "f(9), 4, 2;;f(2, 10), 3, 3;;f(2, 3, 7), 2, 4;;f(5), 5, 1",
     .reference = "lambda x, length, hop: numpy.lib.stride_tricks.sliding_window_view(x, length, "
                  "-1)[..., ::hop, :]",
     .differentiable = true},
    {.name = "signal.stft",
     .parameters = "x: Tensor, n_fft: int, hop_length: int? = None, window: Tensor? = None, "
                   "center: bool = True, normalized: bool = False",
     .doc = "The short-time Fourier transform of real x (..., n), as (..., n_fft / 2 + 1, frames): the "
            "rfft of frames of n_fft elements, hop_length (n_fft / 4 by default) apart, times window "
            "(ones; a shorter one is centred). With center, frame i is around element i * "
            "hop_length of x, which is reflected at its ends. normalized divides by sqrt(n_fft).",
     .call = stft,
     .samples = "f(40), 8;;f(2, 30), 9, 4, pos(9);;f(25), 8, 3, pos(6), False;;"
                "f(2, 3, 20), 6, 2, pos(6), True, True",
     .reference = "reference.stft",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "signal.istft",
     .parameters = "x: Tensor, n_fft: int, hop_length: int? = None, window: Tensor? = None, "
                   "center: bool = True, normalized: bool = False, length: int? = None",
     .doc = "The signal (..., n) whose stft, of the same arguments, comes closest to x (..., n_fft / 2 "
            "+ 1, frames): frames times window are added up and divided by what the squared windows "
            "add up to. Where there are none it is 0. length cuts it, or adds zeros. Griffin and "
            "Lim 1984, IEEE Trans. ASSP 32(2).",
     .call = istft,
     .samples = "c(5, 9), 8;;c(2, 5, 7), 9, 4, pos(9);;c(5, 6), 8, 3, pos(8), False;;"
                "c(4, 9), 6, 2, pos(6), True, True, 20",
     .reference = "reference.istft",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
