#include "plan/replay.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "graph/primitive.h"

namespace tegula {

Replay::Replay(Graph graph)
    : graph_(std::move(graph)),
      leaf_of_input_(graph_.inputs.size(), -1),
      input_of_output_(graph_.outputs.size(), -1),
      output_refs_(graph_.outputs.size()) {
  std::unordered_map<const Node*, int32_t> number;
  for (size_t i = 0; i < graph_.inputs.size(); ++i) number[graph_.inputs[i].get()] = int32_t(i);
  for (size_t k = 0; k < graph_.outputs.size(); ++k)
    if (const auto input = number.find(graph_.outputs[k].node.get()); input != number.end())
      input_of_output_[k] = input->second;
  if (graph_.nodes.empty()) return;
  snapshot_ = snapshot_of(graph_);
  for (size_t i = 0; i < snapshot_.leaves.size(); ++i)
    if (const auto input = number.find(snapshot_.leaves[i].node); input != number.end())
      leaf_of_input_[size_t(input->second)] = int32_t(i);
  for (size_t i = 0; i < snapshot_.nodes.size(); ++i) number[snapshot_.nodes[i]] = int32_t(i);
  for (size_t k = 0; k < graph_.outputs.size(); ++k)
    if (const Value& v = graph_.outputs[k]; v.node->pending())
      output_refs_[k] = {number.at(v.node.get()), int32_t(v.index)};
}

// Gives the graph's inputs the memory of this run's.
void Replay::bind_leaves(const Call& call) {
  for (size_t i = 0; i < leaf_of_input_.size(); ++i) {
    if (leaf_of_input_[i] < 0) continue;
    Leaf& leaf = snapshot_.leaves[size_t(leaf_of_input_[i])];
    const Tensor& given = *call.inputs[i];
    Output& output = leaf.node->outputs[0];
    const Node& node = given.node();
    leaf.donatable = call.rebound[i] && node.ref_count() == 1 && given.output().handles == 1 &&
                     given.output().buffer->owners() == 1 && can_be_written(given.output());
    output.buffer = given.output().buffer;
    output.layout = given.output().layout;
  }
  for (const Graph::Number& n : graph_.numbers)
    n.node->scalar_bits =
        cast_scalar(call.numbers[size_t(n.slot)], n.node->outputs[0].dtype).node().scalar_bits;
  number_memory(snapshot_);
}

void Replay::release_leaves() {
  for (const Ref<Node>& input : graph_.inputs) input->outputs[0].buffer = {};
}

// Reserves what the run draws of random numbers.
void Replay::draw_numbers() {
  for (size_t s = 0; s < graph_.streams.size(); ++s) {
    const Graph::Stream& stream = graph_.streams[s];
    Generator& generator = stream.generator ? *stream.generator : default_generator();
    for (const Graph::Draw& draw : graph_.draws)
      if (draw.generator == int32_t(s))
        draw.node->dynamic = {int64_t(generator.key), int64_t(generator.offset + draw.offset)};
    generator.offset += stream.length;
  }
}

const Replay::Variant& Replay::find_variant() {
  key_.clear();
  for (const Leaf& leaf : snapshot_.leaves) {
    if (leaf.is_scalar()) continue;
    key_.push_back(int64_t(leaf.memory) << 1 | int64_t(leaf.donatable));
    const Strides& strides = leaf.output().layout.strides;
    key_.insert(key_.end(), strides.begin(), strides.end());
  }
  const auto found = std::find_if(variants_.begin(), variants_.end(),
                                  [&](const Variant& v) { return v.key == key_; });
  if (found != variants_.end()) {
    std::rotate(variants_.begin(), found, found + 1);
    return variants_.front();
  }
  if (variants_.size() == kMaxVariants) variants_.pop_back();
  ProfileScope scope(ProfileEvent::plan, "plan made");
  scope.event().count = int64_t(snapshot_.nodes.size());
  Variant fresh{key_, make_plan(snapshot_), {}};
  const Plan& plan = *fresh.plan;
  std::map<std::pair<int32_t, int32_t>, int32_t> by_value;
  for (size_t i = 0; i < plan.kept.size(); ++i)
    by_value[{plan.kept[i].value.node, plan.kept[i].value.index}] = int32_t(i);
  for (const ValueRef& ref : output_refs_) {
    const auto kept = by_value.find({ref.node, ref.index});
    fresh.kept.push_back(kept == by_value.end() ? -1 : kept->second);
  }
  show_new(plan);
  variants_.insert(variants_.begin(), std::move(fresh));
  return variants_.front();
}

Replay::Pending Replay::prepare(const Call& call) {
  Pending pending;
  const Variant* variant = nullptr;
  if (!graph_.nodes.empty()) {
    graph_.device->queue().refuse_inside_work("jit");  // before numbers are drawn, state is bound
    HeldLines::release_ended();
    struct Release {
      Replay* self;
      ~Release() { self->release_leaves(); }
    } release{this};
    bind_leaves(call);
    draw_numbers();
    variant = &find_variant();
    pending.run_ = std::make_unique<Run>(variant->plan, snapshot_);
    pending.event_ = make_ref<Event>();
  }
  const size_t count = graph_.outputs.size();
  pending.outputs_.reserve(count);
  pending.buffers_.resize(count, -1);
  for (size_t k = 0; k < count; ++k) {
    const Value& v = graph_.outputs[k];
    if (input_of_output_[k] >= 0) {
      pending.outputs_.push_back(*call.inputs[size_t(input_of_output_[k])]);
    } else if (v.node->pending()) {
      pending.outputs_.push_back(kept_value(v, *variant, k, pending));
    } else {
      pending.outputs_.emplace_back(v);  // a constant
    }
  }
  return pending;
}

// Output k as a leaf around the run's memory.
Tensor Replay::kept_value(const Value& v, const Variant& variant, size_t k, Pending& pending) {
  const Kept& kept = variant.plan->kept[size_t(variant.kept[k])];
  auto [buffer, layout] = pending.run_->memory_of(kept, snapshot_);
  if (kept.output >= 0) buffer->set_event(pending.event_);
  pending.buffers_[k] = kept.output;
  const Output& traced = v.node->outputs[v.index];
  Tensor result = from_buffer(std::move(buffer), traced.dtype, traced.shape, std::move(layout));
  result.node().made_by = v.node->primitive;
  if (v.node->where.token && source_hooks().retain) {
    source_hooks().retain(v.node->where.token);
    result.node().where = v.node->where;
  }
  return result;
}

void Replay::Pending::replaces(size_t output, const Tensor& before) {
  const Output& old = before.output();
  if (buffers_[output] >= 0 && old.buffer && old.fills_buffer())
    run_->replace(buffers_[output], old.buffer);
}

void Replay::Pending::submit() {
  if (run_) tegula::submit(std::move(run_), false, event_);
}

}  // namespace tegula
