// Tile programs that ride on products and convolutions: when they do, where results then lie, and
// that bits are those of separate steps.
#include <functional>
#include <random>

#include "plan/lowering.h"
#include "plan_harness.h"
#include "runtime/thread_pool.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

using Kinds = std::vector<std::string_view>;

Backend& null() { return device("null"); }
Backend& cpu() { return device("cpu"); }

// As TEGULA_EPILOGUES=0 would have it, for its lifetime.
class NoEpilogues {
 public:
  NoEpilogues() {
    epilogues_enabled() = false;
    clear_plan_cache();
  }
  ~NoEpilogues() {
    epilogues_enabled() = true;
    clear_plan_cache();
  }
};

Tensor normal(const Shape& shape, unsigned seed, DType dtype = DType::float32) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> all(size_t(numel(shape)));
  for (float& x : all) x = draw(random);
  const Tensor x = astype(from_host(all.data(), DType::float32, shape, cpu()), dtype);
  evaluate(x);
  return x;
}

std::vector<float> bits_of(const Tensor& x) {
  return values(x.dtype() == DType::float32 ? x : astype(x, DType::float32));
}

// The results are the same bits whether programs ride or not, for any number of threads, and some
// program does ride.
void check_same(const std::function<std::vector<Tensor>()>& make) {
  std::vector<std::vector<float>> want;
  {
    const NoEpilogues apart;
    for (const Tensor& x : make()) want.push_back(bits_of(x));
  }
  {
    const std::vector<Tensor> results = make();
    const auto plan = pending_plan(cpu());
    CHECK(std::any_of(plan->steps.begin(), plan->steps.end(), [](const Step& step) {
      return step.program != nullptr && step.kind != "tile";
    }));
  }
  const int before = num_threads();
  for (int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    set_num_threads(threads);
    const std::vector<Tensor> results = make();
    for (size_t i = 0; i < results.size(); ++i) {
      CAPTURE(i);
      const std::vector<float> got = bits_of(results[i]);
      REQUIRE(got.size() == want[i].size());
      CHECK(std::memcmp(got.data(), want[i].data(), got.size() * sizeof(float)) == 0);
    }
  }
  set_num_threads(before);
}

}  // namespace

// ---- plans
// --------------------------------------------------------------------------------------
TEST_CASE("epilogue: bias and activation ride on the product") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48}), b = leaf(null(), {48});
  const Tensor y = tanh(matmul(x, w) + b);
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"matmul"});
  CHECK(plan->arena_bytes == 0);
  CHECK(plan->to_string(false) ==
        "plan on null: 1 steps, arena 0 bytes, 1 outputs, 0 in place\n"
        "  0 matmul add tanh (leaf0:float32(64, 32), leaf1:float32(32, 48), leaf2:float32(64, 48))"
        " -> (out0:float32(64, 48))\n");
}

TEST_CASE("epilogue: a result that somebody else needs is stored too") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48});
  const Tensor product = matmul(x, w), y = tanh(product);
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"matmul"});
  CHECK(plan->output_bytes.size() == 2);
  CHECK(plan->steps[0].output_places[0].index != plan->steps[0].output_places[1].index);
}

TEST_CASE("epilogue: a result of another dtype lies in the arena") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48});
  const Tensor y = astype(matmul(x, w), DType::float64);
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"matmul"});
  CHECK(plan->arena_bytes == 64 * 48 * 4);
}

TEST_CASE("epilogue: operands may be computed after the product was recorded") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48}), r = leaf(null(), {64, 48});
  const auto late = [&] {
    const Tensor product = matmul(x, w);
    return product * sort_with_indices(r, 1, false)[0];
  };
  const Tensor y = late();
  CHECK(kinds(*pending_plan(null())) == Kinds{"sort", "matmul"});
}

TEST_CASE("epilogue: not where another operand waits for the product") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48});
  const auto twice = [&] {
    const Tensor product = matmul(x, w);
    return product + sort_with_indices(product, 0, false)[0];
  };
  const Tensor y = twice();
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul", "sort", "tile"});
}

TEST_CASE("epilogue: of two products the later one carries") {
  const Tensor x = leaf(null(), {64, 64}), w = leaf(null(), {64, 64});
  const auto gated = [&] { return matmul(x, w) * matmul(w, x); };
  const Tensor y = gated();
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"matmul", "matmul"});
  CHECK(plan->steps[0].program == nullptr);
  CHECK(plan->steps[1].program != nullptr);
}

TEST_CASE("epilogue: reductions, repeated results and counted ones stay apart") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48});
  const auto check = [&](auto&& f) {
    const Tensor y = f(matmul(x, w));
    CHECK(kinds(*pending_plan(null())) == Kinds{"matmul", "tile"});
  };
  check([](const Tensor& c) { return sum(square(c), {1}, false); });
  check([&](const Tensor& c) { return c + leaf(null(), {2, 64, 48}); });
  check([](const Tensor& c) { return matrix_transpose(c) + leaf(null(), {48, 64}); });
}

TEST_CASE("epilogue: not where the sum is written over a parameter") {
  Tensor w = leaf(cpu(), {64, 64});
  const Tensor x = leaf(cpu(), {64, 64});
  evaluate(w);
  rebind(w, detach(w - matmul(x, x)), "test");
  const auto plan = pending_plan(cpu());
  CHECK(kinds(*plan) == Kinds{"matmul", "tile"});
  CHECK(donations(*plan) == 1);
}

TEST_CASE("epilogue: not where storing takes the time") {
  const Tensor x = leaf(null(), {64, 32}), w = leaf(null(), {32, 48});
  const Tensor c = matmul(x, w);
  const Tensor a = tanh(c), b = exp(a);
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul"});
  const Tensor d = sin(b);
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul", "tile"});
}

TEST_CASE("epilogue: not where there is nothing to compute") {
  for (const char* name : {"cpu", "null"}) {
    const Tensor x = leaf(device(name), {0, 32}), w = leaf(device(name), {32, 48});
    const Tensor y = tanh(matmul(x, w));
    CHECK(kinds(*pending_plan(device(name))) == Kinds{"matmul", "tile"});
  }
}

TEST_CASE("epilogue: not where the kernel has none or rows are short") {
  const Tensor x = leaf(cpu(), {64, 32}), w = leaf(cpu(), {32, 4});
  const Tensor y = tanh(matmul(x, w));
  CHECK(kinds(*pending_plan(cpu())) == Kinds{"matmul", "tile"});
}

// ---- bits
// --------------------------------------------------------------------------------------
TEST_CASE("epilogue: products of all sizes and dtypes") {
  constexpr int64_t kSizes[][3] = {{128, 300, 512}, {33, 800, 70}, {1, 50, 64}, {300, 40, 1},
                                   {257, 500, 333}, {64, 64, 40},  {5, 7, 1000}};
  for (const DType dtype :
       {DType::float32, DType::float64, DType::float16, DType::bfloat16, DType::int32, DType::int8})
    for (const auto& [m, k, n] : kSizes) {
      CAPTURE(dtype);
      CAPTURE(m);
      CAPTURE(n);
      const Tensor x = normal({m, k}, 1, dtype), w = normal({k, n}, 2, dtype);
      const Tensor bias = normal({n}, 3, dtype), rest = normal({m, n}, 4, dtype);
      const Tensor column = normal({m, 1}, 5, dtype), turned = normal({n, m}, 6, dtype);
      check_same([&] {
        const Tensor c = matmul(x, w);
        return std::vector{maximum(c + bias, constant(0)) * column + rest, c};
      });
      check_same([&] {
        return std::vector{astype(matmul(x, w), DType::float32) * constant(0.125) -
                           astype(matrix_transpose(turned), DType::float32)};
      });
    }
}

TEST_CASE("epilogue: batches, and programs over other axes than the product's") {
  const Tensor x = normal({2, 3, 40, 30}, 1), w = normal({30, 64}, 2),
               v = normal({2, 3, 30, 64}, 3);
  const Tensor bias = normal({64}, 4), heads = normal({16}, 5), image = normal({2, 1, 40, 64}, 6);
  const Tensor planes = normal({3, 1, 64}, 7), all = normal({2, 3, 40, 64}, 8);
  check_same([&] { return std::vector{tanh(matmul(x, w) + bias) + all}; });
  check_same([&] { return std::vector{matmul(x, v) * planes + image}; });
  check_same([&] { return std::vector{reshape(matmul(x, v), {6, 40, 4, 16}) * heads}; });
  check_same([&] { return std::vector{exp(reshape(matmul(x, w), {6 * 40 * 64}))}; });
}
