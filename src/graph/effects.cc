#include "graph/effects.h"

namespace tegula {

Attrs host_attrs(const HostCallAttrs& first, std::span<const OutputSpec> results) {
  Attrs attrs = write_attrs(first);
  for (const OutputSpec& spec : results) {
    attrs.push_back(int64_t(spec.dtype));
    attrs.push_back(int64_t(spec.shape.size()));
    attrs.append(spec.shape.begin(), spec.shape.end());
  }
  return attrs;
}

OutputSpecs host_results(std::span<const int64_t> attrs) {
  OutputSpecs specs;
  for (size_t at = sizeof(HostCallAttrs) / sizeof(int64_t); at < attrs.size();) {
    const int64_t* begin = attrs.data() + at + 2;
    const size_t rank = size_t(attrs[at + 1]);
    specs.push_back({DType(attrs[at]), Shape(begin, begin + rank)});
    at += 2 + rank;
  }
  return specs;
}

namespace {

const Primitive kHostCall = {
    .name = "host_call",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out = host_results(c.attrs);
          if (read_attrs<HostCallAttrs>(c.attrs).ordered) out.push_back({DType::bool_, Shape{0}});
        },
    .can_fail = true,
};

const Primitive kAfter = {
    .name = "after",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .vjp = [](VjpContext& c) { c.give(0, c.grad()); },
    .in_place = [](const Node&, int) { return 0; },
};

// The token of the last effect that is still to be submitted; later work comes after the others
// anyway. As long as the handle lives, so does the token.
Tensor last_token() {
  Node* node = PendingList::current().last_held();
  return node ? Tensor(Ref<Node>(node), uint32_t(node->outputs.size()) - 1) : Tensor();
}

// Its token is the last of the results.
Tensors record_call(const Ref<HostFunction>& function, std::span<const Tensor> inputs,
                    std::span<const OutputSpec> specs, bool ordered) {
  Attrs attrs = host_attrs({int64_t(inputs.size()), ordered, 0}, specs);
  Tensors all(inputs.begin(), inputs.end());
  if (const Tensor token = ordered ? last_token() : Tensor()) all.push_back(token);
  const int64_t address = int64_t(reinterpret_cast<intptr_t>(function.get()));
  Tensors outputs = record_all(kHostCall, all, std::move(attrs), std::span(&address, 1));
  Node& node = outputs[0].node();
  node.host = function;
  if (ordered) PendingList::current().hold(&node);
  return outputs;
}

}  // namespace

const Primitive& after_primitive() { return kAfter; }

Tensors host_call(const Ref<HostFunction>& function, std::span<const Tensor> inputs,
                  std::span<const OutputSpec> specs, bool ordered) {
  Tensors outputs = record_call(function, inputs, specs, ordered);
  if (ordered) outputs.pop_back();
  return outputs;
}

Tensor after(const Tensor& x, std::span<const Tensor> earlier) {
  Tensors all{x};
  all.insert(all.end(), earlier.begin(), earlier.end());
  if (const Tensor token = last_token()) all.push_back(token);
  return record_all(kAfter, all)[0];
}

Tensors record_again(const Node& node, std::span<const Tensor> inputs,
                     std::span<const int64_t> dynamic) {
  const GradMode mode(grad_enabled() && !node.without_grad);
  if (node.primitive == &kHostCall) {
    const auto attrs = read_attrs<HostCallAttrs>(node.attrs);
    return record_call(node.host, inputs.first(size_t(attrs.inputs)), host_results(node.attrs),
                       attrs.ordered);
  }
  Tensors outputs = record_all(*node.primitive, inputs, node.attrs, dynamic, node.bodies);
  if (node.host) outputs[0].node().host = node.host;
  if (node.rules) outputs[0].node().rules = node.rules;
  return outputs;
}

}  // namespace tegula
