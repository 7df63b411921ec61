// Operations that give back an operand, bit for bit: they are seen through like views.
#include "graph/primitive.h"
#include "plan/lowering.h"

namespace tegula {
namespace {

// The operand that a node's result equals whatever its bits, NaN and signed zeros among them; for a
// unary operation that of the operation it undoes. An invalid reference if there is none.
ValueRef equal_operand(const Resolved& resolved, int32_t index) {
  constexpr ValueRef kNone{-1, -1};
  const Snapshot& s = resolved.snapshot();
  const std::string_view name = s.nodes[size_t(index)]->primitive->name;
  const auto& inputs = s.inputs[size_t(index)];
  const auto is = [&](const ValueRef& v, Leaf::Known known) {
    const ValueRef base = resolved.locate(v).base;
    return base.is_leaf() && s.leaves[size_t(base.index)].known == known;
  };
  if (inputs.size() == 1) {
    const bool undoes_itself =
        name == "negative" || name == "logical_not" || name == "bitwise_invert";
    const ValueRef v = inputs[0];
    if (!undoes_itself || v.is_leaf() || s.nodes[size_t(v.node)]->primitive->name != name)
      return kNone;
    return s.inputs[size_t(v.node)][0];
  }
  const bool complex = is_complex(resolved.dtype(inputs[0]));  // 1 + 0i changes signs of zeros
  if (complex && name != "where") return kNone;
  if (name == "multiply" && is(inputs[0], Leaf::one)) return inputs[1];
  if ((name == "multiply" || name == "divide") && is(inputs[1], Leaf::one)) return inputs[0];
  if (name == "subtract" && is(inputs[1], Leaf::zero)) return inputs[0];
  if ((name == "maximum" || name == "minimum") && inputs[0] == inputs[1]) return inputs[0];
  if (name == "where" && inputs[1] == inputs[2]) return inputs[1];
  return kNone;
}

}  // namespace

void Resolved::resolve_identity(int32_t index) {
  const ValueRef operand = equal_operand(*this, index), result{index, 0};
  if (operand.index < 0 || dtype(operand) != dtype(result)) return;
  const Shape &from = shape(operand), &to = shape(result);
  Located located = locate(operand);
  Strides strides(to.size(), 0);
  for (size_t i = 0; i < located.strides.size(); ++i) {  // a number has none
    const size_t axis = to.size() - from.size() + i;
    if (from[i] == to[axis]) strides[axis] = located.strides[i];
  }
  located.strides = std::move(strides);
  nodes_[size_t(index)][0] = std::move(located);
  computed_[size_t(index)] = 0;
}

// What only such operations have read is not computed.
void Resolved::drop_unread() {
  std::vector<uint8_t> read(nodes_.size(), 0);
  const auto note = [&](ValueRef v) {
    const ValueRef base = locate(v).base;
    if (!base.is_leaf()) read[size_t(base.node)] = 1;
  };
  for (size_t i = nodes_.size(); i-- > 0;) {
    const auto& live = snapshot_.live[i];
    for (size_t k = 0; k < live.size(); ++k)
      if (live[k]) note({int32_t(i), int32_t(k)});
    if (snapshot_.nodes[i]->primitive->kind == Kind::elementwise && !read[i]) computed_[i] = 0;
    if (!computed_[i]) continue;
    for (const ValueRef& input : snapshot_.inputs[i]) note(input);
  }
}

}  // namespace tegula
