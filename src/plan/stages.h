// Which steps of a plan run at the same time. A step too small to fill the machine (narrow) may
// share a stage with others of its size that it does not depend on: then each runs on one thread,
// several at once. A large step (wide) is a stage of its own and has all threads. Stages run one
// after the other.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "runtime/thread_pool.h"

namespace tegula {

struct Plan;

// A step as the choice of stages sees it.
struct StagedStep {
  std::vector<int32_t> after;  // steps before it whose results it reads
  double cost_us = 0;          // on one thread
  bool alone = false;          // nothing may run beside it
};

// The stage of each of the steps [begin, end): numbers from `first_stage` in the order in which the
// stages run. Equal to the steps' own order where nothing is gained by running any at once.
std::vector<int32_t> find_stages(std::span<const StagedStep> steps, size_t begin, size_t end,
                                 int32_t first_stage);

struct Stage {
  int32_t begin = 0, end = 0;  // steps
  double cost_us = 0;          // of all of them on one thread

  // Whether the next run of this stage has its steps at once or one after the other: whichever has
  // taken less. Both are tried first, at once several times in a row: threads that sleep come late.
  bool next_at_once() const;
  void note(bool at_once, double microseconds);
  bool is_settled() const { return samples == kSamples; }
  void forget();  // what was measured

  static constexpr int kSamples = 24;
  static constexpr int kTrusted = 400;  // runs until it is measured anew
  std::array<double, 2> least_us = kUnknown;  // one after the other; at once
  int samples = 0;
  int runs = 0;  // since they were all there

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  static constexpr std::array<double, 2> kUnknown = {kNever, kNever};
};

// Runs the stages [begin, end) of a plan by run_step(number of the step, whether others run at the
// same time).
using RunStep = FunctionRef<void(size_t, bool)>;
void run_stages(Plan& plan, size_t begin, size_t end, RunStep run_step);

}  // namespace tegula
