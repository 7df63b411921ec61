// Statistics of samples, closeness, and distances between vectors.
#include <cmath>

#include "ops/arrays.h"
#include "ops/complex.h"
#include "ops/linalg.h"
#include "ops/op.h"

namespace tegula {
namespace {

// ---- closeness ---------------------------------------------------------------------------------
Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  const DType dtype = float_dtype(common_dtype(a, b));
  const Tensor x = astype(a, dtype), y = astype(b, dtype);
  const Tensor finite =
      is_complex(dtype) ? logical_and(isfinite(real(y)), isfinite(imag(y))) : isfinite(y);
  const Tensor within = less_equal(abs(x - y), abs(y) * constant(rtol) + constant(atol));
  Tensor close = logical_or(equal(x, y), logical_and(finite, within));
  if (equal_nan) close = logical_or(close, logical_and(isnan(x), isnan(y)));
  return close;
}

// ---- moments -----------------------------------------------------------------------------------
Tensor average(const Tensor& x, const Args& a) {
  const Dims axes = normalize_axes(a.axes(1, x.rank()), x.rank(), "average");
  const bool keepdims = a.boolean(3);
  if (!a.has(2)) return mean(x, axes, keepdims);
  Tensor weights = a.tensor(2);
  if (weights.rank() == 1 && axes.size() == 1 && x.rank() > 1) {
    require(weights.size() == x.shape()[size_t(axes[0])], "average: weights of shape ",
            weights.shape(), " are not one for each of the ", x.shape()[size_t(axes[0])],
            " elements of axis ", axes[0]);
    Shape along(x.rank(), 1);
    along[size_t(axes[0])] = weights.size();
    weights = reshape(weights, along);
  }
  require(broadcast_shapes(weights.shape(), x.shape(), "average") == x.shape(),
          "average: weights of shape ", weights.shape(), " do not broadcast to the shape ",
          x.shape(), " of x");
  const DType dtype = float_dtype(promote(x.dtype(), weights.dtype()));
  const Tensor w = broadcast_to(astype(weights, dtype), x.shape());
  return sum(astype(x, dtype) * w, axes, keepdims) / sum(w, axes, keepdims);
}

Tensor covariance(const Tensor& given, double correction, const char* op) {
  require(given.rank() == 1 || given.rank() == 2, op, ": x must be 1-d or 2-d, got shape ",
          given.shape());
  const Tensor samples = astype(given, float_dtype(given.dtype()));
  const Tensor x = given.rank() == 1 ? expand_dims(samples, 0) : samples;
  const double count = double(x.shape()[1]) - correction;
  const Tensor apart = x - mean(x, {1}, true);
  const Tensor product = matmul(apart, adjoint(apart)) * constant(1 / std::max(count, 0.0));
  return given.rank() == 1 ? reshape(product, {}) : product;
}

Tensor corrcoef(const Tensor& x) {
  const Tensor c = covariance(x, 1, "corrcoef");
  if (c.rank() == 0) return c / c;
  const Tensor deviation = sqrt(real(diagonal(c, 0)));
  return c / expand_dims(deviation, 1) / deviation;
}

template <bool kRoot>
Tensors with_mean(const Args& a) {
  const Tensor& x = a.tensor(0);
  const Dims axes = a.axes(1, x.rank());
  const Tensor variance = var(x, axes, a.real(2), a.boolean(3));
  return {kRoot ? sqrt(variance) : variance, mean(x, axes, a.boolean(3))};
}

// ---- vectors -----------------------------------------------------------------------------------
Tensor inexact(const Tensor& x) { return astype(x, float_dtype(x.dtype())); }
// In at least float32, whatever it is.
Tensor wide(const Tensor& x) { return is_complex(x.dtype()) ? x : widened(inexact(x)); }
DType result_dtype(const Tensor& a, const Tensor& b) {
  return real_dtype(float_dtype(common_dtype(a, b)));
}

void check_order(double p, const char* op) {
  require(p >= 0, op, ": p must not be negative, got ", p);
}

Tensor cdist(const Tensor& a, const Tensor& b, double p) {
  const char* op = "cdist";
  check_order(p, op);
  require(a.rank() >= 2 && b.rank() >= 2 && a.shape().back() == b.shape().back(), op,
          ": x1 and x2 must be (..., N, D) and (..., M, D), got shapes ", a.shape(), " and ",
          b.shape());
  const Tensor apart = expand_dims(wide(a), -2) - expand_dims(wide(b), -3);
  const int64_t last = int64_t(apart.rank()) - 1;
  return astype(vector_norm(apart, {last}, false, p), result_dtype(a, b));
}

Tensor pairwise_distance(const Tensor& a, const Tensor& b, double p, double eps, bool keepdims) {
  const char* op = "pairwise_distance";
  check_order(p, op);
  const Tensor apart = wide(a) - wide(b) + constant(eps);
  require(apart.rank() > 0, op, ": needs at least 1 dimension");
  const int64_t last = int64_t(apart.rank()) - 1;
  return astype(vector_norm(apart, {last}, keepdims, p), result_dtype(a, b));
}

Tensor pdist(const Tensor& x, double p) {
  check_order(p, "pdist");
  require(x.rank() == 2, "pdist: x must be 2-d, got shape ", x.shape());
  const int64_t n = x.shape()[0];
  checked_numel({n, n, 16}, "pdist");
  std::vector<int64_t> first, second;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i + 1; j < n; ++j) {
      first.push_back(i);
      second.push_back(j);
    }
  const auto rows = [&](const std::vector<int64_t>& which) {
    const Shape shape{int64_t(which.size())};
    return take(wide(x), from_host(which.data(), DType::int64, shape, x.device()), 0);
  };
  return astype(vector_norm(rows(first) - rows(second), {1}, false, p), result_dtype(x, x));
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, int64_t given, double eps) {
  const char* op = "cosine_similarity";
  require_order(a, op);
  require_order(b, op);
  const Shape shape = broadcast_shapes(a.shape(), b.shape(), op);
  const int64_t axis = normalize_axis(given, shape.size(), op);
  const Tensor x = broadcast_to(wide(a), shape), y = broadcast_to(wide(b), shape);
  const auto length = [&](const Tensor& t) {
    return maximum(vector_norm(t, {axis}, true, 2), constant(eps));
  };
  return astype(sum((x / length(x)) * (y / length(y)), {axis}, false), result_dtype(a, b));
}

Tensor normalize(const Tensor& x, double p, const Dims& axes, double eps) {
  const Tensor t = wide(x);
  const Tensor length = vector_norm(t, normalize_axes(axes, x.rank(), "normalize"), true, p);
  return astype(t / maximum(length, constant(eps)), float_dtype(x.dtype()));
}

// Slices along an axis whose norm is larger than `most`, scaled to have it (up to 1e-7, as
// PyTorch).
Tensor renorm(const Tensor& x, double p, int64_t given, double most) {
  const char* op = "renorm";
  check_order(p, op);
  require(most >= 0, op, ": maxnorm must not be negative, got ", most);
  const int64_t axis = normalize_axis(given, x.rank(), op);
  Dims others = all_axes(x);
  others.erase(size_t(axis));
  const Tensor t = wide(x), length = vector_norm(t, others, true, p);
  const Tensor factor = where(greater(length, constant(most)),
                              constant(most) / (length + constant(1e-7)), constant(1));
  return astype(t * factor, float_dtype(x.dtype()));
}

constexpr std::string_view kMoments =
    "x: Tensor, axis: ints? = None, *, correction: float = 0.0, keepdims: bool = False";

// clang-format off
const Family kStatistics("Statistics and distances", {
    {.name = "isclose",
     .parameters = "x1: Tensor, x2: Tensor, rtol: float = 1e-05, atol: float = 1e-08, *, "
                   "equal_nan: bool = False",
     .doc = "Whether |x1 - x2| <= atol + rtol |x2|, element by element; equal infinities are close, "
            "NaN is not, unless equal_nan to another.",
     .call =
         [](const Args& a) {
           return Tensors{isclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4))};
         },
     .samples = "f(3, 4), f(3, 4);;numpy.ones(3, 'float32'), numpy.asarray([1.0, 1.000001, 1.1]);;"
                "special(), special();;special(), special(), equal_nan=True;;ints(0, 3, 5), "
                "ints(0, 3, 5), 0.0, 1.0;;special(), 3.0",
     .reference = "numpy.isclose"},
    {.name = "allclose",
     .parameters = "x1: Tensor, x2: Tensor, rtol: float = 1e-05, atol: float = 1e-08, *, "
                   "equal_nan: bool = False",
     .doc = "Whether isclose holds for all elements: a 0-d bool.",
     .call =
         [](const Args& a) {
           const Tensor close =
               isclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4));
           return Tensors{all(close, all_axes(close), false)};
         },
     .samples = "f(3, 4), f(3, 4);;f(3) * 0 + 1, 1.000001;;special(), special(), equal_nan=True",
     .reference = "numpy.allclose"},
    {.name = "average",
     .parameters = "x: Tensor, axis: ints? = None, weights: Tensor? = None, *, keepdims: bool = False",
     .doc = "The mean over axis, each element counting as much as its weight says: weights broadcast "
            "to x, or are 1-d along a single axis.",
     .call = [](const Args& a) { return Tensors{average(a.tensor(0), a)}; },
     .samples = "f(3, 4);;f(3, 4), 0, pos(3);;f(3, 4), 1, pos(3, 4);;f(3, 4), None, pos(3, 4), "
                "keepdims=True;;ints(0, 9, 4), 0",
     .reference = "numpy.average", .differentiable = true, .tolerance = 1e-5},
    {.name = "cov",
     .parameters = "x: Tensor, *, correction: float = 1.0",
     .doc = "The covariance matrix of variables, one to a row of x (2-d), each column an observation; "
            "the variance, 0-d, of 1-d x. Divides by the number of observations less correction.",
     .call = [](const Args& a) { return Tensors{covariance(a.tensor(0), a.real(1), "cov")}; },
     .samples = "f(3, 5);;f(6);;f(2, 4), correction=0.0;;c(2, 4);;ints(0, 9, 2, 5)",
     .reference = "lambda x, correction=1: numpy.cov(x, ddof=correction)",
     .differentiable = true, .tolerance = 1e-5},
    {.name = "corrcoef",
     .parameters = "x: Tensor",
     .doc = "The correlation coefficients of variables, one to a row of x (2-d), each column an "
            "observation.",
     .call = [](const Args& a) { return Tensors{corrcoef(a.tensor(0))}; },
     .samples = "f(3, 5);;f(6);;c(2, 4)",
     .reference = "numpy.corrcoef", .differentiable = true, .tolerance = 1e-5},
    {.name = "var_mean", .parameters = kMoments,
     .doc = "var and mean over axis together.", .call = with_mean<false>,
     .samples = "f(3, 4);;f(3, 4), 0, correction=1.0;;f(2, 3, 4), (0, 2), keepdims=True",
     .reference = "lambda x, axis=None, correction=0, keepdims=False: (numpy.var(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims), numpy.mean(x, axis=axis, keepdims=keepdims))",
     .differentiable = true, .tolerance = 1e-5, .returns_tuple = true},
    {.name = "std_mean", .parameters = kMoments,
     .doc = "std and mean over axis together.", .call = with_mean<true>,
     .samples = "f(3, 4);;f(3, 4), 0, correction=1.0;;f(2, 3, 4), (0, 2), keepdims=True",
     .reference = "lambda x, axis=None, correction=0, keepdims=False: (numpy.std(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims), numpy.mean(x, axis=axis, keepdims=keepdims))",
     .differentiable = true, .tolerance = 1e-5, .returns_tuple = true},
    {.name = "cdist",
     .parameters = "x1: Tensor, x2: Tensor, p: float = 2.0",
     .doc = "The distance, by the norm of order p, of every vector of x1 (..., N, D) from every one of "
            "x2 (..., M, D): (..., N, M). Euclidean ones are found from differences, so near vectors "
            "lose no digits; the derivative at distance 0 is 0.",
     .call = [](const Args& a) { return Tensors{cdist(a.tensor(0), a.tensor(1), a.real(2))}; },
     .samples = "f(3, 4), f(5, 4);;f(2, 3, 4), f(5, 4), 1.0;;f(3, 4), f(2, 4), 3.0;;f(3, 4), f(2, 4), "
                "float('inf');;f(3, 4), f(2, 4), 0.0",
     .reference = "lambda a, b, p=2: numpy.linalg.vector_norm(a[..., :, None, :] - b[..., None, :, :], "
                  "axis=-1, ord=p)",
     .differentiable = true, .tolerance = 1e-5},
    {.name = "pdist",
     .parameters = "x: Tensor, p: float = 2.0",
     .doc = "The distances, by the norm of order p, of all pairs of rows of x (N, D), those of the "
            "first row first: (N (N - 1) / 2,).",
     .call = [](const Args& a) { return Tensors{pdist(a.tensor(0), a.real(1))}; },
     .samples = "f(4, 3);;f(5, 2), 1.0",
     .reference = "reference.pdist", .method = false, .differentiable = true, .tolerance = 1e-5},
    {.name = "pairwise_distance",
     .parameters = "x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-06, *, "
                   "keepdims: bool = False",
     .doc = "The norm of order p of x1 - x2 + eps over the last axis.",
     .call =
         [](const Args& a) {
           return Tensors{
               pairwise_distance(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.boolean(4))};
         },
     .samples = "f(3, 4), f(3, 4);;f(3, 4), f(4), 1.0;;f(2, 3, 4), f(3, 4), 3.0, 0.0, keepdims=True",
     .reference = "lambda a, b, p=2, eps=1e-6, keepdims=False: numpy.linalg.vector_norm(a - b + eps, "
                  "axis=-1, ord=p, keepdims=keepdims)",
     .method = false, .differentiable = true, .tolerance = 1e-5},
    {.name = "cosine_similarity",
     .parameters = "x1: Tensor, x2: Tensor, axis: int = 1, eps: float = 1e-08",
     .doc = "The cosine of the angle of x1 and x2 over axis: the sum of products of both over their "
            "lengths, which are at least eps.",
     .call =
         [](const Args& a) {
           return Tensors{
               cosine_similarity(a.tensor(0), a.tensor(1), a.integer(2), a.real(3))};
         },
     .samples = "f(3, 4), f(3, 4);;f(3, 4), f(1, 4);;f(2, 3, 4), f(2, 3, 4), -1;;f(5), f(5), 0",
     .reference = "lambda a, b, axis=1: (a * b).sum(axis) / numpy.linalg.vector_norm(a, axis=axis) / "
                  "numpy.linalg.vector_norm(b, axis=axis)",
     .method = false, .differentiable = true, .tolerance = 1e-5},
    {.name = "normalize",
     .parameters = "x: Tensor, p: float = 2.0, axis: ints = 1, eps: float = 1e-12",
     .doc = "x over its norm of order p over axis, which is at least eps.",
     .call =
         [](const Args& a) {
           return Tensors{normalize(a.tensor(0), a.real(1), a.ints(2), a.real(3))};
         },
     .samples = "f(3, 4);;f(3, 4), 1.0, 0;;f(2, 3, 4), 3.0, (1, 2);;f(5), float('inf'), 0",
     .reference = "lambda x, p=2, axis=1: x / numpy.linalg.vector_norm(x, ord=p, axis=axis, "
                  "keepdims=True)",
     .method = false, .differentiable = true, .tolerance = 1e-5},
    {.name = "renorm",
     .parameters = "x: Tensor, p: float, axis: int, maxnorm: float",
     .doc = "x, those of its slices along axis whose norm of order p is larger than maxnorm scaled "
            "down to it.",
     .call =
         [](const Args& a) {
           return Tensors{renorm(a.tensor(0), a.real(1), a.integer(2), a.real(3))};
         },
     .samples = "f(3, 4), 2.0, 0, 1.5;;f(3, 4), 1.0, 1, 2.0;;f(2, 3, 4), 3.0, -1, 1.0",
     .reference = "reference.renorm", .differentiable = true, .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
