// Optimizer updates: one node for all parameters, written in place where nobody else holds them.
#include "ops/batching.h"

namespace tegula {
namespace {

// Inputs: hyper-parameters (0-d), then `lists` lists of `count` tensors: parameters, gradients and
// state. Outputs: every list but the gradients.
struct Lists {
  size_t hyper, count, lists;
  size_t input(size_t list, size_t i) const { return hyper + list * count + i; }
  static size_t list_of_output(size_t k) { return k == 0 ? 0 : k + 1; }
};

template <size_t kHyper>
Lists lists_of(size_t inputs, std::span<const int64_t> attrs) {
  const size_t count = size_t(read_attrs<OptimizerAttrs>(attrs).count);
  return {kHyper, count, count ? (inputs - kHyper) / count : 0};
}

template <size_t kHyper>
void infer_update(const InferContext& c, OutputSpecs& out) {
  const Lists lists = lists_of<kHyper>(c.inputs.size(), c.attrs);
  for (size_t list = 0; list < lists.lists; ++list) {
    if (list == 1) continue;
    for (size_t i = 0; i < lists.count; ++i) {
      const size_t from = lists.input(list, i);
      out.push_back({c.dtype(from), c.shape(from)});
    }
  }
}

template <size_t kHyper>
int over_input(const Node& node, int output) {
  const Lists lists = lists_of<kHyper>(node.inputs.size(), node.attrs);
  const size_t list = Lists::list_of_output(size_t(output) / lists.count);
  return int(lists.input(list, size_t(output) % lists.count));
}

template <size_t kHyper>
Tensors batch_update(BatchContext& c) {
  for (size_t i = 0; i < kHyper; ++i)
    if (c.has_batch(i)) return batch_in_loop(c);
  Tensors inputs;
  for (size_t i = 0; i < c.input_count(); ++i)
    inputs.push_back(i < kHyper ? c.input(i) : c.batched(i));
  return c.again(inputs);
}

// hyper: lr, momentum, dampening, weight_decay.
constexpr size_t kSgdHyper = 4;
const Primitive kSgd = {.name = "sgd",
                        .kind = Kind::opaque,
                        .infer = infer_update<kSgdHyper>,
                        .batch = batch_update<kSgdHyper>,
                        .in_place = over_input<kSgdHyper>};
// hyper: lr, beta1, beta2, eps, weight_decay, step.
constexpr size_t kAdamHyper = 6;
const Primitive kAdam = {.name = "adam",
                         .kind = Kind::opaque,
                         .infer = infer_update<kAdamHyper>,
                         .batch = batch_update<kAdamHyper>,
                         .in_place = over_input<kAdamHyper>};

Tensors update(const Primitive& primitive, size_t hyper_count, const Tensors& hyper,
               std::initializer_list<const Tensors*> lists, int64_t flags) {
  const Tensors& params = **lists.begin();
  require(hyper.size() == hyper_count, primitive.name, ": needs ", hyper_count,
          " hyper-parameters, got ", hyper.size());
  if (params.empty()) return {};
  Tensors inputs;
  for (const Tensor& x : hyper) {
    require(x.rank() == 0, primitive.name, ": hyper-parameters must be 0-d, got shape ", x.shape());
    // Python floats keep their precision: 1 - 0.999 in float32 is off by 1e-5.
    const bool is_number = x.node().state == NodeState::scalar;
    inputs.push_back(is_number || !is_floating(x.dtype()) ? astype(x, DType::float64) : x);
  }
  for (const Tensors* list : lists) {
    if (list->empty()) continue;
    require(list->size() == params.size(), primitive.name, ": ", params.size(),
            " parameters came with ", list->size(), " gradients or state tensors");
    for (size_t i = 0; i < params.size(); ++i) {
      const Tensor& x = (*list)[i];
      require(x.shape() == params[i].shape(), primitive.name, ": parameter ", i, " has shape ",
              params[i].shape(), ", its gradient or state ", x.shape());
      if (!is_floating(params[i].dtype()) || x.dtype() != params[i].dtype())
        fail(ErrorKind::type, primitive.name, ": parameter ", i, " is ", params[i].dtype(),
             ", its gradient or state ", x.dtype(), "; both must be the same floating dtype");
      inputs.push_back(x);
    }
  }
  GradMode off(false);
  return record_all(primitive, inputs, write_attrs(OptimizerAttrs{int64_t(params.size()), flags}));
}

}  // namespace

Tensors sgd_update(const Tensors& hyper, const Tensors& params, const Tensors& grads,
                   const Tensors& velocities, int64_t flags) {
  return update(kSgd, kSgdHyper, hyper, {&params, &grads, &velocities}, flags);
}

Tensors adam_update(const Tensors& hyper, const Tensors& params, const Tensors& grads,
                    const Tensors& m, const Tensors& v, int64_t flags) {
  return update(kAdam, kAdamHyper, hyper, {&params, &grads, &m, &v}, flags);
}

}  // namespace tegula
