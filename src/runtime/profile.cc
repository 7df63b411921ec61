#include "runtime/profile.h"

#include <chrono>
#include <mutex>
#include <unordered_map>

#ifdef __linux__
#include <pthread.h>
#endif
#include <thread>
#include <utility>

#include "base/error.h"

namespace tegula {

std::atomic<bool> profile_detail::active{false};

namespace {

using Clock = std::chrono::steady_clock;

struct Recorder {
  std::mutex mutex;
  Clock::time_point start;
  Profile profile;
  std::unordered_map<std::thread::id, uint32_t> threads;
  std::string step;
};
Recorder& recorder() {
  static auto* instance = new Recorder;  // outlives every thread
  return *instance;
}

// By the kernel that this thread runs.
thread_local std::string chosen_algorithm;

std::string thread_name() {
#ifdef __linux__
  char name[16] = {};
  if (pthread_getname_np(pthread_self(), name, sizeof name) == 0 &&
      std::string_view(name).substr(0, 6) == "tegula")
    return name;
#endif
  return "caller";
}

}  // namespace

void start_profile() {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (profiling()) fail(ErrorKind::runtime, "profile: a profile is being taken already");
  r.profile = {};
  r.threads.clear();
  r.step.clear();
  r.start = Clock::now();
  profile_detail::active = true;
}

Profile stop_profile() {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  profile_detail::active = false;
  return std::exchange(r.profile, {});
}

double profile_now() {
  return std::chrono::duration<double, std::micro>(Clock::now() - recorder().start).count();
}

void add_event(ProfileEvent event) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  if (!profiling()) return;  // it ended meanwhile
  const auto [thread, fresh] =
      r.threads.try_emplace(std::this_thread::get_id(), uint32_t(r.threads.size()));
  if (fresh) r.profile.threads.push_back(thread_name());
  event.thread = thread->second;
  r.profile.events.push_back(std::move(event));
}

void note_algorithm(const char* name) {
  if (profiling()) chosen_algorithm = name;
}

std::string take_algorithm() { return std::exchange(chosen_algorithm, {}); }

void set_profiled_step(const std::string& name) {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  r.step = name;
}

std::string profiled_step() {
  Recorder& r = recorder();
  const std::lock_guard lock(r.mutex);
  return r.step;
}

}  // namespace tegula
