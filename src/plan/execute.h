// The steps of a plan, run with given memory.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/held_lines.h"
#include "plan/plan.h"

namespace tegula {

struct Origins;
using BodyOrigins = std::vector<std::unique_ptr<Origins>>;

// Where in the user's program the nodes of a run were recorded, by number; in bodies too. It
// belongs to the run, not to the plan.
struct Origins {
  HeldLines held;                  // of what can fail
  std::vector<std::string> lines;  // for the profile
  int32_t description = -1;        // see describe_plan()
  std::map<int32_t, BodyOrigins> bodies;  // by node that calls them

  // Call under the graph lock.
  void note(std::span<Node* const> nodes);
};

// The memory of one run of a plan.
struct Frame {
  std::vector<std::byte*> leaves;   // a scalar's is the word that holds it
  std::vector<Buffer*> lasting;  // by leaf: where its contents are kept from run to run, or null
  std::vector<std::byte*> outputs;
  std::span<const int64_t> dynamic;
  std::byte* arena = nullptr;
  const Origins* origins = nullptr;
};

// Runs the stages [begin, end).
void run_steps(Plan& plan, size_t begin, size_t end, const Frame& frame);

}  // namespace tegula
