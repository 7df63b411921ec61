#include "transform/extract.h"

#include <algorithm>
#include <unordered_set>

#include "graph/primitive.h"

namespace tegula {

Graph extract(const Graph& graph, std::span<const Value> given, std::vector<Value> wanted) {
  Graph part;
  part.device = graph.device;
  part.streams = graph.streams;
  std::unordered_set<const Node*> reached;
  for (const Value& v : given) {
    require(v.node->outputs.size() == 1,
            "graph: ", v.node->primitive ? v.node->primitive->name : "",
            " has several results; they cannot be given one by one");
    if (reached.insert(v.node.get()).second) part.inputs.push_back(v.node);
  }
  std::vector<const Node*> stack;
  const auto visit = [&](const Value& v) {
    if (reached.insert(v.node.get()).second) stack.push_back(v.node.get());
  };
  for (const Value& v : wanted) visit(v);
  std::unordered_set<const Node*> needed;
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    needed.insert(node);
    for (const Value& input : node->inputs) visit(input);
  }
  for (const Ref<Node>& input : graph.inputs)
    if (needed.count(input.get())) part.inputs.push_back(input);
  for (const Ref<Node>& node : graph.nodes)
    if (needed.count(node.get())) part.nodes.push_back(node);
  for (const Graph::Number& number : graph.numbers)
    if (needed.count(number.node.get())) part.numbers.push_back(number);
  for (const Graph::Draw& draw : graph.draws)
    if (needed.count(draw.node.get())) part.draws.push_back(draw);
  part.outputs = std::move(wanted);
  return part;
}

}  // namespace tegula
