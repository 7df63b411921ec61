// From a snapshot to steps: views are resolved to base and strides, elementwise chains and
// reductions are grouped into tile programs, everything else is a step of its own.
#pragma once

#include <optional>
#include <vector>

#include "plan/plan.h"
#include "runtime/thread_pool.h"

namespace tegula {

// A value as seen through views: memory of `base` (a leaf or a value some step stores).
struct Located {
  ValueRef base;
  Strides strides;
  int64_t offset = 0;  // elements
  SmallVector<std::pair<int32_t, int64_t>, 1> dynamic;  // word, multiplier in elements
};

// The snapshot with views resolved and repeated computations found: of several nodes that do the
// same to the same values only the first is computed, the others see its result.
class Resolved {
 public:
  explicit Resolved(const Snapshot& snapshot);

  const Snapshot& snapshot() const { return snapshot_; }
  const Shape& shape(ValueRef v) const;
  DType dtype(ValueRef v) const;
  const Located& locate(ValueRef v) const;
  // Whether a step must compute this node: false for views that cost nothing.
  bool computed(int32_t node) const { return computed_[size_t(node)]; }
  // Whether a computed node only copies its input into dense order.
  bool is_copy(int32_t node) const;
  bool is_elementwise(int32_t node) const;
  bool is_reduction(int32_t node) const;
  // Whether a located value of `shape` is all of its base, element by element as that is stored.
  bool is_as_stored(const Located& located, const Shape& shape) const;

 private:
  void resolve_view(int32_t node);
  void resolve_identity(int32_t node);
  void drop_unread();
  // For each node the first that computes the same.
  std::vector<int32_t> first_of_repeats() const;

  const Snapshot& snapshot_;
  std::vector<std::vector<Located>> nodes_;
  std::vector<Located> leaves_;
  std::vector<uint8_t> computed_;
};

// An environment variable that turns something off: false for 0, true for 1 or nothing; anything
// else is a ValueError.
bool switch_from_environment(const char* name);

// Whether images are stored channels-last where kernels would rather have them so; false with
// TEGULA_CHANNELS_LAST=0. Bits are the same.
bool channels_last_enabled();
// For each node whether its result is; `first`: the first node that computes the same.
std::vector<uint8_t> find_channels_last(const Snapshot& snapshot,
                                        const std::vector<int32_t>& first);

// Nodes that become one step.
struct Group {
  bool tile = false;
  Shape extent;            // of the iteration space, in the nodes' own order of axes
  Dims reduced;            // reduced axes, empty if none
  ReduceTree tree = ReduceTree::rows;
  std::vector<int32_t> members;
  // The node whose step the program rides on as its epilogue, which reads that node's result; -1
  // where the program is a step of its own.
  int32_t carrier = -1;
};

// A node's operands as its step sees them.
struct Operands {
  std::vector<View> inputs, outputs;
};
Operands operands_of(const Resolved& resolved, int32_t node);

// Calls f for each node that the group computes, in recorded order.
template <class F>
void for_nodes(const Group& group, F&& f) {
  if (group.carrier >= 0) f(group.carrier);
  for (int32_t m : group.members) f(m);
}

// Whether tile programs ride on other steps; false with TEGULA_EPILOGUES=0. Bits are the same.
bool& epilogues_enabled();

// Which groups can ride on which steps, as far as the two and the device tell.
class Riders {
 public:
  // `group_of(node)`: a number for the group that computes a node.
  Riders(const Resolved& resolved, FunctionRef<int32_t(int32_t)> group_of);
  bool can_ride(const Group& group, int32_t carrier) const;

 private:
  bool takes_epilogue(int32_t carrier) const;

  const Resolved& resolved_;
  std::vector<uint8_t> kept_;     // by node: whether its value outlives the plan
  std::vector<uint8_t> outside_;  // by node: whether it is kept or another group reads it
};

// Values of so many bytes and more do not stay in a cache: they are better read by one step than by
// two, and better made again than stored where that moves fewer bytes.
int64_t& large_value_bytes();

// Groups in an order in which they can run.
std::vector<Group> fuse(const Resolved& resolved);
// Adds to groups the nodes they had better compute again than read; a node may then be a member of
// several. The first of them in order is where it was.
void recompute(const Resolved& resolved, std::vector<Group>& groups);

// How a value is used in a group's iteration space.
enum class Level : uint8_t { none, full, row };
// Strides of a located value of `shape` along `extent` (broadcasting).
Strides align_strides(const Shape& shape, const Strides& strides, const Shape& extent);
// How the points or rows of a group see `located`, of `shape`, if that is all of its base.
Level level_in(const Resolved& resolved, const Group& group, const Located& located,
               const Shape& shape);

// The tile program of a group and what it reads and writes.
struct Lowered {
  TileProgram program;
  std::vector<Located> inputs;
  std::vector<ValueRef> outputs;
};
// `stored[node]`: values needed outside of their group.
Lowered lower(const Resolved& resolved, const Group& group, const std::vector<uint8_t>& stored);

// A tile program that copies a located value of `shape` into dense order.
TileProgram copy_program(const Shape& shape, DType dtype, const Strides& strides);

}  // namespace tegula
