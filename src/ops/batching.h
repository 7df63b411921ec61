// What a batching rule sees: one recorded call of which many are to be made at once, on operands
// that have one more axis, the first, where they differ from call to call.
#pragma once

#include "ops/ops.h"

namespace tegula {

class BatchContext {
 public:
  BatchContext(const Node& node, std::span<const int64_t> dynamic, std::span<const Tensor> inputs,
               const Wanted& has_batch, int64_t size, int64_t axis)
      : node_(node),
        dynamic_(dynamic),
        inputs_(inputs),
        has_batch_(has_batch),
        size_(size),
        axis_(axis) {}

  const Node& node() const { return node_; }
  std::span<const int64_t> dynamic() const { return dynamic_; }
  int64_t axis() const { return axis_; }  // the number of the axis of tg.vmap, 0 for none
  int64_t size() const { return size_; }  // the number of calls
  size_t input_count() const { return inputs_.size(); }
  bool has_batch(size_t i) const { return has_batch_[i]; }
  const Tensor& input(size_t i) const { return inputs_[i]; }  // with the batch axis, or without
  // The shape of one call's operand or result.
  const Shape& shape(size_t i) const { return shape_of(node_.inputs[i]); }
  size_t rank(size_t i) const { return shape(i).size(); }
  const Shape& output_shape(size_t k = 0) const { return node_.outputs[k].shape; }

  // Input i with the batch axis, repeated where all calls share it.
  Tensor batched(size_t i) const;
  // Input i with the batch axis and the axis after it made one.
  Tensor merged(size_t i) const;
  // The reverse, for a result: (size * n, ...) -> (size, n, ...).
  Tensor split(const Tensor& x) const;

  // The operands of call b alone.
  Tensors example(int64_t b) const;

  // The attributes, with a number put in front.
  Attrs attrs() const { return node_.attrs; }
  Attrs attrs_after(std::initializer_list<int64_t> first) const;
  // Records the primitive for other operands.
  Tensors again(std::span<const Tensor> inputs, Attrs attrs) const;
  Tensors again(std::span<const Tensor> inputs) const { return again(inputs, node_.attrs); }

 private:
  static const Shape& shape_of(const Value& v) { return v.node->outputs[v.index].shape; }

  const Node& node_;
  std::span<const int64_t> dynamic_;
  std::span<const Tensor> inputs_;
  const Wanted& has_batch_;
  int64_t size_, axis_;
};

// A batching rule for primitives whose operands and results all begin with an axis of independent
// items, such as the images of a convolution: one call for the items of all.
Tensors batch_by_merging(BatchContext& c);
// For primitives whose attributes begin with an AxisAttrs and whose operands have all axes of the
// first: the axis moves by one.
Tensors batch_by_axis(BatchContext& c);
// For primitives that work along the last axis, or element by element.
Tensors batch_in_place(BatchContext& c);

// For anything: one call after the other.
Tensors batch_in_loop(BatchContext& c);

// x (size, n, ...) as (n, size * m, ...) for shape (size, n, m, ...), and back.
Tensor batch_into_second(const Tensor& x);
Tensor batch_from_second(const Tensor& x, int64_t size);

}  // namespace tegula
