// Forward derivatives of control flow: bodies that compute tangents beside values.
#include "ops/ops.h"
#include "transform/control_rules.h"
#include "transform/transformed_body.h"

namespace tegula {
namespace {

// What a body's tangents are computed from: values that vary, and how.
struct Variation {
  Tensors variables, tangents;

  void add(const Tensor& x, const Tensor& tangent) {
    variables.push_back(x);
    tangents.push_back(tangent);
  }
};

// Adds operand i of the node, which does not change while the node runs; its place in the body.
Tensor shared_operand(JvpContext& c, size_t i, TransformedBody& body, Variation& variation) {
  const Tensor& tangent = c.tangent(i);
  const Tensor x = body.outside(c.input(i), bool(tangent));
  if (tangent) variation.add(x, body.outside(tangent));
  return x;
}

Tensor tangent_or_zeros(JvpContext& c, size_t i) {
  const Tensor x = c.input(i);
  return c.tangent(i) ? c.tangent(i) : zeros(x.shape(), x.dtype());
}

}  // namespace

void cond_jvp(JvpContext& c) {
  const Node& node = c.node();
  std::span<const int64_t> dynamic = node.dynamic;
  std::vector<BodyDraft> branches;
  for (const std::shared_ptr<const Body>& branch : node.bodies) {
    TransformedBody body(*node.device);
    Variation variation;
    Tensors inputs;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      inputs.push_back(shared_operand(c, i, body, variation));
    const Tensors outputs = record_body(*branch, inputs, dynamic);
    dynamic = dynamic.subspan(branch->dynamic_words());
    for (const Tensor& t : body.tangents_of(outputs, variation.variables, variation.tangents))
      body.give(t);
    branches.push_back(body.take());
  }
  const Tensors results = cond(c.input(0), {}, std::move(branches));
  for (size_t k = 0, n = 0; k < node.outputs.size(); ++k)
    if (is_inexact(node.outputs[k].dtype)) c.give(k, results[n++]);
}

// A scan over the same rows, the carries before each of them, and the rows' tangents.
void scan_jvp(JvpContext& c) {
  const Node& node = c.node();
  const auto attrs = read_attrs<ScanAttrs>(node.attrs);
  const Body& body = *node.bodies[0];
  const size_t carries = size_t(attrs.carries), rows = size_t(attrs.rows);
  const size_t stacks = body.graph.outputs.size();

  Tensors init, xs, inputs, before;
  std::vector<size_t> floating;
  for (size_t j = 0; j < carries; ++j) {
    if (!is_inexact(c.input(j).dtype())) continue;
    floating.push_back(j);
    init.push_back(tangent_or_zeros(c, j));
  }
  TransformedBody dual(*node.device);
  Variation variation;
  for (const Tensor& t : init) before.push_back(dual.parameter(t.shape(), t.dtype()));
  const auto row_of = [&](const Tensor& x, bool variable) {
    xs.push_back(x);
    return dual.parameter(row_shape(x.shape()), x.dtype(), variable);
  };
  for (size_t j = 0, n = 0; j < carries; ++j) {
    const bool varies = n < floating.size() && floating[n] == j;
    inputs.push_back(row_of(c.output(stacks + j), varies));
    if (varies) variation.add(inputs.back(), before[n++]);
  }
  for (size_t i = carries; i < carries + rows; ++i) {
    inputs.push_back(row_of(c.input(i), bool(c.tangent(i))));
    if (c.tangent(i)) variation.add(inputs.back(), row_of(c.tangent(i), false));
  }
  for (size_t i = carries + rows; i < node.inputs.size(); ++i)
    inputs.push_back(shared_operand(c, i, dual, variation));
  const Tensors outputs = record_body(body, inputs, node.dynamic);
  for (const Tensor& t : dual.tangents_of(outputs, variation.variables, variation.tangents))
    dual.give(t);
  for (const Tensor& t : before) dual.give(t);

  const Tensors results = scan(init, xs, attrs.length, attrs.reverse, dual.take());
  size_t n = 0;
  for (size_t k = 0; k < stacks; ++k)
    if (is_inexact(node.outputs[k].dtype)) c.give(k, results[n++]);
  for (size_t j : floating) c.give(stacks + j, results[n++]);
}

// A loop over values and tangents together: it needs no limit of the number of iterations.
void while_jvp(JvpContext& c) {
  const Node& node = c.node();
  const auto attrs = read_attrs<WhileAttrs>(node.attrs);
  const Body &condition = *node.bodies[0], &body = *node.bodies[1];
  const size_t carries = size_t(attrs.carries);
  const std::span<const int64_t> dynamic = node.dynamic;

  Tensors init;
  std::vector<size_t> floating;
  for (size_t j = 0; j < carries; ++j) {
    init.push_back(c.input(j));
    if (is_inexact(init.back().dtype())) floating.push_back(j);
  }
  for (size_t j : floating) init.push_back(tangent_or_zeros(c, j));

  TransformedBody until(*node.device);
  Tensors inputs;
  for (size_t i = 0; i < init.size(); ++i) {
    const Tensor x = until.parameter(init[i].shape(), init[i].dtype());
    if (i < carries) inputs.push_back(x);
  }
  for (size_t i = carries; i < node.inputs.size(); ++i) inputs.push_back(until.outside(c.input(i)));
  until.give(record_body(condition, inputs, dynamic)[0]);
  BodyDraft until_done = until.take();

  TransformedBody dual(*node.device);
  Variation variation;
  inputs.clear();
  for (size_t j = 0; j < carries; ++j)
    inputs.push_back(dual.parameter(init[j].shape(), init[j].dtype(), is_inexact(init[j].dtype())));
  for (size_t j : floating)
    variation.add(inputs[j], dual.parameter(init[j].shape(), init[j].dtype()));
  for (size_t i = carries; i < node.inputs.size(); ++i)
    inputs.push_back(shared_operand(c, i, dual, variation));
  const Tensors outputs = record_body(body, inputs, dynamic.subspan(condition.dynamic_words()));
  const Tensors tangents = dual.tangents_of(outputs, variation.variables, variation.tangents);
  for (const Tensor& x : outputs) dual.give(x);
  for (const Tensor& t : tangents) dual.give(t);

  const Tensors results = while_all(init, attrs.max_iters, std::move(until_done), dual.take());
  const size_t stacks = init.size() + 1;
  for (size_t n = 0; n < floating.size(); ++n) {
    c.give(floating[n], results[carries + n]);
    if (attrs.max_iters >= 0) c.give(carries + 1 + floating[n], results[stacks + carries + n]);
  }
}

}  // namespace tegula
