// A plan: steps in order, where each operand lies, and one memory arena laid out from lifetimes.
// It is made once per key, holds no memory of its own and is run many times.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/snapshot.h"
#include "plan/stages.h"
#include "plan/tile.h"

namespace tegula {

// Where an operand's memory comes from when the plan runs.
struct Place {
  enum Source : uint8_t { leaf, scalar, output, arena, none } source = arena;
  int32_t index = 0;   // leaf number, or output number
  int64_t offset = 0;  // bytes from there
  // Run-time slice starts: bytes = word * multiplier.
  SmallVector<std::pair<int32_t, int64_t>, 1> dynamic;
};

class Control;

struct Step {
  std::string_view kind;
  std::string_view label;  // of a kind that stands for many operations: which one it is
  const Kernel* kernel = nullptr;
  std::shared_ptr<Control> control;  // what runs a step that calls bodies, instead of a kernel
  Place scratch;                     // its memory for the time of the step
  std::shared_ptr<void> prepared;
  std::shared_ptr<const TileProgram> program;  // for "tile"
  Attrs attrs;
  int32_t dynamic_begin = 0, dynamic_count = 0;
  std::vector<View> inputs, outputs;  // data filled in for each run
  std::vector<Place> input_places, output_places;
  std::vector<int32_t> nodes;         // of the snapshot, that it computes
  double flops = 0, bytes = 0;
};

// A value that outlives the plan.
struct Kept {
  ValueRef value;
  int32_t output = -1;  // number of the plan's output buffer, or -1: of leaf `leaf`
  int32_t leaf = -1;
  Strides strides;
  int64_t offset = 0;   // elements
  SmallVector<std::pair<int32_t, int64_t>, 1> dynamic;  // word, multiplier in elements
};

// A large value in memory where a plan needs most.
struct Occupant {
  enum Role : uint8_t { input, result, temporary } role;
  ValueRef value;
  DType dtype;
  Shape shape;
  int64_t bytes;
};

struct Plan {
  std::vector<Step> steps;
  std::vector<Stage> stages;  // in order, they hold all steps
  size_t late_begin = 0;  // stages from here write donated memory and cannot fail
  int measured_threads = 0;  // what the stages have measured was with so many
  int64_t arena_bytes = 0;
  std::vector<int64_t> output_bytes;
  std::vector<int32_t> donor;  // by output: the leaf whose memory it takes over, or -1
  std::vector<Kept> kept;
  std::vector<uint8_t> sole;  // by output: whether one kept value alone lies in it
  size_t leaf_count = 0;
  int32_t dynamic_words = 0;
  double cost_us = 0;
  int64_t held_bytes = 0;  // inputs, but those it writes over, and results
  int64_t peak_bytes = 0;  // that, the inputs written over, and the arena
  int32_t peak_step = 0;   // where most of the arena is in use
  std::vector<Occupant> occupants;  // then, largest first
  Backend* device = nullptr;

  // Steps with their operands, one a line; tile programs in full when `programs`.
  std::string to_string(bool programs) const;
};

// The step's kind, and what a tile program computes.
std::string operations(const Step& step);
// Where an operand lies, and what it is.
std::string operand_text(const View& view, const Place& place);

// TEGULA_DEBUG: 1 prints each plan's steps as it is first made, 2 also its tile programs, and each
// step as it runs, with its time and bandwidth.
int debug_level();

std::unique_ptr<Plan> make_plan(const Snapshot& snapshot);

}  // namespace tegula
