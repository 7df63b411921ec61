// Sums of products written with a letter for each axis.
#pragma once

#include <string>

#include "ops/contraction_order.h"
#include "ops/ops.h"

namespace tegula {

Tensor einsum(const std::string& subscripts, const Tensors& operands);
// The order in which einsum multiplies operands of such shapes.
ContractionOrder einsum_order(const std::string& subscripts, const std::vector<Shape>& shapes);

// Axes of several tensors are named by numbers below 128: those with one number have one size and
// are multiplied element by element, and summed over if `result` lacks them. `op` begins messages.
Tensor contract(const Tensors& operands, const std::vector<Dims>& labels, const Dims& result,
                const char* op);

}  // namespace tegula
