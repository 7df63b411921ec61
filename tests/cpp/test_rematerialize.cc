// What is made again where a plan needs most memory, and that it changes no bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "ops/ops.h"
#include "plan/lowering.h"
#include "plan_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

// For its lifetime, plans treat values of so many bytes as large.
class LargeValues {
 public:
  explicit LargeValues(int64_t bytes) : before_(large_value_bytes()) { set(bytes); }
  ~LargeValues() { set(before_); }
  LargeValues(const LargeValues&) = delete;
  LargeValues& operator=(const LargeValues&) = delete;

 private:
  static void set(int64_t bytes) {
    clear_plan_cache();
    large_value_bytes() = bytes;
  }
  int64_t before_;
};

constexpr int64_t kSize = 512, kValue = kSize * kSize * 4;

// A network whose layers' products and activations are both read again on the way back.
Tensor there_and_back(Backend& device, int layers) {
  std::vector<Tensor> products, activations;
  Tensor x = leaf(device, {kSize, kSize});
  const Tensor weight =
      leaf(device, {kSize, kSize}, -0.375f) * leaf(device, {kSize, kSize}, 0.03125f);
  for (int i = 0; i < layers; ++i) {
    products.push_back(matmul(x, weight));
    x = sin(products.back() * products.back());
    activations.push_back(x);
  }
  for (int i = layers - 1; i >= 0; --i)
    x = sin(matmul(x, activations[size_t(i)]) - products[size_t(i)]);
  return x;
}

size_t nodes_computed_twice(const Plan& plan) {
  std::set<int32_t> once;
  size_t twice = 0;
  for (const Step& step : plan.steps)
    for (int32_t node : step.nodes) twice += !once.insert(node).second;
  return twice;
}

}  // namespace

TEST_CASE("memory: activations are made again where most is in use") {
  Backend& null = device("null");
  const PendingLimit limit(100000);
  const Tensor result = there_and_back(null, 8);
  int64_t kept;
  {
    const LargeValues large(int64_t(1) << 40);
    const auto plan = pending_plan(null);
    CHECK(nodes_computed_twice(*plan) == 0);
    kept = plan->arena_bytes;
  }
  const LargeValues large(256);
  const auto plan = pending_plan(null);
  CHECK(nodes_computed_twice(*plan) > 0);
  CHECK(plan->arena_bytes <= kept - 6 * kValue);
}

TEST_CASE("memory: what is made again has the same bits") {
  Backend& cpu = device("cpu");
  const auto run = [&](int64_t bytes) {
    const LargeValues large(bytes);
    return values(there_and_back(cpu, 6));
  };
  const std::vector<float> kept = run(int64_t(1) << 40), again = run(256);
  REQUIRE(kept.size() == again.size());
  CHECK(*std::max_element(kept.begin(), kept.end()) > *std::min_element(kept.begin(), kept.end()));
  CHECK(std::memcmp(kept.data(), again.data(), kept.size() * sizeof(float)) == 0);
}
