// Ordered effects in plans, without Python: their order, their life, and how they fail.
#include "graph/effects.h"

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>

#include "graph/trace.h"
#include "plan/replay.h"
#include "plan_harness.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

std::mutex log_mutex;
std::vector<int> calls;

// Notes its number, passes its first input on, and fails if told to.
class Noting : public HostFunction {
 public:
  explicit Noting(int number, bool fails = false) : number_(number), fails_(fails) { ++alive; }
  ~Noting() override { --alive; }

  void call(std::span<const View> inputs, std::span<const View> outputs) override {
    const std::lock_guard lock(log_mutex);
    calls.push_back(number_);
    if (fails_) throw std::runtime_error("told to fail");
    if (!outputs.empty() && outputs[0].data) *outputs[0].as<float>() = *inputs[0].as<float>() + 1;
  }

  static inline std::atomic<int> alive = 0;

 private:
  int number_;
  bool fails_;
};

Ref<HostFunction> noting(int number, bool fails = false) {
  return Ref<HostFunction>(new Noting(number, fails));
}
void effect(int number, const Tensor& x) { host_call(noting(number), std::array{x}, {}, true); }
Tensor value(int number, const Tensor& x, bool ordered) {
  const OutputSpec spec{DType::float32, {}};
  return host_call(noting(number), std::array{x}, std::span(&spec, 1), ordered)[0];
}
std::vector<int> taken() { return std::exchange(calls, {}); }

void finish() {
  evaluate({}, Wait::no);
  synchronize();
}

}  // namespace

TEST_CASE("effects: in the order of the program, for any number of threads") {
  Backend& cpu = device("cpu");
  for (int threads : {1, 2, 8}) {
    const test::Threads scope(threads);
    std::vector<int> expected;
    for (int i = 0; i < 20; ++i) {
      effect(i, sum(exp(leaf(cpu, {8 + i, 16})), {}, false));
      expected.push_back(i);
    }
    CHECK(taken().empty());
    finish();
    CHECK(taken() == expected);
    finish();
    CHECK(taken().empty());
  }
  CHECK(Noting::alive == 0);
}

TEST_CASE("effects: values that nobody needs are not computed, effects are") {
  const Tensor x = from_host(std::array{1.0f}.data(), DType::float32, {}, device("cpu"));
  {
    value(1, x, false);
  }
  {
    value(2, x, true);
  }
  const Tensor y = value(3, x, false);
  CHECK(values(y) == std::vector{2.0f});
  CHECK(taken() == std::vector{2, 3});
}

TEST_CASE("effects: a value waits for those before it") {
  const Tensor x = from_host(std::array{1.0f}.data(), DType::float32, {}, device("cpu"));
  const Tensor first = value(1, x, false);
  effect(2, x);
  const Tensor second = value(3, after(x, std::array{first}), false);
  CHECK(values(second) == std::vector{2.0f});
  const std::vector<int> order = taken();
  CHECK(order.back() == 3);
  CHECK(order.size() == 3);
}

TEST_CASE("effects: a traced graph has them at each run") {
  Backend& cpu = device("cpu");
  const Tensor like = leaf(cpu, {4});
  Trace trace;
  const Tensor input = trace.input(like);
  effect(1, input);
  const Tensor doubled = add(input, input);
  effect(2, doubled);
  trace.end();
  Replay replay(trace.graph({doubled.value()}));
  CHECK(replay.graph().has_effects);
  CHECK(taken().empty());
  const Tensor* inputs[] = {&like};
  const uint8_t rebound[] = {0};
  for (int i = 0; i < 3; ++i) {
    Replay::Pending run = replay.prepare({inputs, rebound, {}});
    run.submit();
    synchronize();
    CHECK(taken() == std::vector{1, 2});
  }
}

TEST_CASE("effects: a failure ends the run, and reaches who waits") {
  Backend& cpu = device("cpu");
  const Tensor x = leaf(cpu, {3});
  const Tensor y = add(x, x);
  host_call(noting(1, true), std::array{y}, {}, true);
  effect(2, y);
  CHECK_THROWS_WITH_AS(evaluate(y), "told to fail", std::runtime_error);
  CHECK_THROWS_WITH_AS(evaluate(y), "told to fail", std::runtime_error);
  CHECK(taken() == std::vector{1});
  CHECK_THROWS_AS(synchronize(), std::runtime_error);
  CHECK(values(x)[0] == 0.25f);
}
