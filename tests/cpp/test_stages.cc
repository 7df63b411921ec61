// Which steps run at the same time, and that they may.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "plan/memory.h"
#include "plan/stages.h"
#include "plan_harness.h"
#include "runtime/host.h"
#include "runtime/thread_pool.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNarrow = 10, kWide = 1000;  // us

StagedStep narrow(std::vector<int32_t> after) { return {std::move(after), kNarrow, false}; }
StagedStep wide(std::vector<int32_t> after) { return {std::move(after), kWide, false}; }

std::vector<int32_t> stages(const std::vector<StagedStep>& steps) {
  return find_stages(steps, 0, steps.size(), 0);
}
using Numbers = std::vector<int32_t>;

// Eight branches of small products and what is elementwise behind them.
Tensor branches(Backend& device, int count) {
  Tensor sum;
  for (int b = 0; b < count; ++b) {
    Tensor x = leaf(device, {32, 64}, float(b));
    for (int layer = 0; layer < 3; ++layer)
      x = tanh(matmul(x, leaf(device, {64, 64}, 0.01f * float(layer))));
    sum = b ? sum + x : x;
  }
  return sum;
}

struct Range {
  const std::byte* begin;
  const std::byte* end;
};
bool overlap(const Range& a, const Range& b) { return a.begin < b.end && b.begin < a.end; }

// Arena bytes that an operand spans.
Range span(const View& view, const Place& place) {
  int64_t low = 0, high = 0;
  for (size_t i = 0; i < view.shape.size(); ++i)
    (view.strides[i] < 0 ? low : high) += view.strides[i] * std::max<int64_t>(view.shape[i] - 1, 0);
  const auto* base = reinterpret_cast<const std::byte*>(place.offset + 4096);
  const int64_t item = int64_t(itemsize(view.dtype));
  return {base + low * item, base + (high + 1) * item};
}

// No step writes what another of its stage reads or writes.
void check_apart(const Plan& plan) {
  for (const Stage& stage : plan.stages)
    for (int32_t a = stage.begin; a < stage.end; ++a)
      for (int32_t b = stage.begin; b < stage.end; ++b) {
        if (a == b) continue;
        const Step &writer = plan.steps[size_t(a)], &other = plan.steps[size_t(b)];
        for (size_t k = 0; k < writer.outputs.size(); ++k) {
          const Place& at = writer.output_places[k];
          const auto check = [&](const View& view, const Place& place) {
            if (place.source != at.source || place.index != at.index) return;
            if (at.source == Place::arena)
              CHECK_FALSE(overlap(span(writer.outputs[k], at), span(view, place)));
            else CHECK(at.source == Place::none);
          };
          for (size_t i = 0; i < other.inputs.size(); ++i)
            check(other.inputs[i], other.input_places[i]);
          for (size_t i = 0; i < other.outputs.size(); ++i)
            check(other.outputs[i], other.output_places[i]);
        }
      }
}

// A graph lock like Python's, held by this thread for its lifetime but where the engine gives it
// up.
class GraphLock {
 public:
  GraphLock() { take(nullptr); }
  ~GraphLock() { give_up(); }
  static void* give_up() {
    if (!held_) return nullptr;
    held_ = false;
    mutex_.unlock();
    return &mutex_;
  }
  static void take(void*) {
    mutex_.lock();
    held_ = true;
  }

 private:
  static inline std::mutex mutex_;
  static inline thread_local bool held_ = false;
};

}  // namespace

TEST_CASE("stages: a chain runs one by one") {
  CHECK(stages({narrow({}), narrow({0}), narrow({1})}) == Numbers{0, 1, 2});
}

TEST_CASE("stages: independent narrow steps share one, dependent ones do not") {
  CHECK(stages({narrow({}), narrow({}), narrow({0}), narrow({1}), narrow({2, 3})}) ==
        Numbers{0, 0, 1, 1, 2});
  // Two branches, recorded one after the other.
  CHECK(stages({narrow({}), narrow({0}), narrow({}), narrow({2})}) == Numbers{0, 1, 0, 1});
}

TEST_CASE("stages: wide steps and those that may fail have one each, in order") {
  CHECK(stages({wide({}), wide({}), narrow({}), narrow({})}) == Numbers{0, 1, 2, 2});
  std::vector<StagedStep> steps{narrow({}), narrow({}), narrow({}), narrow({})};
  steps[1].alone = steps[2].alone = true;
  CHECK(stages(steps) == Numbers{0, 1, 2, 0});
}

TEST_CASE("stages: steps too small to hand over stay as they are") {
  std::vector<StagedStep> steps(4, StagedStep{{}, 0.4, false});
  CHECK(stages(steps) == Numbers{0, 1, 2, 3});
  steps.resize(50, steps[0]);  // together they are worth it
  CHECK(stages(steps) == Numbers(50, 0));
}

TEST_CASE("stages: those of a second phase begin anew") {
  const std::vector<StagedStep> steps{narrow({}), narrow({}), narrow({0}), narrow({1})};
  CHECK(find_stages(steps, 2, 4, 7) == Numbers{7, 7});
}

TEST_CASE("stages: a stage tries both ways, then takes the faster") {
  Stage stage;
  for (int i = 0; i < Stage::kSamples; ++i) {
    CHECK_FALSE(stage.is_settled());
    const bool at_once = stage.next_at_once();
    CHECK(at_once == (i < Stage::kSamples / 2));
    stage.note(at_once, at_once ? 5 + i : 10);
  }
  CHECK(stage.is_settled());
  CHECK(stage.next_at_once());
  stage.forget();
  for (int i = 0; i < Stage::kSamples; ++i)
    stage.note(stage.next_at_once(), i < Stage::kSamples / 2 ? 4 : 3);
  CHECK_FALSE(stage.next_at_once());
}

TEST_CASE("stages: of a plan with small branches") {
  Backend& null = device("null");
  const Tensor y = branches(null, 8);
  const auto plan = pending_plan(null);
  size_t most = 0;
  for (const Stage& stage : plan->stages) most = std::max(most, size_t(stage.end - stage.begin));
  CHECK(most == 8);
  CHECK(plan->stages.size() <= 4);
  check_apart(*plan);
}

TEST_CASE("stages: steps of a stage do not touch each other's memory") {
  Backend& null = device("null");
  for (int seed = 0; seed < 40; ++seed) {
    // Values of one size, which like to take each other's place.
    uint32_t state = uint32_t(seed) * 2654435761u + 1;
    const auto draw = [&](size_t below) {
      return size_t((state = state * 1664525u + 1013904223u) >> 8) % below;
    };
    std::vector<Tensor> values{leaf(null, {64, 64}), leaf(null, {64, 64})};
    for (int i = 0; i < 40; ++i) {
      const Tensor &a = values[draw(values.size())], &b = values[draw(values.size())];
      values.push_back(draw(3) ? matmul(a, b) : tanh(a) + b);
    }
    for (size_t i = 2; i + 3 < values.size(); ++i) values[i] = {};
    const auto plan = pending_plan(null);
    check_apart(*plan);
    CHECK(plan->arena_bytes <= 42 * 64 * 64 * 4);
  }
}

TEST_CASE("memory: thousands of values are laid out apart") {
  std::vector<Lifetime> values;
  uint32_t state = 1;
  for (int32_t i = 0; i < 6000; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back(
        {.bytes = int64_t(state >> 20) + 1, .first = i, .last = i + int32_t(state >> 8) % 20});
  }
  const int64_t bytes = lay_out(values);
  int64_t most = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i].offset % 64 == 0);
    CHECK(values[i].offset + values[i].bytes <= bytes);
    int64_t alive = 0;
    for (size_t j = i < 40 ? 0 : i - 40; j <= i; ++j) {
      if (values[j].last < values[i].first) continue;
      alive += values[j].bytes + 64;
      if (j == i) continue;
      CHECK((values[j].offset + values[j].bytes <= values[i].offset ||
             values[i].offset + values[i].bytes <= values[j].offset));
    }
    most = std::max(most, alive);
  }
  CHECK(bytes < 2 * most);
}

TEST_CASE("memory: what is not written yet is lent to values that are gone by then") {
  uint32_t state = 7;
  const auto draw = [&](uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return int32_t((state >> 8) % below);
  };
  for (int round = 0; round < 20; ++round) {
    std::vector<Lifetime> values;
    for (int32_t i = 0; i < 100; ++i)
      values.push_back({.bytes = draw(5000), .first = i, .last = i + draw(60)});
    std::vector<LentMemory> lent;
    for (int i = 0; i < 10; ++i) lent.push_back({draw(9000), draw(160)});
    std::vector<Lifetime> alone = values;
    const int64_t bytes = lay_out(values, lent);
    CHECK(bytes < lay_out(alone));
    for (size_t i = 0; i < values.size(); ++i) {
      const Lifetime& v = values[i];
      CHECK(v.offset % 64 == 0);
      if (v.lent < 0) {
        CHECK(v.offset + v.bytes <= bytes);
      } else {
        CHECK(v.offset + v.bytes <= lent[size_t(v.lent)].bytes);
        CHECK(v.last < lent[size_t(v.lent)].until);
      }
      for (size_t j = 0; j < i; ++j) {
        const Lifetime& w = values[j];
        if (v.lent != w.lent || v.last < w.first || w.last < v.first) continue;
        CHECK((v.offset + v.bytes <= w.offset || w.offset + w.bytes <= v.offset || v.bytes == 0 ||
               w.bytes == 0));
      }
    }
  }
}

TEST_CASE("stages: the steps of a stage run at the same time") {
  const test::Threads scope(2);
  Plan plan;
  plan.steps.resize(2);
  plan.stages = {{.begin = 0, .end = 2, .cost_us = 1e6}};
  std::atomic<int> begun = 0;
  std::mutex mutex;
  std::vector<std::thread::id> threads;
  run_stages(plan, 0, 1, [&](size_t, bool at_once) {
    CHECK(at_once);
    ++begun;
    while (begun < 2) std::this_thread::yield();  // neither ends before the other has begun
    const std::lock_guard lock(mutex);
    threads.push_back(std::this_thread::get_id());
  });
  REQUIRE(threads.size() == 2);
  CHECK(threads[0] != threads[1]);
}

TEST_CASE("stages: the first step that fails says so, and no later stage runs") {
  const test::Threads scope(3);
  Plan plan;
  plan.steps.resize(5);
  plan.stages = {{.begin = 0, .end = 4, .cost_us = 1e6}, {.begin = 4, .end = 5}};
  std::atomic<bool> last = false;
  const auto run = [&](size_t s, bool) {
    if (s == 4) last = true;
    if (s == 1 || s == 3) fail(ErrorKind::index, "step ", s);
  };
  CHECK(test::error_of([&] { run_stages(plan, 0, 2, run); }).second == "step 1");
  CHECK_FALSE(last);
}

TEST_CASE("stages: any number of threads, the same bits, run after run") {
  Backend& cpu = device("cpu");
  std::vector<float> expected;
  for (int threads : {1, 2, 3, 8}) {
    const test::Threads scope(threads);
    for (int repeat = 0; repeat < 12; ++repeat) {
      const std::vector<float> seen = values(branches(cpu, 8));
      if (expected.empty()) expected = seen;
      CHECK(seen == expected);
    }
  }
}

TEST_CASE("stages: two threads build and run graphs at once") {
  Backend& cpu = device("cpu");
  const std::vector<float> expected = values(branches(cpu, 4));
  const HostHooks before = host_hooks();
  host_hooks().unlock = GraphLock::give_up;
  host_hooks().lock = [](void* state) {
    if (state) GraphLock::take(state);
  };
  {
    const test::Threads scope(2);
    std::atomic<int> same = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
      threads.emplace_back([&] {
        const GraphLock lock;
        for (int repeat = 0; repeat < 20; ++repeat) same += values(branches(cpu, 4)) == expected;
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(same == 40);
  }
  host_hooks() = before;
}
