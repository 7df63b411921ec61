// Threads do not survive fork(), and a lock they held stays locked. A child forked after the engine
// started is therefore refused its use, in a sentence, rather than left to hang.
#pragma once

#include <atomic>

namespace tegula {

enum class EngineState { unused, used, forked };

namespace internal {
inline std::atomic<EngineState> engine_state{EngineState::unused};
void first_use();
}  // namespace internal

// Called by everything that needs threads or locks. Throws RuntimeError in a child forked after
// an earlier call.
inline void use_engine() {
  if (internal::engine_state.load(std::memory_order_relaxed) != EngineState::used)
    internal::first_use();
}
// Whether this process is such a child: its threads are gone, its locks must not be taken.
inline bool in_forked_child() {
  return internal::engine_state.load(std::memory_order_relaxed) == EngineState::forked;
}

}  // namespace tegula
