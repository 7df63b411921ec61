// Losses with a margin. Computed in at least float32; at a
// corner the slope is that of the flat side.
#include <cmath>

#include "ops/complex.h"
#include "ops/indexing.h"
#include "ops/losses.h"
#include "ops/op.h"

namespace tegula {
namespace {

Tensor operand(const Tensor& x, const char* op) {
  require_order(x, op);
  return widened(x);
}

// The p-norm of differences along the last axis.
Tensor distance(const Tensor& a, const Tensor& b, double p, double eps, bool keepdims) {
  const Tensor apart = abs(a - b + constant(eps));
  const Dims last{-1};
  if (std::isinf(p)) return max(apart, last, keepdims);
  if (p == 1) return sum(apart, last, keepdims);
  if (p != 2) return pow(sum(pow(apart, constant(p)), last, keepdims), constant(1 / p));
  return sqrt(sum(square(apart), last, keepdims));
}

void check_norm(double p, const char* op) { require(p > 0, op, ": p must be positive, got ", p); }

// Each norm is at least eps, as PyTorch has it.
Tensor similarity(const Tensor& x, const Tensor& y, const Dims& along, double eps) {
  const Tensor xx = sum(square(x), along, false), yy = sum(square(y), along, false);
  const Tensor least = constant(eps * eps);
  return sum(x * y, along, false) * rsqrt(maximum(xx, least)) * rsqrt(maximum(yy, least));
}

Tensors hinge_embedding_loss(const Args& a) {
  const char* op = "hinge_embedding_loss";
  const Tensor x = operand(a.tensor(0), op), t = a.tensor(1);
  check_same_shape(x, t, op);
  const Tensor near = where(equal(t, constant(1)), x, constant(0));
  const Tensor far = where(equal(t, constant(-1)), relu(constant(a.real(2)) - x), constant(0));
  return {reduce_loss(near + far, a.text(3), op)};
}

Tensors margin_ranking_loss(const Args& a) {
  const char* op = "margin_ranking_loss";
  const Tensor x = operand(a.tensor(0), op), y = operand(a.tensor(1), op);
  check_same_shape(x, y, op, "input1 and input2");
  const Tensor t = operand(a.tensor(2), op);
  broadcast_shapes(x.shape(), t.shape(), "margin_ranking_loss: input1 and target");
  return {reduce_loss(relu(constant(a.real(3)) - t * (x - y)), a.text(4), op)};
}

Tensors soft_margin_loss(const Args& a) {
  const char* op = "soft_margin_loss";
  const Tensor x = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(x, t, op);
  const Tensor z = -(t * x);
  return {reduce_loss(maximum(z, constant(0)) + log1p(exp(-abs(z))), a.text(2), op)};
}

Tensors cosine_embedding_loss(const Args& a) {
  const char* op = "cosine_embedding_loss";
  const Tensor x = operand(a.tensor(0), op), y = operand(a.tensor(1), op), t = a.tensor(2);
  check_same_shape(x, y, op, "input1 and input2");
  require(x.rank() == 1 || x.rank() == 2, op, ": input1 must be (N, D) or (D,), got shape ",
          x.shape());
  Shape rows = x.shape();
  rows.pop_back();
  require(t.shape() == rows, op, ": target of shape ", t.shape(), " does not fit inputs of shape ",
          x.shape(), "; it must have shape ", rows);
  const Tensor cosine = similarity(x, y, {-1}, 1e-6);
  const Tensor near = where(equal(t, constant(1)), constant(1) - cosine, constant(0));
  const Tensor far = where(equal(t, constant(-1)), relu(cosine - constant(a.real(3))), constant(0));
  return {reduce_loss(near + far, a.text(4), op)};
}

Tensors triplet_margin_loss(const Args& a) {
  const char* op = "triplet_margin_loss";
  const double margin = a.real(3), p = a.real(4), eps = a.real(5);
  check_norm(p, op);
  const Tensor x = operand(a.tensor(0), op), near = operand(a.tensor(1), op);
  const Tensor far = operand(a.tensor(2), op);
  check_same_shape(x, near, op, "anchor and positive");
  check_same_shape(x, far, op, "anchor and negative");
  require(x.rank() > 0, op, ": anchor must be (N, D) or (D,), got shape ()");
  Tensor away = distance(x, far, p, eps, false);
  if (a.boolean(6)) away = minimum(away, distance(near, far, p, eps, false));
  return {
      reduce_loss(relu(distance(x, near, p, eps, false) - away + constant(margin)), a.text(7), op)};
}

struct Scores {
  Tensor x;       // (N, C)
  Tensor labels;  // (N, K)
  bool single;    // of one example: no axis N
};

// Scores (N, C) or (C,), and labels that have an axis less, or as many.
Scores scores_and_labels(const Args& a, const char* op, bool several) {
  Tensor x = operand(a.tensor(0), op), labels = a.tensor(1);
  require(x.rank() == 1 || x.rank() == 2, op, ": input must be (N, C) or (C,), got shape ",
          x.shape());
  require(x.shape().back() > 0, op, ": input must have a class, got shape ", x.shape());
  Shape wanted = x.shape();
  if (!several) wanted.pop_back();
  require(labels.shape() == wanted, op, ": target of shape ", labels.shape(),
          " does not fit input of shape ", x.shape(), "; it must have shape ", wanted);
  if (!is_integer(labels.dtype()))
    fail(ErrorKind::type, op, ": target must hold integers, got ", labels.dtype());
  const bool single = x.rank() == 1;
  if (!several) labels = expand_dims(labels, -1);
  if (single) {
    x = expand_dims(x, 0);
    labels = expand_dims(labels, 0);
  }
  return {x, labels, single};
}

Tensor reduce_examples(const Tensor& loss, bool single, const std::string& reduction,
                       const char* op) {
  return reduce_loss(single ? reshape(loss, {}) : loss, reduction, op);
}

Tensors multi_margin_loss(const Args& a) {
  const char* op = "multi_margin_loss";
  const auto [x, labels, single] = scores_and_labels(a, op, false);
  const int64_t p = a.integer(2), classes = x.shape()[1];
  require(p == 1 || p == 2, op, ": p must be 1 or 2, got ", p);
  const Tensor index = check_index(labels, classes, 1, true);
  Tensor gap = relu(constant(a.real(3)) - take_along_checked(x, index, 1) + x);
  if (p == 2) gap = square(gap);
  if (a.has(4)) {
    const Tensor weight = a.tensor(4);
    require(weight.shape() == Shape{classes}, op, ": weight of shape ", weight.shape(),
            " does not fit ", classes, " classes");
    gap = gap * gather_checked(astype(weight, x.dtype()), index, 0);
  }
  const Tensor other = not_equal(iota(classes), index);
  const Tensor loss =
      sum(where(other, gap, constant(0)), {1}, false) * constant(1.0 / double(classes));
  return {reduce_examples(loss, single, a.text(5), op)};
}

Tensors multilabel_margin_loss(const Args& a) {
  const char* op = "multilabel_margin_loss";
  const auto [x, given, single] = scores_and_labels(a, op, true);
  const int64_t classes = x.shape()[1];
  const Tensor labels = astype(given, DType::int64), zero = scalar(int64_t(0), DType::int64);
  // Those before the first negative one count.
  const Tensor ended = astype(less(labels, zero), DType::int64);
  const Tensor counts = equal(cumulative(ended, 1, kCumSum), zero);
  const Tensor index = check_index(where(counts, labels, zero), classes, 1, true);
  const Tensor each = expand_dims(index, 2), kept = expand_dims(counts, 2);  // (N, K, 1)
  const Tensor is_label =
      any(logical_and(kept, equal(each, iota(classes))), {1}, true);  // (N, 1, C)
  const Tensor gap =
      relu(constant(1) - expand_dims(take_along_checked(x, index, 1), 2) + expand_dims(x, 1));
  const Tensor wanted = logical_and(kept, logical_not(is_label));
  const Tensor loss =
      sum(where(wanted, gap, constant(0)), {1, 2}, false) * constant(1.0 / double(classes));
  return {reduce_examples(loss, single, a.text(2), op)};
}

Tensors multilabel_soft_margin_loss(const Args& a) {
  const char* op = "multilabel_soft_margin_loss";
  const Tensor x = operand(a.tensor(0), op), t = operand(a.tensor(1), op);
  check_same_shape(x, t, op);
  require(x.rank() > 0, op, ": input must have an axis of classes, got shape ()");
  const Tensor tail = log1p(exp(-abs(x)));
  Tensor loss =
      t * (tail + maximum(-x, constant(0))) + (constant(1) - t) * (tail + maximum(x, constant(0)));
  if (a.has(2)) loss = loss * a.tensor(2);
  return {reduce_loss(mean(loss, {-1}, false), a.text(3), op)};
}

// clang-format off
const Family kMargins("Margin losses", {
    {.name = "hinge_embedding_loss",
     .parameters = "input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = 'mean'",
     .doc = "Of distances: input where target is 1, max(0, margin - input) where it is -1.",
     .call = hinge_embedding_loss,
     .samples = "f(3, 4), numpy.where(mask(3, 4), 1, -1);;f(5), numpy.where(mask(5), 1, -1), 0.5, 'none'",
     .reference = "reference.hinge_embedding_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "margin_ranking_loss",
     .parameters = "input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, "
                   "reduction: str = 'mean'",
     .doc = "max(0, margin - target * (input1 - input2)): target 1 wants input1 to be larger, -1 "
            "input2.",
     .call = margin_ranking_loss,
     .samples = "f(3, 4), f(3, 4), numpy.where(mask(3, 4), 1, -1);;"
                "f(5), f(5), numpy.where(mask(5), 1, -1), 0.5, 'none'",
     .reference = "reference.margin_ranking_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "soft_margin_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean'",
     .doc = "log(1 + exp(-target * input)), without overflow; target is 1 or -1.",
     .call = soft_margin_loss,
     .samples = "f(3, 4), numpy.where(mask(3, 4), 1, -1);;100 * f(5), numpy.where(mask(5), 1, -1), 'none'",
     .reference = "reference.soft_margin_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "cosine_embedding_loss",
     .parameters = "input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, "
                   "reduction: str = 'mean'",
     .doc = "Of vectors (N, D) or (D,): 1 - cosine_similarity where target (N,) or () is 1, "
            "max(0, cosine_similarity - margin) where it is -1.",
     .call = cosine_embedding_loss,
     .samples = "f(5, 3), f(5, 3), numpy.where(mask(5), 1, -1);;f(3), f(3), 1, 0.1;;"
                "f(5, 3), f(5, 3), numpy.where(mask(5), 1, -1), -0.5, 'none'",
     .reference = "reference.cosine_embedding_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "triplet_margin_loss",
     .parameters = "anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, "
                   "p: float = 2.0, eps: float = 1e-06, swap: bool = False, reduction: str = 'mean'",
     .doc = "max(0, d(anchor, positive) - d(anchor, negative) + margin), with pairwise_distance; swap "
            "takes d(positive, negative) where it is less (Balntas et al., 2016).",
     .call = triplet_margin_loss,
     .samples = "f(5, 3), f(5, 3), f(5, 3);;f(5, 3), f(5, 3), f(5, 3), 0.5, 3.0, 1e-6, True, 'none'",
     .reference = "reference.triplet_margin_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "multi_margin_loss",
     .parameters = "input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, "
                   "weight: Tensor? = None, reduction: str = 'mean'",
     .doc = "Of scores (N, C) or (C,) and labels (N,) or (): the sum over the other classes of "
            "max(0, margin - input[target] + input) ** p, divided by C; weight (C,) counts labels "
            "differently. IndexError, when read, for a label outside of [0, C).",
     .call = multi_margin_loss,
     .samples = "f(5, 3), ints(0, 3, 5);;f(5, 3), ints(0, 3, 5), 2, 0.5, pos(3), 'none';;f(4), ints(0, 4)",
     .reference = "reference.multi_margin_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "multilabel_margin_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean'",
     .doc = "Of scores and labels, both (N, C) or (C,), labels from the first negative one on left "
            "out: the sum over labels and over classes that are none of max(0, 1 - input[label] + "
            "input), divided by C. IndexError, when read, for a label of C or more.",
     .call = multilabel_margin_loss,
     .samples = "f(5, 4), ints(-1, 4, 5, 4);;f(4), ints(-1, 4, 4), 'sum';;f(5, 4), ints(-1, 4, 5, 4), 'none'",
     .reference = "reference.multilabel_margin_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "multilabel_soft_margin_loss",
     .parameters = "input: Tensor, target: Tensor, weight: Tensor? = None, reduction: str = 'mean'",
     .doc = "The mean over the last axis, the classes, of -(target * log(sigmoid(input)) + (1 - target) "
            "* log(sigmoid(-input))); weight broadcasts.",
     .call = multilabel_soft_margin_loss,
     .samples = "f(5, 3), ints(0, 2, 5, 3);;f(5, 3), ints(0, 2, 5, 3), pos(3), 'none'",
     .reference = "reference.multilabel_soft_margin_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
