// Random numbers of the usual distributions, functions of uniform and normal ones. Each element is
// made of a fixed number of draws: where there is no formula the quantile function is inverted, so
// that an element depends on key, offset and position alone and has a derivative in its parameters.
// Computed in float64.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The parameters of one call, broadcast, and what is drawn for them.
class Draws {
 public:
  // Results have the parameters' shape unless `shape` is given, of which theirs is then a part.
  Draws(const char* op, Tensors parameters, const Args& a, size_t shape)
      : op_(op), parameters_(std::move(parameters)) {
    Shape own;
    for (const Tensor& x : parameters_) {
      require_order(x, op);
      own = broadcast_shapes(own, x.shape(), op);
      if (x.dtype() == DType::float64 && !x.node().weak_scalar) dtype_ = DType::float64;
    }
    shape_ = a.has(shape) ? Shape(a.ints(shape).begin(), a.ints(shape).end()) : own;
    const auto fits = [&] {
      if (own.size() > shape_.size()) return false;
      for (size_t i = 1; i <= own.size(); ++i)
        if (own[own.size() - i] != 1 && own[own.size() - i] != shape_[shape_.size() - i])
          return false;
      return true;
    };
    require(fits(), op, ": parameters of shape ", own, " do not fit shape ", shape_);
  }

  const Shape& shape() const { return shape_; }
  Tensor operator[](size_t i) const { return astype(parameters_[i], DType::float64); }

  // In (0, 1), both ends left out.
  Tensor uniform() const {
    const Tensor u = random_tensor(default_generator(), kRandomUniform, shape_, DType::float64);
    return u * constant(1 - 0x1p-53) + constant(0x1p-54);
  }
  Tensor normal() const {
    return random_tensor(default_generator(), kRandomNormal, shape_, DType::float64);
  }
  // The logarithm of a gamma variable of shape a (G. Marsaglia, W. Tsang, 2000, section 6, for the
  // power): it does not underflow for small a.
  Tensor log_gamma(const Tensor& given) const {
    const Tensor a = where(greater(given, constant(0)), given, constant(kNaN));
    const Tensor larger = special("gammaincinv", {a + constant(1), uniform()});
    return log(larger) + log(uniform()) / a;
  }

  // A number that is given as one is checked at the call; others give NaN where they are wrong.
  void require_positive(size_t i, const char* name) const {
    const Node& node = parameters_[i].node();
    if (node.state == NodeState::scalar && node.attrs.empty())
      require(scalar_value(node) > 0, op_, ": ", name, " must be positive, got ",
              scalar_value(node));
  }
  void require_probability(size_t i, const char* name, bool zero) const {
    const Node& node = parameters_[i].node();
    if (node.state != NodeState::scalar || !node.attrs.empty()) return;
    const double p = scalar_value(node);
    require((zero ? p >= 0 : p > 0) && p <= 1, op_, ": ", name, " must be a probability",
            zero ? "" : " above 0", ", got ", p);
  }

  Tensors floats(const Tensor& x, const Args& a, size_t dtype) const {
    const DType wanted = a.dtype_or(dtype, dtype_);
    if (!is_floating(wanted)) fail(ErrorKind::type, op_, ": needs a floating dtype, got ", wanted);
    return {astype(x, wanted)};
  }
  Tensors counts(const Tensor& x, const Args& a, size_t dtype) const {
    const DType wanted = a.dtype_or(dtype, DType::int64);
    if (wanted == DType::bool_ || is_complex(wanted))
      fail(ErrorKind::type, op_, ": needs an integer or floating dtype, got ", wanted);
    return {astype(x, wanted)};
  }

 private:
  const char* op_;
  Tensors parameters_;
  Shape shape_;
  DType dtype_ = DType::float32;
};

// Those with a place and a scale: shape, loc, scale, dtype.
template <Tensor (*kStandard)(const Draws&)>
Tensors placed(const Args& a, const char* op) {
  const Draws d(op, {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(1, "scale");
  return d.floats(d[0] + d[1] * kStandard(d), a, 3);
}
Tensor laplace(const Draws& d) {
  const Tensor v = d.uniform() - constant(0.5);
  return -(sign(v) * log1p(abs(v) * constant(-2)));
}
Tensor cauchy(const Draws& d) {
  return tan((d.uniform() - constant(0.5)) * constant(std::numbers::pi));
}
Tensor gumbel(const Draws& d) { return -log(-log(d.uniform())); }
Tensor logistic(const Draws& d) {
  const Tensor u = d.uniform();
  return log(u) - log1p(-u);
}

Tensors exponential(const Args& a) {
  const Draws d("random.exponential", {a.tensor(0)}, a, 1);
  d.require_positive(0, "scale");
  return d.floats(-(log(d.uniform()) * d[0]), a, 2);
}
Tensors rayleigh(const Args& a) {
  const Draws d("random.rayleigh", {a.tensor(0)}, a, 1);
  d.require_positive(0, "scale");
  return d.floats(sqrt(log(d.uniform()) * constant(-2)) * d[0], a, 2);
}
Tensors weibull(const Args& a) {
  const Draws d("random.weibull", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(0, "concentration");
  d.require_positive(1, "scale");
  return d.floats(exp(log(-log(d.uniform())) / d[0]) * d[1], a, 3);
}
Tensors pareto(const Args& a) {
  const Draws d("random.pareto", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(0, "alpha");
  d.require_positive(1, "scale");
  return d.floats(exp(-(log(d.uniform()) / d[0])) * d[1], a, 3);
}
Tensors log_normal(const Args& a) {
  const Draws d("random.log_normal", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(1, "std");
  return d.floats(exp(d[0] + d[1] * d.normal()), a, 3);
}

// By the quantile function, on the side of 0 where probabilities are small.
Tensors truncated_normal(const Args& a) {
  const Draws d("random.truncated_normal", {a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3)}, a,
                4);
  d.require_positive(3, "std");
  const Tensor low = (d[0] - d[2]) / d[3], high = (d[1] - d[2]) / d[3];
  const Tensor above = greater(low, constant(0));
  const Tensor first = special("ndtr", {where(above, -high, low)});
  const Tensor last = special("ndtr", {where(above, -low, high)});
  const Tensor drawn = special("ndtri", {first + d.uniform() * (last - first)});
  const Tensor z = maximum(minimum(where(above, -drawn, drawn), high), low);
  const Tensor unknown = greater(low, high);
  return d.floats(where(unknown, constant(kNaN), d[2] + d[3] * z), a, 5);
}

Tensors gamma(const Args& a) {
  const Draws d("random.gamma", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(0, "concentration");
  d.require_positive(1, "scale");
  return d.floats(exp(d.log_gamma(d[0])) * d[1], a, 3);
}
Tensors chisquare(const Args& a) {
  const Draws d("random.chisquare", {a.tensor(0)}, a, 1);
  d.require_positive(0, "df");
  return d.floats(exp(d.log_gamma(d[0] * constant(0.5))) * constant(2), a, 2);
}
Tensors student_t(const Args& a) {
  const Draws d("random.student_t", {a.tensor(0)}, a, 1);
  d.require_positive(0, "df");
  const Tensor half = d[0] * constant(0.5);
  return d.floats(d.normal() * sqrt(half) * exp(d.log_gamma(half) * constant(-0.5)), a, 2);
}
Tensors beta(const Args& a) {
  const Draws d("random.beta", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(0, "a");
  d.require_positive(1, "b");
  const Tensor x = d.log_gamma(d[0]);
  return d.floats(sigmoid(x - d.log_gamma(d[1])), a, 3);
}
Tensors dirichlet(const Args& a) {
  const char* op = "random.dirichlet";
  const Tensor& given = a.tensor(0);
  require(given.rank() > 0 && given.shape().back() > 0, op,
          ": alpha must have an axis of categories, "
          "got shape ",
          given.shape());
  // `shape` is that of the vectors.
  std::vector<Arg> whole{Arg{}};
  if (a.has(1)) {
    Dims shape = a.ints(1);
    shape.push_back(given.shape().back());
    whole[0] = shape;
  }
  const Draws d(op, {given}, Args(whole), 0);
  return d.floats(softmax(d.log_gamma(d[0]), -1), a, 2);
}

Tensors poisson(const Args& a) {
  GradMode off(false);
  const Draws d("random.poisson", {a.tensor(0)}, a, 1);
  return d.counts(special("poisson_quantile", {d[0], d.uniform()}), a, 2);
}
Tensors binomial(const Args& a) {
  GradMode off(false);
  const Draws d("random.binomial", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_probability(1, "p", true);
  return d.counts(special("binomial_quantile", {d[0], d[1], d.uniform()}), a, 3);
}
Tensors negative_binomial(const Args& a) {
  GradMode off(false);
  const Draws d("random.negative_binomial", {a.tensor(0), a.tensor(1)}, a, 2);
  d.require_positive(0, "n");
  d.require_probability(1, "p", false);
  const Tensor rate = exp(d.log_gamma(d[0])) * ((constant(1) - d[1]) / d[1]);
  return d.counts(special("poisson_quantile", {rate, d.uniform()}), a, 3);
}
Tensors geometric(const Args& a) {
  GradMode off(false);
  const Draws d("random.geometric", {a.tensor(0)}, a, 1);
  d.require_probability(0, "p", false);
  return d.counts(maximum(-floor(-(log(d.uniform()) / log1p(-d[0]))), constant(1)), a, 2);
}

// Scores of categories with Gumbel noise of their own: the largest is a draw, the k largest are k
// draws without replacement (E. Gumbel, 1954; J. Yellott, 1977).
Tensor noisy(const Tensor& scores, const Shape& shape) {
  const Tensor u = random_tensor(default_generator(), kRandomUniform, shape, DType::float64);
  return scores - log(-log(u * constant(1 - 0x1p-53) + constant(0x1p-54)));
}

Tensors categorical(const Args& a) {
  GradMode off(false);
  const char* op = "random.categorical";
  const Tensor& logits = a.tensor(0);
  require_order(logits, op);
  require(logits.rank() > 0 && logits.shape().back() > 0, op,
          ": logits must have an axis of categories, got shape ", logits.shape());
  Shape shape = logits.shape();
  if (a.has(1)) {
    shape = Shape(a.ints(1).begin(), a.ints(1).end());
    shape.push_back(logits.shape().back());
    require(broadcast_shapes(shape, logits.shape(), op) == shape, op, ": logits of shape ",
            logits.shape(), " do not fit shape ", Shape(a.ints(1).begin(), a.ints(1).end()));
  }
  return {arg_reduce(noisy(astype(logits, DType::float64), shape), -1, kArgMax, false)};
}

Tensors multinomial(const Args& a) {
  GradMode off(false);
  const char* op = "random.multinomial";
  const Tensor& weights = a.tensor(0);
  const int64_t count = a.integer(1);
  require_order(weights, op);
  require(weights.rank() > 0 && weights.shape().back() > 0, op,
          ": weights must have an axis of categories, got shape ", weights.shape());
  require(count >= 0, op, ": num_samples must not be negative, got ", count);
  const Tensor scores = log(astype(weights, DType::float64));
  Shape shape = weights.shape();
  const int64_t categories = shape.back();
  if (a.boolean(2)) {
    shape.insert(shape.size() - 1, count);
    return {arg_reduce(noisy(expand_dims(scores, -2), shape), -1, kArgMax, false)};
  }
  require(count <= categories, op, ": cannot take ", count, " of ", categories,
          " categories without replacement");
  const Tensor order = sort_with_indices(noisy(scores, shape), -1, true)[1];
  return {part_of(order, order.rank() - 1, 0, count)};
}

Op draw(std::string_view name, std::string_view parameters, std::string_view doc,
        Tensors (*call)(const Args&), std::string_view samples) {
  return {.name = name,
          .parameters = parameters,
          .doc = doc,
          .call = call,
          .samples = samples,
          .reference = "random.distribution",
          .method = false};
}

constexpr std::string_view kPlaced =
    "loc: Tensor = 0.0, scale: Tensor = 1.0, shape: ints? = None, dtype: dtype? = None";
constexpr std::string_view kScaled =
    "scale: Tensor = 1.0, shape: ints? = None, dtype: dtype? = None";
constexpr std::string_view kPlacedSamples =
    "0.0, 1.0, (3, 4);;f(3), 2.0;;f(3, 1), pos(4), dtype='float64'";

// clang-format off
const Family kDistributions("Distributions", {
    draw("random.exponential", kScaled, "Numbers of the exponential distribution with mean scale.",
         exponential, "1.0, (3, 4);;pos(3)"),
    draw("random.laplace", kPlaced, "Numbers of the Laplace distribution.",
         [](const Args& a) { return placed<laplace>(a, "random.laplace"); }, kPlacedSamples),
    draw("random.cauchy", kPlaced, "Numbers of the Cauchy distribution.",
         [](const Args& a) { return placed<cauchy>(a, "random.cauchy"); }, kPlacedSamples),
    draw("random.gumbel", kPlaced, "Numbers of the Gumbel distribution (of maxima).",
         [](const Args& a) { return placed<gumbel>(a, "random.gumbel"); }, kPlacedSamples),
    draw("random.logistic", kPlaced, "Numbers of the logistic distribution.",
         [](const Args& a) { return placed<logistic>(a, "random.logistic"); }, kPlacedSamples),
    draw("random.rayleigh", kScaled, "Numbers of the Rayleigh distribution.", rayleigh, "1.0, (3, 4);;pos(3)"),
    draw("random.weibull", "concentration: Tensor, scale: Tensor = 1.0, shape: ints? = None, "
         "dtype: dtype? = None", "Numbers of the Weibull distribution.", weibull, "1.5, 1.0, (3, 4);;pos(3), pos(3)"),
    draw("random.pareto", "alpha: Tensor, scale: Tensor = 1.0, shape: ints? = None, dtype: dtype? = None",
         "Numbers of the Pareto distribution, from scale on.", pareto, "1.5, 1.0, (3, 4);;pos(3), pos(3)"),
    draw("random.log_normal", "mean: Tensor = 0.0, std: Tensor = 1.0, shape: ints? = None, "
         "dtype: dtype? = None", "Numbers whose logarithms are normal, with that mean and standard "
         "deviation.", log_normal, "0.0, 1.0, (3, 4);;f(3), pos(3)"),
    draw("random.truncated_normal", "low: Tensor, high: Tensor, mean: Tensor = 0.0, std: Tensor = 1.0, "
         "shape: ints? = None, dtype: dtype? = None", "Numbers of the normal distribution on condition that "
         "they are in [low, high].", truncated_normal, "-1.0, 2.0, 0.0, 1.0, (3, 4);;-pos(3), pos(3)"),
    draw("random.gamma", "concentration: Tensor, scale: Tensor = 1.0, shape: ints? = None, "
         "dtype: dtype? = None", "Numbers of the gamma distribution, with implicit reparameterised gradients "
         "(Figurnov et al., 2018).", gamma, "2.5, 1.0, (3, 4);;pos(3), pos(3)"),
    draw("random.chisquare", "df: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Numbers of the chi-squared distribution with df degrees of freedom.", chisquare, "3.0, (3, 4);;pos(3)"),
    draw("random.student_t", "df: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Numbers of Student's distribution with df degrees of freedom.", student_t, "3.0, (3, 4);;pos(3)"),
    draw("random.beta", "a: Tensor, b: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Numbers of the beta distribution.", beta, "2.0, 0.5, (3, 4);;pos(3), pos(3)"),
    draw("random.dirichlet", "alpha: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Vectors of the Dirichlet distribution with parameters alpha (..., K): (*shape, K).", dirichlet,
         "pos(4), (3,);;pos(2, 3)"),
    draw("random.poisson", "rate: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Counts of the Poisson distribution, int64 unless dtype says otherwise.", poisson, "2.5, (3, 4);;40 * pos(3)"),
    draw("random.binomial", "n: Tensor, p: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Counts of successes in n trials of probability p, int64 unless dtype says otherwise.", binomial,
         "10, 0.3, (3, 4);;ints(0, 50, 3), unit(3) ** 2"),
    draw("random.negative_binomial", "n: Tensor, p: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Counts of failures before the n-th success of probability p, int64 unless dtype says otherwise.",
         negative_binomial, "3.0, 0.3, (3, 4);;pos(3), unit(3) ** 2"),
    draw("random.geometric", "p: Tensor, shape: ints? = None, dtype: dtype? = None",
         "Counts of trials up to the first success of probability p, int64 unless dtype says otherwise.",
         geometric, "0.3, (3, 4);;unit(3) ** 2"),
    draw("random.categorical", "logits: Tensor, shape: ints? = None",
         "Indices of categories with probabilities softmax(logits), along the last axis: int64, of logits' "
         "shape without it, or of `shape`.", categorical, "f(4);;f(3, 4);;f(4), (2, 5)"),
    draw("random.multinomial", "weights: Tensor, num_samples: int, replacement: bool = False",
         "num_samples indices of categories for each row of weights (..., K), which need not sum to 1: "
         "(..., num_samples), int64. ValueError for more than K without replacement; those of weight 0 "
         "come last.", multinomial, "pos(4), 2;;pos(3, 4), 4;;pos(3, 4), 7, True"),
});
// clang-format on

}  // namespace
}  // namespace tegula
