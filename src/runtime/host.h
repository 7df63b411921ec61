// What the engine asks of the program it lives in. The core has no Python in it: the bindings fill
// this table, a C++ host may leave it empty.
#pragma once

namespace tegula {

struct HostHooks {
  // Give up and take back the lock under which graphs are recorded (the GIL), around waiting.
  void* (*unlock)() = nullptr;
  void (*lock)(void* state) = nullptr;
  // True when the user asked to stop (Ctrl-C). Called without the lock, at most every 20 ms.
  bool (*interrupted)() = nullptr;
};

HostHooks& host_hooks();

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

}  // namespace tegula
