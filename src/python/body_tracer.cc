#include "python/body_tracer.h"

#include "graph/generator.h"
#include "ops/ops.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"
#include "transform/control.h"

namespace nb = nanobind;

namespace tegula::python {

Tree flatten(const char* op, const nb::handle object) {
  Tree tree(Tree::Rule::values, op);
  tree.add(object.ptr());
  return tree;
}

Tensor leaf_tensor(const Tree& tree, size_t leaf, const char* op, const DType* expected) {
  PyObject* object = tree.leaves[leaf].ptr();
  const bool boolean = tree.leaf_kinds[leaf] == Tree::boolean;
  Tensor x =
      boolean ? scalar(int64_t(object == Py_True), DType::bool_) : to_tensor(object, op, "a value");
  if (!x.node().weak_scalar) return x;
  const bool adapts =
      expected && is_floating(*expected) >= is_floating(x.dtype()) && *expected != DType::bool_;
  return cast_scalar(x, adapts ? *expected : x.dtype());
}

Tensors leaf_tensors(const Tree& tree, const char* op) {
  Tensors result;
  for (size_t i = 0; i < tree.leaves.size(); ++i) result.push_back(leaf_tensor(tree, i, op));
  return result;
}

void BodyTracer::add_parameter(const Tensor& x, bool row) {
  const Tensor parameter = capture_.trace().input(x);
  Output& output = parameter.output();
  output.cell = {};
  if (row) output.shape = Shape(x.shape().begin() + 1, x.shape().end());
  draft_.parameters.push_back(parameter.value());
  parameters_.push_back(nb::steal(checked(wrap(parameter))));
}

Results BodyTracer::add_results(const nb::object& object, const Results* expected) {
  Tree tree = flatten(op_, object);
  Results results;
  for (size_t i = 0; i < tree.leaves.size(); ++i) {
    const bool known = expected && i < expected->specs.size();
    const Tensor x = leaf_tensor(tree, i, op_, known ? &expected->specs[i].dtype : nullptr);
    given_.push_back(as_result(x, given_, draft_));
    results.specs.push_back({x.dtype(), x.shape()});
  }
  tree.leaves.clear();
  results.structure = std::move(tree);
  return results;
}

BodyDraft BodyTracer::take() {
  std::vector<Value> outputs;
  for (const Tensor& x : given_) outputs.push_back(x.value());
  given_.clear();
  parameters_.clear();
  capture_.finish();
  for (const Capture::Handle& h : capture_.handles) {
    if (h.written)
      fail(ErrorKind::trace, op_, ": ", which_,
           " writes to a tensor from outside; return the new value instead, as part of the "
           "result or the carry (a batch norm in training mode writes its running statistics: use "
           ".eval(), or "
           "track_running_stats=False)");
    const Tensor& outside = raw_tensor(h.object);
    if (outside.node().state != NodeState::scalar)
      draft_.captured.emplace_back(Value{h.input, 0}, outside);
  }
  for (const Capture::Cell& c : capture_.cells) {
    if (c.after != Capture::Cell::unchanged)
      fail(ErrorKind::trace, op_, ": ", which_,
           " changes the .grad of a tensor from outside; call backward() outside, or return "
           "what tg.grad gives");
    if (c.input) draft_.captured.emplace_back(Value{c.input, 0}, *c.cell->grad);
  }
  refuse_escapes(capture_.trace().list(), op_);
  draft_.graph = capture_.trace().graph(std::move(outputs));
  if (effects_ == Effects::refused) refuse_effects();
  take_back_draws();
  return std::move(draft_);
}

void BodyTracer::refuse_effects() {
  PendingList& list = capture_.trace().list();
  for (const Node* node = list.first(); node; node = PendingList::next(node))
    if (is_held(*node))
      fail(ErrorKind::unsupported, op_, ": ", which_, " has an effect (", operation_name(*node),
           "), which branches and loops cannot have yet");
}

void BodyTracer::take_back_draws() {
  for (const Graph::Stream& s : draft_.graph.streams)
    (s.generator ? *s.generator : default_generator()).offset -= s.length;
  if (effects_ == Effects::refused && !draft_.graph.streams.empty())
    fail(ErrorKind::unsupported, op_, ": ", which_,
         " draws random numbers, which branches and loops cannot do yet; draw them outside and "
         "pass them in, for a scan along xs");
}

}  // namespace tegula::python
