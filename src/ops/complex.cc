#include "ops/complex.h"

#include "ops/op.h"

namespace tegula {
namespace {

// Gradients of complex numbers are those of the parts, dL/d(re) + i dL/d(im) of a real L: a step
// against it makes L smaller. A derivative f' is then multiplied as conj(f').
const Primitive kReal = {
    .name = "real",
    .kind = Kind::elementwise,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({real_dtype(c.dtype(0)), c.shape(0)}); },
    .vjp = [](VjpContext& c) { c.give(0, astype(c.grad(), c.input_dtype(0))); },
};
const Primitive kImag = {
    .name = "imag",
    .kind = Kind::elementwise,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({real_dtype(c.dtype(0)), c.shape(0)}); },
    .vjp = [](VjpContext& c) { c.give(0, complex(scalar(0.0, c.grad().dtype()), c.grad())); },
};
const Primitive kConj = {
    .name = "conj",
    .kind = Kind::elementwise,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .vjp = [](VjpContext& c) { c.give(0, conj(c.grad())); },
};
const Primitive kComplex = {
    .name = "complex",
    .kind = Kind::elementwise,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back(
              {complex_dtype(c.dtype(0)), broadcast_shapes(c.shape(0), c.shape(1), "complex")});
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.give(0, real(c.grad()));
          if (c.needs(1)) c.give(1, imag(c.grad()));
        },
};

Tensor angle(const Tensor& x) {
  const Tensor y = astype(x, float_dtype(x.dtype()));
  return atan2(imag(y), real(y));
}

Tensor absolute(const Tensor& x) { return hypot(real(x), imag(x)); }

// clang-format off
const Family kComplexNumbers("Complex numbers", {
    {.name = "real", .parameters = "x: Tensor",
     .doc = "The real part; x itself where it is real.",
     .call = [](const Args& a) { return Tensors{real(a.tensor(0))}; },
     .samples = "c(3, 4);;f(3, 4)", .reference = "numpy.real", .differentiable = true},
    {.name = "imag", .parameters = "x: Tensor",
     .doc = "The imaginary part; zeros where x is real.",
     .call = [](const Args& a) { return Tensors{imag(a.tensor(0))}; },
     .samples = "c(3, 4);;f(3, 4)", .reference = "numpy.imag", .differentiable = true},
    {.name = "conj", .parameters = "x: Tensor",
     .doc = "The complex conjugate; x itself where it is real.",
     .call = [](const Args& a) { return Tensors{conj(a.tensor(0))}; },
     .samples = "c(3, 4);;f(3, 4)", .reference = "numpy.conj", .differentiable = true},
    {.name = "angle", .parameters = "x: Tensor",
     .doc = "The angle of x in the complex plane, in (-pi, pi].",
     .call = [](const Args& a) { return Tensors{angle(a.tensor(0))}; },
     .samples = "c(3, 4)", .reference = "numpy.angle", .differentiable = true},
    {.name = "complex", .parameters = "real: Tensor, imag: Tensor",
     .doc = "real + 1j * imag: complex128 where either is float64, else complex64. TypeError where "
            "either is complex.",
     .call = [](const Args& a) { return Tensors{complex(a.tensor(0), a.tensor(1))}; },
     .samples = "f(3, 4), f(4);;f(3), 0.5",
     .reference = "lambda real, imag: real + numpy.complex64(1j) * imag",
     .method = false, .differentiable = true},
});
// clang-format on

}  // namespace

Tensor real(const Tensor& x) { return is_complex(x.dtype()) ? record(kReal, {x}) : x; }
Tensor imag(const Tensor& x) {
  if (is_complex(x.dtype())) return record(kImag, {x});
  return zeros(x.shape(), x.dtype());
}
Tensor conj(const Tensor& x) { return is_complex(x.dtype()) ? record(kConj, {x}) : x; }

Tensor complex(const Tensor& real, const Tensor& imag) {
  const DType met = common_dtype(real, imag);
  if (is_complex(met))
    fail(ErrorKind::type, "complex: needs real parts, got ", real.dtype(), " and ", imag.dtype());
  const DType part = real_dtype(complex_dtype(met));
  broadcast_shapes(real.shape(), imag.shape(), "complex");
  return record(kComplex, {astype(real, part), astype(imag, part)});
}

void require_order(const Tensor& x, const char* op) {
  if (is_complex(x.dtype()))
    fail(ErrorKind::type, op, ": complex numbers have no order, got ", x.dtype());
}

bool made_of_parts(std::string_view name) {
  for (std::string_view one : {"abs", "isnan", "isinf", "isfinite", "round", "sign"})
    if (one == name) return true;
  return false;
}

Tensor by_parts(std::string_view name, const Tensor& x) {
  if (name == "abs") return absolute(x);
  if (name == "isnan") return logical_or(isnan(real(x)), isnan(imag(x)));
  if (name == "isinf") return logical_or(isinf(real(x)), isinf(imag(x)));
  if (name == "isfinite") return logical_and(isfinite(real(x)), isfinite(imag(x)));
  if (name == "round") return by_parts(x, [](const Tensor& part) { return round(part); });
  const Tensor size = absolute(x), zero = equal(size, constant(0));  // sign: x / |x|, 0 for 0
  return where(zero, constant(0), x / where(zero, constant(1), size));
}

}  // namespace tegula
