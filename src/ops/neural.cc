// Composites of neural networks: activations and normalisations, functions of the primitives.
// 16-bit floats are normalised in float32.
#include <cmath>
#include <numbers>

#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

Tensor floating(const Tensor& x) { return astype(x, float_dtype(x.dtype())); }

// The largest elements along axes, as constants: what they are subtracted from does not depend on
// them.
Tensor constant_max(const Tensor& x, const Dims& axes) {
  GradMode off(false);
  return max(x, axes, true);
}

Tensor gelu(const Tensor& given, const std::string& approximate) {
  require(approximate == "none" || approximate == "tanh",
          "gelu: approximate must be 'none' or 'tanh', got '", approximate, "'");
  const Tensor x = floating(given);
  if (approximate == "none")
    return x * constant(0.5) * (erf(x * constant(std::numbers::sqrt2 / 2)) + constant(1));
  // (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its digits where tanh(u) is nearly -1.
  const double scale = 2 * std::sqrt(2 / std::numbers::pi);
  return x * sigmoid(x * (x * x * constant(0.044715 * scale) + constant(scale)));
}

Tensor elu(const Tensor& given, double alpha) {
  const Tensor x = floating(given), positive = greater(x, constant(0));
  return where(positive, x, expm1(where(positive, constant(0), x)) * constant(alpha));
}

Tensor leaky_relu(const Tensor& given, double slope) {
  const Tensor x = floating(given);
  return where(greater(x, constant(0)), x, x * constant(slope));
}

Tensor softplus(const Tensor& given) {
  const Tensor x = floating(given);
  return maximum(x, constant(0)) + log1p(exp(-abs(x)));
}

Tensor scale_and_shift(Tensor y, const Tensor& weight, const Tensor& bias) {
  if (weight) y = y * weight;
  return bias ? y + bias : y;
}

void check_affine(const Tensor& parameter, const Shape& shape, const char* op, const char* what) {
  if (parameter)
    require(parameter.shape() == shape, op, ": ", what, " has shape ", parameter.shape(),
            ", needs ", shape);
}

// As layer_norm over the elements of each group of channels of x (N, C, ...).
Tensor group_norm(const Tensor& given, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  require(given.rank() >= 2, "group_norm: x must be (N, C, ...), got shape ", given.shape());
  const int64_t channels = given.shape()[1];
  require(groups > 0 && channels % groups == 0, "group_norm: the ", channels,
          " channels of x do not divide into ", groups, " groups");
  check_affine(weight, {channels}, "group_norm", "weight");
  check_affine(bias, {channels}, "group_norm", "bias");
  const Tensor x = widened(given);
  Shape grouped = given.shape(), along(given.rank(), 1);
  grouped[1] = channels / groups;
  grouped.insert(1, groups);
  along[0] = groups;
  along[1] = channels / groups;
  const Tensor parts = reshape(x, grouped);
  Dims axes;
  for (size_t axis = 2; axis < grouped.size(); ++axis) axes.push_back(int64_t(axis));
  const Tensors both = moments(parts, axes);
  const Tensor y = (parts - both[0]) * rsqrt(both[1] + constant(eps));
  const auto shaped = [&](const Tensor& parameter) {
    return parameter ? reshape(parameter, along) : Tensor();
  };
  return astype(reshape(scale_and_shift(y, shaped(weight), shaped(bias)), given.shape()),
                float_dtype(given.dtype()));
}

// The running statistic moved towards the batch's.
Tensor moved(const Tensor& running, const Tensor& batch, const Tensor& momentum) {
  if (!running) return {};
  const Tensor to = running + (astype(batch, running.dtype()) - running) * momentum;
  return astype(to, running.dtype());
}

Tensors batch_norm(const Args& a) {
  const Tensor& given = a.tensor(0);
  require(given.rank() >= 2, "batch_norm: x must be (N, C, ...), got shape ", given.shape());
  const int64_t channels = given.shape()[1], count = channels ? given.size() / channels : 0;
  const Tensor running_mean = a.optional_tensor(1), running_var = a.optional_tensor(2);
  const Tensor weight = a.optional_tensor(3), bias = a.optional_tensor(4);
  const bool training = a.boolean(5);
  const char* names[] = {"running_mean", "running_var", "weight", "bias"};
  for (size_t i = 0; i < 4; ++i)
    check_affine(a.optional_tensor(1 + i), {channels}, "batch_norm", names[i]);
  require(training || (running_mean && running_var),
          "batch_norm: needs running_mean and running_var outside of training");
  require(!training || count > 1,
          "batch_norm: needs more than 1 value per channel in training, "
          "got x of shape ",
          given.shape());

  Shape along(given.rank() - 1, 1);  // a channel's parameter among the axes (C, ...)
  along[0] = channels;
  const Tensor x = widened(given);
  Tensor center, variance, new_mean = running_mean, new_var = running_var;
  Tensor apart;
  if (training) {
    Dims axes = all_axes(x);
    axes.erase(1);
    const Tensors both = moments(given, axes);
    center = both[0];
    variance = both[1];
    apart = x - center;
    GradMode off(false);
    const double unbiased = double(count) / double(count - 1);
    new_mean = moved(running_mean, reshape(center, {channels}), a.tensor(6));
    new_var = moved(running_var, reshape(variance, {channels}) * constant(unbiased), a.tensor(6));
  } else {
    apart = x - reshape(running_mean, along);
    variance = reshape(running_var, along);
  }
  Tensor scale = rsqrt(variance + constant(a.real(7)));
  if (weight) scale = scale * reshape(weight, along);
  Tensor y = apart * scale;
  if (bias) y = y + reshape(bias, along);
  Tensors result{astype(y, float_dtype(given.dtype()))};
  if (new_mean) result.push_back(new_mean);
  if (new_var) result.push_back(new_var);
  return result;
}

template <Tensor (*kFunction)(const Tensor&)>
Tensors unary(const Args& a) {
  return {kFunction(a.tensor(0))};
}
template <Tensor (*kFunction)(const Tensor&, int64_t)>
Tensors along_axis(const Args& a) {
  return {kFunction(a.tensor(0), a.integer(1))};
}

Tensor silu(const Tensor& given) {
  const Tensor x = floating(given);
  return x * sigmoid(x);
}
Tensor log_sigmoid(const Tensor& x) { return -softplus(-floating(x)); }

// clang-format off
const Family kActivations("Activations", {
    {.name = "relu",
     .parameters = "x: Tensor",
     .doc = "x where it is positive, else 0; NaN stays NaN, and the derivative at 0 is 0.",
     .call = unary<relu>,
     .samples = "f(3, 4);;ints(-5, 5, 4)",
     .reference = "lambda x: numpy.maximum(x, 0)",
     .differentiable = true},
    {.name = "gelu",
     .parameters = "x: Tensor, approximate: str = 'none'",
     .doc = "x times the normal distribution function of x, exactly or by tanh (Hendrycks and "
            "Gimpel, 2016).",
     .call = [](const Args& a) { return Tensors{gelu(a.tensor(0), a.text(1))}; },
     .samples = "f(3, 4);;f(3, 4), 'tanh'",
     .reference = "reference.gelu",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "silu",
     .parameters = "x: Tensor",
     .doc = "x * sigmoid(x), also known as swish.",
     .call = unary<silu>,
     .samples = "f(3, 4)",
     .reference = "lambda x: x * scipy.special.expit(x)",
     .method = false,
     .differentiable = true},
    {.name = "elu",
     .parameters = "x: Tensor, alpha: float = 1.0",
     .doc = "x where it is positive, else alpha * (exp(x) - 1) (Clevert et al., 2015).",
     .call = [](const Args& a) { return Tensors{elu(a.tensor(0), a.real(1))}; },
     .samples = "f(3, 4);;f(3, 4), 0.5",
     .reference = "lambda x, alpha=1.0: numpy.where(x > 0, x, alpha * numpy.expm1(x))",
     .method = false,
     .differentiable = true},
    {.name = "leaky_relu",
     .parameters = "x: Tensor, negative_slope: float = 0.01",
     .doc = "x where it is positive, else negative_slope * x.",
     .call = [](const Args& a) { return Tensors{leaky_relu(a.tensor(0), a.real(1))}; },
     .samples = "f(3, 4);;f(3, 4), 0.5",
     .reference = "lambda x, slope=0.01: numpy.where(x > 0, x, slope * x)",
     .method = false,
     .differentiable = true},
    {.name = "softplus",
     .parameters = "x: Tensor",
     .doc = "log(1 + exp(x)), without overflow.",
     .call = unary<softplus>,
     .samples = "f(3, 4);;f(3, 4) * 100",
     .reference = "lambda x: numpy.logaddexp(x, 0)",
     .method = false,
     .differentiable = true},
    {.name = "log_sigmoid",
     .parameters = "x: Tensor",
     .doc = "log(sigmoid(x)), without overflow.",
     .call = unary<log_sigmoid>,
     .samples = "f(3, 4);;f(3, 4) * 100",
     .reference = "lambda x: -numpy.logaddexp(-x, 0)",
     .method = false,
     .differentiable = true},
    {.name = "softmax",
     .parameters = "x: Tensor, axis: int = -1",
     .doc = "exp(x) divided by its sum along axis, without overflow.",
     .call = along_axis<softmax>,
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4) * 100, 1;;f(4, 33)",
     .reference = "lambda x, axis=-1: scipy.special.softmax(x, axis)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "log_softmax",
     .parameters = "x: Tensor, axis: int = -1",
     .doc = "The logarithm of softmax, without overflow.",
     .call = along_axis<log_softmax>,
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4) * 100, 1",
     .reference = "lambda x, axis=-1: scipy.special.log_softmax(x, axis)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "logsumexp",
     .parameters = "x: Tensor, axis: ints? = None, *, keepdims: bool = False",
     .doc = "log(sum(exp(x))) over axis (all axes for None), without overflow.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{logsumexp(x, a.axes(1, x.rank()), a.boolean(2))};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), keepdims=True;;f(3, 4) * 100, 1",
     .reference = "scipy.special.logsumexp",
     .differentiable = true,
     .tolerance = 1e-5},
});

const Family kNormalisations("Normalisations", {
    {.name = "group_norm",
     .parameters = "x: Tensor, num_groups: int, weight: Tensor? = None, bias: Tensor? = None, "
                   "eps: float = 1e-05",
     .doc = "x (N, C, ...) brought to mean 0 and variance 1 over each example's num_groups groups "
            "of channels, then times weight (C,) plus bias (C,) (Wu and He, 2018).",
     .call =
         [](const Args& a) {
           return Tensors{group_norm(a.tensor(0), a.integer(1), a.optional_tensor(2),
                                     a.optional_tensor(3), a.real(4))};
         },
     .samples = "f(3, 8), 2, f(8), f(8);;f(2, 6, 5), 6;;f(2, 6, 3, 4), 3, f(6), f(6);;"
                "f(2, 4, 2, 3, 2), 1",
     .reference = "reference.group_norm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "batch_norm",
     .parameters = "x: Tensor, running_mean: Tensor? = None, running_var: Tensor? = None, "
                   "weight: Tensor? = None, bias: Tensor? = None, training: bool = False, "
                   "momentum: Tensor = 0.1, eps: float = 1e-05",
     .doc = "x (N, C, ...) brought to mean 0 and variance 1 per channel: by the statistics of the "
            "batch in training, else by the running ones; then times weight plus bias. The result "
            "comes with the running statistics, which training moves by momentum towards the "
            "batch's (Ioffe and Szegedy, 2015).",
     .call = batch_norm,
     .samples = "f(4, 3), f(3), pos(3), f(3), f(3);;f(4, 3, 2, 5), f(3), pos(3), f(3), f(3), True;;"
                "f(4, 3, 5), None, None, f(3), f(3), True;;f(4, 3), f(3), pos(3)",
     .reference = "reference.batch_norm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true},
});
// clang-format on

}  // namespace

Tensor widened(const Tensor& x) {
  return astype(x, x.dtype() == DType::float64 ? DType::float64 : DType::float32);
}

Tensor relu(const Tensor& x) {
  const Tensor zero = scalar(int64_t(0), x.dtype());
  return where(less_equal(x, zero), zero, x);
}

Tensor softmax(const Tensor& given, int64_t axis) {
  normalize_axis(axis, given.rank(), "softmax");
  if (given.size() == 0) return floating(given);
  const Tensor x = widened(given);
  const Tensor powers = exp(x - constant_max(x, {axis}));
  return astype(powers / sum(powers, {axis}, true), float_dtype(given.dtype()));
}

Tensor log_softmax(const Tensor& given, int64_t axis) {
  normalize_axis(axis, given.rank(), "log_softmax");
  if (given.size() == 0) return floating(given);
  const Tensor x = widened(given);
  const Tensor apart = x - constant_max(x, {axis});
  return astype(apart - log(sum(exp(apart), {axis}, true)), float_dtype(given.dtype()));
}

Tensor logsumexp(const Tensor& given, const Dims& axes, bool keepdims) {
  const Dims over = normalize_axes(axes, given.rank(), "logsumexp");
  const Tensor x = widened(given);
  const DType dtype = float_dtype(given.dtype());
  if (x.size() == 0) return astype(log(sum(exp(x), over, keepdims)), dtype);
  Tensor top = constant_max(x, over);
  top = where(less(abs(top), constant(HUGE_VAL)), top, constant(0));
  const Tensor result = log(sum(exp(x - top), over, true)) + top;
  return astype(keepdims ? result : squeeze(result, over), dtype);
}

}  // namespace tegula
