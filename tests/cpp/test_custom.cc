// Kernels compiled apart from the engine, without Python: values, plans, rules carried along.
#include "graph/custom.h"

#include <doctest/doctest.h>

#include <array>
#include <bit>

#include "graph/body.h"
#include "graph/trace.h"
#include "plan_harness.h"
#include "transform/reverse.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

int32_t like_first(const tegula_call* call, tegula_result* results) {
  return tegula_like(&call->inputs[0], &results[0]);
}

// x * factor, for float32 of any strides and at most two axes.
int32_t scale(const tegula_call* call) {
  const tegula_tensor& x = call->inputs[0];
  const int64_t rows = x.rank > 1 ? x.shape[0] : 1, columns = x.rank > 0 ? x.shape[x.rank - 1] : 1;
  return tegula_parallel_for(call, rows, 1e6, [&](int64_t i) {
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t at =
          (x.rank > 1 ? i * x.strides[0] : 0) + (x.rank > 0 ? j * x.strides[x.rank - 1] : 0);
      static_cast<float*>(call->outputs[0].data)[i * columns + j] =
          static_cast<const float*>(x.data)[at] * float(call->attributes[0].real);
    }
  });
}

const tegula_operation kScale = {
    "scale", "x: Tensor, factor: float", nullptr, 1, TEGULA_PURE, like_first, scale};
const CustomKernel kKernel{"test.scale", &kScale};

class ScaleRules : public CustomRules {
 public:
  explicit ScaleRules(double factor) : factor_(factor) { ++alive; }
  ~ScaleRules() override { --alive; }

  uint32_t vjp_uses() const override { return kUsesNothing; }
  bool has_vjp() const override { return true; }
  bool has_jvp() const override { return false; }
  bool has_batch() const override { return false; }
  Tensors vjp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
              std::span<const Tensor> upstream) override {
    CHECK_FALSE((inputs[0] || outputs[0]));
    return {multiply(upstream[0], scalar(factor_, DType::float32))};
  }
  Tensors jvp(std::span<const Tensor>, std::span<const Tensor>, std::span<const Tensor>) override {
    return {};
  }
  Tensors batch(std::span<const Tensor>, std::span<const int64_t>, int64_t) override { return {}; }

  static inline int alive = 0;

 private:
  double factor_;
};

Tensor scaled(const Tensor& x, double factor, bool rules = true) {
  const int64_t word = std::bit_cast<int64_t>(factor);
  return custom_kernel(kKernel, std::array{x}, std::span(&word, 1),
                       rules ? Ref<CustomRules>(new ScaleRules(factor)) : nullptr)[0];
}

}  // namespace

TEST_CASE("custom kernel: a step of its own name, equal calls are one") {
  Backend& cpu = device("cpu");
  const Tensor x = leaf(cpu, {3, 4});
  const Tensor a = scaled(x, 2), b = scaled(x, 2), c = scaled(x, 3);
  const auto plan = pending_plan(cpu);
  CHECK(kinds(*plan) == std::vector<std::string_view>{"custom_kernel", "custom_kernel"});
  CHECK(plan->to_string(false).find("custom_kernel test.scale (leaf0") != std::string::npos);
  const std::vector<float> from = values(x), twice = values(a), thrice = values(c);
  CHECK(twice == values(b));
  for (size_t i = 0; i < from.size(); ++i) {
    CHECK(twice[i] == from[i] * 2);
    CHECK(thrice[i] == from[i] * 3);
  }
}

TEST_CASE("custom kernel: strided inputs, empty and 0-d ones") {
  Backend& cpu = device("cpu");
  const Tensor x = leaf(cpu, {3, 4});
  const std::vector<float> from = values(x), to = values(scaled(permute_dims(x, {1, 0}), 2));
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 4; ++j) CHECK(to[j * 3 + i] == from[i * 4 + j] * 2);
  CHECK(values(scaled(leaf(cpu, {0, 4}), 2)).empty());
  CHECK(values(scaled(leaf(cpu, {}, 1), 2)) == std::vector<float>{2});
}

TEST_CASE("custom kernel: rules give gradients, and go along where a node is recorded again") {
  Backend& cpu = device("cpu");
  {
    Tensor x = leaf(cpu, {5});
    x.set_requires_grad(true);
    Graph graph;
    {
      Trace trace;
      const Tensor inner = trace.input(x);
      const Tensor y = scaled(inner, 3);
      trace.end();
      graph = trace.graph({y.value()});
      const Tensor again = record_graph(graph, std::array{x}, {})[0];
      const Tensor g = gradients({again}, {leaf(cpu, {5}, 1)}, {x}, {})[0];
      const std::vector<float> upstream = values(leaf(cpu, {5}, 1)), found = values(g);
      for (size_t i = 0; i < 5; ++i) CHECK(found[i] == upstream[i] * 3);
    }
  }
  CHECK(ScaleRules::alive == 0);
}

TEST_CASE("custom kernel: without rules there is no derivative") {
  Backend& cpu = device("cpu");
  Tensor x = leaf(cpu, {5});
  x.set_requires_grad(true);
  const Tensor y = scaled(x, 3, false);
  CHECK_THROWS_WITH_AS(gradients({y}, {leaf(cpu, {5})}, {x}, {}), "test.scale: has no derivative",
                       Error);
}

TEST_CASE("custom kernel: the null device plans it") {
  Backend& null = device("null");
  const Tensor y = scaled(leaf(null, {4}), 2);
  CHECK(kinds(*pending_plan(null)) == std::vector<std::string_view>{"custom_kernel"});
}
