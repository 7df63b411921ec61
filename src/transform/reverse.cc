#include "transform/reverse.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "graph/primitive.h"
#include "ops/ops.h"
#include "transform/upstream.h"

namespace tegula {
namespace {

struct Pass {
  // Every node on the tape, earlier ones first. Held: a hook may release the tape.
  std::vector<Ref<Node>> order;
  std::unordered_map<Node*, SmallVector<Upstream, 1>> upstream;  // gradients so far, by output
};

bool wants_gradient(const Value& v) { return v.node->outputs[v.index].requires_grad; }

bool is_one_of(const Node& node, const Tensors& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const Tensor& x) { return x && &x.node() == &node; });
}

// Every node gradients can flow into from `outputs`, as far back as `stop`.
Pass collect(const Tensors& outputs, const Tensors& stop) {
  Pass pass;
  std::vector<Node*> stack;
  const auto visit = [&](const Value& v) {
    Node* node = v.node.get();
    if (!wants_gradient(v) || pass.upstream.count(node)) return;
    auto& arriving = pass.upstream[node];
    for (size_t k = 0; k < node->outputs.size(); ++k) arriving.push_back({});
    stack.push_back(node);
    pass.order.push_back(v.node);
  };
  for (const Tensor& output : outputs) visit(output.value());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    const Output* first = node->outputs.begin();
    const bool leaf = first->cell && first->cell->is_leaf;
    if (node->on_tape && !leaf && !is_one_of(*node, stop))
      for (const Value& input : node->inputs) visit(input);
  }
  std::sort(pass.order.begin(), pass.order.end(),
            [](const Ref<Node>& a, const Ref<Node>& b) { return a->sequence < b->sequence; });
  return pass;
}

// The gradients of a node's outputs, once all have come.
Tensors take(Pass& pass, Node& node) {
  const DeviceScope scope(*node.device);
  SmallVector<Upstream, 1> arrived = std::move(pass.upstream[&node]);
  Tensors gradients(arrived.size());
  for (size_t k = 0; k < arrived.size(); ++k) gradients[k] = arrived[k].take(node.outputs[k]);
  return gradients;
}

Tensor default_seed(const Tensor& output, const Tensor& seed) {
  if (!output.requires_grad())
    fail(ErrorKind::runtime, "backward: the output does not depend on a tensor that requires grad");
  if (!seed) {
    require(output.size() == 1, "backward: an output of shape ", output.shape(),
            " needs a gradient of that shape; only a one-element output has 1 by default");
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

using OnGradient = std::function<void(Node& node, size_t output, const Tensor& gradient)>;

// Walks the tape from the outputs as far back as `stop` and calls on_gradient at each value that
// something flows into.
void sweep(const Tensors& outputs, const Tensors& seeds, const Tensors& stop,
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
    if (x.requires_grad())
      x = stop[i] = record(reshape_primitive(), {x}, Attrs(x.shape().begin(), x.shape().end()));
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
  sweep(ends, seeds, stop, options, collector(stop, result));
  return result;
}

void sweep(const Tensors& outputs, const Tensors& seeds, const Tensors& stop,
           const ReverseOptions& options, const OnGradient& on_gradient) {
  GradMode mode(options.create_graph);
  Pass pass = collect(outputs, stop);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const DeviceScope scope(outputs[i].device());
    const Tensor seed = default_seed(outputs[i], seeds[i]);
    pass.upstream[&outputs[i].node()][outputs[i].value().index].add(outputs[i].output(), seed);
  }
  for (size_t at = pass.order.size(); at-- > 0;) {
    Node* node = pass.order[at].get();
    Tensors upstream = take(pass, *node);
    bool any = false;
    for (size_t k = 0; k < upstream.size(); ++k) {
      if (!upstream[k]) continue;
      any = true;
      if (const Ref<GradCell>& cell = node->outputs[k].cell) run_hooks(*cell, upstream[k]);
      on_gradient(*node, k, upstream[k]);
    }
    const Ref<GradCell>& cell = node->outputs[0].cell;
    if (!any || (cell && cell->is_leaf) || is_one_of(*node, stop)) continue;
    if (!node->on_tape) {
      if (node->tape_released)
        fail(ErrorKind::runtime,
             "backward: this graph was used by an earlier backward pass, which released it; pass "
             "retain_graph=True to the first one to use it twice");
      continue;
    }
    const Primitive& primitive = *node->primitive;
    if (!primitive.vjp && !primitive.expand)
      fail(ErrorKind::unsupported, primitive.name, ": has no derivative",
           node->where.token ? " (recorded at " + describe(node->where) + ")" : "");
    const DeviceScope scope(*node->device);
    if (node->primitive == &slice_primitive()) {
      const Value& from = node->inputs[0];
      Dims steps;
      for (size_t i = 1; i < node->attrs.size(); i += 2) steps.push_back(node->attrs[i]);
      pass.upstream[from.node.get()][from.index].add_slice(
          from.node->outputs[from.index], upstream[0], Dims(node->dynamic), std::move(steps));
      continue;
    }
    Tensors given;
    if (primitive.expand && (options.create_graph || !primitive.vjp)) {
      given = expanded_gradients(*node, upstream, options);
    } else {
      VjpContext context(*node, upstream);
      primitive.vjp(context);
      given.assign(context.gradients().begin(), context.gradients().end());
    }
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      Tensor& gradient = given[i];
      const Value& input = node->inputs[i];
      if (!gradient || !wants_gradient(input)) continue;
      const Output& target = input.node->outputs[input.index];
      pass.upstream[input.node.get()][input.index].add(
          target, reduce_to(astype(gradient, target.dtype), target.shape));
    }
  }
  if (options.retain_graph || options.create_graph) return;
  for (const Ref<Node>& node : pass.order) {
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
  sweep(outputs, seeds, {}, options, collector(inputs, result));
  return result;
}

void backward(const Tensor& output, const Tensor& seed, const ReverseOptions& options) {
  sweep({output}, {seed}, {}, options, [](Node& node, size_t k, const Tensor& gradient) {
    GradCell* cell = node.outputs[k].cell.get();
    if (!cell || !(cell->is_leaf || cell->keeps_grad)) return;
    cell->note_ask();
    Tensor total = cell->grad ? add(*cell->grad, gradient) : gradient;
    cell->grad = std::make_unique<Tensor>(std::move(total));
  });
}

}  // namespace tegula
