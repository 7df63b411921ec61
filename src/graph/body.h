// Functions that nodes call: the branches of a cond, the bodies of loops.
#pragma once

#include <utility>
#include <vector>

#include "graph/trace.h"

namespace tegula {

// A traced function. Everything it reads is an operand; its structure never changes.
struct Body {
  Graph graph;
  std::vector<Value> operands;  // leaves without memory, or scalars; empty ones are not read

  // What it computes, in words that are equal for bodies that do the same: primitives with their
  // attributes, and what they read.
  void append_structure(Attrs& words) const;
  // The run-time words of its nodes, one after the other.
  void append_dynamic(SmallVector<int64_t, 2>& words) const;
  size_t dynamic_words() const;
};

// A function just traced, whose trace is over.
struct BodyDraft {
  Graph graph;
  std::vector<Value> parameters;  // leaves of the trace
  // Leaves of the trace that stand for tensors from outside.
  std::vector<std::pair<Value, Tensor>> captured;
};

// Makes bodies with the same operands: the parameters, of which every draft has as many, and then
// whatever any of the drafts reads from outside, which is added to `operands`.
Bodies make_bodies(std::vector<BodyDraft> drafts, Tensors& operands);

// Records what a body does on other operands. `dynamic`: its run-time words.
Tensors record_body(const Body& body, std::span<const Tensor> operands,
                    std::span<const int64_t> dynamic);

}  // namespace tegula
