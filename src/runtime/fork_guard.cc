#include "runtime/fork_guard.h"

#include <pthread.h>

#include "base/error.h"

namespace tegula::internal {

void first_use() {
  if (in_forked_child())
    fail(ErrorKind::runtime,
         "tegula cannot be used in a process forked after its engine started; start workers with "
         "the 'spawn' method or import tegula in the child only");
  static const int installed = pthread_atfork(nullptr, nullptr, [] {
    if (engine_state.load(std::memory_order_relaxed) == EngineState::used)
      engine_state.store(EngineState::forked, std::memory_order_relaxed);
  });
  if (installed != 0) fail(ErrorKind::runtime, "pthread_atfork failed with code ", installed);
  engine_state.store(EngineState::used, std::memory_order_relaxed);
}

}  // namespace tegula::internal
