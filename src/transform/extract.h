// Part of a traced graph: some values from others.
#pragma once

#include <span>

#include "graph/trace.h"

namespace tegula {

// What computes `wanted` from `given`, which become the inputs, followed by those inputs of the
// graph that are still needed. A given value is the only output of its node, or an input.
Graph extract(const Graph& graph, std::span<const Value> given, std::vector<Value> wanted);

}  // namespace tegula
