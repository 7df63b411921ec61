#include "graph/compare.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "graph/primitive.h"

namespace tegula {
namespace {

std::string at_line(const Node& node) {
  const std::string line = describe(node.where);
  return line.empty() ? "" : " at " + line;
}

// Numbers of the nodes, inputs and slots of one graph.
class Numbering {
 public:
  enum Kind : int32_t { node, input, slot, constant };
  explicit Numbering(const Graph& graph) {
    const auto add = [this](Kind kind, const Ref<Node>& n, size_t i) { of_[n.get()] = {kind, i}; };
    for (size_t i = 0; i < graph.inputs.size(); ++i) add(input, graph.inputs[i], i);
    for (const Graph::Number& n : graph.numbers) add(slot, n.node, size_t(n.slot));
    for (size_t i = 0; i < graph.nodes.size(); ++i) add(node, graph.nodes[i], i);
    for (const Graph::Draw& draw : graph.draws) draws_[draw.node.get()] = &draw;
  }
  std::pair<Kind, size_t> of(const Node& n) const {
    const auto found = of_.find(&n);
    return found == of_.end() ? std::pair(constant, size_t(0)) : found->second;
  }
  const Graph::Draw* draw(const Node& n) const {
    const auto found = draws_.find(&n);
    return found == draws_.end() ? nullptr : found->second;
  }

 private:
  std::unordered_map<const Node*, std::pair<Kind, size_t>> of_;
  std::unordered_map<const Node*, const Graph::Draw*> draws_;
};

bool same_memory(const Output& a, const Output& b) {
  if (a.buffer == b.buffer) return true;
  if (!a.buffer || !b.buffer || !a.buffer->backend().host_memory() || !a.fills_buffer() ||
      !b.fills_buffer())
    return false;
  return std::memcmp(a.buffer->data(), b.buffer->data(), a.buffer->bytes()) == 0;
}

class Comparison {
 public:
  Comparison(const Graph& before, const Graph& now, std::span<const int32_t> counterpart)
      : before_(before),
        now_(now),
        counterpart_(counterpart),
        before_numbers_(before),
        now_numbers_(now) {}

  std::string find() const {
    const size_t count = std::min(before_.nodes.size(), now_.nodes.size());
    for (size_t i = 0; i < count; ++i)
      if (std::string text = compare(*before_.nodes[i], *now_.nodes[i]); !text.empty()) return text;
    if (now_.nodes.size() > count) return "it now also does " + what(*now_.nodes[count]);
    if (before_.nodes.size() > count) return "it no longer does " + what(*before_.nodes[count]);
    if (before_.outputs.size() != now_.outputs.size()) return "it now has other results";
    for (size_t k = 0; k < before_.outputs.size(); ++k)
      if (!same(before_.outputs[k], now_.outputs[k]))
        return "a result is now that of " + what(*now_.outputs[k].node);
    return "";
  }

 private:
  static std::string what(const Node& node) {
    return node.primitive ? cat(operation_name(node), at_line(node)) : "no operation";
  }

  bool same(const Value& a, const Value& b) const {
    const auto from = before_numbers_.of(*a.node);
    auto to = now_numbers_.of(*b.node);
    if (to.first == Numbering::input) to.second = size_t(counterpart_[to.second]);
    if (from != to || a.index != b.index) return false;
    if (from.first != Numbering::constant) return true;
    const Output &x = a.node->outputs[a.index], &y = b.node->outputs[b.index];
    if (a.node->state != b.node->state || x.dtype != y.dtype || !(x.shape == y.shape)) return false;
    if (a.node->state == NodeState::scalar) return a.node->scalar_bits == b.node->scalar_bits;
    return same_memory(x, y);
  }

  static std::string text(const Value& v) {
    if (v.node->state == NodeState::scalar) return cat(scalar_value(*v.node));
    const Output& output = v.node->outputs[v.index];
    return cat(v.node->primitive ? cat("the result of ", v.node->primitive->name, ",") : "tensor",
               " ", output.dtype, output.shape);
  }

  bool same_words(const Node& a, const Node& b) const {
    if (!(a.attrs == b.attrs)) return false;
    if (a.host) return bool(b.host);
    const Graph::Draw *from = before_numbers_.draw(a), *to = now_numbers_.draw(b);
    if (from && to) return from->generator == to->generator && from->offset == to->offset;
    return a.dynamic == b.dynamic;
  }

  std::string compare(const Node& a, const Node& b) const {
    if (a.primitive != b.primitive || a.inputs.size() != b.inputs.size())
      return cat("it now does ", what(b), " instead of ", what(a));
    for (size_t i = 0; i < a.inputs.size(); ++i)
      if (!same(a.inputs[i], b.inputs[i])) {
        const std::string now = text(b.inputs[i]), then = text(a.inputs[i]);
        return now == then ? cat(what(b), " now takes another ", now)
                           : cat(what(b), " now takes ", now, " instead of ", then);
      }
    if (!same_words(a, b)) return cat(what(b), " now has other attributes");
    for (size_t k = 0; k < a.outputs.size(); ++k)
      if (a.outputs[k].dtype != b.outputs[k].dtype || !(a.outputs[k].shape == b.outputs[k].shape))
        return cat(what(b), " now gives ", b.outputs[k].dtype, b.outputs[k].shape);
    return "";
  }

  const Graph &before_, &now_;
  std::span<const int32_t> counterpart_;
  Numbering before_numbers_, now_numbers_;
};

}  // namespace

std::string difference(const Graph& before, const Graph& now,
                       std::span<const int32_t> counterpart) {
  return Comparison(before, now, counterpart).find();
}

}  // namespace tegula
