#include "graph/primitive.h"

#include <cstdio>
#include <unordered_set>

#include "graph/body.h"
#include "graph/trace.h"
#include "runtime/profile.h"

namespace tegula {
namespace {

uint64_t recorded = 0;
thread_local double recorded_first = -1;
thread_local int evaluation_pauses = 0;
thread_local bool in_operation = false;
thread_local bool within_operation = false;  // in one, and past its first node

// Places where recording was cut short by its limits. A loop that meets one again while at least
// half full is cut there, so that it keeps producing the same graphs and hits the plan cache.
size_t place_of(const Primitive& primitive, const SourceLocation& where) {
  return std::hash<const void*>()(&primitive) ^ (std::hash<const void*>()(where.token) * 31) ^
         size_t(where.offset) * 0x9e3779b97f4a7c15u;
}

void evaluate_if_full(const Primitive& primitive, const SourceLocation& where) {
  if (Trace::current() || evaluation_pauses) return;
  const PendingList& list = PendingList::current();
  const AutoEvaluation& limits = auto_evaluation();
  // What an operation is made up of is not torn apart for its size: a sum of bytes, widened first,
  // would be written out eight times as large.
  const int64_t bytes = within_operation ? 0 : list.bytes();
  if (list.size() * 2 < limits.max_nodes && bytes * 2 < limits.max_bytes) return;
  static std::unordered_set<size_t> cuts;
  const size_t place = place_of(primitive, where);
  if (list.size() < limits.max_nodes && bytes < limits.max_bytes && !cuts.count(place)) return;
  if (cuts.empty() && where.token && limits.max_nodes > 1)
    std::fprintf(stderr,
                 "tegula: %zu operations are pending that nobody has looked at; evaluating them "
                 "now (at %s). tg.eval in the loop says where. This is said once.\n",
                 list.size(), describe(where).c_str());
  if (cuts.size() > 1024) cuts.clear();
  cuts.insert(place);
  evaluate({}, Wait::no);
}

// Views of evaluated values need no plan.
bool resolve_view(Node& node) {
  const Value& from = node.inputs[0];
  const Output& source = from.node->outputs[from.index];
  if (!source.buffer) return false;
  Output& output = node.outputs[0];
  if (!node.primitive->view(node, source, source.layout, output.layout)) return false;
  output.buffer = source.buffer;
  return true;
}

}  // namespace

AutoEvaluation& auto_evaluation() {
  static AutoEvaluation limits;
  return limits;
}

EvaluationPause::EvaluationPause() { ++evaluation_pauses; }
EvaluationPause::~EvaluationPause() { --evaluation_pauses; }

OperationScope::OperationScope() : outer_(in_operation) { in_operation = true; }
OperationScope::~OperationScope() { in_operation = within_operation = outer_; }

double first_recorded() { return std::exchange(recorded_first, -1); }

uint64_t recorded_nodes() { return recorded; }

static Ref<Node> record_node(const Primitive& primitive, std::span<const Tensor> inputs,
                             Attrs attrs, std::span<const int64_t> dynamic, Bodies bodies,
                             Backend* device) {
  SourceLocation where;
  if (source_hooks().capture) where = source_hooks().capture();
  struct Release {
    SourceLocation* where;
    ~Release() {
      if (where->token && source_hooks().release) source_hooks().release(where->token);
    }
  } release{&where};
  evaluate_if_full(primitive, where);
  within_operation = in_operation;
  if (profiling() && recorded_first < 0) recorded_first = profile_now();

  OutputSpecs specs;
  primitive.infer(InferContext{inputs, attrs, dynamic, bodies}, specs);

  bool needs_grad = false;
  Ref<Node> node = Node::create();
  for (const Tensor& input : inputs) {
    Node& source = input.node();
    if (source.state != NodeState::scalar) {
      if (!device) device = source.device;
      if (device != source.device)
        fail(ErrorKind::device, primitive.name, ": the tensors are on different devices, '",
             device->name(), "' and '", source.device->name(), "'; move one with .to(device)");
    }
    const bool known = source.pending() || source.state == NodeState::scalar ||
                       input.output().buffer || source.trace == node->trace ||
                       (Trace::current() && Trace::current()->sees(source));
    if (!known)
      fail(ErrorKind::trace, primitive.name,
           ": another thread is tracing a function that uses this tensor");
    needs_grad |= input.requires_grad();
    node->inputs.push_back(input.value());
  }
  node->without_grad = !grad_enabled();
  needs_grad = needs_grad && grad_enabled();
  node->primitive = &primitive;
  node->device = device ? device : &default_device();
  node->attrs = std::move(attrs);
  node->dynamic.append(dynamic.begin(), dynamic.end());
  node->bodies = std::move(bodies);
  node->where = std::exchange(where, {});
  bool has_inexact = false;
  for (OutputSpec& spec : specs) {
    Output output;
    output.dtype = spec.dtype;
    output.requires_grad = needs_grad && is_inexact(spec.dtype);
    has_inexact |= is_inexact(spec.dtype);
    output.shape = std::move(spec.shape);
    checked_numel(output.shape, primitive.name);
    node->outputs.push_back(std::move(output));
  }
  node->on_tape = needs_grad && has_inexact;
  if (primitive.kind == Kind::view && resolve_view(*node)) {
    if (!node->on_tape) node->inputs.clear();
    evaluated_nodes().append(node.get());
    return node;
  }
  node->state = NodeState::pending;
  PendingList::current().append(node.get());
  ++recorded;
  return node;
}

std::string_view operation_name(const Node& node) {
  return node.primitive->label ? node.primitive->label(node.attrs) : node.primitive->name;
}

static Backend& device_of(std::span<const Tensor> inputs) {
  for (const Tensor& input : inputs)
    if (input.node().state != NodeState::scalar) return input.device();
  return default_device();
}

static bool has_kernel(Backend& device, const Primitive& primitive) {
  StepSpec step{};
  step.kind = primitive.name;
  return device.find_kernel(step) != nullptr;
}

Tensors record_all(const Primitive& primitive, std::span<const Tensor> inputs, Attrs attrs,
                   std::span<const int64_t> dynamic, Bodies bodies) {
  if (primitive.expand && !has_kernel(device_of(inputs), primitive)) {
    const DeviceScope scope(device_of(inputs));
    return primitive.expand(inputs, attrs);
  }
  Ref<Node> node =
      record_node(primitive, inputs, std::move(attrs), dynamic, std::move(bodies), nullptr);
  Tensors outputs;
  outputs.reserve(node->outputs.size());
  for (uint32_t k = 0; k < node->outputs.size(); ++k) outputs.emplace_back(node, k);
  return outputs;
}

Tensor record(const Primitive& primitive, std::initializer_list<Tensor> inputs, Attrs attrs,
              std::span<const int64_t> dynamic) {
  return record(primitive, std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(attrs),
                dynamic);
}

Tensor record(const Primitive& primitive, std::span<const Tensor> inputs, Attrs attrs,
              std::span<const int64_t> dynamic, Backend* device) {
  if (primitive.expand) return record_all(primitive, inputs, std::move(attrs), dynamic)[0];
  return Tensor(record_node(primitive, inputs, std::move(attrs), dynamic, {}, device));
}

// ---- VjpContext ---------------------------------------------------------------------------

void VjpContext::check_declared(uint32_t use) const {
  if (!declared_) {
    for (size_t i = 0; i < node_.inputs.size(); ++i)
      if (needs(i)) declared_ |= uses_of(node_, i);
  }
  if (!(declared_ & use))
    fail(ErrorKind::runtime, "internal: the derivative of ", node_.primitive->name,
         " uses a value it does not declare");
}

Tensor VjpContext::input(size_t i) const {
  check_declared(uses_input(i));
  return Tensor(node_.inputs[i]);
}

Tensor VjpContext::output(size_t k) const {
  check_declared(kUsesOutput);
  return Tensor(Ref<Node>(const_cast<Node*>(&node_)), uint32_t(k));
}

void VjpContext::give(size_t i, const Tensor& gradient) {
  if (needs(i)) gradients_[i] = gradient;
}

std::string_view VjpContext::name() const { return operation_name(node_); }

const Shape& VjpContext::input_shape(size_t i) const {
  const Value& value = node_.inputs[i];
  return value.node->outputs[value.index].shape;
}

DType VjpContext::input_dtype(size_t i) const {
  const Value& value = node_.inputs[i];
  return value.node->outputs[value.index].dtype;
}

}  // namespace tegula
