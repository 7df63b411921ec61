// Evaluation: from what is pending to a plan, found in the cache or made, to a run on the queue.
#pragma once

#include <cstdint>
#include <string>

#include "graph/tensor.h"

namespace tegula {

// Makes evaluate() of graph/tensor.h work. Called once at start-up.
void install_evaluator();

struct PlanCacheStats {
  int64_t hits = 0, misses = 0, evictions = 0;
  int64_t plans = 0;                    // kept now
  int64_t steps = 0, nodes = 0;         // of the last evaluation
  int64_t arena_bytes = 0;              // of the last evaluation
};
PlanCacheStats plan_cache_stats();
// Forgets all plans and zeroes the counters.
void clear_plan_cache();
void set_plan_cache_limit(size_t plans);

// The plan that an evaluation of `wanted` and everything else pending would run, as text; before it
// the graph it is made from, where `graph`. Nothing is evaluated. Empty when nothing is pending.
std::string explain_pending(std::span<const Tensor> wanted, bool graph, bool programs);

// Waits for everything submitted on every device and rethrows the first failure.
void synchronize();

}  // namespace tegula
