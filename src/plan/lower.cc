// Writes the tile program of a group.
#include <algorithm>
#include <unordered_map>

#include "plan/lowering.h"

namespace tegula {
namespace {

class Writer {
 public:
  Writer(const Resolved& resolved, const Group& group, const std::vector<uint8_t>& stored)
      : resolved_(resolved), group_(group) {
    order_axes();
    TileProgram& program = result_.program;
    for (size_t axis : axes_) program.extent.push_back(group.extent[axis]);
    program.reduce_axes = int(group.reduced.size());
    program.tree = group.tree;
    if (group.carrier >= 0) load_result();
    for (int32_t node : group.members) write(node);
    for (int32_t node : group.members)
      if (stored[size_t(node)]) store(node);
  }
  Lowered take() { return std::move(result_); }

 private:
  // Kept axes first, reduced ones last.
  void order_axes() {
    const auto is_reduced = [&](size_t axis) {
      return std::find(group_.reduced.begin(), group_.reduced.end(), int64_t(axis)) !=
             group_.reduced.end();
    };
    for (size_t i = 0; i < group_.extent.size(); ++i)
      if (!is_reduced(i)) axes_.push_back(i);
    for (size_t i = 0; i < group_.extent.size(); ++i)
      if (is_reduced(i)) axes_.push_back(i);
  }

  Strides reorder(const Strides& strides) const {
    Strides result;
    for (size_t axis : axes_) result.push_back(strides[axis]);
    return result;
  }

  int32_t emit(const TileInstr& instr) {
    result_.program.instrs.push_back(instr);
    return int32_t(result_.program.instrs.size()) - 1;
  }

  // What the step that carries the program makes is input 0.
  void load_result() {
    for (int32_t node : group_.members)
      for (const ValueRef& input : resolved_.snapshot().inputs[size_t(node)])
        if (resolved_.locate(input).base.node == group_.carrier) {
          load(input);
          return;
        }
  }

  int32_t load(ValueRef value) {
    const Located& located = resolved_.locate(value);
    const auto found = values_.find(located.base.node);
    if (!located.base.is_leaf() && found != values_.end()) return found->second;
    const Strides strides =
        reorder(align_strides(resolved_.shape(value), located.strides, group_.extent));
    for (size_t i = 0; i < loads_.size(); ++i) {
      const Located& other = result_.inputs[i];
      if (other.base == located.base && other.offset == located.offset &&
          other.dynamic == located.dynamic && result_.program.inputs[i].strides == strides)
        return loads_[i];
    }
    const int32_t operand = int32_t(result_.inputs.size());
    const DType dtype = resolved_.dtype(value);
    result_.program.inputs.push_back({dtype, strides});
    result_.inputs.push_back(located);
    loads_.push_back(emit({.op = TileOp::load, .dtype = dtype, .operand = operand}));
    return loads_.back();
  }

  void write(int32_t index) {
    const Node& node = *resolved_.snapshot().nodes[size_t(index)];
    const auto& inputs = resolved_.snapshot().inputs[size_t(index)];
    if (resolved_.is_copy(index)) {
      values_[index] = load(inputs[0]);
      return;
    }
    TileInstr instr{.op = TileOp::index, .dtype = node.outputs[0].dtype};
    if (inputs.empty()) {  // iota
      instr.operand = int32_t(group_.extent.size()) - 1;
    } else {
      if (!find_tile_op(node.primitive->name, instr.op))
        fail(ErrorKind::runtime, "internal: no tile instruction is called ", node.primitive->name);
      for (size_t i = 0; i < inputs.size(); ++i) instr.source[i] = load(inputs[i]);
    }
    values_[index] = emit(instr);
  }

  void store(int32_t index) {
    const Node& node = *resolved_.snapshot().nodes[size_t(index)];
    const DType dtype = node.outputs[0].dtype;
    const bool copies = resolved_.is_copy(index);
    const Shape& shape = copies ? group_.extent : node.outputs[0].shape;
    const Strides strides = reorder(align_strides(
        shape, copies ? contiguous_strides(shape) : resolved_.locate({index, 0}).strides,
        group_.extent));
    const int32_t operand = int32_t(result_.outputs.size());
    result_.program.outputs.push_back({dtype, strides});
    result_.outputs.push_back({index, 0});
    emit({.op = TileOp::store,
          .dtype = dtype,
          .source = {values_[index], -1, -1},
          .operand = operand});
  }

  const Resolved& resolved_;
  const Group& group_;
  SmallVector<size_t, 4> axes_;
  std::unordered_map<int32_t, int32_t> values_;  // node -> instruction
  std::vector<int32_t> loads_;                   // input -> instruction
  Lowered result_;
};

}  // namespace

Lowered lower(const Resolved& resolved, const Group& group, const std::vector<uint8_t>& stored) {
  return Writer(resolved, group, stored).take();
}

TileProgram copy_program(const Shape& shape, DType dtype, const Strides& strides) {
  TileProgram program;
  program.extent = shape;
  program.inputs = {{dtype, strides}};
  program.outputs = {{dtype, contiguous_strides(shape)}};
  program.instrs = {{.op = TileOp::load, .dtype = dtype, .operand = 0},
                    {.op = TileOp::store, .dtype = dtype, .source = {0, -1, -1}, .operand = 0}};
  return program;
}

}  // namespace tegula
