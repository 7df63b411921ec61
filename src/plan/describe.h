// Plans in words, for tg.explain: while a profile asks for it, each plan that runs is described
// once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace tegula {

struct PlanDescription {
  struct Recorded {
    std::string operation, attrs;
    std::vector<std::string> inputs;  // as value_name() has them
    std::vector<std::string> types;   // of its outputs
    bool kept = false;
    std::string line;                 // of the user's program
  };
  struct Planned {
    std::string kind, operations, program;
    std::vector<int32_t> nodes;
    std::vector<std::string> reads, writes;
    double bytes = 0, flops = 0, predicted_us = 0;
    int32_t stage = 0;
  };
  std::string device;
  std::vector<std::string> leaf_names, leaf_texts;
  std::vector<Recorded> nodes;
  std::vector<Planned> steps;
  int64_t arena_bytes = 0, in_place = 0;
};

// The nodes of a snapshot with the lines they hold.
std::vector<PlanDescription::Recorded> describe_nodes(const Snapshot& snapshot);

void start_describing_plans();
std::vector<PlanDescription> stop_describing_plans();
// The plan's number among those described, which it joins; -1 where nobody asks for them.
int32_t describe_plan(const std::shared_ptr<Plan>& plan, const Snapshot& snapshot);

}  // namespace tegula
