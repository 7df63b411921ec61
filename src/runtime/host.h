// What the engine asks of the program it lives in. The core has no Python in it: the bindings fill
// this table, a C++ host may leave it empty.
#pragma once

#include <span>

#include "base/ref.h"
#include "runtime/kernel.h"

namespace tegula {

struct HostHooks {
  // Give up and take back the lock under which graphs are recorded (the GIL), around waiting.
  void* (*unlock)() = nullptr;
  void (*lock)(void* state) = nullptr;
  // True when the user asked to stop (Ctrl-C). Called without the lock, at most every 20 ms.
  bool (*interrupted)() = nullptr;
  // Take and give up the lock on a thread that may be the engine's own. enter() is false, and
  // leave() is not called, when the host is ending.
  bool (*enter)(int* state) = nullptr;
  void (*leave)(int state) = nullptr;
};

HostHooks& host_hooks();

// A function of the host that a plan calls as one of its steps, on whichever thread runs it and
// without the graph lock. What it throws ends the run, and reaches whoever waits as it is. Its last
// reference may go on any thread.
class HostFunction : public RefCounted<HostFunction> {
 public:
  virtual ~HostFunction() = default;
  // Outputs are dense; one that nobody reads has no data.
  virtual void call(std::span<const View> inputs, std::span<const View> outputs) = 0;
};

// Runs without the graph lock for its lifetime.
class Unlocked {
 public:
  Unlocked() : state_(host_hooks().unlock ? host_hooks().unlock() : nullptr) {}
  ~Unlocked() {
    if (host_hooks().lock) host_hooks().lock(state_);
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  void* state_;
};

// Holds the graph lock for its lifetime, on any thread; converts to false when it cannot be had.
// For what is rare: no work that runs may wait for this thread.
class Locked {
 public:
  Locked() : held_(!host_hooks().enter || host_hooks().enter(&state_)) {}
  ~Locked() {
    if (held_ && host_hooks().leave) host_hooks().leave(state_);
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  explicit operator bool() const { return held_; }

 private:
  int state_ = 0;
  bool held_;
};

}  // namespace tegula
