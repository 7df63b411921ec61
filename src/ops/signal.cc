// tegula.signal: frames, the short-time Fourier transform, and convolution.
#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/fourier.h"
#include "ops/op.h"
#include "ops/windows.h"

namespace tegula {
namespace {

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

// How much of a full convolution is asked for: which elements of it.
std::pair<int64_t, int64_t> wanted_part(const std::string& mode, int64_t n, int64_t m,
                                        const char* op) {
  const int64_t longer = std::max(n, m), shorter = std::min(n, m);
  if (mode == "full") return {0, n + m - 1};
  if (mode == "same") return {(shorter - 1) / 2, (shorter - 1) / 2 + longer};
  if (mode == "valid") return {shorter - 1, longer};
  fail(ErrorKind::value, op, ": mode must be 'full', 'same' or 'valid', got '", mode, "'");
}

void check_operands(const Tensor& a, const Tensor& b, const char* op) {
  require(a.rank() > 0 && b.rank() > 0 && a.shape().back() > 0 && b.shape().back() > 0, op,
          ": needs at least one element along the last axis, got shapes ", a.shape(), " and ",
          b.shape());
}

Tensor convolve(const Tensor& x1, const Tensor& x2, const std::string& mode, const char* op) {
  check_operands(x1, x2, op);
  const bool swap = x2.shape().back() > x1.shape().back();
  const Tensor &a = swap ? x2 : x1, &b = swap ? x1 : x2;
  const int64_t n = a.shape().back(), m = b.shape().back();
  const auto [begin, end] = wanted_part(mode, n, m, op);
  // Element k of the full one sees a[k - m + 1] to a[k].
  const int64_t first = begin - m + 1, last = end;
  Dims none(a.rank(), 0), before = none, after = none;
  before.back() = std::max<int64_t>(0, -first);
  after.back() = std::max<int64_t>(0, last - n);
  Tensor wide = pad(a, before, after, scalar(int64_t(0), DType::int64, true));
  wide = part_of(wide, wide.rank() - 1, first + before.back(), last + before.back());
  const Tensor windows = windows_of(wide, wide.rank() - 1, m, 1);
  const Tensor taps = expand_dims(flip(b, {-1}), -1);
  return squeeze(matmul(windows, taps), {-1});
}

// The next length whose transform is quick: a product of 2, 3 and 5.
int64_t quick_length(int64_t n) {
  for (;; ++n) {
    int64_t rest = n;
    for (const int64_t factor : {2, 3, 5})
      while (rest % factor == 0) rest /= factor;
    if (rest == 1) return n;
  }
}

Tensor fftconvolve(const Tensor& x1, const Tensor& x2, const std::string& mode) {
  constexpr const char* kOp = "signal.fftconvolve";
  check_operands(x1, x2, kOp);
  const DType dtype = promote(x1.dtype(), x2.dtype());
  if (!is_floating(dtype))
    fail(ErrorKind::type, kOp, ": needs real floating-point tensors, got ", dtype);
  const int64_t n = x1.shape().back(), m = x2.shape().back();
  const auto [begin, end] = wanted_part(mode, n, m, kOp);
  const int64_t length = quick_length(n + m - 1);
  const auto spectrum = [&](const Tensor& x) {
    Dims none(x.rank(), 0), after = none;
    after.back() = length - x.shape().back();
    return rfft(pad(widened(astype(x, dtype)), none, after, constant(0)), 1);
  };
  const Tensor y = irfft(spectrum(x1) * spectrum(x2), length, 1 / double(length));
  return astype(part_of(y, y.rank() - 1, begin, end), dtype);
}

// clang-format off
const Family kSignal("Signals", {
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
    {.name = "signal.convolve",
     .parameters = "x1: Tensor, x2: Tensor, mode: str = 'full'",
     .doc = "The sums of x1[i] x2[k - i] along the last axis, the others broadcasting: all n + m - 1 "
            "of them, for 'same' as many as the longer has, in the middle, for 'valid' those where "
            "the shorter lies within the longer. Summed directly; fftconvolve is for long ones. "
            "ValueError for an empty axis.",
     .call =
         [](const Args& a) {
           return Tensors{convolve(a.tensor(0), a.tensor(1), a.text(2), "signal.convolve")};
         },
     .samples = "f(7), f(3);;f(3), f(6), 'same';;f(8), f(3), 'valid';;f(2, 5), f(2, 4), 'same';;"
                "f(1), f(1);;f(4), f(2, 3);;c(4), c(3);;ints(-9, 9, 5), ints(-9, 9, 3)",
     .reference = "reference.convolve",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "signal.fftconvolve",
     .parameters = "x1: Tensor, x2: Tensor, mode: str = 'full'",
     .doc = "What convolve gives for real floating-point tensors, by Fourier transforms: for n and m "
            "elements in about (n + m) log(n + m) steps, with errors relative to the largest.",
     .call =
         [](const Args& a) { return Tensors{fftconvolve(a.tensor(0), a.tensor(1), a.text(2))}; },
     .samples = "f(7), f(3);;f(3), f(6), 'same';;f(8), f(3), 'valid';;f(2, 5), f(2, 4), 'same';;"
                "f(4), f(2, 3);;f(40), f(30)",
     .reference = "reference.convolve",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "signal.correlate",
     .parameters = "x1: Tensor, x2: Tensor, mode: str = 'full'",
     .doc = "The sums of x1[i + k] times the conjugate of x2[i] along the last axis: convolve with x2 "
            "conjugated and in reverse order.",
     .call =
         [](const Args& a) {
           const Tensor& x2 = a.tensor(1);
           check_operands(a.tensor(0), x2, "signal.correlate");
           return Tensors{convolve(a.tensor(0), conj(flip(x2, {-1})), a.text(2), "signal.correlate")};
         },
     .samples = "f(7), f(3);;f(8), f(3), 'valid';;f(2, 5), f(2, 4), 'same';;c(4), c(3)",
     .reference = "lambda a, b, mode='full': reference.convolve(a, numpy.conj(b[..., ::-1]), mode)",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
