// A thread that takes part in parallel work, as seen by one that waits for it.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <mutex>

namespace tegula {

// When another process wants a processor, the system may put a thread aside for milliseconds in
// the middle of its piece, while the thread that waits for it idles on a processor of its own. The
// waiting thread can then move the other one over. Linux only; elsewhere nothing is moved.
class Participant {
 public:
  // By the thread itself, around its work. leave() undoes a move.
  void enter();
  void leave();
  // By a thread that has nothing to do but wait: if this one is at work and does not get on, moves
  // it to the caller's processor, which the caller should leave to it by sleeping.
  void rescue();

 private:
  // Set and read in sequentially consistent order: either rescue() finds the thread gone or
  // leave() finds that it was moved.
  std::atomic<bool> working_{false};
  std::atomic<bool> rescued_{false};
  pthread_t thread_{};
  std::mutex mutex_;  // held while moving and while undoing it
#ifdef __linux__
  cpu_set_t processors_;  // where it may run, before the move
  bool moved_ = false;
#endif
};

}  // namespace tegula
