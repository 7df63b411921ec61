// Which tile programs can ride on which steps.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "plan/lowering.h"

namespace tegula {
namespace {

// Whether the axes of a result, cut where `extent` is, are those of a space: both are dense.
bool axes_fit(const Shape& result, const Shape& extent) {
  if (numel(result) == 0 || numel(extent) == 0) return false;
  int64_t inner = 1, seen = 1;  // elements of the last axes
  size_t axis = extent.size();
  for (size_t i = result.size(); i-- > 0;) {
    inner *= result[i];
    while (axis > 0 && seen * extent[axis - 1] <= inner) seen *= extent[--axis];
    if (inner % seen != 0 || (seen != inner && (axis == 0 || extent[axis - 1] % (inner / seen))))
      return false;
  }
  return true;
}

}  // namespace

bool switch_from_environment(const char* name) {
  const char* text = std::getenv(name);
  const std::string_view wanted = text ? text : "";
  require(wanted.empty() || wanted == "0" || wanted == "1", name, " must be 0 or 1, got '", wanted,
          "'");
  return wanted != "0";
}

bool& epilogues_enabled() {
  static bool enabled = switch_from_environment("TEGULA_EPILOGUES");
  return enabled;
}

Operands operands_of(const Resolved& resolved, int32_t node) {
  Operands result;
  for (const ValueRef& input : resolved.snapshot().inputs[size_t(node)])
    result.inputs.push_back(
        {nullptr, resolved.dtype(input), resolved.shape(input), resolved.locate(input).strides});
  const auto& outputs = resolved.snapshot().nodes[size_t(node)]->outputs;
  for (size_t k = 0; k < outputs.size(); ++k)
    result.outputs.push_back(
        {nullptr, outputs[k].dtype, outputs[k].shape, resolved.locate({node, int32_t(k)}).strides});
  return result;
}

Riders::Riders(const Resolved& resolved, FunctionRef<int32_t(int32_t)> group_of)
    : resolved_(resolved), kept_(resolved.snapshot().nodes.size(), 0) {
  const Snapshot& s = resolved.snapshot();
  for (size_t i = 0; i < s.nodes.size(); ++i)
    for (size_t k = 0; k < s.live[i].size(); ++k) {
      const ValueRef base = resolved.locate({int32_t(i), int32_t(k)}).base;
      if (s.live[i][k] && !base.is_leaf()) kept_[size_t(base.node)] = 1;
    }
  outside_ = kept_;
  for (size_t i = 0; i < s.nodes.size(); ++i)
    for (const ValueRef& input : s.inputs[i]) {
      const int32_t from = resolved.locate(input).base.node;
      if (resolved.computed(int32_t(i)) && from >= 0 && group_of(from) != group_of(int32_t(i)))
        outside_[size_t(from)] = 1;
    }
}

bool Riders::takes_epilogue(int32_t carrier) const {
  const Snapshot& s = resolved_.snapshot();
  const Node& node = *s.nodes[size_t(carrier)];
  if (node.outputs.size() != 1) return false;
  const Operands operands = operands_of(resolved_, carrier);
  const StepSpec spec{node.primitive->name, operands.inputs, operands.outputs, node.attrs};
  const Kernel* kernel = s.device->find_kernel(spec);
  return kernel && kernel->takes_epilogue && kernel->takes_epilogue(spec);
}

bool Riders::can_ride(const Group& group, int32_t carrier) const {
  const Snapshot& s = resolved_.snapshot();
  if (!group.tile || !group.reduced.empty()) return false;
  // Where much is stored, that takes the time, and is done better in long runs.
  constexpr int64_t kMaxStored = 2;
  if (std::count_if(group.members.begin(), group.members.end(),
                    [&](int32_t m) { return outside_[size_t(m)] != 0; }) > kMaxStored)
    return false;
  const bool keeps = std::any_of(group.members.begin(), group.members.end(),
                                 [&](int32_t m) { return kept_[size_t(m)] != 0; });
  for (int32_t m : group.members) {
    if (resolved_.is_copy(m) || s.inputs[size_t(m)].empty()) return false;
    for (const ValueRef& input : s.inputs[size_t(m)]) {
      const Located& located = resolved_.locate(input);
      if (located.base.node == carrier &&
          level_in(resolved_, group, located, resolved_.shape(input)) != Level::full)
        return false;
      // What may be written over such a leaf belongs to the plan's last phase, which is short.
      if (keeps && located.base.is_leaf() && s.leaves[size_t(located.base.index)].donatable &&
          resolved_.shape(input) == group.extent)
        return false;
    }
  }
  return axes_fit(resolved_.shape({carrier, 0}), group.extent) && takes_epilogue(carrier);
}

}  // namespace tegula
