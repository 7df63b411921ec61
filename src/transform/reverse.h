// Reverse-mode differentiation: graph in, graph out. The gradient's nodes are recorded like any
// others and planned together with whatever else is pending.
#pragma once

#include "graph/primitive.h"

namespace tegula {

struct ReverseOptions {
  bool retain_graph = false;  // keep the tape for another pass
  bool create_graph = false;  // make the gradients differentiable themselves
};

// Gradients of sum(outputs[i] * seeds[i]) with respect to `inputs`, in their order; an empty
// handle where nothing flows. An empty seed means 1 and needs a one-element output.
Tensors gradients(const Tensors& outputs, const Tensors& seeds, const Tensors& inputs,
                  const ReverseOptions& options);

// What flows into the inputs of one operation: its primitive's vjp, summed to their shapes.
Tensors input_gradients(const Node& node, std::span<const Tensor> upstream, const Wanted& wanted,
                        const ReverseOptions& options);

// Accumulates gradients into every leaf `output` depends on (and values that retain theirs); or
// into `inputs` alone, if they are given.
void backward(const Tensor& output, const Tensor& seed, const ReverseOptions& options,
              const Tensors* inputs = nullptr);

}  // namespace tegula
