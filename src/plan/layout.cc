// Which values are stored channels-last: images between steps whose kernels would rather have them
// so. Users see the axes in the order they know; what outlives the plan is stored in it.
#include "plan/lowering.h"

namespace tegula {
namespace {

class Layouts {
 public:
  Layouts(const Snapshot& snapshot, const std::vector<int32_t>& first)
      : s_(snapshot), first_(first), values_(snapshot.nodes.size()) {
    for (size_t i = s_.nodes.size(); i-- > 0;) look_back(i);
    for (size_t i = 0; i < s_.nodes.size(); ++i) decide(i);
  }
  std::vector<uint8_t> take() const {
    std::vector<uint8_t> chosen;
    for (const Value& v : values_) chosen.push_back(v.chosen);
    return chosen;
  }

 private:
  // Of a node, all of whose outputs are stored alike.
  struct Value {
    bool wanted = false;   // some reader would rather have it channels-last
    bool refused = false;  // some reader would rather not
    bool chosen = false;
    ChannelsLast kernel;   // of the node
  };

  Value* value_of(ValueRef v) {
    return v.is_leaf() ? nullptr : &values_[size_t(first_[size_t(v.node)])];
  }
  const Output& output(ValueRef v) const {
    return v.is_leaf() ? s_.leaves[size_t(v.index)].output()
                       : s_.nodes[size_t(v.node)]->outputs[size_t(v.index)];
  }
  const Shape& shape(ValueRef v) const { return output(v).shape; }
  static View dense_view(const Output& x) {
    return {nullptr, x.dtype, x.shape, contiguous_strides(x.shape)};
  }

  bool may_be(size_t i) const {
    const Node& node = *s_.nodes[i];
    if (!values_[i].wanted || values_[i].refused) return false;
    const Shape& shape = node.outputs[0].shape;
    for (size_t k = 0; k < node.outputs.size(); ++k)
      if (s_.live[i][k] || !(node.outputs[k].shape == shape)) return false;
    return shape.size() >= 3 && shape[1] > 1 && numel(shape) > shape[0] * shape[1];
  }

  // What a node, all of whose readers have been looked at, asks of what it reads.
  void look_back(size_t i) {
    if (first_[i] != int32_t(i)) {  // what it reads the first asks for
      for (uint8_t live : s_.live[i]) values_[size_t(first_[i])].refused |= live != 0;
      return;
    }
    const Node& node = *s_.nodes[i];
    const auto& inputs = s_.inputs[i];
    if (node.primitive->kind == Kind::opaque) values_[i].kernel = kernel_of(i);
    const bool passes_on = node.primitive->kind == Kind::elementwise && may_be(i);
    for (size_t k = 0; k < inputs.size(); ++k) {
      Value* from = value_of(inputs[k]);
      if (!from) continue;
      switch (node.primitive->kind) {
        case Kind::elementwise:
          from->wanted |= passes_on && shape(inputs[k]) == node.outputs[0].shape;
          break;
        case Kind::reduction:
          from->refused |= !over_pixels(node.attrs, shape(inputs[k]));
          break;
        case Kind::opaque: {
          const bool wants = k < 32 && (values_[i].kernel.inputs >> k & 1);
          from->wanted |= wants;
          from->refused |= !wants;
          break;
        }
        case Kind::view:
          from->refused = true;
      }
    }
  }
  static bool over_pixels(const Attrs& axes, const Shape& shape) {
    return shape.size() >= 3 && axes.size() + 2 == shape.size() && axes[0] == 2;
  }
  ChannelsLast kernel_of(size_t i) const {
    const Node& node = *s_.nodes[i];
    SmallVector<View, 3> inputs, outputs;
    for (const ValueRef& v : s_.inputs[i]) inputs.push_back(dense_view(output(v)));
    for (const Output& out : node.outputs) outputs.push_back(dense_view(out));
    const StepSpec spec{node.primitive->name, inputs, outputs, node.attrs};
    const Kernel* kernel = s_.device->find_kernel(spec);
    return kernel && kernel->channels_last ? kernel->channels_last(spec) : ChannelsLast{};
  }

  void decide(size_t i) {
    if (!may_be(i)) return;
    const Node& node = *s_.nodes[i];
    bool& chosen = values_[i].chosen;
    chosen = values_[i].kernel.output;
    if (node.primitive->kind != Kind::elementwise) return;
    for (const ValueRef& input : s_.inputs[i]) {
      const Value* from = value_of(input);
      chosen |= from && from->chosen && shape(input) == node.outputs[0].shape;
    }
  }

  const Snapshot& s_;
  const std::vector<int32_t>& first_;
  std::vector<Value> values_;
};

}  // namespace

bool channels_last_enabled() {
  static const bool enabled = switch_from_environment("TEGULA_CHANNELS_LAST");
  return enabled;
}

std::vector<uint8_t> find_channels_last(const Snapshot& snapshot,
                                        const std::vector<int32_t>& first) {
  if (!channels_last_enabled()) return std::vector<uint8_t>(snapshot.nodes.size(), 0);
  return Layouts(snapshot, first).take();
}

}  // namespace tegula
