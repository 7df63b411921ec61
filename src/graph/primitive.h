// What the engine can do, one declaration each: a small, closed set that every backend runs.
// Everything else is a function of these (see src/ops).
#pragma once

#include <array>
#include <string_view>

#include "graph/tensor.h"

namespace tegula {

struct OutputSpec {
  DType dtype;
  Shape shape;
};
using OutputSpecs = SmallVector<OutputSpec, 1>;

// What a shape rule sees.
struct InferContext {
  std::span<const Tensor> inputs;
  const Attrs& attrs;
  std::span<const int64_t> dynamic;
  std::span<const std::shared_ptr<const Body>> bodies;

  const Shape& shape(size_t i) const { return inputs[i].shape(); }
  DType dtype(size_t i) const { return inputs[i].dtype(); }
};

// The values a derivative uses to give one input's gradient: bit i is input i, bit 30 also every
// input after it.
inline constexpr uint32_t kUsesOutput = 1u << 31;
inline constexpr uint32_t uses_input(size_t i) { return 1u << (i < 30 ? i : 30); }
inline constexpr uint32_t kUsesNothing = 0;
// By input; an input past the end has the last entry.
using Uses = std::array<uint32_t, 4>;
// The same for whichever input's gradient.
constexpr Uses uses_for_every_input(uint32_t used) { return {used, used, used, used}; }

// For each input of a node: whether its derivative is asked for.
using Wanted = SmallVector<bool, 4>;

// What a derivative sees. Reading a value that its primitive does not declare is an error.
class VjpContext {
 public:
  VjpContext(const Node& node, std::span<const Tensor> upstream, const Wanted& wanted)
      : node_(node), upstream_(upstream), wanted_(wanted), gradients_(node.inputs.size()) {}

  Tensor input(size_t i) const;
  Tensor output(size_t k = 0) const;
  // The upstream gradient of output k; an empty Tensor when nothing flows into it.
  const Tensor& grad(size_t k = 0) const { return upstream_[k]; }
  bool needs(size_t i) const { return wanted_[i]; }
  // Sets input i's gradient. Reverse mode sums one of a larger, broadcast shape to the input's.
  void give(size_t i, const Tensor& gradient);

  std::span<const int64_t> attrs() const { return node_.attrs; }
  std::span<const int64_t> dynamic() const { return node_.dynamic; }
  std::span<const std::shared_ptr<const Body>> bodies() const { return node_.bodies; }
  CustomRules* rules() const { return node_.rules.get(); }
  std::string_view name() const;  // see operation_name()
  const Shape& input_shape(size_t i) const;
  const Shape& output_shape(size_t k = 0) const { return node_.outputs[k].shape; }
  DType input_dtype(size_t i) const;
  size_t input_count() const { return node_.inputs.size(); }
  size_t output_count() const { return node_.outputs.size(); }
  Backend& device() const { return *node_.device; }
  std::span<Tensor> gradients() { return gradients_; }

 private:
  void check_declared(uint32_t use) const;

  const Node& node_;
  std::span<const Tensor> upstream_;
  const Wanted& wanted_;
  Tensors gradients_;
  mutable uint32_t declared_ = 0;
};

// What a forward derivative sees.
class JvpContext {
 public:
  JvpContext(const Node& node, std::span<const Tensor> tangents)
      : node_(node), tangents_(tangents), results_(node.outputs.size()) {}

  const Node& node() const { return node_; }
  Tensor input(size_t i) const { return Tensor(node_.inputs[i]); }
  Tensor output(size_t k) const {
    return Tensor(Ref<Node>(const_cast<Node*>(&node_)), uint32_t(k));
  }
  // The tangent of input i; an empty Tensor for zero.
  const Tensor& tangent(size_t i) const { return tangents_[i]; }
  void give(size_t k, const Tensor& tangent) { results_[k] = tangent; }
  const Tensors& results() const { return results_; }

 private:
  const Node& node_;
  std::span<const Tensor> tangents_;
  Tensors results_;
};

class BatchContext;  // ops/batching.h

enum class Kind : uint8_t {
  elementwise,  // the tile instruction of the same name; operands broadcast
  reduction,    // the tile reduction of the same name; attrs are the axes, kept as size 1
  view,         // another look at the same memory where strides allow it
  opaque,       // a kernel of the same name
};

struct Primitive {
  std::string_view name;
  Kind kind;
  // Output dtypes and shapes; throws what a wrong call deserves.
  void (*infer)(const InferContext& context, OutputSpecs& outputs);
  // Reverse derivative. Null for what has none: asking for one is then an error.
  void (*vjp)(VjpContext& context) = nullptr;
  Uses uses = {kUsesNothing, kUsesNothing, kUsesNothing, kUsesNothing};
  // Forward derivative, for what it cannot be had from the vjp. For anything else it is the vjp
  // transposed (src/transform/forward.cc).
  void (*jvp)(JvpContext& context) = nullptr;
  // The outputs of many calls at once, batch axis first. Null for elementwise primitives and
  // reductions, which all do the same, and for what is expanded or called in a loop
  // (src/transform/batch.cc).
  Tensors (*batch)(BatchContext& context) = nullptr;
  // For views: the result's layout from the input's. False when a copy is needed.
  bool (*view)(const Node& node, const Output& input, const Layout& from, Layout& to) = nullptr;
  // Output k is input k as it is: nothing is computed (see graph/custom.h).
  bool passes_inputs = false;
  // May throw for tensor contents when it runs.
  bool can_fail = false;
  // Which attribute is a dtype, printed by its name; -1 for none.
  int dtype_attr = -1;
  // For opaque kernels that can write over an input: output k over input in_place(node, k), or -1.
  int (*in_place)(const Node& node, int output) = nullptr;
  // For composites: the same values recorded from other primitives; outputs at the end that only
  // this primitive's own vjp reads may be left out. It is what a device without a kernel of this
  // name records, what a null vjp falls back on, and what second derivatives go through.
  Tensors (*expand)(std::span<const Tensor> inputs, std::span<const int64_t> attrs) = nullptr;
  // For what stands for many operations: the name of the one that these attributes mean. The text
  // lives as long as the process.
  std::string_view (*label)(std::span<const int64_t> attrs) = nullptr;

  // What a tape keeps of a node for an input's gradient; see uses_of() where the node is known.
  uint32_t uses_for(size_t input) const {
    if (!vjp && expand) return ~kUsesOutput;  // the expansion may use any input
    return uses[input < uses.size() ? input : uses.size() - 1];
  }
};

// The values that a node's derivative uses to give one input's gradient.
inline uint32_t uses_of(const Node& node, size_t input) {
  return node.rules ? node.rules->vjp_uses() : node.primitive->uses_for(input);
}

// What a node with a primitive does, as its user calls it: the label, or the primitive's name.
std::string_view operation_name(const Node& node);

// Records one application and returns its outputs' handles. Inputs are on one device.
Tensors record_all(const Primitive& primitive, std::span<const Tensor> inputs, Attrs attrs = {},
                   std::span<const int64_t> dynamic = {}, Bodies bodies = {});
// The same for primitives with one output.
Tensor record(const Primitive& primitive, std::initializer_list<Tensor> inputs, Attrs attrs = {},
              std::span<const int64_t> dynamic = {});
Tensor record(const Primitive& primitive, std::span<const Tensor> inputs, Attrs attrs = {},
              std::span<const int64_t> dynamic = {}, Backend* device = nullptr);

// While a profile is taken: when this thread recorded the first operation since this was last
// asked, in us since the profile began; negative for never.
double first_recorded();

// Nodes recorded since the process started, those a view resolved at once not counted.
uint64_t recorded_nodes();

// While one lives, recording in this thread does not evaluate by itself.
class EvaluationPause {
 public:
  EvaluationPause();
  ~EvaluationPause();
  EvaluationPause(const EvaluationPause&) = delete;
  EvaluationPause& operator=(const EvaluationPause&) = delete;
};

// While one lives, the nodes recorded are one operation of the user's: evaluation by itself for the
// sake of bytes comes before the first or after the last.
class OperationScope {
 public:
  OperationScope();
  ~OperationScope();
  OperationScope(const OperationScope&) = delete;
  OperationScope& operator=(const OperationScope&) = delete;

 private:
  bool outer_;
};

// Recording evaluates by itself when more nodes or bytes than this are pending.
struct AutoEvaluation {
  size_t max_nodes = 5000;
  int64_t max_bytes = int64_t(4) << 30;
};
AutoEvaluation& auto_evaluation();

}  // namespace tegula
