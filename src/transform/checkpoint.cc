#include "transform/checkpoint.h"

#include <unordered_map>

#include "graph/custom.h"
#include "graph/effects.h"
#include "ops/ops.h"
#include "transform/forward.h"
#include "transform/reverse.h"
#include "transform/transformed_body.h"

namespace tegula {
namespace {

class NoForwardRules : public CustomRules {
 public:
  uint32_t vjp_uses() const override { return ~kUsesOutput; }
  bool has_vjp() const override { return true; }
  bool has_jvp() const override { return false; }
  bool has_batch() const override { return false; }
  Tensors jvp(std::span<const Tensor>, std::span<const Tensor>, std::span<const Tensor>) override {
    return {};
  }
  Tensors batch(std::span<const Tensor>, std::span<const int64_t>, int64_t) override { return {}; }
};

// A kept result of an operation that was recorded again for its derivative alone.
class KeptRules : public NoForwardRules {
 public:
  explicit KeptRules(Ref<Node> node) : node_(std::move(node)) {}
  Tensors vjp(std::span<const Tensor>, std::span<const Tensor>,
              std::span<const Tensor> upstream) override {
    Wanted wanted;
    for (const Value& input : node_->inputs)
      wanted.push_back(input.node->outputs[input.index].requires_grad);
    return input_gradients(*node_, upstream, wanted, {.create_graph = grad_enabled()});
  }

 private:
  Ref<Node> node_;
};

// A function's operations, recorded as often as they are needed.
class Recording : public RefCounted<Recording> {
 public:
  Recording(BodyDraft draft, const std::function<bool(std::string_view)>& keeps)
      : draft_(std::move(draft)) {
    for (const Graph::Draw& draw : draft_.graph.draws) {
      const Graph::Stream& stream = draft_.graph.streams[size_t(draw.generator)];
      draws_[draw.node.get()] = stream.generator ? stream.generator.get() : &default_generator();
    }
    for (const Ref<Node>& node : draft_.graph.nodes) {
      const bool named =
          node->primitive->kind == Kind::opaque && !node->host && keeps(operation_name(*node));
      if (named || happens_once(*node)) kept_.push_back(node.get());
    }
  }

  // The outputs. `kept` takes the results to keep, or gives them if it holds any.
  Tensors record(std::span<const Tensor> operands, Tensors& kept) const {
    const bool given = !kept.empty();
    std::unordered_map<const Node*, Tensors> made;
    size_t at = 0, next = 0;
    for (const Value& v : draft_.parameters) made[v.node.get()] = {operands[at++]};
    for (const auto& [leaf, outside] : draft_.captured) made[leaf.node.get()] = {operands[at++]};
    const auto value_of = [&](const Value& v) {
      const auto found = made.find(v.node.get());
      return found == made.end() ? Tensor(v) : found->second[v.index];
    };
    size_t taken = 0;
    for (const Ref<Node>& node : draft_.graph.nodes) {
      Tensors from;
      for (const Value& input : node->inputs) from.push_back(value_of(input));
      const bool is_kept = next < kept_.size() && kept_[next] == node.get();
      Tensors values;
      if (is_kept) {
        ++next;
        if (given) {
          const auto first = kept.begin() + int64_t(taken);
          values.assign(first, first + int64_t(node->outputs.size()));
          taken += values.size();
        }
      }
      Tensors results;
      if (given && happens_once(*node)) {
        results = values;
        if (draws_.count(node.get())) results = {drawn_again(values[0])};
      } else if (const auto draw = draws_.find(node.get()); draw != draws_.end()) {
        const Output& like = node->outputs[0];
        results = {
            random_tensor(*draw->second, RandomKind(node->attrs[0]), like.shape, like.dtype)};
      } else {
        results = record_again(*node, from, node->dynamic);
        if (!values.empty() && results[0].node().on_tape)
          values = with_rules(values, from,
                              Ref<CustomRules>(new KeptRules(Ref<Node>(&results[0].node()))));
        if (!values.empty()) results = values;
      }
      if (is_kept && !given) kept.insert(kept.end(), results.begin(), results.end());
      made[node.get()] = std::move(results);
    }
    Tensors outputs;
    for (const Value& v : draft_.graph.outputs) outputs.push_back(value_of(v));
    return outputs;
  }

 private:
  // Draws and ordered effects. What was drawn is known by the value kept of it, so each example of
  // a batch has its own, and each run of tg.jit.
  bool happens_once(const Node& node) const {
    return draws_.count(&node) || (node.host && read_attrs<HostCallAttrs>(node.attrs).ordered);
  }

  BodyDraft draft_;
  std::unordered_map<const Node*, Generator*> draws_;
  std::vector<const Node*> kept_;
};

class CheckpointRules : public NoForwardRules {
 public:
  CheckpointRules(Ref<Recording> recording, size_t operands)
      : recording_(std::move(recording)), operands_(operands) {}

  Tensors vjp(std::span<const Tensor> inputs, std::span<const Tensor>,
              std::span<const Tensor> upstream) override {
    const bool differentiable = grad_enabled();
    const Again again = record_again(inputs);
    Tensors ends, seeds, variables;
    for (size_t k = 0; k < again.outputs.size(); ++k) {
      if (!upstream[k] || !again.outputs[k].requires_grad()) continue;
      ends.push_back(again.outputs[k]);
      seeds.push_back(upstream[k]);
    }
    Tensors result(inputs.size());
    if (ends.empty()) return result;
    for (const Tensor& x : again.operands)
      if (x.requires_grad()) variables.push_back(x);
    const Tensors found = gradients(ends, seeds, variables, {.create_graph = differentiable});
    for (size_t i = 0, n = 0; i < operands_; ++i)
      if (again.operands[i].requires_grad()) result[i] = found[n++];
    return result;
  }

  bool has_jvp() const override { return true; }
  Tensors jvp(std::span<const Tensor> inputs, std::span<const Tensor>,
              std::span<const Tensor> tangents) override {
    const bool differentiable = grad_enabled();
    const Again again = record_again(inputs);
    Tensors variables, along;
    for (size_t i = 0; i < operands_; ++i) {
      if (!tangents[i] || !again.operands[i].requires_grad()) continue;
      variables.push_back(again.operands[i]);
      along.push_back(tangents[i]);
    }
    return tegula::jvp(again.outputs, variables, along, differentiable);
  }

 private:
  struct Again {
    Tensors operands, outputs;
  };
  // Looked at anew, operands are others to the planner: what is computed of them is computed again,
  // and not shared with what was computed before.
  Again record_again(std::span<const Tensor> inputs) const {
    const GradMode on(true);
    Again again;
    Tensors kept(inputs.begin() + int64_t(operands_), inputs.end());
    for (const Tensor& x : inputs.first(operands_))
      again.operands.push_back(x.node().state == NodeState::scalar ? x : own_view(x));
    again.outputs = recording_->record(again.operands, kept);
    return again;
  }

  Ref<Recording> recording_;
  size_t operands_;
};

}  // namespace

Tensors checkpoint(BodyDraft draft, const Tensors& parameters,
                   const std::function<bool(std::string_view)>& keeps) {
  Tensors operands = parameters;
  bool any = false;
  for (const auto& [leaf, outside] : draft.captured) operands.push_back(outside);
  for (const Tensor& x : operands) any |= x.requires_grad();
  const bool differentiable = any && grad_enabled();
  const Ref<Recording> recording(new Recording(std::move(draft), keeps));
  Tensors kept, values;
  {
    const GradMode off(false);
    values = recording->record(operands, kept);
  }
  if (!differentiable) return values;
  Tensors inputs = operands;
  inputs.insert(inputs.end(), kept.begin(), kept.end());
  return with_rules(values, inputs,
                    Ref<CustomRules>(new CheckpointRules(recording, operands.size())));
}

}  // namespace tegula
