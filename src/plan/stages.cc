#include "plan/stages.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "plan/check_values.h"
#include "plan/cost.h"
#include "plan/plan.h"
#include "runtime/profile.h"

namespace tegula {
namespace {

// A step that takes one thread longer is worth splitting over all of them.
constexpr double kNarrowMicroseconds = 50;
// What running at once must save to be worth handing over work.
constexpr double kWorthwhile = 1.5;
constexpr int32_t kMaxTogether = 256;
constexpr double kWakes = 1e6;  // us of work that parallel_for wakes threads for

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct Together {
  int32_t count = 0;
  double sum = 0, longest = 0;
};

}  // namespace

std::vector<int32_t> find_stages(std::span<const StagedStep> steps, size_t begin, size_t end,
                                 int32_t first_stage) {
  std::vector<int32_t> draft(end - begin);
  std::vector<Together> stages;
  std::set<int32_t> open;  // stages of narrow steps with room for more
  for (size_t s = begin; s < end; ++s) {
    const StagedStep& step = steps[s];
    int32_t ready = 0;
    for (int32_t before : step.after)
      if (before >= int32_t(begin)) ready = std::max(ready, draft[size_t(before) - begin] + 1);
    const bool narrow = !step.alone && step.cost_us <= kNarrowMicroseconds;
    const auto found = narrow ? open.lower_bound(ready) : open.end();
    const int32_t stage = found == open.end() ? int32_t(stages.size()) : *found;
    if (found == open.end()) {
      stages.emplace_back();
      if (narrow) open.insert(stage);
    }
    Together& t = stages[size_t(stage)];
    t.sum += step.cost_us;
    t.longest = std::max(t.longest, step.cost_us);
    if (++t.count == kMaxTogether) open.erase(stage);
    draft[s - begin] = stage;
  }

  const auto is_worthwhile = [](const Together& t) { return t.sum - t.longest >= kWorthwhile; };
  std::vector<int32_t> result(end - begin);
  if (std::none_of(stages.begin(), stages.end(), is_worthwhile)) {
    for (size_t i = 0; i < result.size(); ++i) result[i] = first_stage + int32_t(i);
    return result;
  }
  // Steps that share a stage to no purpose get one each.
  std::vector<int32_t> next(stages.size());
  for (size_t i = 0; i < stages.size(); ++i) {
    next[i] = first_stage;
    first_stage += is_worthwhile(stages[i]) ? 1 : stages[i].count;
  }
  for (size_t i = 0; i < result.size(); ++i) {
    int32_t& stage = next[size_t(draft[i])];
    result[i] = stage;
    if (!is_worthwhile(stages[size_t(draft[i])])) ++stage;
  }
  return result;
}

bool Stage::next_at_once() const {
  return is_settled() ? least_us[1] < least_us[0] : samples < kSamples / 2;
}

void Stage::note(bool at_once, double microseconds) {
  double& least = least_us[at_once];
  least = std::min(least, microseconds);
  ++samples;
}

void Stage::forget() {
  least_us = kUnknown;
  samples = runs = 0;
}

namespace {

void run_at_once(Plan& plan, const Stage& stage, RunStep run_step) {
  if (profiling()) set_profiled_step("steps at once");
  // The first measurements also pay for memory seen for the first time.
  const bool timed = stage.samples > 1 && !stage.is_settled();
  const auto run_one = [&](int64_t i) {
    const size_t s = size_t(stage.begin + i);
    const auto start = timed ? Clock::now() : Clock::time_point();
    run_step(s, true);
    if (timed) note_cost(plan.steps[s], microseconds_since(start));
  };
  // A measurement with threads asleep would find that they do not help, and leave them asleep.
  const double microseconds = stage.is_settled() ? stage.least_us[0] : kWakes;
  parallel_for(stage.end - stage.begin, run_one, microseconds);
}

}  // namespace

void run_stages(Plan& plan, size_t begin, size_t end, RunStep run_step) {
  const int threads = num_threads();
  if (plan.measured_threads != threads) {
    for (Stage& stage : plan.stages) stage.forget();
    plan.measured_threads = threads;
  }
  // A search for the first bad value, and times printed step by step, want recorded order.
  const bool in_order = threads == 1 || checking_values() || debug_level() >= 2;
  for (size_t i = begin; i < end; ++i) {
    Stage& stage = plan.stages[i];
    if (stage.is_settled() && ++stage.runs > Stage::kTrusted) stage.forget();
    const bool choice = stage.end - stage.begin > 1 && !in_order;
    const bool at_once = choice && stage.next_at_once();
    const bool timed = choice && !stage.is_settled();
    const auto start = timed ? Clock::now() : Clock::time_point();
    if (at_once) {
      run_at_once(plan, stage, run_step);
    } else {
      for (int32_t s = stage.begin; s < stage.end; ++s) run_step(size_t(s), false);
    }
    if (timed) stage.note(at_once, microseconds_since(start));
  }
}

}  // namespace tegula
