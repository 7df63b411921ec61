#include "transform/checkpoint.h"

#include <bit>
#include <unordered_map>

#include "graph/custom.h"
#include "graph/effects.h"
#include "ops/ops.h"
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
    for (const Graph::Draw& draw : draft_.graph.draws) draws_[draw.node.get()] = &draw;
    for (const Ref<Node>& node : draft_.graph.nodes)
      if (node->primitive->kind == Kind::opaque && !node->host && keeps(operation_name(*node)))
        kept_.push_back(node.get());
    for (const Graph::Stream& s : draft_.graph.streams) {
      Generator& generator = s.generator ? *s.generator : default_generator();
      streams_.push_back({int64_t(generator.key), generator.offset});
      generator.offset += s.length;
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
      SmallVector<int64_t, 2> dynamic = node->dynamic;
      if (const auto draw = draws_.find(node.get()); draw != draws_.end()) {
        const auto& [key, offset] = streams_[size_t(draw->second->generator)];
        dynamic = {key, std::bit_cast<int64_t>(offset + draw->second->offset)};
      }
      Tensors results = record_again(*node, from, dynamic);
      if (next < kept_.size() && kept_[next] == node.get()) {
        ++next;
        if (given) {
          const Tensors values(kept.begin() + int64_t(taken),
                               kept.begin() + int64_t(taken + results.size()));
          taken += values.size();
          if (results[0].node().on_tape)
            results = with_rules(values, from,
                                 Ref<CustomRules>(new KeptRules(Ref<Node>(&results[0].node()))));
          else results = values;
        } else {
          kept.insert(kept.end(), results.begin(), results.end());
        }
      }
      made[node.get()] = std::move(results);
    }
    Tensors outputs;
    for (const Value& v : draft_.graph.outputs) outputs.push_back(value_of(v));
    return outputs;
  }

 private:
  BodyDraft draft_;
  std::unordered_map<const Node*, const Graph::Draw*> draws_;
  std::vector<const Node*> kept_;
  std::vector<std::pair<int64_t, uint64_t>> streams_;  // key and offset that the function found
};

class CheckpointRules : public NoForwardRules {
 public:
  CheckpointRules(Ref<Recording> recording, size_t operands)
      : recording_(std::move(recording)), operands_(operands) {}

  Tensors vjp(std::span<const Tensor> inputs, std::span<const Tensor>,
              std::span<const Tensor> upstream) override {
    const bool differentiable = grad_enabled();
    // Looked at anew, operands are others to the planner: what is computed of them is computed
    // again, and not shared with what was computed before.
    Tensors anew, variables, kept(inputs.begin() + int64_t(operands_), inputs.end());
    Tensors outputs;
    {
      const GradMode on(true);
      for (const Tensor& x : inputs.first(operands_)) {
        const bool is_number = x.node().state == NodeState::scalar;
        anew.push_back(is_number ? x : own_view(x));
        if (anew.back().requires_grad()) variables.push_back(anew.back());
      }
      outputs = recording_->record(anew, kept);
    }
    Tensors ends, seeds;
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (!upstream[k] || !outputs[k].requires_grad()) continue;
      ends.push_back(outputs[k]);
      seeds.push_back(upstream[k]);
    }
    Tensors result(inputs.size());
    if (ends.empty()) return result;
    const Tensors found = gradients(ends, seeds, variables, {.create_graph = differentiable});
    for (size_t i = 0, n = 0; i < operands_; ++i)
      if (anew[i].requires_grad()) result[i] = found[n++];
    return result;
  }

 private:
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
