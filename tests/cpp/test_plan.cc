// The planner: what is fused, what costs nothing, how memory is shared and when a plan is found
// again.
#include <algorithm>

#include "plan_harness.h"
#include "transform/reverse.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

using Kinds = std::vector<std::string_view>;

Backend& null() { return device("null"); }
Backend& cpu() { return device("cpu"); }

}  // namespace

// ---- fusion
// --------------------------------------------------------------------------------------
TEST_CASE("plan: an elementwise chain is one step") {
  const Tensor x = leaf(null(), {8, 16}), bias = leaf(null(), {16});
  const Tensor y = tanh((x + bias) * constant(2)) - exp(x);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
}

TEST_CASE("plan: a chain and the reduction at its end are one step") {
  const Tensor x = leaf(null(), {8, 16});
  const Tensor rows = sum(square(x - constant(1)), {1}, false);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
  const Tensor columns = sum(square(x + constant(1)), {0}, false);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile", "tile"});
}

TEST_CASE("plan: softmax written out is one program") {
  const Tensor x = leaf(null(), {8, 16});
  const auto softmax_of = [](const Tensor& x) {
    const Tensor e = exp(x - max(x, {1}, true));
    return e / sum(e, {1}, true);
  };
  const Tensor y = softmax_of(x);
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"tile"});
  CHECK(plan->arena_bytes == 0);
}

TEST_CASE("plan: both sides of a diamond run in one step") {
  const Tensor x = leaf(null(), {64});
  const auto diamond = [](const Tensor& x) {
    const Tensor top = exp(x);
    return (top + constant(1)) * (top * constant(2));
  };
  const Tensor y = diamond(x);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
}

TEST_CASE("plan: a way round through a product is not closed to a cycle") {
  const Tensor x = leaf(null(), {8, 8}), w = leaf(null(), {8, 8});
  const auto around = [&] {
    const Tensor a = tanh(x);
    return a + matmul(a, w);
  };
  const Tensor y = around();
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile", "matmul"});
}

TEST_CASE("plan: programs stay small, however long the chain") {
  Tensor x = leaf(null(), {64});
  for (int i = 0; i < 500; ++i) x = tanh(x);
  const auto plan = pending_plan(null());
  CHECK(plan->steps.size() > 1);
  CHECK(plan->steps.size() < 40);
  for (const Step& step : plan->steps) CHECK(step.program->instrs.size() < 100);
}

TEST_CASE("plan: what is recorded twice is computed once") {
  const Tensor x = leaf(null(), {8, 8}), w = leaf(null(), {8, 8});
  const Tensor a = matmul(x, w), b = matmul(x, w);
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul"});
}

TEST_CASE("plan: cheap values are computed again where storing them moves more bytes") {
  const Tensor x = leaf(null(), {8, 64, 256}), w = leaf(null(), {256, 4});
  const int64_t whole = x.size() * int64_t(sizeof(float));
  const auto scaled = [&](const Tensor& apart) {
    return apart * mean(square(apart), {0, 2}, true);
  };
  {
    const Tensor y = scaled(x - mean(x, {0, 2}, true));
    CHECK(pending_plan(null())->arena_bytes < whole);
  }
  {
    const Tensor y = scaled(exp(x - mean(x, {0, 2}, true)));
    CHECK(pending_plan(null())->arena_bytes >= whole);  // not cheap
  }
  const auto multiplied = [&](const Tensor& apart) {
    return Tensors{scaled(apart), matmul(apart, w)};
  };
  const Tensors y = multiplied(x - mean(x, {0, 2}, true));
  CHECK(pending_plan(null())->arena_bytes >= whole);  // the product needs it in memory
}

TEST_CASE("plan: functions are computed again where values go through memory") {
  const auto stored = [](int64_t rows) {
    Tensor x = leaf(null(), {rows, 1024}), w = leaf(null(), {1024, 1024});
    x.set_requires_grad(true);
    const Tensor loss = sum(square(matmul(exp(x * constant(2)) * x, w)), {0, 1}, false);
    backward(loss, {}, {});
    const auto plan = pending_plan(null());
    int64_t exps = 0;
    for (const Step& step : plan->steps)
      if (step.program)
        for (const TileInstr& instr : step.program->instrs) exps += instr.op == TileOp::exp;
    x.cell().grad.reset();  // which holds x
    return exps;
  };
  CHECK(stored(64) == 1);
  CHECK(stored(1024) == 2);
}

TEST_CASE("plan: reductions that read the same large value are one step") {
  const Tensor x = leaf(null(), {64, 512}), y = leaf(null(), {64, 512});
  const Tensor a = sum(x, {1}, false), b = sum(x * y, {1}, false);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
}

TEST_CASE("plan: but not where one of them waits for the other") {
  const Tensor x = leaf(null(), {64, 512}), w = leaf(null(), {64, 1});
  const Tensor a = matmul(matrix_transpose(sum(x, {1}, true)), w);
  const Tensor b = sum(x * a, {1}, false);
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile", "matmul", "tile"});
}

TEST_CASE("plan: random draws of the same kind stay apart") {
  Generator generator{7, 0};
  const Tensor a = random_tensor(generator, kRandomUniform, {100}, DType::float32);
  const Tensor b = random_tensor(generator, kRandomUniform, {100}, DType::float32);
  CHECK(values(a) != values(b));
}

// ---- what is not computed
// ------------------------------------------------------------------------
TEST_CASE("plan: views cost no steps") {
  const Tensor x = leaf(null(), {4, 6});
  const Tensor turned = permute_dims(x, {1, 0});
  const Tensor part = slice(x, {1, 2}, {2, 3}, {1, 1});
  const Tensor wide = broadcast_to(expand_dims(x, 0), {5, 4, 6});
  const Tensor flat = reshape(x, {24});
  CHECK(pending_plan(null())->steps.empty());
  const Tensor copied = reshape(turned, {24});
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
}

TEST_CASE("plan: kernels read views in place") {
  const Tensor x = leaf(null(), {6, 8}), w = leaf(null(), {6, 4});
  const Tensor y = matmul(matrix_transpose(x), w);
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul"});
  const Tensor z = tanh(slice(x, {0, 2}, {6, 4}, {1, 1})) + w;
  CHECK(kinds(*pending_plan(null())) == Kinds{"matmul", "tile"});
}

TEST_CASE("plan: a value nobody holds is not computed") {
  const Tensor x = leaf(null(), {8, 8});
  Tensor dead = matmul(x, x);
  const Tensor y = x + constant(1);
  CHECK(pending_plan(null())->steps.size() == 2);
  dead = {};
  CHECK(kinds(*pending_plan(null())) == Kinds{"tile"});
}

// ---- memory
// --------------------------------------------------------------------------------------
TEST_CASE("plan: values share the arena by their lifetimes") {
  constexpr int64_t kBytes = 32 * 32 * 4;
  const Tensor w = leaf(null(), {32, 32});
  Tensor x = w;
  for (int i = 0; i < 10; ++i) x = matmul(x, w);
  const auto plan = pending_plan(null());
  CHECK(plan->steps.size() == 10);
  CHECK(plan->arena_bytes == 2 * kBytes);
  CHECK(plan->output_bytes == std::vector<int64_t>{kBytes});
}

TEST_CASE("plan: an elementwise step writes over an input that dies") {
  constexpr int64_t kBytes = 32 * 32 * 4;
  const Tensor w = leaf(null(), {32, 32});
  const Tensor y = matmul(tanh(cumulative(w, 0, kCumSum)), w);
  const auto plan = pending_plan(null());
  CHECK(kinds(*plan) == Kinds{"cumulative", "tile", "matmul"});
  CHECK(plan->arena_bytes == kBytes);
}

TEST_CASE("plan: a kept view of little holds little") {
  const Tensor x = leaf(cpu(), {64, 64});
  const Tensor row = slice(matmul(x, x), {3, 0}, {1, 64}, {1, 1});
  const Tensor most = slice(matmul(x, x + x), {1, 0}, {60, 64}, {1, 1});
  evaluate(row);
  CHECK(row.output().buffer->bytes() == 64 * 4);
  CHECK(most.output().buffer->bytes() == 64 * 64 * 4);
}

// ---- donation
// ------------------------------------------------------------------------------------
TEST_CASE("donation: a leaf that nobody else holds is overwritten") {
  Tensor x = leaf(cpu(), {100});
  const std::byte* memory = x.output().buffer->data();
  const Tensor y = x + constant(1);
  x = {};
  CHECK(donations(*pending_plan(cpu())) == 1);
  evaluate(y);
  CHECK(y.output().buffer->data() == memory);
  CHECK(values(y)[3] == 0.25f + 0.375f + 1);
}

TEST_CASE("donation: not where a handle lives") {
  const Tensor x = leaf(cpu(), {100});
  const std::vector<float> before = values(x);
  const Tensor y = x + constant(1);
  CHECK(donations(*pending_plan(cpu())) == 0);
  evaluate(y);
  CHECK(values(x) == before);
}

TEST_CASE("donation: not where the memory was lent or is seen from outside") {
  Tensor x = leaf(cpu(), {100});
  const Ref<Buffer> buffer = x.output().buffer;
  const Tensor y = x + constant(1);
  x = {};
  CHECK(donations(*pending_plan(cpu())) == 0);  // this reference

  Tensor exported = leaf(cpu(), {100});
  Buffer& seen = *exported.output().buffer;
  seen.add_export();
  const Tensor z = exported + constant(1);
  exported = {};
  CHECK(donations(*pending_plan(cpu())) == 0);
  seen.drop_export();
  CHECK(donations(*pending_plan(cpu())) == 1);
}

TEST_CASE("donation: not where a view of the leaf is kept") {
  Tensor x = leaf(cpu(), {10, 10});
  const std::vector<float> before = values(x);
  const Tensor turned = permute_dims(x, {1, 0});
  const Tensor y = x + constant(1);
  x = {};
  evaluate(y);
  CHECK(values(permute_dims(turned, {1, 0})) == before);
}

TEST_CASE("donation: two leaves of one buffer give it away at most once") {
  Tensor x = leaf(cpu(), {100});
  const std::vector<float> before = values(x);
  Tensor alias = from_buffer(x.output().buffer, DType::float32, {100}, x.output().layout);
  const Tensor a = x + constant(1), b = alias * constant(3);
  const bool two_handles = x.output().buffer->ref_count() == 2;
  CHECK(two_handles);
  x = alias = {};
  CHECK(donations(*pending_plan(cpu())) <= 1);
  evaluate(a);
  for (size_t i = 0; i < before.size(); ++i) {
    CHECK(values(a)[i] == before[i] + 1);
    CHECK(values(b)[i] == before[i] * 3);
  }
}

TEST_CASE("donation: other readers of the leaf come first") {
  Tensor x = leaf(cpu(), {32, 32});
  const std::vector<float> before = values(x);
  const Tensor y = x + constant(1);
  const Tensor product = matmul(x, x);  // recorded later, must run before
  x = {};
  const auto plan = pending_plan(cpu());
  CHECK(kinds(*plan).back() == "tile");
  CHECK(plan->late_begin == 1);
  evaluate(product);
  float expected = 0;
  for (int k = 0; k < 32; ++k) expected += before[size_t(k)] * before[size_t(k * 32)];
  CHECK(values(product)[0] == doctest::Approx(expected));
  CHECK(values(y)[5] == before[5] + 1);
}

TEST_CASE("donation: writes come after all that can fail") {
  Tensor x = leaf(cpu(), {100}), table = leaf(cpu(), {10});
  const Tensor y = x + constant(1);
  const int64_t wrong = 10;
  const Tensor index = from_host(&wrong, DType::int64, {1}, cpu());
  const Tensor z = take(table, index, 0);
  x = {};
  const auto plan = pending_plan(cpu());
  CHECK(donations(*plan) == 1);
  for (size_t s = 0; s < plan->steps.size(); ++s)
    if (plan->steps[s].kernel->can_fail) CHECK(s < plan->late_begin);
  CHECK(plan->late_begin < plan->steps.size());
  CHECK_THROWS_WITH(evaluate(z), doctest::Contains("out of bounds"));
}

TEST_CASE("donation: a rebound handle keeps its old value when the plan fails") {
  Tensor x = leaf(cpu(), {100});
  const std::vector<float> before = values(x);
  {
    const GradMode off(false);
    rebind(x, x + constant(1), "add");
  }
  const int64_t wrong = -101;
  const Tensor index = from_host(&wrong, DType::int64, {1}, cpu());
  const Tensor z = take(leaf(cpu(), {10}), index, 0);
  CHECK_THROWS(evaluate(z));
  CHECK(values(x) == before);
}

// ---- the key
// -------------------------------------------------------------------------------------
TEST_CASE("key: the same graph again, with other values and numbers") {
  const auto key_of = [](const Shape& shape, double number, int64_t start, bool keep_half) {
    const Tensor x = leaf(null(), shape, float(number));
    Tensor half = x * constant(number);
    Dims starts(shape.size(), start), sizes(shape.size(), 2), steps(shape.size(), 1);
    const Tensor y = exp(slice(half, starts, sizes, steps));
    if (!keep_half) half = {};
    return take_snapshot({}, null()).key;
  };
  const auto key = key_of({8, 8}, 2, 1, false);
  CHECK(key == key_of({8, 8}, 2, 1, false));
  CHECK(key == key_of({8, 8}, -0.5, 3, false));
  CHECK(key != key_of({8, 9}, 2, 1, false));
  CHECK(key != key_of({8, 8}, 2, 1, true));
}

TEST_CASE("key: dtypes, strides and sharing are part of it") {
  const auto key_of = [](const Tensor& a, const Tensor& b) {
    const Tensor y = a + b;
    return take_snapshot({}, null()).key;
  };
  const Tensor a = leaf(null(), {8, 8}), b = leaf(null(), {8, 8});
  Layout turned = a.output().layout;
  std::swap(turned.strides[0], turned.strides[1]);
  const Tensor c = from_buffer(a.output().buffer, DType::float32, {8, 8}, turned);
  CHECK(key_of(a, b) == key_of(b, a));
  CHECK(key_of(a, b) != key_of(a, a));
  CHECK(key_of(c, b) != key_of(a, b));
  const Tensor whole = from_buffer(a.output().buffer, DType::int32, {8, 8}, a.output().layout);
  CHECK(key_of(whole, b) != key_of(a, b));
}

TEST_CASE("key: the cache counts hits, misses and evictions") {
  clear_plan_cache();
  const auto run = [](int64_t size) { evaluate(leaf(cpu(), {size}) + constant(1)); };
  run(3);
  run(3);
  run(4);
  CHECK(plan_cache_stats().hits == 1);
  CHECK(plan_cache_stats().misses == 2);
  set_plan_cache_limit(1);
  CHECK(plan_cache_stats().evictions == 1);
  CHECK(plan_cache_stats().plans == 1);
  set_plan_cache_limit(512);
  clear_plan_cache();
}

// ---- depth
// ---------------------------------------------------------------------------------------
TEST_CASE("depth: 100,000 nodes forward, backward and released") {
  constexpr int kDepth = 100'000;
  for (const size_t limit : {size_t(5000), size_t(10'000'000)}) {
    const PendingLimit pending(limit);
    Tensor x = leaf(cpu(), {2});
    x.set_requires_grad(true);
    Tensor y = x;
    for (int i = 0; i < kDepth; ++i) y = y * constant(1);
    y = sum(y, {0}, false);
    backward(y, {}, {});
    CHECK(item_as_double(y) == doctest::Approx(0.25 + 0.375));
    REQUIRE(x.cell().grad);
    CHECK(values(*x.cell().grad) == std::vector<float>{1, 1});
  }
}

TEST_CASE("depth: a chain of 100,000 that nobody reads is released") {
  const PendingLimit pending(10'000'000);
  Tensor y = leaf(null(), {2});
  for (int i = 0; i < 100'000; ++i) y = exp(y);
  CHECK(PendingList::current().size() >= 100'000);
  y = {};
  CHECK(PendingList::current().size() == 0);
}

// ---- devices ----------------------------------------------------------------------------------
TEST_CASE("devices: constants of derivatives lie beside their tensors") {
  Tensor x = leaf(null(), {3, 4});
  x.set_requires_grad(true);
  const Tensor loss =
      sum(max(softmax(slice(x, {1, 0}, {2, 4}, {1, 1}), 1), {1}, false), {0}, false);
  backward(loss, {}, {});
  REQUIRE(x.cell().grad);
  CHECK(&x.cell().grad->device() == &null());
}
