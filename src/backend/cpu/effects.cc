// Calls of the host, and values that wait for others.
#include "backend/cpu/effects.h"

#include "backend/cpu/strided_copy.h"
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

constexpr KernelEntry kKernels[] = {
    {"after", {.run = pass_on}},
    {"host_call", {.run = call_host, .can_fail = true, .optional_outputs = true}},
};

}  // namespace

std::span<const KernelEntry> effect_kernels() { return kKernels; }

}  // namespace tegula::cpu
