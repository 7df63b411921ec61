// What a plan does beside computing values, and in which order. An effect takes as its last input
// the token of the effect recorded before it, an empty value: so effects run in the order of the
// program, by the dependencies that order every other step, in plans, traces and gradients alike.
#pragma once

#include "graph/attrs.h"
#include "graph/primitive.h"

namespace tegula {

// host_call: how many inputs the function gets; after them may come tokens. The results' dtypes,
// ranks and sizes follow. The dynamic word is the address of the HostFunction.
struct HostCallAttrs {
  int64_t inputs, ordered;
};

// Calls a function of the host when the plan runs. The results have no derivative. `ordered`: the
// call is an effect, made once though nobody needs its results; else it may be left out.
Tensors host_call(const Ref<HostFunction>& function, std::span<const Tensor> inputs,
                  std::span<const OutputSpec> specs, bool ordered);

// x, as a value that is there only after `earlier` and after every effect that this thread has
// recorded. Differentiable in x.
Tensor after(const Tensor& x, std::span<const Tensor> earlier);

const Primitive& after_primitive();

// The call that a node makes, recorded anew for other inputs: all outputs of the new node.
Tensors record_again(const Node& call, std::span<const Tensor> inputs);

}  // namespace tegula
