// Making a body out of others: their derivatives, or what they do for many examples.
#pragma once

#include <optional>

#include "graph/body.h"
#include "transform/batch.h"

namespace tegula {

// The same value as a value of its own, differentiably.
Tensor own_view(const Tensor& x);

// A body while it is traced: from its making to take(), what this thread records is of the body.
// What the node itself is called with is recorded before.
class TransformedBody {
 public:
  explicit TransformedBody(Backend& device) : device_(device) {}

  // A parameter of this shape and dtype; `variable`: its derivative is asked for.
  Tensor parameter(const Shape& shape, DType dtype, bool variable = false);
  // What stands for a tensor from outside: an operand of the node that this is made for.
  Tensor outside(const Tensor& x, bool variable = false);
  // A value of the trace where the walk back is to stop.
  Tensor variable(const Tensor& x, bool wanted);
  // The gradients of `wanted` that flow in from `outputs`; zeros where nothing does.
  Tensors gradients_of(const Tensors& outputs, const Tensors& upstream, const Tensors& wanted);
  // The derivatives of the floating ones of `outputs`; zeros where nothing flows.
  Tensors tangents_of(const Tensors& outputs, const Tensors& variables, const Tensors& tangents);

  void give(const Tensor& x);
  BodyDraft take();

 private:
  Value leaf(const Shape& shape, DType dtype, bool variable);

  bool differentiable_ = grad_enabled();  // what is made is to have derivatives
  std::optional<GradMode> on_{true};
  Backend& device_;
  Trace trace_;
  BodyDraft draft_;
  Tensors results_;
};

}  // namespace tegula
