// Layer and RMS normalisation of rows.
#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0, kWeight = 1u << 1;

DType statistics_dtype(DType x) { return x == DType::float64 ? x : DType::float32; }

// The parameters' gradients are sums over one call's rows, so only dx is had from the rows of all.
Tensors batch_grad(BatchContext& c) {
  RowNormAttrs attrs = read_attrs<RowNormAttrs>(c.attrs());
  const Tensor x = c.merged(0), mean = c.merged(2), scale = c.merged(3);
  Tensor dy = c.merged(1);
  const Tensor upstream = c.split(widened(dy));
  if (attrs.has_weight) {
    const Tensor weight = c.has_batch(4) ? expand_dims(c.input(4), 1) : c.input(4);
    dy = astype(reshape(upstream * weight, dy.shape()), dy.dtype());
  }
  const bool has_weight = attrs.has_weight, has_bias = attrs.has_bias;
  attrs.has_weight = attrs.has_bias = 0;
  const Tensor inputs[] = {x, dy, mean, scale};
  Tensors results{c.split(c.again(inputs, write_attrs(attrs))[0])};
  if (has_weight) {
    Tensor apart = widened(x);
    if (attrs.centered) apart = apart - expand_dims(mean, 1);
    results.push_back(sum(upstream * c.split(apart * expand_dims(scale, 1)), {1}, false));
  }
  if (has_bias) results.push_back(sum(upstream, {1}, false));
  return results;
}

// x, dy, mean, 1 / deviation[, weight] -> dx[, dweight[, dbias]].
const Primitive kRowNormGrad = {
    .name = "row_norm_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const auto attrs = read_attrs<RowNormAttrs>(c.attrs);
          out.push_back({c.dtype(0), c.shape(0)});
          const OutputSpec parameter{statistics_dtype(c.dtype(0)), {c.shape(0)[1]}};
          if (attrs.has_weight) out.push_back(parameter);
          if (attrs.has_bias) out.push_back(parameter);
        },
    .batch = batch_grad,
};

Tensors expand_row_norm(std::span<const Tensor> inputs, std::span<const int64_t> words) {
  const auto attrs = read_attrs<RowNormAttrs>(words);
  Tensor x = widened(inputs[0]);
  if (attrs.centered) x = x - mean(x, {1}, true);
  Tensor y = x * rsqrt(mean(square(x), {1}, true) + constant(attrs.eps));
  if (attrs.has_weight) y = y * inputs[1];
  if (attrs.has_bias) y = y + inputs[2];
  return {astype(y, inputs[0].dtype())};
}

// One set of parameters for all: the rows of all. Else they are applied afterwards.
Tensors batch_row_norm(BatchContext& c) {
  RowNormAttrs attrs = read_attrs<RowNormAttrs>(c.attrs());
  const size_t parameters = size_t(attrs.has_weight + attrs.has_bias);
  bool shared = true;
  for (size_t i = 1; i <= parameters; ++i) shared &= !c.has_batch(i);
  Tensors inputs{c.merged(0)};
  if (shared)
    for (size_t i = 1; i <= parameters; ++i) inputs.push_back(c.input(i));
  else attrs.has_weight = attrs.has_bias = 0;
  Tensors results = c.again(inputs, write_attrs(attrs));
  for (Tensor& x : results) x = c.split(x);
  if (shared) return results;
  const auto parameter = [&](size_t i) {
    return c.has_batch(i) ? expand_dims(c.input(i), 1) : c.input(i);
  };
  Tensor y = widened(results[0]) * parameter(1);
  if (parameters > 1) y = y + parameter(2);
  results[0] = astype(y, results[0].dtype());
  return results;
}

// x (R, N)[, weight (N,)[, bias (N,)]], the parameters in at least float32 -> (R, N), and mean and
// 1 / deviation of each row (R,) for the gradient.
const Primitive kRowNorm = {
    .name = "row_norm",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const DType dtype = statistics_dtype(c.dtype(0));
          out.push_back({c.dtype(0), c.shape(0)});
          out.push_back({dtype, {c.shape(0)[0]}});
          out.push_back({dtype, {c.shape(0)[0]}});
        },
    .vjp =
        [](VjpContext& c) {
          Tensors inputs = {c.input(0), c.grad(), c.output(1), c.output(2)};
          if (c.input_count() > 1) inputs.push_back(c.input(1));
          const Tensors gradients =
              record_all(kRowNormGrad, inputs, Attrs(c.attrs().begin(), c.attrs().end()));
          for (size_t i = 0; i < c.input_count(); ++i) c.give(i, gradients[i]);
        },
    .uses = uses_for_every_input(kX | kWeight | kUsesOutput),
    .batch = batch_row_norm,
    .expand = expand_row_norm,
};

void check_parameter(const Tensor& parameter, const Shape& shape, const char* op,
                     const char* what) {
  if (parameter)
    require(parameter.shape() == shape, op, ": ", what, " has shape ", parameter.shape(),
            ", needs ", shape);
}

// Over the last `count` axes.
Tensor row_norm(const Tensor& given, const Tensor& weight, const Tensor& bias, int64_t count,
                bool centered, double eps, const char* op) {
  const int64_t rank = int64_t(given.rank());
  require(count >= 1 && count <= rank, op, ": normalized_ndim must be between 1 and ", rank,
          " for shape ", given.shape(), ", got ", count);
  const Shape tail(given.shape().end() - count, given.shape().end());
  check_parameter(weight, tail, op, "weight");
  check_parameter(bias, tail, op, "bias");
  const Tensor x = astype(given, float_dtype(given.dtype()));
  const int64_t length = numel(tail);
  if (length == 0) return x;
  Tensors inputs = {reshape(x, {x.size() / length, length})};
  const RowNormAttrs attrs{bool(weight) || bool(bias), bool(bias), centered, eps};
  const auto add = [&](const Tensor& parameter) {
    inputs.push_back(reshape(astype(parameter, statistics_dtype(x.dtype())), {length}));
  };
  if (attrs.has_weight) add(weight ? weight : ones(tail, statistics_dtype(x.dtype())));
  if (attrs.has_bias) add(bias);
  return reshape(record_all(kRowNorm, inputs, write_attrs(attrs))[0], x.shape());
}

// clang-format off
const Family kRowNorms("Normalisations of rows", {
    {.name = "layer_norm",
     .parameters = "x: Tensor, normalized_ndim: int = 1, weight: Tensor? = None, "
                   "bias: Tensor? = None, eps: float = 1e-05",
     .doc = "x brought to mean 0 and variance 1 over its last normalized_ndim axes, then times "
            "weight plus bias, both of the shape of those axes (Ba et al., 2016). 16-bit floats "
            "are normalised in float32.",
     .call =
         [](const Args& a) {
           return Tensors{row_norm(a.tensor(0), a.optional_tensor(2), a.optional_tensor(3),
                                   a.integer(1), true, a.real(4), "layer_norm")};
         },
     .samples = "f(3, 8), 1, f(8), f(8);;f(3, 8);;f(2, 3, 4), 2, f(3, 4), f(3, 4);;"
                "f(2, 130), 1, None, f(130)",
     .reference = "reference.layer_norm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "rms_norm",
     .parameters = "x: Tensor, normalized_ndim: int = 1, weight: Tensor? = None, "
                   "eps: float = 1e-05",
     .doc = "x divided by the root of its mean square over its last normalized_ndim axes, then "
            "times weight (Zhang and Sennrich, 2019).",
     .call =
         [](const Args& a) {
           return Tensors{row_norm(a.tensor(0), a.optional_tensor(2), {}, a.integer(1), false,
                                   a.real(3), "rms_norm")};
         },
     .samples = "f(3, 8), 1, f(8);;f(2, 3, 4), 2, f(3, 4);;f(3, 70)",
     .reference = "reference.rms_norm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
