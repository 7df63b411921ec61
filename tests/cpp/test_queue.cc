// The queue, Ctrl-C and fork.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "runtime/backend.h"
#include "runtime/cancel.h"
#include "runtime/fork_guard.h"
#include "runtime/host.h"
#include "runtime/queue.h"
#include "runtime/thread_pool.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::test;
using namespace std::chrono_literals;

namespace {

class Lambda : public Work {
 public:
  Lambda(std::function<void()> body, double cost, int64_t bytes = 0)
      : body_(std::move(body)), cost_(cost), bytes_(bytes) {}
  void run() override { body_(); }
  double cost_us() const override { return cost_; }
  int64_t held_bytes() const override { return bytes_; }

 private:
  std::function<void()> body_;
  double cost_;
  int64_t bytes_;
};

constexpr double kSmall = 1, kLarge = 1e6;

std::unique_ptr<Work> work(std::function<void()> body, double cost = kLarge) {
  return std::make_unique<Lambda>(std::move(body), cost);
}

// Answers "interrupted" once, after `delay` from its construction.
class Interruption {
 public:
  explicit Interruption(std::chrono::milliseconds delay) {
    at_ = std::chrono::steady_clock::now() + delay;
    pending_ = true;
    host_hooks().interrupted = [] {
      return std::chrono::steady_clock::now() >= at_ && pending_.exchange(false);
    };
  }
  ~Interruption() { host_hooks().interrupted = nullptr; }
  static double seconds_since() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - at_).count();
  }

 private:
  static inline std::chrono::steady_clock::time_point at_;
  static inline std::atomic<bool> pending_{false};
};

// Runs `body` in a forked child; its exit status, which exit() reaches through static destructors.
int in_child(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stdout);
#ifdef __SANITIZE_ADDRESS__
    // The parent's threads are gone in a child, and what only they held would count as leaked.
    std::_Exit(body());
#else
    std::exit(body());
#endif
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("small work runs on the caller, large work on the queue's thread") {
  const Threads scope(2);
  Queue queue;
  std::thread::id ran_on;
  const auto note = [&] { ran_on = std::this_thread::get_id(); };
  CHECK(queue.submit(work(note, kSmall), false)->done());
  CHECK(ran_on == std::this_thread::get_id());
  CHECK(queue.submit(work(note, kLarge), true)->done());
  CHECK(ran_on == std::this_thread::get_id());

  const Ref<Event> event = queue.submit(work(note, kLarge), false);
  while (!event->done()) std::this_thread::yield();
  CHECK(ran_on != std::this_thread::get_id());
  CHECK(queue.submit(work(note, kSmall), false)->done());
  CHECK(ran_on == std::this_thread::get_id());

  set_num_threads(1);
  CHECK(queue.submit(work(note, kLarge), false)->done());
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("work runs in order and submit stays a bounded number ahead") {
  const Threads scope(2);
  Queue queue;
  std::vector<int> order;
  std::atomic<int> finished = 0;
  Ref<Event> last;
  for (int i = 0; i < 40; ++i) {
    const double cost = i % 3 ? kSmall : kLarge;
    last = queue.submit(work(
                            [&, i] {
                              order.push_back(i);
                              ++finished;
                            },
                            cost),
                        false);
    CHECK(i + 1 - finished <= int(Queue::kMaxAhead));
  }
  queue.wait(last);
  REQUIRE(order.size() == 40);
  for (int i = 0; i < 40; ++i) CHECK(order[i] == i);
  queue.synchronize();
}

TEST_CASE("submit stays a bounded number of bytes ahead") {
  const Threads scope(2);
  Queue queue;
  for (const auto& [bytes, ahead] : {std::pair<int64_t, int>{Queue::kMaxBytesAhead, 2},
                                     {Queue::kMaxBytesAhead / 3, 3},
                                     {Queue::kMaxBytesAhead / 100, int(Queue::kMaxAhead)}}) {
    std::atomic<int> finished = 0;
    int most = 0;
    Ref<Event> last;
    for (int i = 0; i < 20; ++i) {
      const auto body = [&] {
        std::this_thread::sleep_for(1ms);
        ++finished;
      };
      last = queue.submit(std::make_unique<Lambda>(body, kLarge, bytes), false);
      most = std::max(most, i + 1 - finished);
    }
    queue.wait(last);
    CHECK(most <= ahead);
  }
}

TEST_CASE("work submitted by several threads") {
  for (int count : {1, 2}) {
    const Threads scope(count);
    Queue queue;
    int64_t unguarded = 0;  // the queue alone keeps its increments apart
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const auto event =
              queue.submit(work([&] { ++unguarded; }, (i + t) % 2 ? kSmall : kLarge), i % 5 == 0);
          if (i % 7 == 0) queue.wait(event);
        }
        queue.synchronize();
      });
    for (auto& thread : threads) thread.join();
    queue.synchronize();
    CHECK(unguarded == 400);
  }
}

TEST_CASE("failures go to the event, the waiter and synchronize") {
  for (int count : {1, 2}) {
    const Threads scope(count);
    Queue queue;
    const auto bad = queue.submit(work([] { fail(ErrorKind::index, "first"); }), false);
    const auto worse = queue.submit(work([] { throw std::runtime_error("second"); }), false);
    bool ran = false;
    queue.wait(queue.submit(work([&] { ran = true; }), false));
    CHECK(ran);
    for (int i = 0; i < 2; ++i) {
      const auto [kind, message] = error_of([&] { queue.wait(bad); });
      CHECK(kind == ErrorKind::index);
      CHECK(message == "first");
    }
    CHECK_THROWS_WITH(queue.wait(worse), "second");
    CHECK_THROWS_WITH(queue.synchronize(), "first");
    queue.synchronize();
    queue.wait(Ref<Event>());
  }
}

TEST_CASE("work is destroyed before its event completes") {
  for (int count : {1, 2}) {
    const Threads scope(count);
    Queue queue;
    std::atomic<bool> destroyed = false;
    const auto token = std::shared_ptr<int>(new int(0), [&](int* p) {
      std::this_thread::sleep_for(1ms);
      destroyed = true;
      delete p;
    });
    auto held = token;
    const auto event = queue.submit(work([held = std::move(held)] {}), false);
    const_cast<std::shared_ptr<int>&>(token).reset();
    queue.wait(event);
    CHECK(destroyed);
  }
}

TEST_CASE("work must not wait for its own queue") {
  Queue queue;
  const auto event = queue.submit(work([&] { queue.synchronize(); }), true);
  CHECK(error_of([&] { queue.wait(event); }).first == ErrorKind::runtime);
}

TEST_CASE("the queue finishes its work before it ends") {
  const Threads scope(2);
  int ran = 0;
  {
    Queue queue;
    for (int i = 0; i < 5; ++i) queue.submit(work([&] { ++ran; }), false);
  }
  CHECK(ran == 5);
}

TEST_CASE("Ctrl-C while waiting cancels the running work") {
  const Threads scope(2);
  Queue queue;
  const Interruption interruption(30ms);
  std::atomic<bool> stopped = false, started = false;
  const auto event =
      queue.submit(work([&] {
                     started = true;
                     try {
                       while (true)
                         parallel_for(4, [](int64_t) { std::this_thread::sleep_for(200us); });
                     } catch (const Error&) {
                       stopped = true;
                       throw;
                     }
                   }),
                   false);
  while (!started) std::this_thread::yield();
  CHECK(error_of([&] { queue.wait(event); }).first == ErrorKind::interrupted);
  CHECK(Interruption::seconds_since() < 0.1);
  CHECK(stopped);
  CHECK_FALSE(cancel_requested());
  CHECK(event->done());
  // The queue goes on; the interruption is not reported a second time.
  queue.synchronize();
  bool ran = false;
  queue.wait(queue.submit(work([&] { ran = true; }), false));
  CHECK(ran);
}

TEST_CASE("Ctrl-C while waiting to submit: the work gives up in its turn") {
  const Threads scope(2);
  Queue queue;
  std::atomic<bool> open = false;
  std::atomic<int> ran = 0;
  for (size_t i = 0; i < Queue::kMaxAhead; ++i)
    queue.submit(work([&] {
                   ++ran;
                   while (!open) {
                     check_cancel();
                     std::this_thread::sleep_for(200us);
                   }
                 }),
                 false);
  struct Given : Work {
    explicit Given(std::function<void()> note) : note(std::move(note)) {}
    void run() override { FAIL("it was given up"); }
    void give_up() override { note(); }
    double cost_us() const override { return kLarge; }
    std::function<void()> note;
  };
  int before = -1;
  const Ref<Event> event = make_ref<Event>();
  {
    const Interruption interruption(30ms);
    auto given = std::make_unique<Given>([&] { before = ran; });
    CHECK(error_of([&] { queue.submit(std::move(given), false, event); }).first ==
          ErrorKind::interrupted);
  }
  open = true;
  queue.synchronize();
  CHECK(before == int(Queue::kMaxAhead));
  CHECK(event->done());
  CHECK(error_of([&] { queue.wait(event); }).first == ErrorKind::interrupted);
}

TEST_CASE("Ctrl-C stops work that the caller runs itself") {
  for (int count : {1, 2}) {
    const Threads scope(count);
    Queue queue;
    const Interruption interruption(30ms);
    const auto event =
        queue.submit(work([] {
                       while (true)
                         parallel_for(4, [](int64_t) { std::this_thread::sleep_for(200us); });
                     }),
                     true);
    CHECK(Interruption::seconds_since() < 0.1);
    CHECK(event->done());
    CHECK(error_of([&] { throw_if_interrupted(*event); }).first == ErrorKind::interrupted);
    CHECK(error_of([&] { queue.wait(event); }).first == ErrorKind::interrupted);
    queue.synchronize();
  }
}

TEST_CASE("Ctrl-C is noticed only where the user waits") {
  const Interruption interruption(0ms);
  parallel_for(100, [](int64_t) {});
  check_cancel();
  poll_interrupt();
  CHECK(host_interrupted());
}

TEST_CASE("a used engine is refused in a forked child") {
  Backend& null = find_backend("null");
  const Threads scope(2);
  parallel_for(4, [](int64_t) {});
  const auto held = make_ref<Buffer>(null, 100);
  held->allocate();
  const auto pending = make_ref<Event>();
  const auto refuses = [](const std::function<void()>& use) {
    try {
      use();
    } catch (const Error& error) {
      return error.kind() == ErrorKind::runtime && contains(error.what(), "'spawn' method");
    }
    return false;
  };
  CHECK(in_child([&] { return 0; }) == 0);
  CHECK(in_child([&] {
          if (!refuses([] { parallel_for(4, [](int64_t) {}); })) return 1;
          if (!refuses([&] { null.allocator().allocate(64); })) return 2;
          if (!refuses([&] { null.queue().submit(work([] {}), true); })) return 3;
          if (!refuses([&] { null.queue().wait(pending); })) return 4;
          if (!refuses([&] { null.queue().synchronize(); })) return 5;
          {
            const Ref<Buffer> dropped = make_ref<Buffer>(null, nullptr, 8, [] {});
          }
          null.allocator().deallocate(held->data(), 100);  // as a collected tensor would
          null.allocator().trim();
          stop_threads();
          set_num_threads(1);
          return 0;
        }) == 0);
  // The parent goes on.
  std::atomic<int> ran = 0;
  parallel_for(4, [&](int64_t) { ++ran; });
  CHECK(ran == 4);
}

TEST_CASE("child: fork before the engine is used" * doctest::skip()) {
  CHECK_FALSE(in_forked_child());
  const int status = in_child([] {
    set_num_threads(2);
    std::atomic<int> ran = 0;
    parallel_for(100, [&](int64_t) { ++ran; });
    Backend& null = find_backend("null");
    null.queue().wait(null.queue().submit(work([&] { ++ran; }), false));
    return ran == 101 && null.allocator().allocate(64) ? 0 : 1;
  });
  CHECK(status == 0);
}

TEST_CASE("an unused engine works in a forked child") {
  const auto [status, output] = in_fresh_process("", "child: fork before the engine is used");
  CHECK_MESSAGE(status == 0, output);
}
