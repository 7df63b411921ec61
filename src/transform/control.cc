#include "transform/control.h"

#include <algorithm>
#include <optional>

#include "ops/ops.h"
#include "transform/control_rules.h"
#include "transform/transformed_body.h"

namespace tegula {
namespace {

constexpr uint32_t kInputs = ~kUsesOutput;
constexpr Uses kUsesInputs = {kInputs, kInputs, kInputs, kInputs};
constexpr Uses kUsesAll = {~0u, ~0u, ~0u, ~0u};

const Output& output_of(const Value& v) { return v.node->outputs[v.index]; }

Shape with_rows(int64_t rows, const Shape& shape) {
  Shape stacked{rows};
  stacked.append(shape.begin(), shape.end());
  return stacked;
}

void add_specs(std::span<const Value> values, OutputSpecs& specs) {
  for (const Value& v : values) specs.push_back({output_of(v).dtype, output_of(v).shape});
}
void add_stacked(std::span<const Value> values, int64_t rows, OutputSpecs& specs) {
  for (const Value& v : values)
    specs.push_back({output_of(v).dtype, with_rows(rows, output_of(v).shape)});
}

template <class A>
Tensors record_control(const Primitive& primitive, const Tensors& inputs, const A& first,
                       Bodies bodies) {
  Attrs attrs = write_attrs(first);
  SmallVector<int64_t, 2> dynamic;
  for (const std::shared_ptr<const Body>& body : bodies) {
    body->append_structure(attrs);
    body->append_dynamic(dynamic);
  }
  return record_all(primitive, inputs, std::move(attrs), dynamic, std::move(bodies));
}

// ---- cond ------------------------------------------------------------------------------------

void infer_cond(const InferContext& c, OutputSpecs& out) {
  add_specs(c.bodies[0]->graph.outputs, out);
}

// The branches' derivatives under the same index. Each begins with what the branch itself does, so
// that nothing but the operands is kept.
void cond_vjp(VjpContext& c) {
  const size_t operands = c.input_count() - 1;
  Tensors upstream, given;
  for (size_t k = 0; k < c.bodies()[0]->graph.outputs.size(); ++k) {
    upstream.push_back(c.grad(k));
    if (c.grad(k)) given.push_back(c.grad(k));
  }
  std::vector<BodyDraft> branches;
  std::span<const int64_t> dynamic = c.dynamic();
  for (const std::shared_ptr<const Body>& branch : c.bodies()) {
    TransformedBody gradient(c.device());
    Tensors seeds, inputs, wanted;
    for (const Tensor& g : upstream)
      seeds.push_back(g ? gradient.parameter(g.shape(), g.dtype()) : Tensor());
    for (size_t i = 0; i < operands; ++i) {
      inputs.push_back(gradient.outside(c.input(i + 1), c.needs(i + 1)));
      if (c.needs(i + 1)) wanted.push_back(inputs.back());
    }
    const Tensors outputs = record_body(*branch, inputs, dynamic);
    dynamic = dynamic.subspan(branch->dynamic_words());
    for (const Tensor& g : gradient.gradients_of(outputs, seeds, wanted)) gradient.give(g);
    branches.push_back(gradient.take());
  }
  const Tensors gradients = cond(c.input(0), given, std::move(branches));
  for (size_t i = 0, found = 0; i < operands; ++i)
    if (c.needs(i + 1)) c.give(i + 1, gradients[found++]);
}

// ---- scan ------------------------------------------------------------------------------------

// Inputs: the first carry, what is walked along, what the body reads beside it. Outputs: the last
// carry, the results stacked, the carry before each row stacked (for the derivative).
void infer_scan(const InferContext& c, OutputSpecs& out) {
  const auto attrs = read_attrs<ScanAttrs>(c.attrs);
  const std::span<const Value> results = c.bodies[0]->graph.outputs;
  const auto carries = results.first(size_t(attrs.carries));
  add_specs(carries, out);
  add_stacked(results.subspan(size_t(attrs.carries)), attrs.length, out);
  add_stacked(carries, attrs.length, out);
}

// A loop's gradient carries what has flowed into the carry and, summed over the iterations, into
// what the body reads from outside.
struct Flow {
  Tensors init;                 // of the loop that computes the gradient
  std::vector<size_t> carries;  // the floating carries
  std::vector<size_t> outside;  // operands from outside that need a gradient
};

Flow flow_of(VjpContext& c, size_t carries, size_t first_outside) {
  Flow flow;
  for (size_t j = 0; j < carries; ++j) {
    if (!is_inexact(c.input_dtype(j))) continue;
    flow.carries.push_back(j);
    flow.init.push_back(c.grad(j) ? c.grad(j) : zeros(c.input_shape(j), c.input_dtype(j)));
  }
  for (size_t i = first_outside; i < c.input_count(); ++i) {
    if (!c.needs(i)) continue;
    flow.outside.push_back(i);
    flow.init.push_back(zeros(c.input_shape(i), c.input_dtype(i)));
  }
  return flow;
}

// The gradient body's parameters for the flow: into `upstream` of each floating carry, and those
// for the sums.
Tensors add_flow(VjpContext& c, const Flow& flow, TransformedBody& gradient, Tensors& upstream) {
  for (size_t j : flow.carries)
    upstream[j] = gradient.parameter(c.input_shape(j), c.input_dtype(j));
  Tensors sums;
  for (size_t i : flow.outside)
    sums.push_back(gradient.parameter(c.input_shape(i), c.input_dtype(i)));
  return sums;
}
// What the gradients of the flow are taken of: the carries and what comes from outside.
Tensors flow_wanted(const Flow& flow, const Tensors& inputs) {
  Tensors wanted;
  for (size_t j : flow.carries) wanted.push_back(inputs[j]);
  for (size_t i : flow.outside) wanted.push_back(inputs[i]);
  return wanted;
}
void add_sums(const Flow& flow, const Tensors& sums, Tensors& found) {
  for (size_t n = 0; n < sums.size(); ++n) {
    Tensor& sum = found[flow.carries.size() + n];
    sum = sums[n] + sum;
  }
}

// A scan the other way over the carries, rows and upstream gradients, whose body does again what
// the body did.
void scan_vjp(VjpContext& c) {
  const auto attrs = read_attrs<ScanAttrs>(c.attrs());
  const Body& body = *c.bodies()[0];
  const size_t carries = size_t(attrs.carries), rows = size_t(attrs.rows);
  const size_t results = body.graph.outputs.size() - carries, stacks = carries + results;
  const Flow flow = flow_of(c, carries, carries + rows);

  TransformedBody gradient(c.device());
  Tensors upstream(body.graph.outputs.size());
  const Tensors sums = add_flow(c, flow, gradient, upstream);
  Tensors xs;
  const auto row_of = [&](const Tensor& x, bool wanted) {
    xs.push_back(x);
    return gradient.parameter(row_shape(x.shape()), x.dtype(), wanted);
  };
  Tensors inputs;
  for (size_t j = 0; j < carries; ++j)
    inputs.push_back(row_of(c.output(stacks + j), is_inexact(c.input_dtype(j))));
  for (size_t i = carries; i < carries + rows; ++i)
    inputs.push_back(row_of(c.input(i), c.needs(i)));
  for (size_t i = carries + rows; i < c.input_count(); ++i)
    inputs.push_back(gradient.outside(c.input(i), c.needs(i)));
  for (size_t k = carries; k < upstream.size(); ++k)
    if (c.grad(k)) upstream[k] = row_of(c.grad(k), false);
  Tensors before(carries);  // flowing into the carries kept for a derivative: a second one's
  for (size_t j : flow.carries)
    if (c.grad(stacks + j)) before[j] = row_of(c.grad(stacks + j), false);

  Tensors wanted = flow_wanted(flow, inputs);
  for (size_t i = carries; i < carries + rows; ++i)
    if (c.needs(i)) wanted.push_back(inputs[i]);
  const Tensors outputs = record_body(body, inputs, c.dynamic());
  Tensors found = gradient.gradients_of(outputs, upstream, wanted);
  for (size_t n = 0; n < flow.carries.size(); ++n)
    if (const Tensor& more = before[flow.carries[n]]) found[n] = found[n] + more;
  add_sums(flow, sums, found);
  for (const Tensor& g : found) gradient.give(g);

  const Tensors gradients = scan(flow.init, xs, attrs.length, !attrs.reverse, gradient.take());
  size_t at = 0;
  for (size_t j : flow.carries) c.give(j, gradients[at++]);
  for (size_t i : flow.outside) c.give(i, gradients[at++]);
  for (size_t i = carries; i < carries + rows; ++i)
    if (c.needs(i)) c.give(i, gradients[at++]);
}

// ---- while -----------------------------------------------------------------------------------

// Inputs: the first carry, what the bodies read beside it. Outputs: the last carry, the number of
// iterations, and with a limit the carry before each iteration stacked (for the derivative).
void infer_while(const InferContext& c, OutputSpecs& out) {
  const auto attrs = read_attrs<WhileAttrs>(c.attrs);
  const std::span<const Value> results = c.bodies[1]->graph.outputs;
  add_specs(results, out);
  out.push_back({DType::int64, {}});
  if (attrs.max_iters >= 0) add_stacked(results, attrs.max_iters, out);
}

// A loop from the last iteration to the first, which takes the carry of each from the stack.
void while_vjp(VjpContext& c) {
  const auto attrs = read_attrs<WhileAttrs>(c.attrs());
  if (attrs.max_iters < 0)
    fail(ErrorKind::unsupported,
         "while_loop: gradients need a limit of the number of iterations, for which the values of "
         "each are kept; pass max_iters=");
  const Body& body = *c.bodies()[1];
  const size_t carries = size_t(attrs.carries), stacks = carries + 1;
  const Flow flow = flow_of(c, carries, carries);
  Tensors init{c.output(carries)};
  init.insert(init.end(), flow.init.begin(), flow.init.end());

  TransformedBody condition(c.device());
  const Tensor left = condition.parameter({}, DType::int64);
  for (const Tensor& x : flow.init) condition.parameter(x.shape(), x.dtype());
  condition.give(greater(left, constant(0)));
  BodyDraft until_none_left = condition.take();

  TransformedBody gradient(c.device());
  const Tensor at = gradient.parameter({}, DType::int64) - scalar(int64_t(1), DType::int64);
  Tensors upstream(carries), inputs;
  const Tensors sums = add_flow(c, flow, gradient, upstream);
  const auto row_of = [&](const Tensor& stack) {
    return squeeze(take(gradient.outside(stack), reshape(at, {1}), 0), {0});
  };
  for (size_t j = 0; j < carries; ++j) {
    const bool flows = is_inexact(c.input_dtype(j));
    inputs.push_back(gradient.variable(row_of(c.output(stacks + j)), flows));
  }
  for (size_t i = carries; i < c.input_count(); ++i)
    inputs.push_back(gradient.outside(c.input(i), c.needs(i)));
  const size_t skipped = c.bodies()[0]->dynamic_words();
  const Tensors outputs = record_body(body, inputs, c.dynamic().subspan(skipped));
  Tensors found = gradient.gradients_of(outputs, upstream, flow_wanted(flow, inputs));
  for (size_t n = 0; n < flow.carries.size(); ++n)
    if (const Tensor& more = c.grad(stacks + flow.carries[n])) found[n] = found[n] + row_of(more);
  add_sums(flow, sums, found);
  gradient.give(at);
  for (const Tensor& g : found) gradient.give(g);

  const Tensors gradients =
      while_loop(init, attrs.max_iters, std::move(until_none_left), gradient.take());
  size_t n = 1;
  for (size_t j : flow.carries) c.give(j, gradients[n++]);
  for (size_t i : flow.outside) c.give(i, gradients[n++]);
}

const Primitive kCond = {
    .name = "cond",
    .kind = Kind::opaque,
    .infer = infer_cond,
    .vjp = cond_vjp,
    .uses = kUsesInputs,
    .jvp = cond_jvp,
    .batch = batch_cond,
    .can_fail = true,
};
const Primitive kScan = {
    .name = "scan",
    .kind = Kind::opaque,
    .infer = infer_scan,
    .vjp = scan_vjp,
    .uses = kUsesAll,
    .jvp = scan_jvp,
    .batch = batch_scan,
    .can_fail = true,
};
const Primitive kWhile = {
    .name = "while_loop",
    .kind = Kind::opaque,
    .infer = infer_while,
    .vjp = while_vjp,
    .uses = kUsesAll,
    .jvp = while_jvp,
    .batch = batch_while,
    .can_fail = true,
};

}  // namespace

const Primitive& cond_primitive() { return kCond; }
const Primitive& scan_primitive() { return kScan; }
const Primitive& while_primitive() { return kWhile; }

Tensors cond(const Tensor& index, Tensors operands, std::vector<BodyDraft> branches) {
  const CondAttrs attrs{int64_t(branches.size())};
  Bodies bodies = make_bodies(std::move(branches), operands);
  operands.insert(operands.begin(), index);
  return record_control(kCond, operands, attrs, std::move(bodies));
}

Tensors scan_all(const Tensors& init, const Tensors& xs, int64_t length, bool reverse,
                 BodyDraft body) {
  Tensors operands = init;
  operands.insert(operands.end(), xs.begin(), xs.end());
  std::vector<BodyDraft> drafts;
  drafts.push_back(std::move(body));
  Bodies bodies = make_bodies(std::move(drafts), operands);
  const ScanAttrs attrs{int64_t(init.size()), int64_t(xs.size()), length, reverse};
  return record_control(kScan, operands, attrs, std::move(bodies));
}

Tensors scan(const Tensors& init, const Tensors& xs, int64_t length, bool reverse, BodyDraft body) {
  const size_t results = body.graph.outputs.size();
  Tensors outputs = scan_all(init, xs, length, reverse, std::move(body));
  outputs.resize(results);
  return outputs;
}

Tensors while_all(const Tensors& init, int64_t max_iters, BodyDraft condition, BodyDraft body) {
  Tensors operands = init;
  std::vector<BodyDraft> drafts;
  drafts.push_back(std::move(condition));
  drafts.push_back(std::move(body));
  Bodies bodies = make_bodies(std::move(drafts), operands);
  const WhileAttrs attrs{int64_t(init.size()), max_iters};
  return record_control(kWhile, operands, attrs, std::move(bodies));
}

Tensors while_loop(const Tensors& init, int64_t max_iters, BodyDraft condition, BodyDraft body) {
  Tensors outputs = while_all(init, max_iters, std::move(condition), std::move(body));
  outputs.resize(init.size());
  return outputs;
}

Tensor as_result(const Tensor& x, const Tensors& given, BodyDraft& draft) {
  Trace& trace = *Trace::current();
  const bool repeated = std::find(given.begin(), given.end(), x) != given.end();
  if (x.node().pending() && trace.made(x.node()) && !repeated) return x;
  Tensor from = x;
  if (x.output().buffer) {  // a leaf made meanwhile
    from = trace.input(x);
    draft.captured.emplace_back(from.value(), x);
  }
  return own_view(from);
}

}  // namespace tegula
