// Losses. Computed in at least float32; `reduction` is 'mean', 'sum' or 'none'.
#include "ops/losses.h"

#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

// What the losses over classes take beside scores and labels.
struct ClassOptions {
  Tensor weight;  // per class, or empty
  std::optional<int64_t> ignore_index;
  double smoothing = 0;
  Reduction reduction;
  const char* op;
  bool normalize = false;  // take the log-softmax of the scores
};

// Whether a label of that dtype can be `value`.
bool can_be(int64_t value, DType dtype) {
  if (is_unsigned_integer(dtype) && value < 0) return false;
  if (itemsize(dtype) == 8) return true;
  const int bits = int(itemsize(dtype)) * 8 - is_signed_integer(dtype);
  const int64_t end = int64_t(1) << bits;
  return value < end && value >= -end;
}

// Minus the log-probability of the labels; scores (N, C, ...) or (C,), labels (N, ...) or ().
Tensor label_loss(const Tensor& scores, const Tensor& given, const ClassOptions& o) {
  require(scores.rank() > 0, o.op, ": scores must be (N, C, ...) or (C,), got shape ",
          scores.shape());
  // Where classes come last and one of each row is wanted, the others are never stored.
  const bool chosen_only = o.normalize && o.smoothing == 0 && scores.rank() <= 2 && scores.size();
  const bool normalize = o.normalize && !chosen_only;
  const Tensor logp = normalize ? log_softmax(scores, scores.rank() > 1) : scores;
  const size_t axis = logp.rank() > 1;
  const int64_t classes = logp.shape()[axis];
  Shape without = logp.shape();
  without.erase(axis);
  require(given.shape() == without, o.op, ": labels of shape ", given.shape(),
          " do not fit scores of shape ", logp.shape(), "; they must have shape ", without);
  if (!is_integer(given.dtype()))
    fail(ErrorKind::type, o.op, ": labels must be integers, got ", given.dtype());
  Shape along(logp.rank() - axis, 1);  // a class's weight among the axes of logp
  along[0] = classes;
  Tensor weight;
  if (o.weight) {
    require(o.weight.shape() == Shape{classes}, o.op, ": weight of shape ", o.weight.shape(),
            " does not fit ", classes, " classes");
    weight = astype(o.weight, logp.dtype());
  }

  Tensor labels = expand_dims(given, int64_t(axis)), kept;
  if (o.ignore_index && can_be(*o.ignore_index, given.dtype())) {
    kept = not_equal(labels, scalar(*o.ignore_index, DType::int64, true));
    labels = where(kept, labels, scalar(int64_t(0), labels.dtype()));
  }
  const Tensor index = check_index(labels, classes, axis, true);
  // Minus the losses, in whose place the last factor is negative.
  Tensor gain = chosen_only ? log_softmax_at(logp, index) : take_along_checked(logp, index, axis);
  const Tensor weights = weight ? gather_checked(weight, index, 0) : Tensor();
  if (weight) gain = gain * weights;
  if (o.smoothing != 0) {
    const Tensor weighted = weight ? logp * reshape(weight, along) : logp;
    gain = gain * constant(1 - o.smoothing) +
           sum(weighted, {int64_t(axis)}, true) * constant(o.smoothing / double(classes));
  }
  if (kept) gain = where(kept, gain, constant(0));
  if (o.reduction == Reduction::none) return -squeeze(gain, {int64_t(axis)});
  if (o.reduction == Reduction::sum) return -total(gain);
  if (!kept && !weight) return total(gain) * constant(-1.0 / double(given.size()));
  const Tensor share = weight ? -weights : scalar(-1.0, logp.dtype());
  const Tensor shares = kept ? where(kept, share, constant(0)) : share;
  const Dims axes = all_axes(gain);
  return reshape(sum(gain, axes, true) / sum(shares, axes, true), {});
}

// Labels that are a distribution over the classes.
Tensor distribution_loss(const Tensor& logp, const Tensor& target, const ClassOptions& o) {
  check_same_shape(logp, target, o.op);
  const int64_t axis = logp.rank() > 1;
  const int64_t classes = logp.shape()[size_t(axis)];
  Tensor wanted = astype(target, logp.dtype());
  if (o.smoothing != 0)
    wanted = wanted * constant(1 - o.smoothing) + constant(o.smoothing / double(classes));
  Tensor gain = logp * wanted;
  if (o.weight) {
    Shape along(logp.rank() - size_t(axis), 1);
    along[0] = classes;
    gain = gain * reshape(astype(o.weight, logp.dtype()), along);
  }
  const Tensor loss = -sum(gain, {axis}, false);
  if (o.reduction != Reduction::mean) return reduce_loss(loss, o.reduction);
  return total(loss) * constant(1.0 / double(loss.size()));
}

Tensors cross_entropy(const Args& a) {
  const Tensor &logits = a.tensor(0), &labels = a.tensor(1);
  const double smoothing = a.real(5);
  require(smoothing >= 0 && smoothing <= 1,
          "cross_entropy: label_smoothing must be between 0 and "
          "1, got ",
          smoothing);
  const ClassOptions options{a.optional_tensor(2),
                             a.has(3) ? std::optional(a.integer(3)) : std::nullopt,
                             smoothing,
                             reduction_named(a.text(4), "cross_entropy"),
                             "cross_entropy",
                             true};
  require(logits.rank() > 0, "cross_entropy: logits must be (N, C, ...) or (C,), got shape ",
          logits.shape());
  const Tensor scores = widened(logits);
  if (!is_floating(labels.dtype())) return {label_loss(scores, labels, options)};
  return {distribution_loss(log_softmax(scores, logits.rank() > 1), labels, options)};
}

Tensors nll_loss(const Args& a) {
  const ClassOptions options{a.optional_tensor(2),
                             a.has(3) ? std::optional(a.integer(3)) : std::nullopt, 0,
                             reduction_named(a.text(4), "nll_loss"), "nll_loss"};
  return {label_loss(widened(a.tensor(0)), a.tensor(1), options)};
}

template <Tensor (*kDistance)(const Tensor&)>
Tensors distance_loss(const Args& a, const char* op) {
  check_same_shape(a.tensor(0), a.tensor(1), op);
  const Reduction reduction = reduction_named(a.text(2), op);
  return {reduce_loss(kDistance(widened(a.tensor(0)) - widened(a.tensor(1))), reduction)};
}

// max(x, 0) - x t + log(1 + exp(-|x|)); with pos_weight the positive term counts so much.
Tensors bce_with_logits(const Args& a) {
  const char* op = "binary_cross_entropy_with_logits";
  check_same_shape(a.tensor(0), a.tensor(1), op);
  const Tensor x = widened(a.tensor(0)), t = widened(a.tensor(1));
  const Tensor tail = log1p(exp(-abs(x)));
  Tensor loss;
  if (a.has(3)) {
    const Tensor share = (a.tensor(3) - constant(1)) * t + constant(1);
    loss = (constant(1) - t) * x + share * (tail + maximum(-x, constant(0)));
  } else {
    loss = maximum(x, constant(0)) - x * t + tail;
  }
  if (a.has(2)) loss = loss * a.tensor(2);
  return {reduce_loss(loss, reduction_named(a.text(4), op))};
}

// clang-format off
const Family kLosses("Losses", {
    {.name = "cross_entropy",
     .parameters = "logits: Tensor, labels: Tensor, weight: Tensor? = None, "
                   "ignore_index: int? = None, reduction: str = 'mean', "
                   "label_smoothing: float = 0.0",
     .doc = "Minus the log-softmax of logits (N, C, ...) or (C,) at labels, integers (N, ...) or "
            "(), or a distribution of logits' shape. weight (C,) counts classes differently; "
            "labels equal to ignore_index do not count. IndexError, when read, for any other label "
            "outside of [0, C).",
     .call = cross_entropy,
     .samples = "f(5, 3), ints(0, 3, 5);;f(3), ints(0, 3);;f(5, 3, 2), ints(0, 3, 5, 2);;"
                "f(5, 3), ints(0, 3, 5), pos(3), 1;;f(5, 3), ints(0, 3, 5), None, 1, 'sum';;"
                "f(5, 3), ints(0, 3, 5), None, None, 'none', 0.1;;"
                "f(5, 3), ints(0, 3, 5), pos(3), 0, 'mean', 0.2;;f(5, 3), pos(5, 3)",
     .reference = "reference.cross_entropy",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "nll_loss",
     .parameters = "logp: Tensor, labels: Tensor, weight: Tensor? = None, "
                   "ignore_index: int? = None, reduction: str = 'mean'",
     .doc = "Minus logp (N, C, ...) or (C,) at labels (N, ...) or (). weight (C,) counts classes "
            "differently; labels equal to ignore_index do not count. IndexError, when read, for "
            "any other label outside of [0, C).",
     .call = nll_loss,
     .samples = "f(5, 3), ints(0, 3, 5);;f(5, 3, 2), ints(0, 3, 5, 2), pos(3), 1, 'sum';;"
                "f(5, 3), ints(0, 3, 5), None, 2, 'none'",
     .reference = "reference.nll_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "mse_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean'",
     .doc = "(input - target) squared.",
     .call = [](const Args& a) { return distance_loss<square>(a, "mse_loss"); },
     .samples = "f(3, 4), f(3, 4);;f(3), f(3), 'sum';;f(3), f(3), 'none'",
     .reference = "reference.mse_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "l1_loss",
     .parameters = "input: Tensor, target: Tensor, reduction: str = 'mean'",
     .doc = "The distance of input from target.",
     .call = [](const Args& a) { return distance_loss<abs>(a, "l1_loss"); },
     .samples = "f(3, 4), f(3, 4);;f(3), f(3), 'sum';;f(3), f(3), 'none'",
     .reference = "reference.l1_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "binary_cross_entropy_with_logits",
     .parameters = "logits: Tensor, target: Tensor, weight: Tensor? = None, "
                   "pos_weight: Tensor? = None, reduction: str = 'mean'",
     .doc = "-(target * log(p) + (1 - target) * log(1 - p)) with p = sigmoid(logits), without "
            "overflow; the first term counts pos_weight times, the whole weight times.",
     .call = bce_with_logits,
     .samples = "f(3, 4), unit(3, 4) ** 2;;f(3, 4), unit(3, 4) ** 2, pos(4), pos(4), 'sum';;"
                "f(3) * 50, unit(3) ** 2, None, None, 'none'",
     .reference = "reference.binary_cross_entropy_with_logits",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
