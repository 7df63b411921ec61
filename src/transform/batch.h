// Batching: what a graph computes, for many values of its inputs at once.
#pragma once

#include <unordered_map>

#include "graph/body.h"

namespace tegula {

// A value that is one for all examples, or has an axis of them in front.
struct Batched {
  Tensor value;
  bool has_batch = false;
};

// The values that stand for the leaves of a graph.
using BatchedLeaves = std::unordered_map<const Node*, Batched>;

// Records what the graph does for `size` examples. Each of them draws random numbers of its own.
// axis: of tg.vmap, which collective operations name; 0 for none.
std::vector<Batched> record_batched(const Graph& graph, const BatchedLeaves& leaves, int64_t size,
                                    int64_t axis);

// The same for a body, with the words that the node which calls it has.
std::vector<Batched> record_batched(const Body& body, std::span<const Batched> operands,
                                    std::span<const int64_t> dynamic, int64_t size, int64_t axis);

// x with the batch axis, repeated where it is one for all.
Tensor with_batch(const Batched& x, int64_t size);

// The gradients of sum(outputs[i] * seeds[i]) for many seeds at once, which have an axis of them in
// front; the results have it too. Empty where nothing flows.
Tensors batched_gradients(const Tensors& outputs, const Tensors& seeds, const Tensors& inputs,
                          bool create_graph);
// The derivatives along many tangents.
Tensors batched_jvp(const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
                    bool create_graph);

// ---- values of an axis that tg.vmap names ----------------------------------------------------
// Inside of a function that is batched: which example this is (0-d int64).
Tensor axis_index(int64_t axis);
// The values of x of all `size` examples, stacked in front.
Tensor all_gather(const Tensor& x, int64_t axis, int64_t size);

}  // namespace tegula
