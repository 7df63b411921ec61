// An ordered queue of work on one device, asynchronous to the thread that submits.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/buffer.h"
#include "runtime/thread_pool.h"

namespace tegula {

// One piece of work. run() may throw: the exception becomes the event's error and is rethrown to
// whoever waits. The work is destroyed, and what it holds released, before its event completes.
class Work {
 public:
  virtual ~Work() = default;
  virtual void run() = 0;
  // Has its turn instead of run() where the caller of submit was interrupted: for what must be left
  // behind all the same. Does not throw.
  virtual void give_up() {}
  // Estimated time on the device in microseconds, to decide who runs it.
  virtual double cost_us() const = 0;
  // Memory that it keeps from being used otherwise until it has run.
  virtual int64_t held_bytes() const { return 0; }
};

class Queue {
 public:
  Queue() = default;
  ~Queue();  // finishes what was submitted
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Runs `work` after everything submitted before. The caller itself runs it, before submit
  // returns, when nothing is before it and it is small (under 50 us), or the caller is
  // `about_to_wait`, or only one thread may compute; otherwise the queue's thread does. submit
  // waits for the oldest while `kMaxAhead` pieces are outstanding, or two that with this one hold
  // more than `kMaxBytesAhead`.
  // Call without the graph lock if the work may run here (see Unlocked).
  // Throws Error(interrupted) if the caller is interrupted while it waits: the work then gives up
  // in its turn, and its event says so. Throws other errors if it has not taken the work. Work that
  // fails or is interrupted here says so in its event (see throw_if_interrupted).
  // `event` is completed instead of a new one where the caller has handed it out already.
  Ref<Event> submit(std::unique_ptr<Work> work, bool about_to_wait, Ref<Event> event = {});

  // Returns when `event`, of this queue, is done, then rethrows its error. The caller runs what is
  // outstanding itself if nobody does. Polls for Ctrl-C while waiting: an interruption cancels the
  // running work and throws Error(interrupted) when it has stopped.
  void wait(const Ref<Event>& event);
  // Waits for everything submitted; rethrows the first failure since the last call. An
  // interruption is no failure of the work and is not repeated here.
  void synchronize();

  // Throws where work of this queue runs on this thread: waiting for the queue would never end.
  void refuse_inside_work(const char* what) const;

  static constexpr size_t kMaxAhead = 8;
  static constexpr int64_t kMaxBytesAhead = int64_t(1) << 30;
  static constexpr double kInlineMicroseconds = 50;

 private:
  struct Entry {
    std::unique_ptr<Work> work;
    Ref<Event> event;
    int64_t bytes;  // held
    bool given_up = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  size_t outstanding() const { return entries_.size() + (running_ ? 1 : 0); }
  bool has_room(int64_t bytes) const {
    return outstanding() < kMaxAhead && (outstanding() < 2 || held_ + bytes <= kMaxBytesAhead);
  }
  bool can_start() const { return !running_ && cancelling_ == 0; }
  void append(Entry entry);
  void thread_main();
  void run_next(Lock& lock);
  void help_until(Lock& lock, FunctionRef<bool()> ready);
  [[noreturn]] void cancel_running(Lock& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  int64_t held_ = 0;       // bytes, by what is outstanding
  bool running_ = false;   // some thread runs work it took from the front
  int cancelling_ = 0;  // threads waiting for cancelled work to stop; nothing starts meanwhile
  bool stopping_ = false;
  uint64_t submitted_ = 0;
  uint64_t finished_ = 0;
  std::exception_ptr first_error_;
  std::thread thread_;  // started when first needed
};

// For the caller of submit(), after it has noted the event: throws Error(interrupted) if Ctrl-C
// ended work that ran within submit, which nobody else may ever wait for.
void throw_if_interrupted(const Event& event);

}  // namespace tegula
