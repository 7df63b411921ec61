// What a plan does beside computing values, and in which order. An effect takes as its last input
// the token of the effect recorded before it, an empty value: so effects run in the order of the
// program, by the dependencies that order every other step, in plans, traces and gradients alike.
#pragma once

#include "graph/attrs.h"
#include "graph/primitive.h"

namespace tegula {

// host_call, custom_call: how many inputs the function gets; after them may come tokens. `name` is
// the address of a custom operation's, a string. The results' dtypes, ranks and sizes follow. The
// dynamic word is the address of the HostFunction.
struct HostCallAttrs {
  int64_t inputs, ordered, name;
};
Attrs host_attrs(const HostCallAttrs& first, std::span<const OutputSpec> results);
OutputSpecs host_results(std::span<const int64_t> attrs);

// Calls a function of the host when the plan runs. The results have no derivative. `ordered`: the
// call is an effect, made once though nobody needs its results; else it may be left out.
Tensors host_call(const Ref<HostFunction>& function, std::span<const Tensor> inputs,
                  std::span<const OutputSpec> specs, bool ordered);

// x, as a value that is there only after `earlier` and after every effect that this thread has
// recorded. Differentiable in x.
Tensor after(const Tensor& x, std::span<const Tensor> earlier);

const Primitive& after_primitive();

// What a node does, recorded anew for other inputs, with whatever it calls and knows: all outputs
// of the new node. dynamic: its run-time words, where they are none of a call's.
Tensors record_again(const Node& node, std::span<const Tensor> inputs,
                     std::span<const int64_t> dynamic);

}  // namespace tegula
