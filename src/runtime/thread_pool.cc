#include "runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/cancel.h"
#include "runtime/cpu_count.h"
#include "runtime/fork_guard.h"
#include "runtime/participant.h"
#include "runtime/profile.h"
#include "runtime/threads.h"

namespace tegula {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 1024;
// How long a thread with nothing to do looks for work before it sleeps. Waking a sleeper takes
// about 18 us, so a gap shorter than that should not put anyone to sleep.
constexpr auto kSpin = std::chrono::microseconds(40);
// Handing work to a thread that spins costs under 1 us.
constexpr double kWorthSharing = 2;  // us
// Waking a sleeper costs the caller 5 us and the sleeper comes after 18: it pays for work from
// about 30 us, or for several smaller pieces of work in a row.
constexpr double kWorthWaking = 40;
// A job has at most 2^31 pieces, because a ticket counts them in 32 bits.
constexpr int64_t kMaxPieces = int64_t(1) << 31;

using Body = FunctionRef<void(int64_t)>;

// True while this thread runs a piece: a nested parallel_for then stays on it.
thread_local bool inside_piece = false;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until ready() holds or the spinning time is over.
template <class F>
bool spin_until(F&& ready) {
  for (const auto end = Clock::now() + kSpin; Clock::now() < end;)
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      relax();
    }
  return ready();
}

void run_alone(int64_t count, Body body) {
  for (int64_t i = 0; i < count; ++i) {
    check_cancel();
    body(i);
  }
}

// The workers and the one job they share. A job is announced by its ticket: a generation in the
// upper half, the number of unclaimed pieces in the lower. A piece is claimed by counting the
// ticket down with compare-and-swap, so a thread that comes late to an old job changes nothing,
// and the caller never waits for a thread that has claimed nothing. The other members describing
// the job are written only while no piece is unclaimed or unfinished, and read only by holders of
// an unfinished piece.
class Pool {
 public:
  // Runs the job on the workers and the caller; false if another thread is using them now.
  bool try_run(int64_t count, Body body, double microseconds, int threads) {
    std::unique_lock lock(owner_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    start_workers(threads - 1);
    unshared_ += microseconds;
    const bool wake = unshared_ >= kWorthWaking;
    if (wake || sleepers_.load(std::memory_order_relaxed) == 0) unshared_ = 0;
    for (int64_t first = 0; first < count; first += kMaxPieces)
      run_job(first, uint32_t(std::min(count - first, kMaxPieces)), body, wake);
    return true;
  }

  void stop() {
    std::lock_guard lock(owner_);
    stopping_ = true;
    wake_.fetch_add(1);
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    participants_.clear();
    stopping_ = false;
  }

 private:
  static uint32_t unclaimed(uint64_t ticket) { return uint32_t(ticket); }

  void start_workers(int wanted) {
    // set_num_threads() on another thread may come between reading the number and getting here.
    while (int(workers_.size()) < wanted) {
      try {
        Participant& self = participants_.emplace_back();
        workers_.push_back(start_thread("tegula-worker", [this, &self] { worker_main(self); }));
      } catch (const std::system_error&) {
        participants_.pop_back();
        return;  // the system has no more threads: those there are do the work
      }
    }
  }

  void run_job(int64_t first, uint32_t count, Body body, bool wake) {
    body_ = &body;
    first_ = first;
    count_ = count;
    done_.store(0, std::memory_order_relaxed);
    // Sequentially consistent, like the worker's increment of sleepers_ and its second look at the
    // ticket: either we see the sleeper or it sees the job.
    ticket_.store((uint64_t(++generation_) << 32) | count);
    const uint32_t sleepers = sleepers_.load();
    if (wake && sleepers > 0) wake_workers(std::min(sleepers, count - 1));

    inside_piece = true;
    work(caller_);
    inside_piece = false;
    wait_for_claimed(count);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void wake_workers(uint32_t how_many) {
    wake_.fetch_add(1);
    if (how_many >= workers_.size()) return wake_.notify_all();
    for (uint32_t i = 0; i < how_many; ++i) wake_.notify_one();
  }

  void wait_for_claimed(uint32_t count) {
    if (done_.load(std::memory_order_acquire) == count) return;
    if (spin_until([&] { return done_.load(std::memory_order_acquire) == count; })) return;
    for (Participant& worker : participants_) worker.rescue();
    for (uint32_t done; (done = done_.load(std::memory_order_acquire)) != count;) done_.wait(done);
  }

  // Claims and runs pieces until there are none.
  void work(Participant& self) {
    self.enter();
    claim_and_run(&self != &caller_);
    self.leave();
  }

  void claim_and_run(bool is_worker) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    std::optional<ProfileScope> share;
    if (is_worker && unclaimed(ticket) != 0 && profiling()) {
      share.emplace(ProfileEvent::share, "");
      share->event().name = profiled_step();
    }
    while (unclaimed(ticket) != 0) {
      if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                         std::memory_order_acquire))
        continue;
      const uint32_t count = count_;
      const int64_t piece = first_ + (count - unclaimed(ticket));
      uint32_t finished = 1;
      try {
        check_cancel();
        (*body_)(piece);
      } catch (...) {
        keep_error(piece, std::current_exception());
        finished += claim_rest();
      }
      if (done_.fetch_add(finished, std::memory_order_acq_rel) + finished == count)
        done_.notify_one();
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  // Pieces are claimed in order, so the lowest piece that fails is always among the claimed.
  void keep_error(int64_t piece, std::exception_ptr error) {
    std::lock_guard lock(error_mutex_);
    if (error_ && error_piece_ <= piece) return;
    error_ = std::move(error);
    error_piece_ = piece;
  }

  uint32_t claim_rest() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (!ticket_.compare_exchange_weak(ticket, ticket - unclaimed(ticket),
                                          std::memory_order_acq_rel, std::memory_order_acquire)) {
    }
    return unclaimed(ticket);
  }

  void worker_main(Participant& self) {
    inside_piece = true;
    const auto wanted = [this] {
      return unclaimed(ticket_.load(std::memory_order_relaxed)) != 0 ||
             stopping_.load(std::memory_order_relaxed);
    };
    while (!stopping_.load(std::memory_order_acquire)) {
      work(self);
      if (spin_until(wanted)) continue;
      caller_.rescue();
      const uint32_t seen = wake_.load();
      sleepers_.fetch_add(1);
      if (unclaimed(ticket_.load()) == 0 && !stopping_.load()) wake_.wait(seen);
      sleepers_.fetch_sub(1);
    }
  }

  std::mutex owner_;  // held by the thread whose job it is
  std::vector<std::thread> workers_;
  std::deque<Participant> participants_;  // of the workers
  Participant caller_;
  uint32_t generation_ = 0;
  double unshared_ = 0;  // us of work since sleepers were last woken, or nobody slept

  const Body* body_ = nullptr;
  int64_t first_ = 0;
  uint32_t count_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
  int64_t error_piece_ = 0;

  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> done_{0};  // pieces of this job that have ended
  alignas(64) std::atomic<uint32_t> wake_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
};

// Never destroyed: workers may still be asleep in it when the process exits.
Pool& pool() {
  static Pool& instance = *std::make_unique<Pool>().release();
  return instance;
}

std::atomic<int> chosen_threads{0};

int default_threads() {
  const char* text = std::getenv("TEGULA_NUM_THREADS");
  if (!text || !*text) return std::min(available_cpus(), kMaxThreads);
  int count = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, count);
  require(error == std::errc() && stop == end && count >= 1 && count <= kMaxThreads,
          "TEGULA_NUM_THREADS must be a whole number from 1 to ", kMaxThreads, ", got '", text,
          "'");
  return count;
}

}  // namespace

int num_threads() {
  int count = chosen_threads.load(std::memory_order_relaxed);
  if (count == 0) {
    const int wanted = default_threads();
    if (chosen_threads.compare_exchange_strong(count, wanted)) count = wanted;
  }
  return count;
}

void set_num_threads(int count) {
  require(count >= 1 && count <= kMaxThreads, "set_num_threads: count must be from 1 to ",
          kMaxThreads, ", got ", count);
  if (inside_piece)
    fail(ErrorKind::runtime,
         "set_num_threads: cannot change the number of threads from inside "
         "parallel work");
  if (chosen_threads.exchange(count) != count) stop_threads();
}

void parallel_for(int64_t count, FunctionRef<void(int64_t)> body, double microseconds) {
  use_engine();
  if (count > 1 && !inside_piece && microseconds >= kWorthSharing) {
    const int threads = num_threads();
    if (threads > 1 && pool().try_run(count, body, microseconds, threads)) return;
  }
  run_alone(count, body);
}

void stop_threads() {
  if (!in_forked_child()) pool().stop();
}

}  // namespace tegula
