#include <unordered_map>

#include "graph/primitive.h"
#include "ops/ops.h"
#include "plan/lowering.h"

namespace tegula {

Resolved::Resolved(const Snapshot& snapshot)
    : snapshot_(snapshot), nodes_(snapshot.nodes.size()), computed_(snapshot.nodes.size(), 1) {
  for (size_t i = 0; i < snapshot.leaves.size(); ++i) {
    const Output& output = snapshot.leaves[i].output();
    Located located{{-1, int32_t(i)}, output.layout.strides, 0, {}};
    if (snapshot.leaves[i].is_scalar()) located.strides.clear();
    leaves_.push_back(std::move(located));
  }
  const std::vector<int32_t> first = first_of_repeats();
  const std::vector<uint8_t> channels_last = find_channels_last(snapshot, first);
  for (size_t i = 0; i < snapshot.nodes.size(); ++i) {
    const Node& node = *snapshot.nodes[i];
    if (first[i] != int32_t(i)) {
      nodes_[i] = nodes_[size_t(first[i])];
      computed_[i] = 0;
      continue;
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const Shape& shape = node.outputs[k].shape;
      nodes_[i].push_back(
          {{int32_t(i), int32_t(k)},
           channels_last[i] ? channels_last_strides(shape) : contiguous_strides(shape),
           0,
           {}});
    }
    if (node.primitive->passes_inputs) {
      for (size_t k = 0; k < node.outputs.size(); ++k) nodes_[i][k] = locate(snapshot.inputs[i][k]);
      computed_[i] = 0;
    }
    if (node.primitive->kind == Kind::view) resolve_view(int32_t(i));
    if (node.primitive->kind == Kind::elementwise) resolve_identity(int32_t(i));
  }
  drop_unread();
}

std::vector<int32_t> Resolved::first_of_repeats() const {
  struct Hash {
    size_t operator()(const std::vector<int64_t>& words) const {
      uint64_t hash = words.size();
      for (int64_t word : words)
        hash = (hash ^ uint64_t(word)) * 0x9e3779b97f4a7c15u + (hash >> 29);
      return hash;
    }
  };
  const size_t count = snapshot_.nodes.size();
  std::vector<int32_t> first(count);
  std::unordered_map<std::vector<int64_t>, int32_t, Hash> seen;
  std::vector<int64_t> key;
  for (size_t i = 0; i < count; ++i) {
    first[i] = int32_t(i);
    const Node& node = *snapshot_.nodes[i];
    // Run-time words tell apart what looks the same: draws of random numbers, slices.
    if (!node.dynamic.empty()) continue;
    key.assign({int64_t(reinterpret_cast<intptr_t>(node.primitive)), int64_t(node.attrs.size())});
    key.insert(key.end(), node.attrs.begin(), node.attrs.end());
    for (const ValueRef& input : snapshot_.inputs[i]) {
      key.push_back(input.is_leaf() ? -1 : first[size_t(input.node)]);
      key.push_back(input.index);
    }
    first[i] = seen.emplace(key, int32_t(i)).first->second;
  }
  return first;
}

const Shape& Resolved::shape(ValueRef v) const {
  if (v.is_leaf()) return snapshot_.leaves[size_t(v.index)].output().shape;
  return snapshot_.nodes[size_t(v.node)]->outputs[size_t(v.index)].shape;
}

DType Resolved::dtype(ValueRef v) const {
  if (v.is_leaf()) return snapshot_.leaves[size_t(v.index)].output().dtype;
  return snapshot_.nodes[size_t(v.node)]->outputs[size_t(v.index)].dtype;
}

const Located& Resolved::locate(ValueRef v) const {
  return v.is_leaf() ? leaves_[size_t(v.index)] : nodes_[size_t(v.node)][size_t(v.index)];
}

void Resolved::resolve_view(int32_t index) {
  const Node& node = *snapshot_.nodes[size_t(index)];
  const ValueRef source = snapshot_.inputs[size_t(index)][0];
  const Located& from = locate(source);
  const Value& input = node.inputs[0];
  Layout layout;
  if (!node.primitive->view(node, input.node->outputs[input.index], {from.strides, from.offset},
                            layout))
    return;  // stays computed: a copy
  Located to = from;
  to.strides = std::move(layout.strides);
  if (node.primitive == &slice_primitive()) {
    for (size_t axis = 0; axis < node.dynamic.size(); ++axis)
      to.dynamic.push_back(
          {snapshot_.dynamic_begin[size_t(index)] + int32_t(axis), from.strides[axis]});
  } else {
    to.offset = layout.offset;
  }
  nodes_[size_t(index)][0] = std::move(to);
  computed_[size_t(index)] = 0;
}

bool Resolved::is_copy(int32_t node) const {
  return computed(node) && snapshot_.nodes[size_t(node)]->primitive->kind == Kind::view;
}

bool Resolved::is_elementwise(int32_t node) const {
  const Primitive& p = *snapshot_.nodes[size_t(node)]->primitive;
  return p.kind == Kind::elementwise || p.name == "iota";
}

bool Resolved::is_as_stored(const Located& located, const Shape& shape) const {
  return located.offset == 0 && located.dynamic.empty() && this->shape(located.base) == shape &&
         located.strides == locate(located.base).strides;
}

bool Resolved::is_reduction(int32_t node) const {
  return snapshot_.nodes[size_t(node)]->primitive->kind == Kind::reduction;
}

}  // namespace tegula
