// A plan's steps before memory is laid out: operands are named by value.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/lowering.h"
#include "plan/memory_report.h"

namespace tegula {

// A value some step stores.
struct Stored {
  ValueRef value;
  int64_t bytes = 0;
  int32_t def = -1;       // step
  int32_t output = -1;    // plan output it lives in, or -1: the arena
  bool absent = false;    // nobody reads it and its kernel need not write it
  int32_t inside = -1;    // another value of its step, in whose memory it lies
  bool holds_result = false;  // another value lies in its memory
};

struct DraftStep {
  Step step;
  std::vector<Located> reads;
  std::vector<int32_t> writes;  // stored values
  int32_t scratch = -1;         // a stored value that lives as long as the step
};

struct Draft {
  std::vector<DraftStep> steps;
  size_t late_begin = 0;  // the first step that writes over donated memory
  std::vector<Stored> stored;
  // Stored values by node and output. Numbers beyond the nodes name values that are made again.
  std::vector<std::vector<int32_t>> ids;

  int32_t& id_of(ValueRef v) { return ids[size_t(v.node)][size_t(v.index)]; }
  int32_t id_of(ValueRef v) const { return ids[size_t(v.node)][size_t(v.index)]; }

  int32_t new_stored(ValueRef value, int64_t bytes, int32_t step) {
    stored.push_back({.value = value, .bytes = bytes, .def = step});
    return int32_t(stored.size()) - 1;
  }
  // Sorts the steps by `rank`, equal ones as they were. Returns where each is now.
  std::vector<int32_t> reorder(const std::vector<int32_t>& rank);
};

// Has a step compute a tile program, after its kernel if it has one.
void set_tile(Step& step, TileProgram program);

// Where most memory is in use, values that are not read for a while need not be there: has those
// that are cheap to make made again before they are read next. `lives`: of the stored values
// without memory of their own, by step; `donor`: of the plan's outputs. Bits do not change.
void rematerialize(Draft& draft, const Resolved& resolved, const std::vector<ArenaValue>& lives,
                   const std::vector<int32_t>& donor);

}  // namespace tegula
