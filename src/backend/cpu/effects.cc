// Calls of the host and of kernels from outside, and values that wait for others.
#include "backend/cpu/effects.h"

#include "backend/cpu/strided_copy.h"
#include "graph/custom.h"
#include "graph/effects.h"

namespace tegula::cpu {
namespace {

void call_host(const KernelArgs& args) {
  const auto attrs = read_attrs<HostCallAttrs>(args.attrs);
  auto* function = reinterpret_cast<HostFunction*>(args.dynamic[0]);
  function->call(args.inputs.first(size_t(attrs.inputs)),
                 args.outputs.first(args.outputs.size() - size_t(attrs.ordered)));
}

void pass_on(const KernelArgs& args) {
  if (args.outputs[0].data != args.inputs[0].data) copy_dense(args.outputs[0].data, args.inputs[0]);
}

void call_custom(const KernelArgs& args) {
  const auto address = read_attrs<CustomKernelAttrs>(args.attrs).kernel;
  const auto& kernel = *reinterpret_cast<const CustomKernel*>(address);
  const std::span<const int64_t> attributes = args.attrs.subspan(1);
  if (!kernel.has(TEGULA_DENSE_INPUTS)) return kernel.run(args.inputs, args.outputs, attributes);
  std::vector<DenseInput> dense;
  std::vector<View> inputs(args.inputs.begin(), args.inputs.end());
  dense.reserve(inputs.size());
  for (View& input : inputs) {
    dense.emplace_back(input);
    input.data = const_cast<std::byte*>(dense.back().data());
    input.strides = contiguous_strides(input.shape);
  }
  kernel.run(inputs, args.outputs, attributes);
}

constexpr KernelEntry kKernels[] = {
    {"after", {.run = pass_on}},
    {"custom_call", {.run = call_host, .can_fail = true, .optional_outputs = true}},
    {"custom_kernel", {.run = call_custom, .can_fail = true}},
    {"host_call", {.run = call_host, .can_fail = true, .optional_outputs = true}},
};

}  // namespace

std::span<const KernelEntry> effect_kernels() { return kKernels; }

}  // namespace tegula::cpu
