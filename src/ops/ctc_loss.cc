// Connectionist temporal classification (Graves et al., 2006): the forward variables in the log
// domain, one frame after the other. A composite, so its derivatives are those of what it records.
#include <algorithm>
#include <cmath>

#include "ops/complex.h"
#include "ops/indexing.h"
#include "ops/losses.h"
#include "ops/op.h"

namespace tegula {
namespace {

const char* const kOp = "ctc_loss";
// Stands for log 0: finite, so that differences are no NaN, and below any sum of frames.
constexpr double kNever = -1e30;

void check_integers(const Tensor& x, const char* what) {
  if (!is_integer(x.dtype()))
    fail(ErrorKind::type, kOp, ": ", what, " must hold integers, got ", x.dtype());
}

Tensor int64_of(int64_t value) { return scalar(value, DType::int64); }

struct Batch {
  Tensor logp;            // (T, N, C), in at least float32
  Tensor targets;         // (N, S), int64
  Tensor frames, labels;  // (N,), int64, how many of T and of S count
};

// One example becomes a batch of one.
Batch read_batch(const Args& a) {
  Tensor logp = a.tensor(0), targets = a.tensor(1), frames = a.tensor(2), labels = a.tensor(3);
  require_order(logp, kOp);
  const bool single = logp.rank() == 2;
  require(single || logp.rank() == 3, kOp, ": log_probs must be (T, N, C) or (T, C), got shape ",
          logp.shape());
  require(targets.rank() == (single ? 1u : 2u), kOp,
          ": targets must be (N, S), or (S,) for one example; ", "got shape ", targets.shape(),
          " for log_probs of shape ", logp.shape());
  check_integers(targets, "targets");
  check_integers(frames, "input_lengths");
  check_integers(labels, "target_lengths");
  if (single) {
    require(frames.size() == 1 && labels.size() == 1, kOp,
            ": one example has one input_length and one "
            "target_length, got shapes ",
            frames.shape(), " and ", labels.shape());
    logp = expand_dims(logp, 1);
    targets = expand_dims(targets, 0);
    frames = reshape(frames, {1});
    labels = reshape(labels, {1});
  }
  const int64_t count = logp.shape()[1];
  const Tensor* per_example[] = {&targets, &frames, &labels};
  const char* names[] = {"targets", "input_lengths", "target_lengths"};
  for (size_t i = 0; i < 3; ++i)
    require(per_example[i]->rank() == (i ? 1u : 2u) && per_example[i]->shape()[0] == count, kOp,
            ": ", names[i], " of shape ", per_example[i]->shape(), " do not fit the ", count,
            " examples of log_probs");
  return {widened(logp), astype(targets, DType::int64),
          check_index(astype(frames, DType::int64), logp.shape()[0] + 1, 0, true),
          check_index(astype(labels, DType::int64), targets.shape()[1] + 1, 0, true)};
}

// The labels with a blank before each and after the last (N, 2 S + 1).
Tensor with_blanks(const Batch& batch, int64_t blank) {
  const int64_t count = batch.targets.shape()[0], size = batch.targets.shape()[1];
  const Tensor counts = less(iota(size), expand_dims(batch.labels, 1));
  const Tensor targets = where(counts, batch.targets, int64_of(blank));  // the rest may be anything
  const Tensor blanks = full({count, size}, int64_of(blank));
  const Tensor pairs = reshape(stack({blanks, targets}, 2), {count, 2 * size});
  return concat({pairs, full({count, 1}, int64_of(blank))}, 1);
}

// Minus the log-likelihood of each example (N,), more than -kNever / 2 for an impossible one.
Tensor negative_likelihood(const Batch& batch, int64_t blank) {
  const Tensor& logp = batch.logp;
  const int64_t frames = logp.shape()[0], count = logp.shape()[1], classes = logp.shape()[2];
  const Tensor states = check_index(with_blanks(batch, blank), classes, 2, true);
  const int64_t size = states.shape()[1];
  const Tensor never = scalar(kNever, logp.dtype());
  // Whether a state can follow the one before the last: labels that differ, with a blank between.
  Tensor skips = full({count, std::min<int64_t>(size, 2)}, scalar(int64_t(0), DType::bool_));
  if (size > 2) {
    const Tensor later = part_of(states, 1, 2, size), earlier = part_of(states, 1, 0, size - 2);
    skips = concat(
        {skips, logical_and(not_equal(later, int64_of(blank)), not_equal(later, earlier))}, 1);
  }
  const Tensor index = broadcast_to(expand_dims(states, 0), {frames, count, size});
  const Tensor emitted = maximum(take_along_checked(logp, index, 2), never);
  const Tensor before = full({count, 2}, never);  // two states that are never reached
  Tensor alpha = concat(
      {before, full({count, 1}, scalar(0.0, logp.dtype())), full({count, size - 1}, never)}, 1);
  for (int64_t t = 0; t < frames; ++t) {
    const Tensor stay = part_of(alpha, 1, 2, size + 2), next = part_of(alpha, 1, 1, size + 1);
    const Tensor skip = where(skips, part_of(alpha, 1, 0, size), never);
    Tensor top;
    {
      GradMode off(false);
      top = maximum(maximum(stay, next), skip);
    }
    const Tensor sum = exp(stay - top) + exp(next - top) + exp(skip - top);
    const Tensor moved = top + log(sum) + reshape(part_of(emitted, 0, t, t + 1), {count, size});
    const Tensor running = less(int64_of(t), expand_dims(batch.frames, 1));
    alpha = concat({before, where(running, moved, stay)}, 1);
  }
  // The last label's state, or the blank after it.
  const Tensor end = expand_dims(batch.labels, 1) * int64_of(2) + int64_of(2);
  const Tensor last = take_along_checked(alpha, concat({end, end - int64_of(1)}, 1), 1);
  return -logsumexp(last, {1}, false);
}

Tensors ctc_loss(const Args& a) {
  const Reduction reduction = reduction_named(a.text(5), kOp);
  const Batch batch = read_batch(a);
  const int64_t blank = a.integer(4), classes = batch.logp.shape()[2];
  require(blank >= 0 && blank < classes, kOp, ": blank must be a class, 0 to ", classes - 1,
          ", got ", blank);
  Tensor loss = negative_likelihood(batch, blank);
  const Tensor impossible = greater(loss, constant(-kNever / 2));
  loss = where(impossible, constant(a.boolean(6) ? 0 : HUGE_VAL), loss);
  if (a.tensor(0).rank() == 2) loss = reshape(loss, {});
  if (reduction != Reduction::mean) return {reduce_loss(loss, reduction)};
  const Tensor sizes =
      reshape(astype(maximum(batch.labels, int64_of(1)), loss.dtype()), loss.shape());
  return {reduce_loss(loss / sizes, reduction)};
}

// clang-format off
const Family kCtc("Sequence losses", {
    {.name = "ctc_loss",
     .parameters = "log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, "
                   "blank: int = 0, reduction: str = 'mean', zero_infinity: bool = False",
     .doc = "Connectionist temporal classification (Graves et al., 2006): minus the log-likelihood of "
            "targets (N, S), integers, summed over all their alignments with log_probs (T, N, C); or of "
            "(S,) and (T, C). input_lengths and target_lengths (N,) tell how many frames and labels "
            "count. 'mean' divides each loss by its target length first. A target that fits no "
            "alignment has an infinite loss, or 0 and no gradient with zero_infinity. IndexError, when "
            "read, for labels and lengths out of range.",
     .call = ctc_loss,
     .samples = "numpy.log(pos(5, 2, 3) / 6), ints(1, 3, 2, 2), numpy.array([5, 4]), numpy.array([2, 1]);;"
                "numpy.log(pos(6, 3, 4) / 8), ints(0, 3, 3, 3), numpy.array([6, 5, 2]), "
                "numpy.array([2, 0, 3]), 3, 'none', True;;"
                "numpy.log(pos(4, 2, 3) / 6), ints(1, 3, 2, 2), numpy.array([4, 3]), numpy.array([1, 1]), "
                "0, 'sum'",
     .reference = "reference.ctc_loss",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
