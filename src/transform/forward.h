// Forward-mode differentiation: graph in, graph out.
#pragma once

#include "graph/tensor.h"

namespace tegula {

// The derivative of each output along `tangents` of the inputs, which require grad and lead to the
// outputs; an empty handle where nothing flows. The tape stays as it is.
Tensors jvp(const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
            bool create_graph);

}  // namespace tegula
