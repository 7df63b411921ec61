#include "plan/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "graph/primitive.h"
#include "plan/check_values.h"
#include "plan/describe.h"
#include "runtime/cancel.h"
#include "runtime/host.h"

namespace tegula {
Arena::Arena(Backend& device, int64_t bytes) : device_(device), bytes_(size_t(bytes)) {
  if (bytes_) data_ = device_.allocator().allocate(bytes_);
}

Arena::~Arena() {
  if (data_) device_.allocator().deallocate(data_, bytes_);
}

int debug_level() {
  static const int level = [] {
    const char* text = std::getenv("TEGULA_DEBUG");
    return text ? std::atoi(text) : 0;
  }();
  return level;
}

void show_new(const Plan& plan) {
  if (debug_level() >= 1) std::fprintf(stderr, "%s", plan.to_string(debug_level() >= 2).c_str());
}

Run::Run(std::shared_ptr<Plan> plan, const Snapshot& snapshot) : plan_(std::move(plan)) {
  const size_t leaves = snapshot.leaves.size();
  leaves_.reserve(leaves);
  leaf_offsets_.resize(leaves);
  scalars_.resize(leaves);
  for (size_t i = 0; i < leaves; ++i) {
    const Leaf& leaf = snapshot.leaves[i];
    const Output& output = leaf.output();
    leaves_.push_back(output.buffer);
    // A buffer's event changes under the graph lock, which a running plan does not have.
    if (output.buffer && output.buffer->event()) awaited_.push_back(output.buffer->event());
    leaf_offsets_[i] = output.layout.offset * int64_t(itemsize(output.dtype));
    scalars_[i] = leaf.node->scalar_bits;
  }
  dynamic_.reserve(size_t(plan_->dynamic_words));
  for (size_t i = 0; i < snapshot.nodes.size(); ++i) {
    const Node& node = *snapshot.nodes[i];
    dynamic_.insert(dynamic_.end(), node.dynamic.begin(), node.dynamic.end());
    if (node.host) hosts_.push_back(node.host);
    if (profiling()) lines_.push_back(describe(node.where));
    if (node.primitive->can_fail || checking_values()) held_lines_.add(int32_t(i), node.where);
  }
  if (profiling()) description_ = describe_plan(plan_, snapshot);
  if (!plan_->occupants.empty()) occupancy_ = std::make_shared<Occupancy>(plan_, snapshot);
  for (int64_t bytes : plan_->output_bytes)
    outputs_.push_back(make_ref<Buffer>(*plan_->device, size_t(bytes)));
  for (const Ref<Buffer>& leaf : leaves_)
    if (leaf) leaf->enter_run();
  for (const Ref<Buffer>& output : outputs_) output->enter_run();
}

Run::~Run() {
  if (!state_event_->done())  // never ran
    state_event_->complete(std::make_exception_ptr(
        Error(ErrorKind::interrupted, "the work that computes this was given up")));
  for (const Ref<Buffer>& leaf : leaves_)
    if (leaf) leaf->leave_run();
  for (const Ref<Buffer>& output : outputs_) output->leave_run();
  for (const Previous& previous : previous_) previous.buffer->leave_run();
}

std::byte* Run::address(const Place& place, std::byte* arena) {
  const size_t index = size_t(place.index);
  std::byte* base = nullptr;
  switch (place.source) {
    case Place::leaf:
      base = leaf_data_[index];
      break;
    case Place::scalar:
      base = reinterpret_cast<std::byte*>(&scalars_[index]);
      break;
    case Place::output:
      base = outputs_[index]->data();
      break;
    case Place::arena:
      base = arena;
      break;
    case Place::none:
      return nullptr;
  }
  base += place.offset;
  for (const auto& [word, multiplier] : place.dynamic) base += dynamic_[size_t(word)] * multiplier;
  return base;
}

void Run::fail_at(const Step& step, const Error& error) const {
  std::string message = error.what();
  const auto add_line = [&](int32_t node) {
    const std::string line = held_lines_.describe(node);
    if (!line.empty()) message += " (recorded at " + line + ")";
  };
  add_line(step.nodes.front());
  if (checking_values() && step.nodes.size() > 1) add_line(step.nodes.back());
  throw Error(error.kind(), message);
}

void Run::report(const Step& step, double microseconds) const {
  std::fprintf(stderr, "tegula: %9.1f us %7.2f GB/s %7.1f GFLOP/s  %s %s\n", microseconds,
               step.bytes / microseconds / 1e3, step.flops / microseconds / 1e3,
               operations(step).c_str(),
               step.outputs.empty() ? "" : to_string(step.outputs[0].shape).c_str());
}

// What the profile says of a step beside its times.
void Run::describe_step(const Step& step, ProfileEvent& event) const {
  event.name = operations(step);
  if (!step.outputs.empty()) event.name += " " + to_string(step.outputs[0].shape);
  event.bytes = step.bytes;
  event.flops = step.flops;
  event.count = int64_t(step.nodes.size());
  event.plan_number = description_;
  event.step_number = int32_t(&step - plan_->steps.data());
  std::vector<std::string_view> seen;
  for (int32_t node : step.nodes) {
    if (size_t(node) >= lines_.size() || lines_[size_t(node)].empty()) continue;
    const std::string_view line = lines_[size_t(node)];
    if (std::find(seen.begin(), seen.end(), line) != seen.end()) continue;
    seen.push_back(line);
    if (!event.lines.empty()) event.lines += '\n';
    event.lines += line;
  }
}

// Several steps of a stage may run at once.
void Run::run_step(Step& step, bool at_once, std::byte* arena) {
  using Clock = std::chrono::steady_clock;
  const bool timed = debug_level() >= 2;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    step.inputs[i].data = address(step.input_places[i], arena);
    const Place& place = step.input_places[i];
    step.inputs[i].buffer = place.source == Place::leaf ? lasting_[size_t(place.index)] : nullptr;
  }
  for (size_t i = 0; i < step.outputs.size(); ++i)
    step.outputs[i].data = address(step.output_places[i], arena);
  const std::span<const int64_t> words =
      std::span(dynamic_).subspan(size_t(step.dynamic_begin), size_t(step.dynamic_count));
  check_cancel();
  ProfileScope scope(ProfileEvent::step, "");
  if (profiling()) {
    if (!at_once) set_profiled_step(operations(step));
    describe_step(step, scope.event());
  }
  const bool check = checking_values() && !find_bad_value(step.inputs);
  const auto start = timed ? Clock::now() : Clock::time_point();
  try {
    step.kernel->run({step.inputs, step.outputs, step.attrs, words, step.prepared.get()});
    if (check)
      if (const char* bad = find_bad_value(step.outputs))
        fail(ErrorKind::floating, "debug_nans: ", operations(step), " made the first ", bad,
             step.outputs.empty() ? ""
                                  : " in a result of shape " + to_string(step.outputs[0].shape));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::interrupted) throw;
    fail_at(step, error);
  }
  if (profiling()) scope.event().algorithm = take_algorithm();
  scope.close();
  if (timed) report(step, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
}

Run::Memory Run::memory_of(const Kept& kept, const Snapshot& snapshot) const {
  int64_t offset = kept.offset;
  for (const auto& [word, multiplier] : kept.dynamic) offset += dynamic_[size_t(word)] * multiplier;
  if (kept.output >= 0) return {outputs_[size_t(kept.output)], {kept.strides, offset}};
  const size_t leaf = size_t(kept.leaf);
  offset += snapshot.leaves[leaf].output().layout.offset;
  return {leaves_[leaf], {kept.strides, offset}};
}

bool Run::replace(int32_t index, const Ref<Buffer>& previous) {
  Buffer& output = *outputs_[size_t(index)];
  if (!plan_->sole[size_t(index)] || previous->bytes() != output.bytes() ||
      !output.backend().host_memory())
    return false;
  output.set_event(state_event_);
  previous->enter_run();
  previous_.push_back({index, previous, previous->event()});
  return true;
}

void submit(std::unique_ptr<Run> run, bool about_to_wait, const Ref<Event>& event) {
  Queue& queue = run->plan_->device->queue();
  const Unlocked unlocked;
  try {
    queue.submit(std::move(run), about_to_wait, event);
  } catch (...) {  // not taken: what it would have computed has failed
    event->complete(std::current_exception());
    throw;
  }
  throw_if_interrupted(*event);
  if (checking_values()) queue.wait(event);
}

void Run::run() {
  ProfileScope scope(ProfileEvent::run, "run");
  scope.event().count = int64_t(plan_->steps.size());
  scope.event().plan_number = description_;
  try {
    run_plan();
  } catch (...) {
    restore();
    throw;
  }
  state_event_->complete();
}

void Run::restore() {
  for (const Ref<Buffer>& output : outputs_) output->release_memory();
  std::exception_ptr error;
  for (const auto& [index, old, event] : previous_) {
    Buffer& output = *outputs_[size_t(index)];
    try {
      if (event && event->error()) std::rethrow_exception(event->error());
      const int32_t donor = plan_->donor[size_t(index)];
      if (donor >= 0 && leaves_[size_t(donor)] == old) {
        output.take_memory(*old);
      } else {
        output.allocate();
        output.backend().copy_from_host(output.data(), old->data(), output.bytes());
      }
    } catch (...) {
      error = std::current_exception();
    }
  }
  state_event_->complete(error);
}

Arena Run::allocate() {
  try {
    for (size_t i = 0; i < outputs_.size(); ++i)
      if (plan_->donor[i] < 0) outputs_[i]->allocate();
    return Arena(*plan_->device, plan_->arena_bytes);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::out_of_memory || !occupancy_) throw;
    throw Error(error.kind(), cat(error.what(), "\nneeded by the plan: ", occupancy_->to_string()));
  }
}

void Run::run_plan() {
  for (const Ref<Event>& event : awaited_)
    if (const std::exception_ptr error = event->error()) std::rethrow_exception(error);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    leaf_data_.push_back(leaves_[i] ? leaves_[i]->data() + leaf_offsets_[i] : nullptr);
    lasting_.push_back(leaves_[i].get());
  }
  for (int32_t leaf : plan_->donor)
    if (leaf >= 0) lasting_[size_t(leaf)] = nullptr;
  const Arena arena = allocate();
  note_run(*plan_->device, *plan_, occupancy_);
  const auto run = [&](size_t s, bool at_once) {
    run_step(plan_->steps[s], at_once, arena.data());
  };
  run_stages(*plan_, 0, plan_->late_begin, run);
  check_cancel();
  // Nothing can fail from here on: memory changes hands, and a cancel waits.
  const DeferCancel defer;
  for (size_t i = 0; i < outputs_.size(); ++i)
    if (plan_->donor[i] >= 0) outputs_[i]->take_memory(*leaves_[size_t(plan_->donor[i])]);
  run_stages(*plan_, plan_->late_begin, plan_->stages.size(), run);
}

}  // namespace tegula
