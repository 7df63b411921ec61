#include "runtime/cancel.h"

#include <atomic>
#include <chrono>

#include "base/error.h"
#include "runtime/host.h"

namespace tegula {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(20);

std::atomic<bool> cancelled{false};
std::atomic<int> deferrals{0};

struct ThreadState {
  bool active = false;
  bool interrupted = false;
  Clock::time_point next_poll{};
};
thread_local ThreadState state;

}  // namespace

void request_cancel() { cancelled.store(true, std::memory_order_relaxed); }
void clear_cancel() { cancelled.store(false, std::memory_order_relaxed); }
bool cancel_requested() {
  return cancelled.load(std::memory_order_relaxed) &&
         deferrals.load(std::memory_order_relaxed) == 0;
}

DeferCancel::DeferCancel() { deferrals.fetch_add(1, std::memory_order_relaxed); }
DeferCancel::~DeferCancel() { deferrals.fetch_sub(1, std::memory_order_relaxed); }

void check_cancel() {
  if (cancel_requested()) fail(ErrorKind::interrupted, "interrupted");
  poll_interrupt();
}

bool host_interrupted() {
  const auto ask = host_hooks().interrupted;
  return ask && ask();
}

InterruptScope::InterruptScope()
    : outer_active_(state.active), outer_interrupted_(state.interrupted) {
  state.active = true;
  state.interrupted = false;
}
InterruptScope::~InterruptScope() {
  state.active = outer_active_;
  state.interrupted |= outer_interrupted_;
}
bool InterruptScope::interrupted() const { return state.interrupted; }

void poll_interrupt() {
  if (!state.active || !host_hooks().interrupted) return;
  if (deferrals.load(std::memory_order_relaxed)) return;
  const auto now = Clock::now();
  if (now < state.next_poll) return;
  state.next_poll = now + kPollInterval;
  if (!host_interrupted()) return;
  state.interrupted = true;
  fail(ErrorKind::interrupted, "interrupted");
}

}  // namespace tegula
