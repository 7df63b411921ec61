#include "graph/trace.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/effects.h"
#include "graph/primitive.h"

namespace tegula {
namespace {

thread_local Trace* current_trace = nullptr;

Ref<Node> copy_leaf(const Tensor& like) {
  Ref<Node> node = make_leaf(like.dtype(), like.shape(), *like.node().device);
  node->outputs[0].requires_grad = like.requires_grad();
  node->outputs[0].cell = like.output().cell;
  return node;
}

// Where the user asks for a value, and how to do without it.
struct Asked {
  std::string line, advice;

  Asked() {
    const SourceHooks& hooks = source_hooks();
    if (!hooks.capture) return;
    const SourceLocation where = hooks.capture();
    line = describe(where);
    if (where.token && hooks.rewrite) advice = hooks.rewrite(where);
    if (where.token && hooks.release) hooks.release(where.token);
    if (!line.empty()) line = " at " + line;
    if (!advice.empty()) advice = ". " + advice;
  }
};

}  // namespace

Trace* Trace::current() { return current_trace; }

Trace::Trace() : ambient_(&default_generator()), outer_(current_trace) {
  static uint32_t last_id = 0;  // under the graph lock
  id_ = ++last_id;
  current_trace = this;
}

Trace::~Trace() {
  end();
  while (Node* node = list_.first()) PendingList::remove(node);
}

void Trace::end() {
  if (ended_) return;
  ended_ = true;
  current_trace = outer_;
}

Tensor Trace::input(const Tensor& like) {
  inputs_.push_back(copy_leaf(like));
  inputs_.back()->trace = id_;  // another trace may be going on within this one
  return Tensor(inputs_.back());
}

Tensor Trace::number(Tensor value) {
  value.node().attrs = {int64_t(slots_.size())};
  slots_.push_back({value.value().node});
  return value;
}

void Trace::note_look(const Node& node) {
  if (made(node)) {
    if (!node.attrs.empty()) slots_[size_t(node.attrs[0])].constant = true;
  } else if (outer_) {
    outer_->note_look(node);
  }
}

Tensor Trace::known(const Tensor& x) {
  Graph only = graph_of({x.value()}, {});
  for (const Ref<Node>& node : only.nodes) {
    const auto is_input = [](const Value& v) {
      return !v.node->pending() && v.node->state != NodeState::scalar &&
             !v.node->outputs[v.index].buffer;
    };
    if (node->host || std::any_of(node->inputs.begin(), node->inputs.end(), is_input)) return {};
  }
  if (!only.draws.empty()) return {};
  for (const Ref<Node>& node : only.nodes)
    for (const Value& input : node->inputs)
      if (input.node->state == NodeState::scalar) note_look(*input.node);
  only.inputs.clear();
  Tensors numbers;
  for (const Slot& slot : slots_) numbers.emplace_back(slot.number);
  const TracePause pause;
  const GradMode off(false);
  Tensor copy = record_graph(only, {}, numbers)[0];
  evaluate(copy);
  return copy;
}

void Trace::note_draw(Generator& generator, Node* node, uint64_t counters) {
  drawn_.push_back({Ref<Generator>(&generator), node, node->sequence, counters, drawn_.size()});
}

void Trace::note_drawn_again(const Node& first, Node& again) {
  for (size_t i = 0; i < drawn_.size(); ++i) {
    if (drawn_[i].node != &first || drawn_[i].sequence != first.sequence) continue;
    drawn_.push_back({drawn_[i].generator, &again, again.sequence, 0, drawn_[i].first});
    return;
  }
}

Graph Trace::graph(std::vector<Value> outputs) const {
  std::vector<Node*> effects;
  for (Node* node = list_.first(); node; node = PendingList::next(node))
    if (is_held(*node)) effects.push_back(node);
  return graph_of(std::move(outputs), effects);
}

Graph Trace::graph_of(std::vector<Value> outputs, const std::vector<Node*>& effects) const {
  Graph graph;
  graph.has_effects = !effects.empty();
  std::unordered_set<Node*> seen;
  const auto visit = [&](Node* node) {
    if (node->pending() && made(*node) && seen.insert(node).second) graph.nodes.emplace_back(node);
  };
  for (const Value& output : outputs) visit(output.node.get());
  for (Node* effect : effects) visit(effect);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node* node = graph.nodes[i].get();
    if (!graph.device) graph.device = node->device;
    if (graph.device != node->device)
      fail(ErrorKind::unsupported, "jit: the function works on two devices, '",
           graph.device->name(), "' and '", node->device->name(), "'");
    for (const Value& input : node->inputs) {
      visit(input.node.get());
      if (input.node->state == NodeState::scalar && made(*input.node) &&
          !input.node->attrs.empty() && seen.insert(input.node.get()).second)
        graph.numbers.push_back({input.node, int32_t(input.node->attrs[0])});
    }
  }
  std::sort(graph.nodes.begin(), graph.nodes.end(),
            [](const Ref<Node>& a, const Ref<Node>& b) { return a->sequence < b->sequence; });
  graph.inputs = inputs_;
  graph.outputs = std::move(outputs);
  std::vector<uint64_t> offsets;
  for (const Drawn& draw : drawn_) {
    const Ref<Generator> generator = draw.generator.get() == ambient_ ? nullptr : draw.generator;
    auto stream = std::find_if(graph.streams.begin(), graph.streams.end(),
                               [&](const Graph::Stream& s) { return s.generator == generator; });
    if (stream == graph.streams.end()) stream = graph.streams.insert(stream, {generator, 0});
    offsets.push_back(draw.first < offsets.size() ? offsets[draw.first] : stream->length);
    // The address may belong to a later node: the sequence tells.
    if (seen.count(draw.node) && draw.node->sequence == draw.sequence)
      graph.draws.push_back(
          {Ref<Node>(draw.node), int32_t(stream - graph.streams.begin()), offsets.back()});
    stream->length += draw.counters;
  }
  return graph;
}

TracePause::TracePause() : paused_(std::exchange(current_trace, nullptr)) {}
TracePause::~TracePause() { current_trace = paused_; }

Tensor require_known(const Tensor& x, const char* use) {
  Trace* trace = Trace::current();
  const Node& node = x.node();
  const bool is_input = !node.pending() && node.state != NodeState::scalar && !x.output().buffer;
  const bool escaped = node.pending() && node.trace && !trace;  // a failed trace may leave some
  if (!is_input && !escaped && (!trace || !node.pending())) return x;
  if (trace && node.pending())
    if (Tensor value = trace->known(x)) return value;
  const Asked asked;
  fail(ErrorKind::trace, use, asked.line, ": the value of this tensor",
       node.where.token ? " (computed at " + describe(node.where) + ")" : "",
       " is not known while the function is traced; choose with tg.where, or write the "
       "`if` with tg.cond, the loop with tg.while_loop or tg.scan, or return the tensor and "
       "look at it outside",
       asked.advice);
}

Tensors record_graph(const Graph& graph, std::span<const Tensor> inputs,
                     std::span<const Tensor> numbers) {
  std::unordered_map<const Node*, Tensors> made;
  for (size_t i = 0; i < graph.inputs.size(); ++i) made[graph.inputs[i].get()] = {inputs[i]};
  for (const Graph::Number& n : graph.numbers)
    made[n.node.get()] = {cast_scalar(numbers[size_t(n.slot)], n.node->outputs[0].dtype)};
  std::unordered_map<const Node*, const Graph::Draw*> draws;
  for (const Graph::Draw& draw : graph.draws) draws[draw.node.get()] = &draw;
  std::vector<uint64_t> start;
  std::vector<Generator*> generators;
  for (const Graph::Stream& s : graph.streams) {
    generators.push_back(s.generator ? s.generator.get() : &default_generator());
    start.push_back(generators.back()->offset);
    generators.back()->offset += s.length;
  }
  const auto value_of = [&](const Value& v) {
    const auto found = made.find(v.node.get());
    return found == made.end() ? Tensor(v) : found->second[v.index];
  };
  for (const Ref<Node>& node : graph.nodes) {
    Tensors from;
    for (const Value& input : node->inputs) from.push_back(value_of(input));
    SmallVector<int64_t, 2> dynamic = node->dynamic;
    if (const auto draw = draws.find(node.get()); draw != draws.end()) {
      const size_t g = size_t(draw->second->generator);
      dynamic = {int64_t(generators[g]->key), int64_t(start[g] + draw->second->offset)};
    }
    made[node.get()] = record_again(*node, from, dynamic);
  }
  Tensors outputs;
  for (const Value& v : graph.outputs) outputs.push_back(value_of(v));
  return outputs;
}

}  // namespace tegula
