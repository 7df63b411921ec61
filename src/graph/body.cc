#include "graph/body.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "graph/effects.h"
#include "graph/primitive.h"

namespace tegula {
namespace {

bool is_scalar(const Node& node) { return node.state == NodeState::scalar; }

// The operands of one draft by the values that stand for them.
class Operands {
 public:
  Operands(const BodyDraft& draft, size_t parameters, Tensors& shared)
      : parameters_(parameters), shared_(shared), body_(draft.parameters) {
    for (const auto& [leaf, outside] : draft.captured) {
      size_t number = number_of(outside);
      if (is_set(number)) {  // the same tensor as two operands, each with a gradient
        number = shared_.size();
        shared_.push_back(outside);
      }
      set(number, leaf);
    }
    for (const Ref<Node>& node : draft.graph.nodes) own_.insert(node.get());
  }

  // Has a node of the body read an operand where it reads a scalar, a leaf made meanwhile, or a
  // value from outside that a custom operation's rule brought in.
  void lift(Value& read) {
    if (own_.count(read.node.get()) || contains(read)) return;
    const Tensor outside(read);
    const size_t number = number_of(outside);
    if (is_set(number)) {
      read = body_[number];
      return;
    }
    if (!is_scalar(*read.node))
      read = {make_leaf(outside.dtype(), outside.shape(), *outside.node().device), 0};
    set(number, read);
  }

  std::vector<Value> take(size_t count) {
    body_.resize(count);
    return std::move(body_);
  }

 private:
  bool contains(const Value& v) const {
    return std::find(body_.begin(), body_.end(), v) != body_.end();
  }
  size_t number_of(const Tensor& outside) {
    const auto begin = shared_.begin() + int64_t(parameters_);
    const auto found = std::find(begin, shared_.end(), outside);
    const size_t number = size_t(found - shared_.begin());
    if (found == shared_.end()) shared_.push_back(outside);
    return number;
  }
  bool is_set(size_t number) const { return number < body_.size() && body_[number].node; }
  void set(size_t number, const Value& value) {
    if (body_.size() <= number) body_.resize(number + 1);
    body_[number] = value;
  }
  size_t parameters_;
  Tensors& shared_;
  std::vector<Value> body_;
  std::unordered_set<const Node*> own_;
};

}  // namespace

void Body::append_structure(Attrs& words) const {
  std::unordered_map<const Node*, int64_t> numbers;
  for (size_t i = 0; i < graph.nodes.size(); ++i) numbers[graph.nodes[i].get()] = int64_t(i);
  const auto add_value = [&](const Value& v) {
    const auto found = numbers.find(v.node.get());
    if (found != numbers.end()) {
      words.push_back(found->second << 32 | int64_t(v.index));
      return;
    }
    const auto operand = std::find(operands.begin(), operands.end(), v);
    words.push_back(-1 - int64_t(operand - operands.begin()));
  };
  words.push_back(int64_t(graph.nodes.size()));
  for (const Ref<Node>& node : graph.nodes) {
    words.push_back(int64_t(reinterpret_cast<intptr_t>(node->primitive)));
    words.push_back(int64_t(node->attrs.size()) << 32 | int64_t(node->inputs.size()));
    words.append(node->attrs.begin(), node->attrs.end());
    for (const Value& input : node->inputs) add_value(input);
  }
  words.push_back(int64_t(graph.outputs.size()));
  for (const Value& output : graph.outputs) add_value(output);
}

void Body::append_dynamic(SmallVector<int64_t, 2>& words) const {
  for (const Ref<Node>& node : graph.nodes)
    words.append(node->dynamic.begin(), node->dynamic.end());
}

size_t Body::dynamic_words() const {
  size_t words = 0;
  for (const Ref<Node>& node : graph.nodes) words += node->dynamic.size();
  return words;
}

Bodies make_bodies(std::vector<BodyDraft> drafts, Tensors& operands) {
  const size_t parameters = operands.size();
  std::vector<Operands> found;
  for (BodyDraft& draft : drafts) {
    found.emplace_back(draft, parameters, operands);
    for (const Ref<Node>& node : draft.graph.nodes)
      for (Value& input : node->inputs) found.back().lift(input);
  }
  Bodies bodies;
  for (size_t i = 0; i < drafts.size(); ++i) {
    auto body = std::make_shared<Body>();
    body->graph = std::move(drafts[i].graph);
    body->operands = found[i].take(operands.size());
    bodies.push_back(std::move(body));
  }
  return bodies;
}

Tensors record_body(const Body& body, std::span<const Tensor> operands,
                    std::span<const int64_t> dynamic) {
  std::unordered_map<const Node*, Tensors> made;
  for (size_t i = 0; i < operands.size(); ++i)
    if (const Node* node = body.operands[i].node.get()) made[node] = {operands[i]};
  const auto value_of = [&](const Value& v) { return made.at(v.node.get())[v.index]; };
  for (const Ref<Node>& node : body.graph.nodes) {
    Tensors from;
    for (const Value& input : node->inputs) from.push_back(value_of(input));
    const size_t words = node->dynamic.size();
    made[node.get()] = record_again(*node, from, dynamic.first(words));
    dynamic = dynamic.subspan(words);
  }
  Tensors results;
  for (const Value& v : body.graph.outputs) results.push_back(value_of(v));
  return results;
}

}  // namespace tegula
