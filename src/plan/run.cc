#include "plan/run.h"

#include <cstdio>

#include "graph/body.h"
#include "graph/primitive.h"
#include "plan/check_values.h"
#include "plan/describe.h"
#include "runtime/cancel.h"
#include "runtime/host.h"

namespace tegula {
Arena::Arena(Backend& device, int64_t bytes) : device_(device), bytes_(size_t(bytes)) {
  if (bytes_) data_ = device_.allocator().borrow(bytes_);
}

Arena::~Arena() {
  if (data_) device_.allocator().deallocate(data_, bytes_);
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
    const Event* const event = output.buffer ? output.buffer->event().get() : nullptr;
    if (event && (!event->done() || event->error())) awaited_.push_back(output.buffer->event());
    leaf_offsets_[i] = output.layout.offset * int64_t(itemsize(output.dtype));
    scalars_[i] = scalar_element(*leaf.node);
  }
  dynamic_.reserve(size_t(plan_->dynamic_words));
  for (size_t i = 0; i < snapshot.nodes.size(); ++i) {
    const Node& node = *snapshot.nodes[i];
    dynamic_.insert(dynamic_.end(), node.dynamic.begin(), node.dynamic.end());
    hold_functions(node);
  }
  origins_.note(snapshot.nodes);
  if (profiling()) origins_.description = describe_plan(plan_, snapshot);
  if (!plan_->occupants.empty()) occupancy_ = std::make_shared<Occupancy>(plan_, snapshot);
  outputs_.reserve(plan_->output_bytes.size());
  for (int64_t bytes : plan_->output_bytes)
    outputs_.push_back(make_ref<Buffer>(*plan_->device, size_t(bytes)));
  for (const Ref<Buffer>& leaf : leaves_)
    if (leaf) leaf->enter_run();
  for (const Ref<Buffer>& output : outputs_) output->enter_run();
}

void Run::hold_functions(const Node& node) {
  if (node.host) hosts_.push_back(node.host);
  for (const std::shared_ptr<const Body>& body : node.bodies)
    for (const Ref<Node>& inner : body->graph.nodes) hold_functions(*inner);
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
  } catch (const Error& error) {
    // What was not taken has failed; interrupted, it will say so itself.
    if (error.kind() != ErrorKind::interrupted) event->complete(std::current_exception());
    throw;
  } catch (...) {
    event->complete(std::current_exception());
    throw;
  }
  throw_if_interrupted(*event);
  if (checking_values()) queue.wait(event);
}

void Run::run() {
  ProfileScope scope(ProfileEvent::run, "run");
  scope.event().count = int64_t(plan_->steps.size());
  scope.event().plan_number = origins_.description;
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

// The memory as the run begins: a donor gives its own away later, and is not kept from run to run.
Frame Run::frame() {
  Frame frame;
  frame.leaves.reserve(leaves_.size());
  frame.lasting.reserve(leaves_.size());
  frame.outputs.reserve(outputs_.size());
  for (size_t i = 0; i < leaves_.size(); ++i) {
    frame.leaves.push_back(leaves_[i] ? leaves_[i]->data() + leaf_offsets_[i]
                                      : reinterpret_cast<std::byte*>(&scalars_[i]));
    frame.lasting.push_back(leaves_[i].get());
  }
  for (int32_t leaf : plan_->donor)
    if (leaf >= 0) frame.lasting[size_t(leaf)] = nullptr;
  for (const Ref<Buffer>& output : outputs_) frame.outputs.push_back(output->data());
  frame.dynamic = dynamic_;
  frame.origins = &origins_;
  return frame;
}

void Run::run_plan() {
  for (const Ref<Event>& event : awaited_)
    if (const std::exception_ptr error = event->error()) std::rethrow_exception(error);
  const Arena arena = allocate();
  Frame frame = this->frame();
  frame.arena = arena.data();
  note_run(*plan_->device, *plan_, occupancy_);
  run_steps(*plan_, 0, plan_->late_begin, frame);
  check_cancel();
  // Nothing can fail from here on: memory changes hands, and a cancel waits.
  const DeferCancel defer;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (plan_->donor[i] < 0) continue;
    outputs_[i]->take_memory(*leaves_[size_t(plan_->donor[i])]);
    frame.outputs[i] = outputs_[i]->data();
  }
  run_steps(*plan_, plan_->late_begin, plan_->stages.size(), frame);
}

}  // namespace tegula
