#include "transform/reverse.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "graph/primitive.h"
#include "ops/ops.h"
#include "transform/anomaly.h"
#include "transform/tape.h"
#include "transform/transformed_body.h"
#include "transform/upstream.h"

namespace tegula {
namespace {

// What flows into the outputs of each node, while a tape is swept.
class Flows {
 public:
  void add(const Value& v, const Tensor& gradient) {
    at(v).add(v.node->outputs[v.index], gradient);
  }
  void add_slice(const Value& v, const Tensor& gradient, const Node& slice) {
    Dims steps;
    for (size_t i = 1; i < slice.attrs.size(); i += 2) steps.push_back(slice.attrs[i]);
    at(v).add_slice(v.node->outputs[v.index], gradient, Dims(slice.dynamic), std::move(steps));
  }
  // The gradients of a node's outputs, once all have come.
  Tensors take(Node& node) {
    const DeviceScope scope(*node.device);
    Tensors gradients(node.outputs.size());
    const auto found = arriving_.find(&node);
    if (found == arriving_.end()) return gradients;
    for (size_t k = 0; k < gradients.size(); ++k)
      gradients[k] = found->second[k].take(node.outputs[k]);
    arriving_.erase(found);
    return gradients;
  }

 private:
  Upstream& at(const Value& v) {
    std::vector<Upstream>& outputs = arriving_[v.node.get()];
    if (outputs.empty()) outputs.resize(v.node->outputs.size());
    return outputs[v.index];
  }
  std::unordered_map<Node*, std::vector<Upstream>> arriving_;
};

Tensor default_seed(const Tensor& output, const Tensor& seed) {
  if (!output.requires_grad())
    fail(ErrorKind::runtime, "backward: the output does not depend on a tensor that requires grad");
  if (!seed) {
    require(output.size() == 1, "backward: an output of shape ", output.shape(),
            " needs a gradient of that shape; only a one-element output has 1 by default");
    if (is_complex(output.dtype()))
      fail(ErrorKind::type,
           "backward: a complex output needs a gradient; only a real loss has 1 by default");
    return full(output.shape(), scalar(1.0, output.dtype()));
  }
  require(seed.shape() == output.shape(), "backward: the gradient has shape ", seed.shape(),
          " but the output ", output.shape());
  return astype(seed, output.dtype());
}

void run_hooks(const GradCell& cell, Tensor& gradient) {
  const auto hooks = cell.hooks;  // a hook may add or remove hooks
  for (const auto& [id, hook] : hooks) {
    Tensor changed = hook(gradient);
    if (!changed) continue;
    require(changed.shape() == gradient.shape(), "a gradient hook returned shape ", changed.shape(),
            " for a gradient of shape ", gradient.shape());
    gradient = astype(changed, gradient.dtype());
  }
}

// The hook of a group of values, at the latest of them. They were recorded one after the other, so
// nothing more will flow into any of them.
void run_group_hook(const GroupHook& hook, const Tape& tape, size_t at, Flows& flows) {
  std::vector<Node*> nodes(hook.size);
  Tensors gradients(hook.size);
  bool any = false;
  for (size_t k = at + 1; k-- > 0;) {
    Node* node = tape.order[k].get();
    const GradCell* cell = node->outputs[0].cell.get();
    if (!cell || !cell->group_hook || cell->group_hook->group != hook.group) break;
    const size_t index = cell->group_hook->index;
    nodes[index] = node;
    gradients[index] = flows.take(*node)[0];
    any |= bool(gradients[index]);
  }
  const auto run = hook.run;  // the hook may end what holds it
  if (any) run(gradients);
  for (size_t i = 0; i < gradients.size(); ++i)
    if (nodes[i] && gradients[i])
      flows.add({Ref<Node>(nodes[i]), 0}, astype(gradients[i], nodes[i]->outputs[0].dtype));
}

using OnGradient = std::function<void(Node& node, size_t output, const Tensor& gradient)>;

// Walks the tape back from the outputs and calls on_gradient at each value that something flows
// into.
void sweep(const Tape& tape, const Tensors& outputs, const Tensors& seeds,
           const ReverseOptions& options, const OnGradient& on_gradient);

// Sets result[i] to what flows into inputs[i].
OnGradient collector(const Tensors& inputs, Tensors& result) {
  return [&](Node& node, size_t k, const Tensor& gradient) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i] && &inputs[i].node() == &node && inputs[i].value().index == k)
        result[i] = gradient;
  };
}

// The input gradients of a composite, by way of what it expands to. The inputs enter as views of
// their own, where the walk over the expansion stops.
Tensors expanded_gradients(const Node& node, std::span<const Tensor> upstream,
                           const ReverseOptions& options) {
  const GradMode on(true);
  Tensors inputs, stop(node.inputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    Tensor x(node.inputs[i]);
    if (x.requires_grad()) x = stop[i] = own_view(x);
    inputs.push_back(std::move(x));
  }
  Tensors outputs = node.primitive->expand(inputs, node.attrs);
  Tensors ends, seeds;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!upstream[k] || !outputs[k].requires_grad()) continue;
    ends.push_back(outputs[k]);
    seeds.push_back(upstream[k]);
  }
  Tensors result(stop.size());
  if (ends.empty()) return result;
  sweep(tape_between(stop, ends, true), ends, seeds, options, collector(stop, result));
  return result;
}

}  // namespace

Tensors input_gradients(const Node& node, std::span<const Tensor> upstream, const Wanted& wanted,
                        const ReverseOptions& options) {
  const Primitive& primitive = *node.primitive;
  if (!primitive.vjp && !primitive.expand)
    fail(ErrorKind::unsupported, primitive.name, ": has no derivative",
         node.where.token ? " (recorded at " + describe(node.where) + ")" : "");
  const DeviceScope scope(*node.device);
  Tensors given;
  if (primitive.expand && (options.create_graph || !primitive.vjp)) {
    given = expanded_gradients(node, upstream, options);
  } else {
    VjpContext context(node, upstream, wanted);
    primitive.vjp(context);
    given.assign(context.gradients().begin(), context.gradients().end());
  }
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i]) continue;
    const Output& target = node.inputs[i].node->outputs[node.inputs[i].index];
    given[i] = reduce_to(astype(given[i], target.dtype), target.shape);
  }
  return given;
}

namespace {

void sweep(const Tape& tape, const Tensors& outputs, const Tensors& seeds,
           const ReverseOptions& options, const OnGradient& on_gradient) {
  GradMode mode(options.create_graph);
  const bool detect = detecting_anomaly();
  const AnomalyMode quiet(false);  // a derivative that differentiates is looked at as a whole
  std::unordered_set<uint64_t> groups_done;
  Flows flows;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const DeviceScope scope(outputs[i].device());
    const Tensor seed = default_seed(outputs[i], seeds[i]);
    if (tape.has(outputs[i].value())) flows.add(outputs[i].value(), seed);
  }
  for (size_t at = tape.order.size(); at-- > 0;) {
    Node* node = tape.order[at].get();
    if (const GradCell* first = node->outputs[0].cell.get(); first && first->group_hook)
      if (groups_done.insert(first->group_hook->group).second)
        run_group_hook(*first->group_hook, tape, at, flows);
    Tensors upstream = flows.take(*node);
    bool any = false;
    for (size_t k = 0; k < upstream.size(); ++k) {
      if (!upstream[k]) continue;
      any = true;
      if (const Ref<GradCell>& cell = node->outputs[k].cell) run_hooks(*cell, upstream[k]);
      on_gradient(*node, k, upstream[k]);
    }
    if (detect) check_arrived(*node, upstream);
    const Ref<GradCell>& cell = node->outputs[0].cell;
    if (!any || (cell && cell->is_leaf)) continue;
    if (node->tape_released)
      fail(ErrorKind::runtime,
           "backward: this graph was used by an earlier backward pass, which released it; pass "
           "retain_graph=True to the first one to use it twice");
    Wanted wanted;
    for (const Value& input : node->inputs) wanted.push_back(node->on_tape && tape.has(input));
    if (std::find(wanted.begin(), wanted.end(), true) == wanted.end()) continue;
    if (node->primitive == &slice_primitive()) {
      const DeviceScope scope(*node->device);
      flows.add_slice(node->inputs[0], upstream[0], *node);
      continue;
    }
    const Tensors given = input_gradients(*node, upstream, wanted, options);
    if (detect) check_made(*node, given);
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i] && wanted[i]) flows.add(node->inputs[i], given[i]);
  }
  if (options.retain_graph || options.create_graph) return;
  for (const Ref<Node>& node : tape.order) {
    if (!node->on_tape) continue;
    node->on_tape = false;
    node->tape_released = true;
    if (!node->pending()) node->inputs.clear();
  }
}

}  // namespace

Tensors gradients(const Tensors& outputs, const Tensors& seeds, const Tensors& inputs,
                  const ReverseOptions& options) {
  Tensors result(inputs.size());
  sweep(tape_between(inputs, outputs, false), outputs, seeds, options, collector(inputs, result));
  return result;
}

void backward(const Tensor& output, const Tensor& seed, const ReverseOptions& options,
              const Tensors* inputs) {
  const Tape tape = tape_between(inputs ? *inputs : Tensors(), {output}, false);
  sweep(tape, {output}, {seed}, options, [&](Node& node, size_t k, const Tensor& gradient) {
    GradCell* cell = node.outputs[k].cell.get();
    const auto is_this = [&](const Tensor& x) {
      return &x.node() == &node && x.value().index == k;
    };
    const bool kept = inputs ? std::any_of(inputs->begin(), inputs->end(), is_this)
                             : cell && (cell->is_leaf || cell->keeps_grad);
    if (!kept) return;
    if (!cell) cell = &Tensor(Ref<Node>(&node), uint32_t(k)).cell();
    cell->note_ask();
    Tensor total = cell->grad ? add(*cell->grad, gradient) : gradient;
    cell->grad = std::make_unique<Tensor>(std::move(total));
  });
}

}  // namespace tegula
