// tegula.fft: discrete Fourier transforms.
#include "ops/fourier.h"

#include <cmath>
#include <string>

#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr size_t kHeader = sizeof(FftAttrs) / sizeof(int64_t);

size_t axis_count(std::span<const int64_t> attrs) { return (attrs.size() - kHeader) / 2; }
FftAxis axis_of(std::span<const int64_t> attrs, size_t i) {
  return read_attrs<FftAxis>(attrs.subspan(kHeader + 2 * i));
}
Attrs fft_attrs(bool inverse, double scale, std::span<const FftAxis> axes) {
  Attrs attrs = write_attrs(FftAttrs{inverse, scale});
  for (const FftAxis& a : axes) {
    attrs.push_back(a.axis);
    attrs.push_back(a.n);
  }
  return attrs;
}

Tensors batch_fft(BatchContext& c) {
  Attrs attrs = c.attrs();
  for (size_t i = kHeader; i < attrs.size(); i += 2) ++attrs[i];
  return c.again(std::span(&c.input(0), 1), std::move(attrs));
}

// x with axis cut to, or filled up with zeros to, a size.
Tensor resized(const Tensor& x, int64_t axis, int64_t size) {
  const int64_t given = x.shape()[size_t(axis)];
  if (size == given) return x;
  if (size < given) {
    Shape sizes = x.shape();
    sizes[size_t(axis)] = size;
    return slice(x, Dims(x.rank(), 0), sizes, Dims(x.rank(), 1));
  }
  Dims before(x.rank(), 0), after(x.rank(), 0);
  after[size_t(axis)] = size - given;
  return pad(x, before, after, constant(0));
}

// x with the numbers of a half spectrum that stand for two multiplied by `factor`.
Tensor with_doubled(const Tensor& x, FftAxis along, double factor) {
  const int64_t half = along.n / 2 + 1, single = along.n % 2 == 0 ? 2 : 1;
  if (half <= single) return x;
  const DType dtype = real_dtype(x.dtype());
  Tensors parts{ones({1}, dtype), full({half - single}, scalar(factor, dtype))};
  if (along.n % 2 == 0) parts.push_back(ones({1}, dtype));
  Shape shape(x.rank(), 1);
  shape[size_t(along.axis)] = half;
  return x * reshape(concat(parts, 0), shape);
}

// Complex to complex over several axes; lines are cut or filled up with zeros first. The adjoint
// is the transform in the other direction.
const Primitive kComplex = {
    .name = "fft_c2c",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          for (size_t i = 0; i < axis_count(c.attrs); ++i)
            shape[size_t(axis_of(c.attrs, i).axis)] = axis_of(c.attrs, i).n;
          out.push_back({c.dtype(0), shape});
        },
    .vjp =
        [](VjpContext& c) {
          FftAttrs head = read_attrs<FftAttrs>(c.attrs());
          Attrs attrs(c.attrs().begin(), c.attrs().end());
          attrs[0] = !head.inverse;
          Tensor g = record(kComplex, {c.grad()}, attrs);
          for (size_t i = 0; i < axis_count(c.attrs()); ++i) {
            const int64_t axis = axis_of(c.attrs(), i).axis;
            g = resized(g, axis, c.input_shape(0)[size_t(axis)]);
          }
          c.give(0, g);
        },
    .batch = batch_fft,
    .in_place =
        [](const Node& node, int) {
          const Value& x = node.inputs[0];
          return x.node->outputs[x.index].shape == node.outputs[0].shape ? 0 : -1;
        },
};

const Primitive& to_real();

// n real numbers to n / 2 + 1 complex ones along one axis.
const Primitive kToComplex = {
    .name = "fft_r2c",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          const FftAxis along = axis_of(c.attrs, 0);
          shape[size_t(along.axis)] = along.n / 2 + 1;
          out.push_back({complex_dtype(c.dtype(0)), shape});
        },
    .vjp =
        [](VjpContext& c) {
          const FftAxis along = axis_of(c.attrs(), 0);
          const Tensor g = with_doubled(c.grad(), along, 0.5);
          const Tensor x = record(to_real(), {g}, Attrs(c.attrs().begin(), c.attrs().end()));
          c.give(0, resized(x, along.axis, c.input_shape(0)[size_t(along.axis)]));
        },
    .batch = batch_fft,
};

// The reverse: n real numbers whose transform begins with the n / 2 + 1 given. The imaginary parts
// of the first number, and of the last for even n, do not count.
const Primitive kToReal = {
    .name = "fft_c2r",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          const FftAxis along = axis_of(c.attrs, 0);
          shape[size_t(along.axis)] = along.n;
          out.push_back({real_dtype(c.dtype(0)), shape});
        },
    .vjp =
        [](VjpContext& c) {
          const FftAxis along = axis_of(c.attrs(), 0);
          const Tensor x =
              record(kToComplex, {c.grad()}, Attrs(c.attrs().begin(), c.attrs().end()));
          const Tensor g = with_doubled(x, along, 2);
          c.give(0, resized(g, along.axis, c.input_shape(0)[size_t(along.axis)]));
        },
    .batch = batch_fft,
};
const Primitive& to_real() { return kToReal; }

// ---- what users call --------------------------------------------------------------------------

// The last axis of `axes` is of n / 2 + 1 complex numbers.
enum class Half : uint8_t { none, given, made };

// How a transform scales, of `count` numbers in all.
double norm_scale(const std::string& norm, double count, bool inverse, const std::string& op) {
  if (norm == "ortho") return 1 / std::sqrt(count);
  require(norm == "backward" || norm == "forward", op,
          ": norm must be 'backward', 'ortho' or 'forward', got '", norm, "'");
  return (norm == "backward") == inverse ? 1 / count : 1;
}

struct Call {
  std::string op;
  SmallVector<FftAxis, 4> axes;
  double scale = 1;
};

// The lengths of the transforms along axes given one by one.
void set_axes(Call& call, const Tensor& x, const Dims& axes, const Dims* lengths,
              const std::string& norm, bool inverse, Half half, const char* argument) {
  double count = 1;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t given = x.shape()[size_t(axes[i])];
    const bool halved = half == Half::given && i + 1 == axes.size();
    int64_t n = halved && !lengths ? 2 * (given - 1) : given;
    if (lengths && (*lengths)[i] != -1) {
      n = (*lengths)[i];
      require(n >= 1, call.op, ": ", argument, " must be at least 1, got ", n);
    } else {
      require(n >= 1, call.op, ": axis ", axes[i], " of shape ", x.shape(),
              " has too few elements (", given, "); give the length of the transform as ",
              argument);
    }
    call.axes.push_back({axes[i], n});
    count *= double(n);
  }
  call.scale = norm_scale(norm, count, inverse, call.op);
}

// x, n, axis, norm.
Call one_axis(const Args& a, const char* op, bool inverse, Half half = Half::none) {
  Call call{op, {}, 1};
  const Tensor& x = a.tensor(0);
  require(x.rank() > 0, op, ": x needs at least one dimension");
  const Dims axes{normalize_axis(a.integer(2), x.rank(), op)};
  const Dims lengths{a.has(1) ? a.integer(1) : 0};
  if (a.has(1)) require(lengths[0] >= 1, op, ": n must be at least 1, got ", lengths[0]);
  set_axes(call, x, axes, a.has(1) ? &lengths : nullptr, a.text(3), inverse, half, "n");
  return call;
}

// x, s, axes, norm.
Call many_axes(const Args& a, const char* op, bool inverse, Half half = Half::none) {
  Call call{op, {}, 1};
  const Tensor& x = a.tensor(0);
  Dims axes;
  if (a.has(2)) {
    axes = a.ints(2);
    normalize_axes(axes, x.rank(), op);  // none twice
    for (int64_t& axis : axes) axis = normalize_axis(axis, x.rank(), op);
  } else {
    const int64_t rank = int64_t(x.rank()), count = a.has(1) ? int64_t(a.ints(1).size()) : rank;
    require(count <= rank, op, ": s has ", count, " lengths, x only ", rank, " dimensions");
    for (int64_t axis = rank - count; axis < rank; ++axis) axes.push_back(axis);
  }
  if (a.has(1))
    require(a.ints(1).size() == axes.size(), op, ": s ", a.ints(1), " and axes ", axes,
            " differ in length");
  require(half == Half::none || !axes.empty(), op, ": needs at least one axis");
  set_axes(call, x, axes, a.has(1) ? &a.ints(1) : nullptr, a.text(3), inverse, half, "s");
  return call;
}

Tensor as_complex(const Tensor& x) {
  return astype(x, complex_dtype(is_inexact(x.dtype()) ? x.dtype() : float_dtype(x.dtype())));
}
Tensor as_real(const Tensor& x, const std::string& op) {
  if (is_complex(x.dtype()))
    fail(ErrorKind::type, op, ": x must be real, got ", x.dtype(), "; fft takes complex numbers");
  return astype(x, x.dtype() == DType::float64 ? DType::float64 : DType::float32);
}

Tensor complex_transform(const Tensor& x, std::span<const FftAxis> axes, bool inverse,
                         double scale) {
  if (axes.empty()) return x;
  return record(kComplex, {x}, fft_attrs(inverse, scale, axes));
}

Tensor transform(const Tensor& x, const Call& call, bool inverse) {
  return complex_transform(as_complex(x), {call.axes.begin(), call.axes.end()}, inverse,
                           call.scale);
}
// The last axis first, then the others.
Tensor real_transform(const Tensor& x, const Call& call) {
  const std::span<const FftAxis> axes(call.axes.begin(), call.axes.end());
  const bool only = axes.size() == 1;
  const Tensor half = record(kToComplex, {as_real(x, call.op)},
                             fft_attrs(false, only ? call.scale : 1, axes.last(1)));
  return complex_transform(half, axes.first(axes.size() - 1), false, call.scale);
}
Tensor inverse_real_transform(const Tensor& x, const Call& call) {
  const std::span<const FftAxis> axes(call.axes.begin(), call.axes.end());
  const Tensor rest = complex_transform(as_complex(x), axes.first(axes.size() - 1), true, 1);
  return record(kToReal, {rest}, fft_attrs(false, call.scale, axes.last(1)));
}

// The frequencies of n samples in cycles per unit of their spacing d: those of fft, or the first
// half alone.
Tensors frequencies(const Args& a, const char* op, bool half) {
  const int64_t n = a.integer(0);
  const double d = a.real(1);
  require(n >= 1, op, ": n must be at least 1, got ", n);
  require(d != 0, op, ": d must not be 0");
  const DType dtype = a.dtype_or(2, DType::float32);
  require(is_floating(dtype), op, ": dtype must be a real floating-point dtype, got ", dtype);
  const DType wide = dtype == DType::float64 ? dtype : DType::float32;
  Tensor k = iota(half ? n / 2 + 1 : n);
  if (!half) {
    const Tensor middle = scalar((n - 1) / 2, DType::int64), period = scalar(n, DType::int64);
    k = where(greater(k, middle), k - period, k);
  }
  return {astype(astype(k, wide) * scalar(1 / (double(n) * d), wide), dtype)};
}

Tensors shifted(const Args& a, bool back) {
  Tensor x = a.tensor(0);
  for (int64_t axis : a.axes(1, x.rank())) {
    axis = normalize_axis(axis, x.rank(), back ? "fft.ifftshift" : "fft.fftshift");
    const int64_t size = x.shape()[size_t(axis)], first = back ? size / 2 : size - size / 2;
    if (first == 0 || first == size) continue;
    const size_t a = size_t(axis);
    x = concat({part_of(x, a, first, size), part_of(x, a, 0, first)}, axis);
  }
  return {x};
}

constexpr std::string_view kOneAxis =
    "x: Tensor, /, *, n: int? = None, axis: int = -1, norm: str = 'backward'";
constexpr std::string_view kManyAxes =
    "x: Tensor, /, *, s: ints? = None, axes: ints? = None, norm: str = 'backward'";
constexpr std::string_view kFrequencies =
    "n: int, /, *, d: float = 1.0, dtype: dtype? = None, device: device? = None";

// clang-format off
const Family kFourier("Fourier transforms", {
    {.name = "fft.fft",
     .parameters = kOneAxis,
     .doc = "The discrete Fourier transform along axis, y[k] = sum of x[j] exp(-2 pi i j k / n). x "
            "is cut, or filled up with zeros, to n elements. norm says which direction divides: "
            "'backward' the inverse by n, 'forward' this one by n, 'ortho' both by sqrt(n). Of "
            "real x the complex dtype with parts of its dtype, 16-bit floats and integers as "
            "float32.",
     .call = [](const Args& a) {
           return Tensors{transform(a.tensor(0), one_axis(a, "fft.fft", false), false)};
         },
     .samples = "f(8);;c(3, 5), axis=0;;c(3, 6), n=4, norm='ortho';;c(2, 3), n=7, norm='forward'",
     .reference = "numpy.fft.fft",
     .differentiable = true},
    {.name = "fft.ifft",
     .parameters = kOneAxis,
     .doc = "The inverse of fft: y[j] = sum of x[k] exp(2 pi i j k / n) / n for the default norm.",
     .call = [](const Args& a) {
           return Tensors{transform(a.tensor(0), one_axis(a, "fft.ifft", true), true)};
         },
     .samples = "f(8);;c(3, 5), axis=0;;c(3, 6), n=4, norm='ortho';;c(2, 3), n=7, norm='forward'",
     .reference = "numpy.fft.ifft",
     .differentiable = true},
    {.name = "fft.fftn",
     .parameters = kManyAxes,
     .doc = "The discrete Fourier transform over several axes (all by default, or the last len(s) "
            "where s is given), cut or filled up with zeros to the lengths s; -1 keeps a length.",
     .call = [](const Args& a) {
           return Tensors{transform(a.tensor(0), many_axes(a, "fft.fftn", false), false)};
         },
     .samples = "f(3, 4);;c(2, 3, 4), axes=(0, 2), norm='ortho';;c(3, 4), s=(2, 5), axes=(1, 0)",
     .reference = "numpy.fft.fftn",
     .differentiable = true},
    {.name = "fft.ifftn",
     .parameters = kManyAxes,
     .doc = "The inverse of fftn.",
     .call = [](const Args& a) {
           return Tensors{transform(a.tensor(0), many_axes(a, "fft.ifftn", true), true)};
         },
     .samples = "f(3, 4);;c(2, 3, 4), axes=(0, 2), norm='ortho';;c(3, 4), s=(2, 5), axes=(1, 0)",
     .reference = "numpy.fft.ifftn",
     .differentiable = true},
    {.name = "fft.rfft",
     .parameters = kOneAxis,
     .doc = "The first n // 2 + 1 numbers of the transform of real x along axis, which determine "
            "the others: y[n - k] = conj(y[k]). TypeError for complex x.",
     .call = [](const Args& a) {
           return Tensors{real_transform(a.tensor(0), one_axis(a, "fft.rfft", false))};
         },
     .samples = "f(8);;f(5, 3), axis=0;;f(3, 6), n=4, norm='ortho';;f(2, 4), n=7, norm='forward'",
     .reference = "numpy.fft.rfft",
     .differentiable = true},
    {.name = "fft.irfft",
     .parameters = kOneAxis,
     .doc = "The inverse of rfft: n real numbers (2 * (size of axis - 1) by default) from the "
            "first half of their transform. The imaginary part of its first number does not "
            "count, nor, for even n, that of its last.",
     .call = [](const Args& a) {
           return Tensors{
               inverse_real_transform(a.tensor(0), one_axis(a, "fft.irfft", true, Half::given))};
         },
     .samples = "f(5);;c(4, 3), axis=0;;c(3, 6), n=7, norm='ortho';;c(2, 3), n=8, norm='forward'",
     .reference = "numpy.fft.irfft",
     .differentiable = true},
    {.name = "fft.rfftn",
     .parameters = kManyAxes,
     .doc = "The transform of real x over several axes, of which the last keeps its first half. "
            "TypeError for complex x.",
     .call = [](const Args& a) {
           return Tensors{real_transform(a.tensor(0), many_axes(a, "fft.rfftn", false, Half::made))};
         },
     .samples = "f(3, 4);;f(2, 3, 5), axes=(0, 2), norm='ortho';;f(3, 4), s=(2, 5), axes=(1, 0)",
     .reference = "numpy.fft.rfftn",
     .differentiable = true},
    {.name = "fft.irfftn",
     .parameters = kManyAxes,
     .doc = "The inverse of rfftn; s are the lengths of the result.",
     .call = [](const Args& a) {
           return Tensors{inverse_real_transform(
               a.tensor(0), many_axes(a, "fft.irfftn", true, Half::given))};
         },
     .samples = "f(3, 4);;c(2, 3, 5), axes=(0, 2), norm='ortho';;c(3, 4), s=(2, 5), axes=(1, 0)",
     .reference = "numpy.fft.irfftn",
     .differentiable = true},
    {.name = "fft.hfft",
     .parameters = kOneAxis,
     .doc = "The real transform of n numbers (2 * (size of axis - 1) by default) of which the "
            "first half is given, the others being conjugates: x[n - j] = conj(x[j]).",
     .call = [](const Args& a) {
           const Call call = one_axis(a, "fft.hfft", false, Half::given);
           return Tensors{inverse_real_transform(conj(as_complex(a.tensor(0))), call)};
         },
     .samples = "f(5);;c(4, 3), axis=0;;c(3, 6), n=7, norm='ortho';;c(2, 3), n=8, norm='forward'",
     .reference = "numpy.fft.hfft",
     .differentiable = true},
    {.name = "fft.ihfft",
     .parameters = kOneAxis,
     .doc = "The inverse of hfft: the first n // 2 + 1 numbers of the inverse transform of real x. "
            "TypeError for complex x.",
     .call = [](const Args& a) {
           return Tensors{conj(real_transform(a.tensor(0), one_axis(a, "fft.ihfft", true)))};
         },
     .samples = "f(8);;f(5, 3), axis=0;;f(3, 6), n=4, norm='ortho';;f(2, 4), n=7, norm='forward'",
     .reference = "numpy.fft.ihfft",
     .differentiable = true},
    {.name = "fft.fftfreq",
     .parameters = kFrequencies,
     .doc = "The frequencies of the n numbers that fft gives of samples d apart: 0, 1, ..., then "
            "the negative ones up to -1, all divided by n * d. dtype is float32 by default.",
     .call = [](const Args& a) { return frequencies(a, "fft.fftfreq", false); },
     .samples = "8;;5, d=0.1;;1;;6, dtype='float64'",
     .reference = "lambda n, d=1.0, dtype='float32': numpy.fft.fftfreq(n, d).astype(dtype)"},
    {.name = "fft.rfftfreq",
     .parameters = kFrequencies,
     .doc = "The frequencies of the n // 2 + 1 numbers that rfft gives of n samples d apart: 0, "
            "1, ..., n // 2, divided by n * d. dtype is float32 by default.",
     .call = [](const Args& a) { return frequencies(a, "fft.rfftfreq", true); },
     .samples = "8;;5, d=0.1;;1;;6, dtype='float64'",
     .reference = "lambda n, d=1.0, dtype='float32': numpy.fft.rfftfreq(n, d).astype(dtype)"},
    {.name = "fft.fftshift",
     .parameters = "x: Tensor, /, *, axes: ints? = None",
     .doc = "x with the frequency 0 moved from the start to the middle of axes (all by default).",
     .call = [](const Args& a) { return shifted(a, false); },
     .samples = "f(8);;f(3, 4);;f(3, 5), axes=1;;f(0, 3)",
     .reference = "numpy.fft.fftshift",
     .differentiable = true},
    {.name = "fft.ifftshift",
     .parameters = "x: Tensor, /, *, axes: ints? = None",
     .doc = "The inverse of fftshift.",
     .call = [](const Args& a) { return shifted(a, true); },
     .samples = "f(8);;f(3, 4);;f(3, 5), axes=1;;f(0, 3)",
     .reference = "numpy.fft.ifftshift",
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor rfft(const Tensor& x, double scale) {
  const FftAxis axis = {int64_t(x.rank()) - 1, x.shape().back()};
  return record(kToComplex, {x}, fft_attrs(false, scale, {&axis, 1}));
}

Tensor irfft(const Tensor& x, int64_t n, double scale) {
  const FftAxis axis = {int64_t(x.rank()) - 1, n};
  return record(kToReal, {x}, fft_attrs(false, scale, {&axis, 1}));
}

}  // namespace tegula
