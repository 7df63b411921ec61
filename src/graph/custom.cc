#include "graph/custom.h"

#include <set>

#include "graph/effects.h"

namespace tegula {
namespace {

constexpr Uses kUsesAll = {~0u, ~0u, ~0u, ~0u};

const CustomKernel& kernel_of(std::span<const int64_t> attrs) {
  const auto address = read_attrs<CustomKernelAttrs>(attrs).kernel;
  return *reinterpret_cast<const CustomKernel*>(address);
}

void infer_kernel(const InferContext& c, OutputSpecs& out) {
  std::vector<View> inputs(c.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    inputs[i].dtype = c.dtype(i);
    inputs[i].shape = c.shape(i);
    inputs[i].strides = contiguous_strides(c.shape(i));
  }
  const std::span<const int64_t> attrs = c.attrs;
  for (const View& v : kernel_of(attrs).infer(inputs, attrs.subspan(1)))
    out.push_back({v.dtype, v.shape});
}

void rules_vjp(VjpContext& c) {
  CustomRules* rules = c.rules();
  if (!rules) fail(ErrorKind::unsupported, c.name(), ": has no derivative");
  Tensors inputs, outputs, upstream;
  const uint32_t uses = rules->vjp_uses();
  for (size_t i = 0; i < c.input_count(); ++i)
    inputs.push_back(uses & uses_input(i) ? c.input(i) : Tensor());
  for (size_t k = 0; k < c.output_count(); ++k) {
    outputs.push_back(uses & kUsesOutput ? c.output(k) : Tensor());
    upstream.push_back(c.grad(k));
  }
  const Tensors gradients = rules->vjp(inputs, outputs, upstream);
  for (size_t i = 0; i < gradients.size(); ++i) c.give(i, gradients[i]);
}

const Primitive kCustomKernel = {
    .name = "custom_kernel",
    .kind = Kind::opaque,
    .infer = infer_kernel,
    .vjp = rules_vjp,
    .uses = kUsesAll,
    .can_fail = true,
    .label = [](std::span<const int64_t> attrs) -> std::string_view {
      return kernel_of(attrs).name;
    },
};

// Has the layout of host_call's attributes, and is run like one.
const Primitive kCustomCall = {
    .name = "custom_call",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c, OutputSpecs& out) { out = host_results(c.attrs); },
    .vjp = rules_vjp,
    .uses = kUsesAll,
    .can_fail = true,
    .label = [](std::span<const int64_t> attrs) -> std::string_view {
      return *reinterpret_cast<const std::string*>(read_attrs<HostCallAttrs>(attrs).name);
    },
};

void with_rules_vjp(VjpContext& c) {
  const size_t values = c.output_count();
  Tensors inputs, outputs, upstream;
  for (size_t i = values; i < c.input_count(); ++i) inputs.push_back(c.input(i));
  for (size_t k = 0; k < values; ++k) {
    outputs.push_back(c.input(k));
    upstream.push_back(c.grad(k));
  }
  const Tensors gradients = c.rules()->vjp(inputs, outputs, upstream);
  for (size_t i = 0; i < gradients.size(); ++i) c.give(values + i, gradients[i]);
}

const Primitive kWithRules = {
    .name = "with_rules",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          for (size_t k = 0; k < size_t(c.attrs[0]); ++k) out.push_back({c.dtype(k), c.shape(k)});
        },
    .vjp = with_rules_vjp,
    .uses = kUsesAll,
    .passes_inputs = true,
};

// Names that plans and runs may refer to at any time.
const std::string& lasting(std::string_view name) {
  static auto& names = *new std::set<std::string, std::less<>>;
  const auto found = names.find(name);
  return found == names.end() ? *names.emplace(name).first : *found;
}

}  // namespace

Tensors custom_kernel(const CustomKernel& kernel, std::span<const Tensor> inputs,
                      std::span<const int64_t> attributes, const Ref<CustomRules>& rules) {
  Attrs attrs = write_attrs(CustomKernelAttrs{int64_t(reinterpret_cast<intptr_t>(&kernel))});
  attrs.append(attributes.begin(), attributes.end());
  // Nodes with run-time words are never taken for one another.
  const int64_t each_by_itself = 0;
  const std::span<const int64_t> dynamic(&each_by_itself, kernel.has(TEGULA_PURE) ? 0 : 1);
  Tensors outputs = record_all(kCustomKernel, inputs, std::move(attrs), dynamic);
  outputs[0].node().rules = rules;
  return outputs;
}

Tensors custom_call(std::string_view name, const Ref<HostFunction>& function,
                    std::span<const Tensor> inputs, std::span<const OutputSpec> specs,
                    const Ref<CustomRules>& rules) {
  const int64_t address = int64_t(reinterpret_cast<intptr_t>(&lasting(name)));
  const int64_t word = int64_t(reinterpret_cast<intptr_t>(function.get()));
  Tensors outputs =
      record_all(kCustomCall, inputs, host_attrs({int64_t(inputs.size()), false, address}, specs),
                 std::span(&word, 1));
  outputs[0].node().host = function;
  outputs[0].node().rules = rules;
  return outputs;
}

const Primitive& with_rules_primitive() { return kWithRules; }

Tensors with_rules(const Tensors& values, const Tensors& inputs, const Ref<CustomRules>& rules) {
  Tensors all;
  for (const Tensor& x : values) all.push_back(x.requires_grad() ? detach(x) : x);
  all.insert(all.end(), inputs.begin(), inputs.end());
  Tensors outputs = record_all(kWithRules, all, {int64_t(values.size())});
  outputs[0].node().rules = rules;
  return outputs;
}

}  // namespace tegula
