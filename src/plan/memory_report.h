// What holds memory, by the lines of the user's program: now, where a plan needs most, and when
// most was in use.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plan/held_lines.h"
#include "plan/memory.h"
#include "plan/plan.h"

namespace tegula {

// Notes in a plan, complete but for this, how much it needs and what is in memory where it needs
// most. `values` are those in its arena, with their lifetimes in stages.
struct ArenaValue {
  ValueRef value;
  Lifetime life;
};
void note_occupants(Plan& plan, const Snapshot& snapshot, const std::vector<ArenaValue>& values);

// What a run has in memory, to be told while it lasts or later.
class Occupancy {
 public:
  // Under the graph lock.
  Occupancy(std::shared_ptr<const Plan> plan, const Snapshot& snapshot);
  std::string to_string() const;

 private:
  std::shared_ptr<const Plan> plan_;
  std::vector<std::string_view> operations_;  // by plan_->occupants
  HeldLines lines_;                           // by their number
};

// To be called when the memory of a run has been allocated. On any thread.
void note_run(Backend& device, const Plan& plan, const std::shared_ptr<const Occupancy>& occupancy);

// What is in memory on a device now, and what was when most was in use since reset_peak_memory().
// Under the graph lock.
std::string memory_report(Backend& device);
void reset_peak_memory(Backend& device);

// Has OutOfMemoryError say what is in memory. Called once at start-up.
void install_memory_report();

}  // namespace tegula
