#include "plan/snapshot.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace tegula {
namespace {

constexpr int32_t kUnseen = -1;
constexpr int32_t kSeen = -2;

class Collector {
 public:
  Collector(std::span<const Tensor> wanted, Backend& device, Snapshot& snapshot)
      : device_(device), snapshot_(snapshot) {
    snapshot_.device = &device;
    find_roots(wanted);
    find_needed();
    keep_residuals();
    number();
    mark_donatable();
    build_key();
  }
  Collector(const Graph& graph, Snapshot& snapshot) : device_(*graph.device), snapshot_(snapshot) {
    snapshot_.device = &device_;
    for (const Ref<Node>& node : graph.nodes) {
      node->plan_index = kSeen;
      snapshot_.nodes.push_back(node.get());
    }
    for (const Value& v : graph.outputs)
      if (v.node->plan_index == kSeen) v.node->outputs[v.index].plan_index = kSeen;
    number();
  }
  ~Collector() {
    for (Node* node : snapshot_.nodes) {
      node->plan_index = kUnseen;
      for (Output& output : node->outputs) output.plan_index = kUnseen;
    }
    for (const Leaf& leaf : snapshot_.leaves) leaf.node->outputs[leaf.index].plan_index = kUnseen;
  }

 private:
  // An output is kept when its plan_index is kSeen.
  void keep(Node* node, uint32_t k) {
    need(node);
    node->outputs[k].plan_index = kSeen;
  }
  void need(Node* node) {
    if (node->plan_index != kUnseen) return;
    node->plan_index = kSeen;
    snapshot_.nodes.push_back(node);
  }

  void find_roots(std::span<const Tensor> wanted) {
    for (Node* node = PendingList::current().first(); node; node = PendingList::next(node)) {
      if (node->device != &device_) continue;
      if (is_held(*node)) need(node);
      for (uint32_t k = 0; k < node->outputs.size(); ++k)
        if (node->outputs[k].handles) keep(node, k);
    }
    for (const Tensor& t : wanted)
      if (t.node().pending() && t.node().device == &device_) keep(&t.node(), t.value().index);
  }

  // A pending node on the tape of a live value loses its inputs' values unless its derivative
  // declares that it uses them.
  void keep_residuals() {
    std::vector<Node*> stack;
    std::unordered_set<Node*> seen;
    const auto visit = [&](Node* node) {
      if (node->pending() && node->on_tape && seen.insert(node).second) stack.push_back(node);
    };
    for (Node* node : snapshot_.nodes)
      for (const Output& output : node->outputs)
        if (output.handles) visit(node);
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      uint32_t uses = 0;
      for (size_t i = 0; i < node->inputs.size(); ++i) {
        const Value& input = node->inputs[i];
        if (!input.node->outputs[input.index].requires_grad) continue;
        uses |= uses_of(*node, i);
        visit(input.node.get());
      }
      for (size_t i = 0; i < node->inputs.size(); ++i) {
        const Value& input = node->inputs[i];
        if ((uses & uses_input(i)) && input.node->pending()) keep(input.node.get(), input.index);
      }
      if (uses & kUsesOutput)
        for (uint32_t k = 0; k < node->outputs.size(); ++k) keep(node, k);
    }
  }

  void find_needed() {
    auto& nodes = snapshot_.nodes;
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (const Value& input : nodes[i]->inputs) {
        Node* node = input.node.get();
        if (!node->pending() || node->plan_index != kUnseen) continue;
        node->plan_index = kSeen;
        nodes.push_back(node);
        for (uint32_t k = 0; k < node->outputs.size(); ++k)
          if (node->outputs[k].handles) keep(node, k);  // held by another thread
      }
    }
    std::sort(nodes.begin(), nodes.end(),
              [](const Node* a, const Node* b) { return a->sequence < b->sequence; });
  }

  // Of a number that is no input of a traced function: those have attributes.
  static Leaf::Known known(const Node& node) {
    if (node.state != NodeState::scalar || !node.attrs.empty()) return Leaf::nothing;
    const double value = scalar_value(node);
    if (value == 1) return Leaf::one;
    return value == 0 && !std::signbit(value) ? Leaf::zero : Leaf::nothing;
  }

  int32_t leaf_of(const Value& value) {
    Output& output = value.node->outputs[value.index];
    if (output.plan_index == kUnseen) {
      output.plan_index = int32_t(snapshot_.leaves.size());
      snapshot_.leaves.push_back({value.node.get(), value.index});
      snapshot_.leaves.back().known = known(*value.node);
    }
    return output.plan_index;
  }

  void number() {
    auto& s = snapshot_;
    const size_t count = s.nodes.size();
    s.inputs.resize(count);
    s.live.resize(count);
    s.dynamic_begin.resize(count);
    int32_t dynamic = 0;
    for (size_t i = 0; i < count; ++i) {
      Node* node = s.nodes[i];
      s.dynamic_begin[i] = dynamic;
      dynamic += int32_t(node->dynamic.size());
      for (const Value& input : node->inputs) {
        if (input.node->pending())
          s.inputs[i].push_back({input.node->plan_index, int32_t(input.index)});
        else s.inputs[i].push_back({-1, leaf_of(input)});
      }
      for (const Output& output : node->outputs) s.live[i].push_back(output.plan_index == kSeen);
      node->plan_index = int32_t(i);
    }
  }

  // A buffer may be overwritten when every reference to it is a leaf of this plan, and every
  // reference to those leaves is an input of a node that lets go of its inputs afterwards.
  void mark_donatable() {
    std::unordered_map<Node*, uint32_t> uses;
    for (Node* node : snapshot_.nodes) {
      if (node->on_tape) continue;
      for (const Value& input : node->inputs)
        if (!input.node->pending()) ++uses[input.node.get()];
    }
    std::unordered_map<Buffer*, uint32_t> free_references;
    const auto only_ours = [&](const Leaf& leaf) {
      uint32_t handles = 0;
      for (const Output& output : leaf.node->outputs) handles += output.handles;
      const auto found = uses.find(leaf.node);
      return leaf.output().handles == 0 && found != uses.end() &&
             leaf.node->ref_count() - handles == found->second;
    };
    for (const Leaf& leaf : snapshot_.leaves)
      if (!leaf.is_scalar() && only_ours(leaf)) ++free_references[leaf.output().buffer.get()];
    for (Node* node : snapshot_.nodes)
      for (const Output& output : node->outputs)
        if (output.previous) ++free_references[output.previous.get()];
    number_memory(snapshot_);
    for (Leaf& leaf : snapshot_.leaves) {
      if (leaf.is_scalar()) continue;
      const Buffer* buffer = leaf.output().buffer.get();
      const auto found = free_references.find(leaf.output().buffer.get());
      leaf.donatable = found != free_references.end() && buffer->owners() == found->second &&
                       can_be_written(leaf.output());
    }
  }

  void build_key() {
    auto& s = snapshot_;
    auto& key = s.key;
    key.reserve(s.nodes.size() * 8 + s.leaves.size() * 6);
    key.push_back(int64_t(reinterpret_cast<intptr_t>(&device_)));
    const auto add_dims = [&](const Dims& dims) {
      key.push_back(int64_t(dims.size()));
      key.insert(key.end(), dims.begin(), dims.end());
    };
    for (size_t i = 0; i < s.nodes.size(); ++i) {
      const Node& node = *s.nodes[i];
      key.push_back(int64_t(reinterpret_cast<intptr_t>(node.primitive)));
      key.push_back(int64_t(node.attrs.size()) << 32 | int64_t(s.inputs[i].size()) << 1 |
                    int64_t(node.dynamic.size() > 0));
      key.insert(key.end(), node.attrs.begin(), node.attrs.end());
      for (const ValueRef& input : s.inputs[i])
        key.push_back(int64_t(input.node) << 32 | uint32_t(input.index));
      uint64_t live = 0;
      for (size_t k = 0; k < s.live[i].size(); ++k) {
        live |= uint64_t(s.live[i][k]) << (k % 64);
        if (k % 64 == 63 || k + 1 == s.live[i].size())
          key.push_back(int64_t(std::exchange(live, 0)));
      }
    }
    for (const Leaf& leaf : s.leaves) {
      const Output& output = leaf.output();
      key.push_back(int64_t(output.dtype) << 4 | int64_t(leaf.known) << 2 |
                    int64_t(leaf.is_scalar()) << 1 | int64_t(leaf.donatable));
      key.push_back(leaf.memory);
      add_dims(output.shape);
      if (!leaf.is_scalar()) add_dims(output.layout.strides);
    }
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (int64_t word : key) {
      hash ^= uint64_t(word);
      hash *= 0xff51afd7ed558ccdu;
      hash ^= hash >> 32;
    }
    s.hash = hash;
  }

  Backend& device_;
  Snapshot& snapshot_;
};

}  // namespace

Snapshot take_snapshot(std::span<const Tensor> wanted, Backend& device) {
  Snapshot snapshot;
  Collector(wanted, device, snapshot);
  return snapshot;
}

Snapshot snapshot_of(const Graph& graph) {
  Snapshot snapshot;
  Collector(graph, snapshot);
  return snapshot;
}

void number_memory(Snapshot& snapshot) {
  std::unordered_map<const Buffer*, int32_t> first;
  for (size_t i = 0; i < snapshot.leaves.size(); ++i) {
    Leaf& leaf = snapshot.leaves[i];
    if (leaf.is_scalar()) continue;
    leaf.memory = first.try_emplace(leaf.output().buffer.get(), int32_t(i)).first->second;
  }
}

bool can_be_written(const Output& leaf) {
  return leaf.buffer->donatable() && leaf.buffer->bytes() > 0 && leaf.fills_buffer();
}

std::string value_name(const Snapshot& snapshot, ValueRef value) {
  if (value.is_leaf())
    return cat(snapshot.leaves[size_t(value.index)].is_scalar() ? "scalar" : "leaf", value.index);
  if (snapshot.nodes[size_t(value.node)]->outputs.size() == 1) return cat(value.node);
  return cat(value.node, ".", value.index);
}

std::string attrs_text(const Node& node) {
  if (node.primitive->label) return std::string(node.primitive->label(node.attrs));
  std::ostringstream out;
  // Where a node calls bodies the other words say what those do.
  const size_t shown = std::min(node.attrs.size(), node.bodies.empty() ? size_t(-1) : 1);
  for (size_t k = 0; k < shown; ++k) {
    if (k) out << ", ";
    if (int(k) == node.primitive->dtype_attr) out << DType(node.attrs[k]);
    else out << node.attrs[k];
  }
  return out.str();
}

std::string leaf_text(const Leaf& leaf) {
  const Output& output = leaf.output();
  if (leaf.is_scalar()) return cat(output.dtype, " ", scalar_value(*leaf.node));
  return cat(output.dtype, output.shape, leaf.donatable ? ", may be overwritten" : "");
}

std::string to_string(const Snapshot& snapshot) {
  std::ostringstream out;
  const size_t count = snapshot.nodes.size();
  out << "graph on " << snapshot.device->name() << ": " << count << " nodes, "
      << snapshot.leaves.size() << " leaves\n";
  for (size_t i = 0; i < snapshot.leaves.size(); ++i)
    out << "  " << value_name(snapshot, {-1, int32_t(i)}) << ": " << leaf_text(snapshot.leaves[i])
        << "\n";
  for (size_t i = 0; i < count; ++i) {
    const Node& node = *snapshot.nodes[i];
    out << "  " << i << ": " << node.primitive->name;
    if (!node.attrs.empty()) out << " [" << attrs_text(node) << "]";
    for (size_t k = 0; k < snapshot.inputs[i].size(); ++k)
      out << (k ? ", " : " (") << value_name(snapshot, snapshot.inputs[i][k]);
    out << (snapshot.inputs[i].empty() ? " ->" : ") ->");
    for (size_t k = 0; k < node.outputs.size(); ++k)
      out << (k ? ", " : " ") << node.outputs[k].dtype << node.outputs[k].shape
          << (snapshot.live[i][k] ? " kept" : "");
    out << "\n";
  }
  return out.str();
}

std::vector<Backend*> pending_devices(std::span<const Tensor> wanted) {
  std::vector<Backend*> devices;
  const auto add = [&](Backend* device) {
    if (std::find(devices.begin(), devices.end(), device) == devices.end())
      devices.push_back(device);
  };
  for (const Tensor& t : wanted)
    if (t.node().pending()) add(t.node().device);
  for (Node* node = PendingList::current().first(); node; node = PendingList::next(node))
    add(node->device);
  return devices;
}

}  // namespace tegula
