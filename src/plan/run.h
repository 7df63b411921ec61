// One run of a plan: the memory it reads and writes, and the work itself.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "plan/execute.h"
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
  void give_up() override { restore(); }  // what it was to replace stays
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

  void hold_functions(const Node& node);
  void run_plan();
  Arena allocate();
  Frame frame();
  void restore();

  std::shared_ptr<Plan> plan_;
  std::vector<Ref<Buffer>> leaves_;
  std::vector<Ref<Event>> awaited_;    // of leaves not there when the run was made
  std::vector<int64_t> leaf_offsets_;  // bytes
  std::vector<std::array<uint64_t, 2>> scalars_;  // elements, by leaf
  std::vector<int64_t> dynamic_;
  std::vector<Ref<Buffer>> outputs_;
  struct Previous {
    int32_t output;
    Ref<Buffer> buffer;
    Ref<Event> event;
  };
  std::vector<Previous> previous_;
  Ref<Event> state_event_ = make_ref<Event>();
  Origins origins_;
  std::shared_ptr<const Occupancy> occupancy_;  // of a plan with large values
  std::vector<Ref<HostFunction>> hosts_;  // whose addresses are among the run-time words
};

// Has a run computed, completing `event`; see Queue::submit. Call under the graph lock.
void submit(std::unique_ptr<Run> run, bool about_to_wait, const Ref<Event>& event);

}  // namespace tegula
