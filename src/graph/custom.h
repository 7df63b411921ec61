// Operations that users write: kernels compiled apart from the engine, and functions of the host.
// Steps and texts know them by their own names (Primitive::label).
#pragma once

#include "graph/custom_rules.h"
#include "graph/primitive.h"
#include "runtime/custom_library.h"

namespace tegula {

// custom_kernel: the address of its CustomKernel; then a word for each argument that is no tensor.
struct CustomKernelAttrs {
  int64_t kernel;
};

// Records a call of a kernel. rules: null for an operation without any.
Tensors custom_kernel(const CustomKernel& kernel, std::span<const Tensor> inputs,
                      std::span<const int64_t> attributes, const Ref<CustomRules>& rules);

// Records a call of a function of the host that is pure, as an operation of this name.
Tensors custom_call(std::string_view name, const Ref<HostFunction>& function,
                    std::span<const Tensor> inputs, std::span<const OutputSpec> specs,
                    const Ref<CustomRules>& rules);

// The values, as results whose derivatives and batches are what the rules say of `inputs`. No
// gradient flows to the values themselves.
Tensors with_rules(const Tensors& values, const Tensors& inputs, const Ref<CustomRules>& rules);
const Primitive& with_rules_primitive();  // attrs: {values}; inputs: the values, then the inputs

}  // namespace tegula
