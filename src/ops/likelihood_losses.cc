// Losses that are negative log-likelihoods or distances of distributions, and the robust distances.
// Computed in at least float32.
#include <cmath>
#include <numbers>

#include "ops/complex.h"
#include "ops/losses.h"
#include "ops/op.h"

namespace tegula {
namespace {

Tensor operand(const Tensor& x, const char* op) {
  require_order(x, op);
  return widened(x);
}

// gap^2 / 2 up to a gap of delta, from there on its tangent.
Tensor huber(const Tensor& a, const Tensor& b, double delta) {
  const Tensor gap = abs(a - b);
  return where(less(gap, constant(delta)), gap * gap * constant(0.5),
               (gap - constant(delta / 2)) * constant(delta));
}

Tensors huber_loss(const Args& a) {
  const char* op = "huber_loss";
  const double delta = a.real(3);
  require(delta > 0, op, ": delta must be positive, got ", delta);
  check_same_shape(a.tensor(0), a.tensor(1), op);
  const Tensor loss = huber(operand(a.tensor(0), op), operand(a.tensor(1), op), delta);
  return {reduce_loss(loss, a.text(2), op)};
}

Tensors smooth_l1_loss(const Args& a) {
  const char* op = "smooth_l1_loss";
  const double beta = a.real(3);
  require(beta >= 0, op, ": beta must not be negative, got ", beta);
  check_same_shape(a.tensor(0), a.tensor(1), op);
  const Tensor x = operand(a.tensor(0), op), y = operand(a.tensor(1), op);
  const Tensor loss = beta == 0 ? abs(x - y) : huber(x, y, beta) * constant(1 / beta);
  return {reduce_loss(loss, a.text(2), op)};
}

Tensors kl_div(const Args& a) {
  const char* op = "kl_div";
  const Tensor x = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(x, t, op);
  Tensor loss;
  if (a.boolean(3)) {
    loss = exp(t) * (t - x);
  } else {  // 0 log 0 is 0
    const Tensor present = greater(t, constant(0));
    const Tensor log_t = log(where(present, t, constant(1)));
    loss = where(present, t * (log_t - x), where(isnan(t), t, constant(0)));
  }
  if (a.text(2) != "batchmean") {
    require(a.text(2) == "mean" || a.text(2) == "sum" || a.text(2) == "none", op,
            ": reduction must be 'mean', 'batchmean', 'sum' or 'none', got '", a.text(2), "'");
    return {reduce_loss(loss, a.text(2), op)};
  }
  require(x.rank() > 0, op, ": reduction 'batchmean' needs an axis of examples, got shape ()");
  return {total(loss) * constant(1.0 / double(x.shape()[0]))};
}

Tensors poisson_nll_loss(const Args& a) {
  const char* op = "poisson_nll_loss";
  const Tensor x = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(x, t, op);
  const double eps = a.real(4);
  Tensor loss = a.boolean(2) ? exp(x) - t * x : x - t * log(x + constant(eps));
  if (a.boolean(3)) {  // Stirling's approximation of log t!
    const Tensor many = greater(t, constant(1)), s = where(many, t, constant(1));
    const Tensor stirling =
        s * log(s) - s + constant(0.5) * log(s * constant(2 * std::numbers::pi));
    loss = loss + where(many, stirling, constant(0));
  }
  return {reduce_loss(loss, a.text(5), op)};
}

Tensors gaussian_nll_loss(const Args& a) {
  const char* op = "gaussian_nll_loss";
  const Tensor x = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(x, t, op);
  const double eps = a.real(4);
  require(eps > 0, op, ": eps must be positive, got ", eps);
  broadcast_shapes(x.shape(), a.tensor(2).shape(), "gaussian_nll_loss: input and var");
  // The floor has no slope of its own, as in PyTorch: var learns as if it were not there.
  const Tensor given = operand(a.tensor(2), op);
  Tensor lift;
  {
    GradMode off(false);
    lift = maximum(given, constant(eps)) - given;
  }
  const Tensor var = given + lift;
  Tensor loss = (log(var) + square(x - t) / var) * constant(0.5);
  if (a.boolean(3)) loss = loss + constant(0.5 * std::log(2 * std::numbers::pi));
  return {reduce_loss(loss, a.text(5), op)};
}

// log p, at least -100, and without slope where p is 0.
Tensor clamped_log(const Tensor& p) {
  const Tensor positive = greater(p, constant(0));
  const Tensor value = maximum(log(where(positive, p, constant(1))), constant(-100));
  return where(less_equal(p, constant(0)), constant(-100), where(positive, value, p));
}

Tensors binary_cross_entropy(const Args& a) {
  const char* op = "binary_cross_entropy";
  const Tensor p = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(p, t, op);
  const Tensor rest = constant(1) - p;
  Tensor loss = -(t * clamped_log(p) + (constant(1) - t) * clamped_log(rest));
  if (a.has(2)) loss = loss * a.tensor(2);
  return {reduce_loss(loss, a.text(3), op)};
}

// clang-format off
const Family kLikelihoods("Likelihoods and robust losses", {
    {.name = "huber_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean', delta: float = 1.0",
     .doc = "With the gap between input and target: gap ** 2 / 2 where it is below delta, else "
            "delta * (gap - delta / 2) (Huber, 1964). ValueError unless delta is positive.",
     .call = huber_loss,
     .samples = "2 * f(3, 4), f(3, 4);;f(5), f(5), 'none', 0.5",
     .reference = "reference.huber_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "smooth_l1_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean', beta: float = 1.0",
     .doc = "huber_loss with a delta of beta, divided by beta; l1_loss for a beta of 0 (Girshick, "
            "2015). ValueError for a negative beta.",
     .call = smooth_l1_loss,
     .samples = "2 * f(3, 4), f(3, 4);;f(5), f(5), 'sum', 0.5;;f(5), f(5), 'none', 0.0",
     .reference = "reference.smooth_l1_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "kl_div",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean', log_target: bool = False",
     .doc = "target * (log(target) - input), of log-probabilities and probabilities; with log_target "
            "both are logarithms. 'batchmean' divides the sum by the size of the first axis, which "
            "makes it the Kullback-Leibler divergence; 'mean' divides by the number of elements.",
     .call = kl_div,
     .samples = "f(3, 4), pos(3, 4);;f(3, 4), f(3, 4), 'batchmean', True;;f(4), pos(4), 'sum';;"
                "f(4), pos(4), 'none'",
     .reference = "reference.kl_div",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "poisson_nll_loss",
     .parameters = "input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, "
                   "eps: float = 1e-08, reduction: str = 'mean'",
     .doc = "exp(input) - target * input, of the logarithm of a Poisson rate; without log_input, "
            "input - target * log(input + eps). full adds Stirling's approximation of the logarithm "
            "of target's factorial, where target is above 1.",
     .call = poisson_nll_loss,
     .samples = "f(3, 4), 3 * pos(3, 4);;pos(3, 4), pos(3, 4), False, True;;f(4), pos(4), "
                "reduction='none'",
     .reference = "reference.poisson_nll_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "gaussian_nll_loss",
     .parameters = "input: Tensor, target: Tensor, var: Tensor, full: bool = False, "
                   "eps: float = 1e-06, reduction: str = 'mean'",
     .doc = "(log(var) + (input - target) ** 2 / var) / 2, of a mean and a variance, which is at "
            "least eps and broadcasts (Nix and Weigend, 1994). full adds log(2 pi) / 2.",
     .call = gaussian_nll_loss,
     .samples = "f(3, 4), f(3, 4), pos(3, 4);;f(3, 4), f(3, 4), pos(3, 1), True, 1e-3, 'none'",
     .reference = "reference.gaussian_nll_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "binary_cross_entropy",
     .parameters = "input: Tensor, target: Tensor, weight: Tensor? = None, reduction: str = 'mean'",
     .doc = "-(target * log(input) + (1 - target) * log(1 - input)), of probabilities; no logarithm "
            "is below -100. binary_cross_entropy_with_logits is more accurate.",
     .call = binary_cross_entropy,
     .samples = "unit(3, 4) ** 2, unit(3, 4) ** 2;;unit(3, 4) ** 2, unit(3, 4) ** 2, pos(4), 'sum';;"
                "unit(5) ** 2, unit(5) ** 2, None, 'none'",
     .reference = "reference.binary_cross_entropy",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
