// Cancellation of the plan now running: checked between tasks.
#pragma once

namespace tegula {

void request_cancel();
void clear_cancel();
bool cancel_requested();
// Throws Error(interrupted) if a cancel was requested or poll_interrupt() finds one.
void check_cancel();

// While it lives, its thread runs work on behalf of the user and notices Ctrl-C by itself.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  // Whether poll_interrupt() threw within it.
  bool interrupted() const;

 private:
  bool outer_active_;
  bool outer_interrupted_;
};

// While one lives nothing is cancelled: a plan is writing over memory it was given. The request
// stays and is seen by the next check.
class DeferCancel {
 public:
  DeferCancel();
  ~DeferCancel();
  DeferCancel(const DeferCancel&) = delete;
  DeferCancel& operator=(const DeferCancel&) = delete;
};

// On a thread with an InterruptScope asks host_hooks().interrupted, at most every 20 ms, and throws
// Error(interrupted) if it says so; elsewhere does nothing.
void poll_interrupt();

// Asks host_hooks().interrupted; false if the host has no such hook.
bool host_interrupted();

}  // namespace tegula
