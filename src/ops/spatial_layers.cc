// Layers over neighbouring channels, and of two inputs.
#include "ops/einsum.h"
#include "ops/op.h"
#include "ops/windows.h"

namespace tegula {
namespace {

Tensor local_response_norm(const Tensor& given, int64_t size, double alpha, double beta, double k) {
  require(given.rank() >= 3, "local_response_norm: x must be (N, C, ...), got shape ",
          given.shape());
  require(size > 0 && size < int64_t(1) << 20, "local_response_norm: size must be positive, got ",
          size);
  if (!is_floating(given.dtype()))
    fail(ErrorKind::type, "local_response_norm: needs a floating-point tensor, got ",
         given.dtype());
  const Tensor x = widened(given);
  if (x.shape()[1] == 0) return given;
  Dims before(x.rank(), 0), after = before;
  before[1] = size / 2;
  after[1] = (size - 1) / 2;
  const Tensor squares = pad(square(x), before, after, constant(0));
  const Tensor sums = sum(windows_of(squares, 1, size, 1), {-1}, false);
  const Tensor scale = pow(sums * constant(alpha / double(size)) + constant(k), constant(beta));
  return astype(x / scale, given.dtype());
}

Tensor bilinear(const Tensor& a, const Tensor& b, const Tensor& weight, const Tensor& bias) {
  require(weight.rank() == 3, "bilinear: weight must be (out, in1, in2), got shape ",
          weight.shape());
  const int64_t outputs = weight.shape()[0];
  require(a.rank() > 0 && b.rank() == a.rank() &&
              Shape(a.shape().begin(), a.shape().end() - 1) ==
                  Shape(b.shape().begin(), b.shape().end() - 1),
          "bilinear: shapes ", a.shape(), " of x1 and ", b.shape(),
          " of x2 differ before the last "
          "axis");
  require(a.shape().back() == weight.shape()[1] && b.shape().back() == weight.shape()[2],
          "bilinear: x1 of shape ", a.shape(), " and x2 of shape ", b.shape(),
          " do not end in the inputs of weight ", weight.shape());
  if (bias)
    require(bias.shape() == Shape{outputs}, "bilinear: bias of shape ", bias.shape(),
            " does not fit the ", outputs, " outputs of weight ", weight.shape());
  Shape shape(a.shape().begin(), a.shape().end() - 1);
  const int64_t rows = numel(shape);
  shape.push_back(outputs);
  const Tensors operands = {reshape(a, {rows, a.shape().back()}), weight,
                            reshape(b, {rows, b.shape().back()})};
  const Tensor y =
      reshape(contract(operands, {{0, 1}, {2, 1, 3}, {0, 3}}, {0, 2}, "bilinear"), shape);
  return bias ? y + bias : y;
}

// clang-format off
const Family kSpatialLayers("Layers over channels", {
    {.name = "local_response_norm",
     .parameters = "x: Tensor, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0",
     .doc = "x (N, C, ...) / (k + alpha * m)^beta, where m is the mean of the squares of `size` "
            "channels around each. Krizhevsky et al. 2012, NIPS 25.",
     .call =
         [](const Args& a) {
           return Tensors{local_response_norm(a.tensor(0), a.integer(1), a.real(2), a.real(3),
                                              a.real(4))};
         },
     .samples = "f(2, 5, 3), 3;;f(2, 4, 3, 2), 2, 0.5, 0.6, 2.0;;f(1, 2, 3), 7, 1.0;;f(2, 3, 2), 1, 0.3",
     .reference = "reference.local_response_norm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "bilinear",
     .parameters = "x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor? = None",
     .doc = "x1^T weight x2 + bias for every output: x1 (..., in1), x2 (..., in2), weight (out, in1, "
            "in2) and bias (out,) give (..., out).",
     .call =
         [](const Args& a) {
           return Tensors{bilinear(a.tensor(0), a.tensor(1), a.tensor(2), a.optional_tensor(3))};
         },
     .samples = "f(5, 3), f(5, 4), f(2, 3, 4), f(2);;f(2, 3, 4), f(2, 3, 2), f(3, 4, 2);;"
                "f(3), f(2), f(4, 3, 2), f(4)",
     .reference = "lambda a, b, w, bias=0: numpy.einsum('...i,oij,...j->...o', a, w, b) + bias",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
