#include "transform/tape.h"

#include <algorithm>
#include <unordered_set>

namespace tegula {
namespace {

bool is_one_of(const Node& node, const Tensors& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const Tensor& x) { return x && &x.node() == &node; });
}

// Whether the walk back ends here.
bool is_end(const Node& node, const Tensors& targets, bool stop_at_targets) {
  const GradCell* cell = node.outputs[0].cell.get();
  return !node.on_tape || (cell && cell->is_leaf) || (stop_at_targets && is_one_of(node, targets));
}

}  // namespace

Tape tape_between(const Tensors& targets, const Tensors& outputs, bool stop_at_targets) {
  // Nothing recorded before the first target depends on any.
  uint64_t oldest = targets.empty() ? 0 : UINT64_MAX;
  for (const Tensor& x : targets)
    if (x) oldest = std::min(oldest, x.node().sequence);

  Tape tape;
  std::vector<Node*> stack;
  const auto visit = [&](const Value& v) {
    Node* node = v.node.get();
    if (node->sequence < oldest || !node->outputs[v.index].requires_grad) return;
    if (!tape.nodes.insert(node).second) return;
    stack.push_back(node);
    tape.order.push_back(v.node);
  };
  for (const Tensor& output : outputs) visit(output.value());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (is_end(*node, targets, stop_at_targets)) continue;
    for (const Value& input : node->inputs) visit(input);
  }
  std::sort(tape.order.begin(), tape.order.end(),
            [](const Ref<Node>& a, const Ref<Node>& b) { return a->sequence < b->sequence; });
  if (targets.empty()) return tape;

  std::erase_if(tape.order, [&](const Ref<Node>& node) {
    const auto leads = [&](const Value& input) { return tape.has(input); };
    const bool walked = !is_end(*node, targets, stop_at_targets);
    if (is_one_of(*node, targets) || node->tape_released) return false;
    if (walked && std::any_of(node->inputs.begin(), node->inputs.end(), leads)) return false;
    tape.nodes.erase(node.get());
    return true;
  });
  return tape;
}

bool depends_on_others(const Tensors& outputs, const Tensors& variables) {
  std::unordered_set<const Node*> seen;
  for (const Tensor& x : variables) seen.insert(&x.node());
  std::vector<const Node*> stack;
  const auto visit = [&](const Value& v) {
    if (v.node->outputs[v.index].requires_grad && seen.insert(v.node.get()).second)
      stack.push_back(v.node.get());
  };
  for (const Tensor& x : outputs) visit(x.value());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (!node->on_tape) return true;
    for (const Value& input : node->inputs) visit(input);
  }
  return false;
}

}  // namespace tegula
