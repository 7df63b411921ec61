#include "ops/batching.h"

#include "graph/effects.h"

namespace tegula {

Tensor BatchContext::batched(size_t i) const {
  if (has_batch(i)) return inputs_[i];
  Shape wide{size_};
  wide.append(shape(i).begin(), shape(i).end());
  return broadcast_to(inputs_[i], wide);
}

Tensor BatchContext::merged(size_t i) const {
  const Tensor x = batched(i);
  Shape shape(x.shape().begin() + 1, x.shape().end());
  shape[0] *= size_;
  return reshape(x, shape);
}

Tensor BatchContext::split(const Tensor& x) const {
  Shape shape{size_};
  shape.append(x.shape().begin(), x.shape().end());
  shape[1] /= size_;
  return reshape(x, shape);
}

Tensors BatchContext::example(int64_t b) const {
  Tensors result;
  for (size_t i = 0; i < input_count(); ++i) {
    const Tensor& x = inputs_[i];
    if (!has_batch(i)) {
      result.push_back(x);
      continue;
    }
    result.push_back(squeeze(part_of(x, 0, b, b + 1), {0}));
  }
  return result;
}

Attrs BatchContext::attrs_after(std::initializer_list<int64_t> first) const {
  Attrs attrs;
  for (int64_t word : first) attrs.push_back(word);
  attrs.append(node_.attrs.begin(), node_.attrs.end());
  return attrs;
}

Tensors BatchContext::again(std::span<const Tensor> inputs, Attrs attrs) const {
  return record_all(*node_.primitive, inputs, std::move(attrs), dynamic_, node_.bodies);
}

Tensors batch_by_merging(BatchContext& c) {
  Tensors inputs;
  for (size_t i = 0; i < c.input_count(); ++i) inputs.push_back(c.merged(i));
  Tensors results = c.again(inputs);
  for (Tensor& x : results) x = c.split(x);
  return results;
}

Tensors batch_by_axis(BatchContext& c) {
  Tensors inputs;
  for (size_t i = 0; i < c.input_count(); ++i) inputs.push_back(c.batched(i));
  Attrs attrs = c.attrs();
  ++attrs[0];
  return c.again(inputs, attrs);
}

Tensors batch_in_place(BatchContext& c) {
  Tensors inputs;
  for (size_t i = 0; i < c.input_count(); ++i) inputs.push_back(c.batched(i));
  return c.again(inputs);
}

Tensors batch_in_loop(BatchContext& c) {
  std::vector<Tensors> parts(c.node().outputs.size());
  for (int64_t b = 0; b < c.size(); ++b) {
    const Tensors outputs = record_again(c.node(), c.example(b), c.dynamic());
    for (size_t k = 0; k < parts.size(); ++k) parts[k].push_back(outputs[k]);
  }
  Tensors results;
  for (const Tensors& part : parts) results.push_back(stack(part, 0));
  return results;
}

Tensor batch_into_second(const Tensor& x) {
  Dims order = all_axes(x);
  std::swap(order[0], order[1]);
  const Tensor moved = permute_dims(x, order);
  Shape shape{moved.shape()[0], moved.shape()[1] * moved.shape()[2]};
  shape.append(moved.shape().begin() + 3, moved.shape().end());
  return reshape(moved, shape);
}

Tensor batch_from_second(const Tensor& x, int64_t size) {
  Shape shape{x.shape()[0], size, x.shape()[1] / size};
  shape.append(x.shape().begin() + 2, x.shape().end());
  const Tensor apart = reshape(x, shape);
  Dims order = all_axes(apart);
  std::swap(order[0], order[1]);
  return permute_dims(apart, order);
}

}  // namespace tegula
