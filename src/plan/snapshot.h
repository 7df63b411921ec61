// The part of the graph one evaluation is about, numbered canonically: what a plan is made from,
// and the key under which it is found again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/primitive.h"
#include "graph/trace.h"

namespace tegula {

// A value of the snapshot: output `index` of node `node`, or leaf `index` where node is -1.
struct ValueRef {
  int32_t node = -1;
  int32_t index = 0;

  bool is_leaf() const { return node < 0; }
  friend bool operator==(const ValueRef&, const ValueRef&) = default;
};

struct Leaf {
  Node* node;
  uint32_t index;
  bool donatable = false;  // nobody but this plan refers to its memory
  int32_t memory = -1;     // the first leaf in the same buffer; -1 for a scalar
  // What a plan may know of a scalar's value, which is otherwise another in each run.
  enum Known : uint8_t { nothing, zero, one } known = nothing;

  const Output& output() const { return node->outputs[index]; }
  bool is_scalar() const { return node->state == NodeState::scalar; }
};

struct Snapshot {
  std::vector<Node*> nodes;                          // in recorded order
  std::vector<SmallVector<ValueRef, 3>> inputs;      // of each node
  std::vector<SmallVector<uint8_t, 2>> live;         // of each node: which outputs are kept
  std::vector<int32_t> dynamic_begin;                // of each node: its first run-time word
  std::vector<Leaf> leaves;
  std::vector<int64_t> key;                          // compared in full
  uint64_t hash = 0;
  Backend* device = nullptr;
  bool results_apart = false;  // each kept value is to lie dense, in memory of its own
};

// Everything pending on `device` that has a live handle in this thread or is an ordered effect,
// `wanted`, and what the tapes of live values must keep; with all they depend on. Empty when
// nothing is pending.
Snapshot take_snapshot(std::span<const Tensor> wanted, Backend& device);

// A traced graph, whose outputs are kept. Which leaves may be donated, where they lie, and
// therefore the key, change from run to run: see number_memory().
Snapshot snapshot_of(const Graph& graph);
// Numbers the leaves that share memory.
void number_memory(Snapshot& snapshot);
// Whether a leaf's memory is a buffer that a plan may write over.
bool can_be_written(const Output& leaf);

// The nodes with their inputs, one a line; leaves are numbered as in the plan's text.
std::string to_string(const Snapshot& snapshot);
// The parts of such a line: a value by its node's or leaf's number, a node's attributes, what a
// leaf is.
std::string value_name(const Snapshot& snapshot, ValueRef value);
std::string attrs_text(const Node& node);
std::string leaf_text(const Leaf& leaf);

// The devices on which something is to be evaluated.
std::vector<Backend*> pending_devices(std::span<const Tensor> wanted);

}  // namespace tegula
