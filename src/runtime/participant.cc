#include "runtime/participant.h"

#include <time.h>

#include <chrono>
#include <utility>

namespace tegula {
namespace {

#ifdef __linux__
using Clock = std::chrono::steady_clock;

// How long a thread is watched before it counts as put aside.
constexpr auto kWatch = std::chrono::microseconds(20);

// Processor time that a living thread has had, in nanoseconds.
int64_t processor_time(pthread_t thread) {
  clockid_t clock;
  timespec time{};
  if (pthread_getcpuclockid(thread, &clock) == 0) clock_gettime(clock, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}
#endif

}  // namespace

void Participant::enter() {
  thread_ = pthread_self();
  working_.store(true, std::memory_order_release);
}

void Participant::leave() {
  working_.store(false);
  if (!rescued_.load()) return;
  const std::lock_guard lock(mutex_);
  rescued_ = false;
#ifdef __linux__
  if (!std::exchange(moved_, false)) return;
  // Off the processor of the thread that waited first, which will want it now.
  cpu_set_t elsewhere = processors_;
  CPU_CLR(size_t(sched_getcpu()), &elsewhere);
  pthread_setaffinity_np(pthread_self(), sizeof(elsewhere), &elsewhere);
  pthread_setaffinity_np(pthread_self(), sizeof(processors_), &processors_);
#endif
}

void Participant::rescue() {
#ifdef __linux__
  const std::lock_guard lock(mutex_);
  rescued_ = true;
  if (!working_.load() || moved_) return;  // from here on leave() waits for us
  const int64_t before = processor_time(thread_);
  for (const auto end = Clock::now() + kWatch; Clock::now() < end;) {
  }
  if (!working_ || processor_time(thread_) != before) return;
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(size_t(sched_getcpu()), &here);
  moved_ = pthread_getaffinity_np(thread_, sizeof(processors_), &processors_) == 0 &&
           pthread_setaffinity_np(thread_, sizeof(here), &here) == 0;
#endif
}

}  // namespace tegula
