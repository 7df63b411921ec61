// Batching of control flow: bodies that work on many examples.
#include "transform/control_rules.h"
#include "transform/transformed_body.h"

namespace tegula {
namespace {

// A 0-d value of each example, to be chosen by where the examples' values have shape `like`.
Tensor beside(const Tensor& x, const Shape& like) {
  Shape shape(like.size(), 1);
  shape[0] = x.shape()[0];
  return reshape(x, shape);
}

Tensor first_axes_exchanged(const Tensor& x) {
  Dims order = all_axes(x);
  std::swap(order[0], order[1]);
  return permute_dims(x, order);
}

// A parameter of a batched body for operand i, with the batch axis.
Batched batched_parameter(BatchContext& c, size_t i, TransformedBody& body) {
  Shape shape{c.size()};
  shape.append(c.shape(i).begin(), c.shape(i).end());
  return {body.parameter(shape, c.input(i).dtype()), true};
}
// An operand that does not change while the node runs.
Batched shared_operand(BatchContext& c, size_t i, TransformedBody& body) {
  return {body.outside(c.input(i)), c.has_batch(i)};
}

}  // namespace

// Where the examples decide differently all branches are computed, and each takes its own.
Tensors batch_cond(BatchContext& c) {
  const Node& node = c.node();
  const int64_t last = int64_t(node.bodies.size()) - 1;
  std::span<const int64_t> dynamic = c.dynamic();
  std::vector<BodyDraft> branches;
  Tensors chosen;
  for (int64_t b = 0; b <= last; ++b) {
    const Body& branch = *node.bodies[size_t(b)];
    const auto words = dynamic.first(branch.dynamic_words());
    dynamic = dynamic.subspan(words.size());
    if (!c.has_batch(0)) {
      TransformedBody body(*node.device);
      std::vector<Batched> operands;
      for (size_t i = 1; i < c.input_count(); ++i) operands.push_back(shared_operand(c, i, body));
      for (const Batched& x : record_batched(branch, operands, words, c.size(), c.axis()))
        body.give(with_batch(x, c.size()));
      branches.push_back(body.take());
      continue;
    }
    std::vector<Batched> operands;
    for (size_t i = 1; i < c.input_count(); ++i) operands.push_back({c.input(i), c.has_batch(i)});
    const auto found = record_batched(branch, operands, words, c.size(), c.axis());
    const Tensor number = scalar(b, DType::int64);
    for (size_t k = 0; k < found.size(); ++k) {
      const Tensor x = with_batch(found[k], c.size());
      if (b == 0) {
        chosen.push_back(x);
        continue;
      }
      const Tensor here = beside(greater_equal(c.input(0), number), x.shape());
      chosen[k] = where(here, x, chosen[k]);
    }
  }
  return c.has_batch(0) ? chosen : cond(c.input(0), {}, std::move(branches));
}

Tensors batch_scan(BatchContext& c) {
  const Node& node = c.node();
  const auto attrs = read_attrs<ScanAttrs>(node.attrs);
  const size_t carries = size_t(attrs.carries), rows = size_t(attrs.rows);
  Tensors init, xs;
  for (size_t j = 0; j < carries; ++j) init.push_back(c.batched(j));
  for (size_t i = carries; i < carries + rows; ++i)
    xs.push_back(c.has_batch(i) ? first_axes_exchanged(c.input(i)) : c.input(i));
  TransformedBody body(*node.device);
  std::vector<Batched> operands;
  for (size_t j = 0; j < carries; ++j) operands.push_back(batched_parameter(c, j, body));
  for (size_t n = 0; n < rows; ++n)
    operands.push_back(
        {body.parameter(row_shape(xs[n].shape()), xs[n].dtype()), c.has_batch(carries + n)});
  for (size_t i = carries + rows; i < c.input_count(); ++i)
    operands.push_back(shared_operand(c, i, body));
  for (const Batched& x :
       record_batched(*node.bodies[0], operands, c.dynamic(), c.size(), c.axis()))
    body.give(with_batch(x, c.size()));
  Tensors results = scan_all(init, xs, attrs.length, attrs.reverse, body.take());
  for (size_t k = carries; k < results.size(); ++k) results[k] = first_axes_exchanged(results[k]);
  return results;
}

// The loop goes on while any example's does; those that have ended keep their carry. Each counts
// its own iterations, in a last carry.
Tensors batch_while(BatchContext& c) {
  const Node& node = c.node();
  const auto attrs = read_attrs<WhileAttrs>(node.attrs);
  const size_t carries = size_t(attrs.carries);
  const Body &condition = *node.bodies[0], &body = *node.bodies[1];
  const auto condition_words = c.dynamic().first(condition.dynamic_words());
  const auto body_words = c.dynamic().subspan(condition_words.size());
  Tensors init;
  for (size_t j = 0; j < carries; ++j) init.push_back(c.batched(j));
  init.push_back(zeros({c.size()}, DType::int64));

  const auto operands_of = [&](TransformedBody& made) {
    std::vector<Batched> operands;
    for (size_t j = 0; j < carries; ++j) operands.push_back(batched_parameter(c, j, made));
    return operands;
  };
  const auto goes_on = [&](TransformedBody& made, std::vector<Batched>& operands) {
    for (size_t i = carries; i < c.input_count(); ++i)
      operands.push_back(shared_operand(c, i, made));
    return with_batch(record_batched(condition, operands, condition_words, c.size(), c.axis())[0],
                      c.size());
  };

  TransformedBody until(*node.device);
  std::vector<Batched> operands = operands_of(until);
  until.parameter({c.size()}, DType::int64);
  until.give(any(goes_on(until, operands), {0}, false));
  BodyDraft until_all_ended = until.take();

  TransformedBody step(*node.device);
  operands = operands_of(step);
  const Tensor count = step.parameter({c.size()}, DType::int64);
  const Tensor on = goes_on(step, operands);
  const auto next = record_batched(body, operands, body_words, c.size(), c.axis());
  for (size_t j = 0; j < carries; ++j) {
    const Tensor x = with_batch(next[j], c.size());
    step.give(where(beside(on, x.shape()), x, operands[j].value));
  }
  step.give(where(on, count + scalar(int64_t(1), DType::int64), count));

  const Tensors found = while_all(init, attrs.max_iters, std::move(until_all_ended), step.take());
  Tensors results(found.begin(), found.begin() + int64_t(carries) + 1);
  if (attrs.max_iters < 0) return results;
  for (size_t j = 0; j < carries; ++j)
    results.push_back(first_axes_exchanged(found[carries + 2 + j]));
  return results;
}

}  // namespace tegula
