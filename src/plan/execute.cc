#include "plan/execute.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "graph/body.h"
#include "graph/primitive.h"
#include "plan/check_values.h"
#include "plan/control.h"
#include "runtime/cancel.h"
#include "runtime/profile.h"

namespace tegula {
namespace {

std::byte* address(const Place& place, const Frame& frame) {
  const size_t index = size_t(place.index);
  std::byte* base = nullptr;
  switch (place.source) {
    case Place::leaf:
    case Place::scalar:
      base = frame.leaves[index];
      break;
    case Place::output:
      base = frame.outputs[index];
      break;
    case Place::arena:
      base = frame.arena;
      break;
    case Place::none:
      return nullptr;
  }
  base += place.offset;
  for (const auto& [word, multiplier] : place.dynamic)
    base += frame.dynamic[size_t(word)] * multiplier;
  return base;
}

[[noreturn]] void fail_at(const Step& step, const Error& error, const Origins& origins) {
  std::string message = error.what();
  const auto add_line = [&](int32_t node) {
    const std::string line = origins.held.describe(node);
    if (!line.empty()) message += " (recorded at " + line + ")";
  };
  add_line(step.nodes.front());
  if (checking_values() && step.nodes.size() > 1) add_line(step.nodes.back());
  throw Error(error.kind(), message);
}

void report(const Step& step, double microseconds) {
  std::fprintf(stderr, "tegula: %9.1f us %7.2f GB/s %7.1f GFLOP/s  %s %s\n", microseconds,
               step.bytes / microseconds / 1e3, step.flops / microseconds / 1e3,
               operations(step).c_str(),
               step.outputs.empty() ? "" : to_string(step.outputs[0].shape).c_str());
}

// What the profile says of a step beside its times.
void describe_step(const Step& step, int32_t number, const Origins& origins, ProfileEvent& event) {
  event.name = operations(step);
  if (!step.outputs.empty()) event.name += " " + to_string(step.outputs[0].shape);
  event.bytes = step.bytes;
  event.flops = step.flops;
  event.count = int64_t(step.nodes.size());
  event.plan_number = origins.description;
  event.step_number = number;
  std::vector<std::string_view> seen;
  for (int32_t node : step.nodes) {
    if (size_t(node) >= origins.lines.size() || origins.lines[size_t(node)].empty()) continue;
    const std::string_view line = origins.lines[size_t(node)];
    if (std::find(seen.begin(), seen.end(), line) != seen.end()) continue;
    seen.push_back(line);
    if (!event.lines.empty()) event.lines += '\n';
    event.lines += line;
  }
}

void run_kernel(const Step& step, std::span<const int64_t> words, const Origins& origins) {
  const bool check = checking_values() && !find_bad_value(step.inputs);
  try {
    step.kernel->run({step.inputs, step.outputs, step.attrs, words, step.prepared.get()});
    if (check)
      if (const char* bad = find_bad_value(step.outputs))
        fail(ErrorKind::floating, "debug_nans: ", operations(step), " made the first ", bad,
             step.outputs.empty() ? ""
                                  : " in a result of shape " + to_string(step.outputs[0].shape));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::interrupted) throw;
    fail_at(step, error, origins);
  }
}

// Several steps of a stage may run at once.
void run_step(Step& step, int32_t number, bool at_once, const Frame& frame) {
  using Clock = std::chrono::steady_clock;
  const bool timed = debug_level() >= 2;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    const Place& place = step.input_places[i];
    step.inputs[i].data = address(place, frame);
    step.inputs[i].buffer =
        place.source == Place::leaf ? frame.lasting[size_t(place.index)] : nullptr;
  }
  for (size_t i = 0; i < step.outputs.size(); ++i)
    step.outputs[i].data = address(step.output_places[i], frame);
  const std::span<const int64_t> words =
      frame.dynamic.subspan(size_t(step.dynamic_begin), size_t(step.dynamic_count));
  check_cancel();
  ProfileScope scope(ProfileEvent::step, "");
  if (profiling()) {
    if (!at_once) set_profiled_step(operations(step));
    describe_step(step, number, *frame.origins, scope.event());
  }
  const auto start = timed ? Clock::now() : Clock::time_point();
  if (step.kernel) {
    run_kernel(step, words, *frame.origins);
  } else {
    step.control->run(step, words, address(step.scratch, frame),
                      frame.origins->bodies.at(step.nodes.front()));
  }
  if (profiling()) scope.event().algorithm = take_algorithm();
  scope.close();
  if (timed) report(step, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
}

}  // namespace

int debug_level() {
  static const int level = [] {
    const char* text = std::getenv("TEGULA_DEBUG");
    const std::string_view wanted = text ? text : "";
    require(wanted.empty() || wanted == "0" || wanted == "1" || wanted == "2",
            "TEGULA_DEBUG must be 0, 1 or 2, got '", wanted, "'");
    return wanted.empty() ? 0 : wanted[0] - '0';
  }();
  return level;
}

void Origins::note(std::span<Node* const> nodes) {
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = *nodes[i];
    if (profiling()) lines.push_back(describe(node.where));
    if (node.primitive->can_fail || checking_values()) held.add(int32_t(i), node.where);
    for (const std::shared_ptr<const Body>& body : node.bodies) {
      std::vector<Node*> all;
      for (const Ref<Node>& n : body->graph.nodes) all.push_back(n.get());
      bodies[int32_t(i)].push_back(std::make_unique<Origins>());
      bodies[int32_t(i)].back()->note(all);
    }
  }
}

void run_steps(Plan& plan, size_t begin, size_t end, const Frame& frame) {
  run_stages(plan, begin, end,
             [&](size_t s, bool at_once) { run_step(plan.steps[s], int32_t(s), at_once, frame); });
}

}  // namespace tegula
