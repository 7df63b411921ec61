// The profiler: what was planned and run, when and on which thread. Off, it costs a relaxed load.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace tegula {

struct ProfileEvent {
  enum Kind : uint8_t {
    record,  // operations recorded, from the first to the evaluation
    plan,    // a plan made
    find,    // a plan found again
    run,     // a plan run
    step,    // one step of it
    share,   // a worker's part of a step
    wait,    // for values
  };
  Kind kind;
  std::string name;
  double begin = 0, end = 0;  // us since the profile began
  uint32_t thread = 0;        // its name is Profile::threads[thread]
  double bytes = 0, flops = 0;
  std::string lines;          // of the user's program, one a line
  int64_t count = 0;          // operations recorded, planned or computed; steps run
  int32_t plan_number = -1, step_number = -1;  // where plans are described
  std::string algorithm;      // what a step's kernel chose, if it has a choice
};

namespace profile_detail {
extern std::atomic<bool> active;
}
inline bool profiling() { return profile_detail::active.load(std::memory_order_relaxed); }

// Throws Error(runtime) if a profile is being taken.
void start_profile();
struct Profile {
  std::vector<ProfileEvent> events;  // by end
  std::vector<std::string> threads;  // names by number
};
Profile stop_profile();

double profile_now();  // us since the profile began
void add_event(ProfileEvent event);
// What the kernel of the step that runs chose; see ProfileEvent::algorithm.
void note_algorithm(const char* name);
std::string take_algorithm();
// What the workers' parts that begin from now on belong to.
void set_profiled_step(const std::string& name);
std::string profiled_step();

// An event from here to the end of the scope.
class ProfileScope {
 public:
  ProfileScope(ProfileEvent::Kind kind, const char* name) {
    if (!profiling()) return;
    event_.kind = kind;
    event_.name = name;
    event_.begin = profile_now();
    open_ = true;
  }
  ~ProfileScope() { close(); }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  ProfileEvent& event() { return event_; }
  void close() {
    if (!open_) return;
    open_ = false;
    event_.end = profile_now();
    add_event(std::move(event_));
  }

 private:
  ProfileEvent event_{};
  bool open_ = false;
};

}  // namespace tegula
