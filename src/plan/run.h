// One run of a plan: the memory it reads and writes, and the work itself.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "plan/held_lines.h"
#include "plan/memory_report.h"
#include "plan/plan.h"
#include "runtime/profile.h"
#include "runtime/queue.h"

namespace tegula {

// Prints a plan as TEGULA_DEBUG asks for it.
void show_new(const Plan& plan);

// Memory for one run's intermediate values.
class Arena {
 public:
  Arena(Backend& device, int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::byte* data() const { return data_; }

 private:
  Backend& device_;
  size_t bytes_;
  std::byte* data_ = nullptr;
};

class Run : public Work {
 public:
  Run(std::shared_ptr<Plan> plan, const Snapshot& snapshot);
  ~Run() override;

  void run() override;
  double cost_us() const override { return plan_->cost_us; }
  int64_t held_bytes() const override { return plan_->held_bytes; }
  // Where a value that outlives the run lies. The run was made from `snapshot`.
  struct Memory {
    Ref<Buffer> buffer;
    Layout layout;
  };
  Memory memory_of(const Kept& kept, const Snapshot& snapshot) const;
  // Output `index` replaces `previous` in somebody's hands. If the run fails before it has begun to
  // write over donated memory, the output gets the old contents back and counts as computed; its
  // event is therefore set, and not the run's. False, and nothing done, where others see that
  // memory, who expect what was to be computed, or it is another kind of memory.
  bool replace(int32_t index, const Ref<Buffer>& previous);
  const Ref<Event>& state_event() const { return state_event_; }

 private:
  friend void submit(std::unique_ptr<Run> run, bool about_to_wait, const Ref<Event>& event);

  std::byte* address(const Place& place, std::byte* arena);
  void run_plan();
  Arena allocate();
  void restore();
  void run_step(Step& step, bool at_once, std::byte* arena);
  [[noreturn]] void fail_at(const Step& step, const Error& error) const;
  void report(const Step& step, double microseconds) const;
  void describe_step(const Step& step, ProfileEvent& event) const;

  std::shared_ptr<Plan> plan_;
  std::vector<Ref<Buffer>> leaves_;
  std::vector<Ref<Event>> awaited_;    // of leaves still to be computed when the run was made
  std::vector<int64_t> leaf_offsets_;  // bytes
  std::vector<std::byte*> leaf_data_;  // as the run began: a donor gives its memory away
  std::vector<Buffer*> lasting_;       // by leaf: its buffer, unless the run writes over it
  std::vector<uint64_t> scalars_;      // by leaf
  std::vector<int64_t> dynamic_;
  std::vector<Ref<Buffer>> outputs_;
  struct Previous {
    int32_t output;
    Ref<Buffer> buffer;
    Ref<Event> event;
  };
  std::vector<Previous> previous_;
  Ref<Event> state_event_ = make_ref<Event>();
  int32_t description_ = -1;  // see describe_plan()
  HeldLines held_lines_;  // by node, of what can fail
  std::shared_ptr<const Occupancy> occupancy_;  // of a plan with large values
  std::vector<Ref<HostFunction>> hosts_;  // whose addresses are among the run-time words
  std::vector<std::string> lines_;                             // by node, for the profile
};

// Has a run computed, completing `event`; see Queue::submit. Call under the graph lock.
void submit(std::unique_ptr<Run> run, bool about_to_wait, const Ref<Event>& event);

}  // namespace tegula
