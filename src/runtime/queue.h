// An ordered queue of work on one device, asynchronous to the thread that submits.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/buffer.h"

namespace tegula {

// One piece of work. run() may throw: the exception becomes the event's error and is rethrown to
// whoever waits.
class Work {
 public:
  virtual ~Work() = default;
  virtual void run() = 0;
  // Estimated time on the device in microseconds, to decide who runs it.
  virtual double cost_us() const = 0;
};

class Queue {
 public:
  Queue();
  ~Queue();  // finishes what was submitted

  // Runs `work` after everything submitted before. The caller itself runs it, before submit
  // returns, when nothing is before it and it is small (under 50 us), or the caller is
  // `about_to_wait`, or only one thread may compute; otherwise the queue's thread does, and at
  // most `kMaxAhead` pieces may be outstanding before submit waits for the oldest.
  // Call without the graph lock if the work may run here (see Unlocked).
  Ref<Event> submit(std::unique_ptr<Work> work, bool about_to_wait);

  // Returns when `event` is done, then rethrows its error. Polls for Ctrl-C while waiting:
  // an interruption cancels the running work and throws Error(interrupted).
  void wait(const Ref<Event>& event);
  // Waits for everything submitted; rethrows the first failure since the last call.
  void synchronize();

  static constexpr size_t kMaxAhead = 8;
  static constexpr double kInlineMicroseconds = 50;

 private:
  struct Entry {
    std::unique_ptr<Work> work;
    Ref<Event> event;
  };
  void thread_main();
  void execute(Entry entry);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  bool running_ = false;
  bool stopping_ = false;
  std::exception_ptr first_error_;
  std::thread thread_;  // started when first needed
};

}  // namespace tegula
