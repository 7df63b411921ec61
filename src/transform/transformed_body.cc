#include "transform/transformed_body.h"

#include "ops/ops.h"
#include "transform/control.h"
#include "transform/forward.h"
#include "transform/reverse.h"

namespace tegula {

Tensor own_view(const Tensor& x) {
  return record(reshape_primitive(), {x}, Attrs(x.shape().begin(), x.shape().end()));
}

Tensor TransformedBody::parameter(const Shape& shape, DType dtype, bool variable) {
  draft_.parameters.push_back(leaf(shape, dtype, variable));
  return Tensor(draft_.parameters.back());
}

Tensor TransformedBody::outside(const Tensor& x, bool variable) {
  if (x.node().state == NodeState::scalar) return x;
  draft_.captured.emplace_back(leaf(x.shape(), x.dtype(), variable), x);
  return Tensor(draft_.captured.back().first);
}

Tensor TransformedBody::variable(const Tensor& x, bool wanted) {
  Tensor variable = own_view(x);
  variable.output().requires_grad = wanted;
  return variable;
}

Tensors TransformedBody::gradients_of(const Tensors& outputs, const Tensors& upstream,
                                      const Tensors& wanted) {
  Tensors ends, seeds;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!upstream[k] || !outputs[k].requires_grad()) continue;
    ends.push_back(outputs[k]);
    seeds.push_back(upstream[k]);
  }
  Tensors found(wanted.size());
  if (!ends.empty())
    found = tegula::gradients(ends, seeds, wanted, {.create_graph = differentiable_});
  for (size_t i = 0; i < wanted.size(); ++i)
    if (!found[i]) found[i] = zeros(wanted[i].shape(), wanted[i].dtype());
  return found;
}

Tensors TransformedBody::tangents_of(const Tensors& outputs, const Tensors& variables,
                                     const Tensors& tangents) {
  const Tensors found = jvp(outputs, variables, tangents, differentiable_);
  Tensors result;
  for (size_t k = 0; k < outputs.size(); ++k)
    if (is_inexact(outputs[k].dtype()))
      result.push_back(found[k] ? found[k] : zeros(outputs[k].shape(), outputs[k].dtype()));
  return result;
}

void TransformedBody::give(const Tensor& x) { results_.push_back(as_result(x, results_, draft_)); }

BodyDraft TransformedBody::take() {
  trace_.end();
  on_.reset();
  std::vector<Value> outputs;
  for (const Tensor& x : results_) outputs.push_back(x.value());
  draft_.graph = trace_.graph(std::move(outputs));
  return std::move(draft_);
}

Value TransformedBody::leaf(const Shape& shape, DType dtype, bool variable) {
  Ref<Node> node = make_leaf(dtype, shape, device_);
  node->outputs[0].requires_grad = variable;
  return {std::move(node), 0};
}

}  // namespace tegula
