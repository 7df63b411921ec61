#include "transform/forward.h"

#include <unordered_map>

#include "graph/custom.h"
#include "ops/ops.h"
#include "transform/reverse.h"
#include "transform/tape.h"
#include "transform/transformed_body.h"

namespace tegula {
namespace {

Tensors forward(const Tape& tape, const Tensors& outputs, const Tensors& inputs,
                const Tensors& tangents);

bool any_of(const Tensors& tensors) {
  for (const Tensor& x : tensors)
    if (x) return true;
  return false;
}

// By way of what a composite expands to, as reverse mode does where gradients have gradients.
Tensors through_expansion(const Node& node, const Tensors& tangents) {
  Tensors inputs, variables(node.inputs.size());
  Tensors outputs;
  {
    const GradMode on(true);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      Tensor x(node.inputs[i]);
      if (tangents[i]) {
        x = own_view(x);
        variables[i] = x;
      }
      inputs.push_back(std::move(x));
    }
    outputs = node.primitive->expand(inputs, node.attrs);
  }
  Tensors given, along;
  for (size_t i = 0; i < variables.size(); ++i) {
    if (!variables[i]) continue;
    given.push_back(variables[i]);
    along.push_back(tangents[i]);
  }
  const Tape tape = tape_between(given, outputs, true);
  Tensors result = forward(tape, outputs, given, along);
  result.resize(node.outputs.size());
  return result;
}

// A vjp is linear in what flows in from above: the forward derivative is its transpose. So the vjp
// is recorded for upstream gradients that are unknown, and the sum of what it gives times the
// tangents is differentiated by them. No result depends on their values, which are zeros: a loop of
// the result may go along them all the same.
Tensors transposed_vjp(const Node& node, const Tensors& tangents) {
  const bool differentiable = grad_enabled();
  Tensors upstream(node.outputs.size()), unknown;
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    const Output& output = node.outputs[k];
    if (!output.requires_grad) continue;
    upstream[k] = own_view(zeros(output.shape, output.dtype));
    upstream[k].output().requires_grad = true;
    unknown.push_back(upstream[k]);
  }
  Wanted wanted;
  for (const Tensor& t : tangents) wanted.push_back(bool(t));
  Tensors ends, seeds;
  {
    const GradMode on(true);
    const Tensors given = input_gradients(node, upstream, wanted, {});
    for (size_t i = 0; i < given.size(); ++i) {
      if (!given[i] || !given[i].requires_grad()) continue;
      ends.push_back(given[i]);
      seeds.push_back(tangents[i]);
    }
  }
  const Tensors found =
      gradients(ends, seeds, unknown, {.retain_graph = true, .create_graph = differentiable});
  Tensors result(node.outputs.size());
  for (size_t k = 0, n = 0; k < result.size(); ++k)
    if (upstream[k]) result[k] = found[n++];
  return result;
}

// By the rule that the operation's author gave.
Tensors by_rule(const Node& node, const Tensors& tangents) {
  const size_t values = node.primitive == &with_rules_primitive() ? node.outputs.size() : 0;
  Tensors inputs, outputs;
  for (size_t i = values; i < node.inputs.size(); ++i) inputs.emplace_back(node.inputs[i]);
  for (size_t k = 0; k < node.outputs.size(); ++k)
    outputs.push_back(values ? Tensor(node.inputs[k])
                             : Tensor(Ref<Node>(const_cast<Node*>(&node)), uint32_t(k)));
  return node.rules->jvp(inputs, outputs, std::span(tangents).subspan(values));
}

Tensors output_tangents(const Node& node, const Tensors& tangents) {
  const DeviceScope scope(*node.device);
  if (node.rules && (node.rules->has_jvp() || !node.rules->has_vjp()))
    return by_rule(node, tangents);
  if (node.primitive->jvp) {
    JvpContext context(node, tangents);
    node.primitive->jvp(context);
    return context.results();
  }
  return node.primitive->expand ? through_expansion(node, tangents)
                                : transposed_vjp(node, tangents);
}

Tensors forward(const Tape& tape, const Tensors& outputs, const Tensors& inputs,
                const Tensors& tangents) {
  std::unordered_map<const Node*, Tensors> found;
  for (const Ref<Node>& node : tape.order) found[node.get()].resize(node->outputs.size());
  const auto tangent_of = [&](const Value& v) {
    const auto at = found.find(v.node.get());
    return at == found.end() ? Tensor() : at->second[v.index];
  };
  for (const Ref<Node>& node : tape.order) {
    if (node->tape_released)
      fail(ErrorKind::runtime,
           "jvp: this graph was used by a backward pass, which released it; pass "
           "retain_graph=True to that one");
    Tensors& results = found[node.get()];
    if (node->on_tape) {
      Tensors given;
      for (const Value& input : node->inputs) given.push_back(tangent_of(input));
      if (any_of(given)) results = output_tangents(*node, given);
    }
    for (size_t i = 0; i < inputs.size(); ++i)
      if (&inputs[i].node() == node.get()) results[inputs[i].value().index] = tangents[i];
  }
  Tensors result;
  for (const Tensor& output : outputs) result.push_back(tangent_of(output.value()));
  return result;
}

}  // namespace

Tensors jvp(const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
            bool create_graph) {
  const EvaluationPause pause;
  const GradMode mode(create_graph);
  return forward(tape_between(inputs, outputs, false), outputs, inputs, tangents);
}

}  // namespace tegula
