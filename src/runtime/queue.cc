#include "runtime/queue.h"

#include <chrono>
#include <utility>

#include "base/error.h"
#include "runtime/cancel.h"
#include "runtime/fork_guard.h"
#include "runtime/threads.h"

namespace tegula {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(20);

// The queue whose work this thread runs.
thread_local const Queue* running_queue = nullptr;

bool is_interruption(const std::exception_ptr& error) {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return e.kind() == ErrorKind::interrupted;
  } catch (...) {
    return false;
  }
}

std::exception_ptr run_and_destroy(std::unique_ptr<Work> work, bool given_up) {
  try {
    if (given_up) {
      work->give_up();
      fail(ErrorKind::interrupted, "the work that computes this was given up");
    }
    work->run();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace

Queue::~Queue() {
  if (!thread_.joinable()) return;
  if (in_forked_child()) {
    thread_.detach();  // it stayed in the parent
    return;
  }
  {
    Lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Queue::refuse_inside_work(const char* what) const {
  if (running_queue == this)
    fail(ErrorKind::runtime, what, ": called by work that runs on the same queue");
}

Ref<Event> Queue::submit(std::unique_ptr<Work> work, bool about_to_wait, Ref<Event> event) {
  use_engine();
  refuse_inside_work("submit");
  const bool alone = num_threads() == 1;
  const int64_t bytes = work->held_bytes();
  const bool runs_here = alone || about_to_wait || work->cost_us() < kInlineMicroseconds;

  if (!event) event = make_ref<Event>();
  Lock lock(mutex_);
  try {
    if (alone) {
      help_until(lock, [this] { return outstanding() == 0 && cancelling_ == 0; });
    } else {
      help_until(lock, [&] { return has_room(bytes); });
    }
  } catch (...) {
    append({std::move(work), event, bytes, true});
    changed_.notify_all();
    throw;
  }
  const bool run_now = runs_here && outstanding() == 0 && cancelling_ == 0;
  if (!run_now && !thread_.joinable())
    thread_ = start_thread("tegula-queue", [this] { thread_main(); });
  append({std::move(work), event, bytes});
  if (run_now) {
    const InterruptScope scope;
    run_next(lock);
  } else {
    changed_.notify_all();
  }
  return event;
}

void Queue::append(Entry entry) {
  held_ += entry.bytes;
  ++submitted_;
  entries_.push_back(std::move(entry));
}

void Queue::wait(const Ref<Event>& event) {
  if (!event) return;
  if (!event->done()) {
    use_engine();
    refuse_inside_work("wait");
    Lock lock(mutex_);
    help_until(lock, [&] { return event->done(); });
  }
  if (const std::exception_ptr error = event->error()) std::rethrow_exception(error);
}

void Queue::synchronize() {
  use_engine();
  refuse_inside_work("synchronize");
  Lock lock(mutex_);
  const uint64_t target = submitted_;
  help_until(lock, [&] { return finished_ >= target; });
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

// Returns, with the lock, when ready() holds. Meanwhile this thread runs what is outstanding if
// nobody else does, and looks for Ctrl-C.
void Queue::help_until(Lock& lock, FunctionRef<bool()> ready) {
  auto next_poll = std::chrono::steady_clock::now() + kPollInterval;
  while (!ready()) {
    if (can_start() && !entries_.empty()) {
      const InterruptScope scope;
      run_next(lock);
      if (scope.interrupted()) fail(ErrorKind::interrupted, "interrupted");
      continue;
    }
    changed_.wait_until(lock, next_poll);
    if (std::chrono::steady_clock::now() < next_poll) continue;
    // The host may need its own lock to answer, and whoever holds that may be submitting.
    lock.unlock();
    const bool interrupted = host_interrupted();
    lock.lock();
    if (interrupted) cancel_running(lock);
    next_poll = std::chrono::steady_clock::now() + kPollInterval;
  }
}

void Queue::cancel_running(Lock& lock) {
  ++cancelling_;
  request_cancel();
  changed_.wait(lock, [this] { return !running_; });
  if (--cancelling_ == 0) clear_cancel();
  changed_.notify_all();
  fail(ErrorKind::interrupted, "interrupted");
}

// Runs the front entry on this thread; the lock is given up meanwhile.
void Queue::run_next(Lock& lock) {
  Entry entry = std::move(entries_.front());
  entries_.pop_front();
  running_ = true;
  lock.unlock();
  const Queue* outer = std::exchange(running_queue, this);
  std::exception_ptr error = run_and_destroy(std::move(entry.work), entry.given_up);
  const bool keep = error && !is_interruption(error);
  running_queue = outer;
  lock.lock();
  running_ = false;
  held_ -= entry.bytes;
  ++finished_;
  if (keep && !first_error_) first_error_ = error;
  // Under the lock: whoever sees the event done also finds the queue free.
  entry.event->complete(std::move(error));
  changed_.notify_all();
}

void Queue::thread_main() {
  Lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] {
      return (can_start() && !entries_.empty()) || (stopping_ && entries_.empty());
    });
    if (entries_.empty()) return;
    run_next(lock);
  }
}

void throw_if_interrupted(const Event& event) {
  const std::exception_ptr error = event.error();
  if (is_interruption(error)) std::rethrow_exception(error);
}

}  // namespace tegula
