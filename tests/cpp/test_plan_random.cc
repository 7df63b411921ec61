// Random programs give the same bits whether each operation is evaluated at once or many in one
// plan, whatever lives, dies or is rebound in between.
#include <cmath>
#include <random>

#include "plan/lowering.h"
#include "plan_harness.h"
#include "transform/reverse.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

// The same random decisions for every run with the same seed.
class Program {
 public:
  Program(unsigned seed, bool eager) : random_(seed), eager_(eager) {
    constexpr int64_t kShapes[][2] = {{6, 6}, {1, 5}, {7, 1}, {1, 1}, {3, 40}, {90, 4}};
    rows_ = kShapes[seed % 6][0];
    columns_ = kShapes[seed % 6][1];
    shape_ = {rows_, columns_};
    for (int i = 0; i < 3; ++i) values_.push_back(leaf(device("cpu"), shape_, 0.1f * float(i + 1)));
    if (pick(2)) values_[0].set_requires_grad(true);
  }

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      step();
      if (eager_)
        for (const Tensor& value : values_) evaluate(value);
      if (!eager_ && pick(12, scheduling_) == 0) evaluate({}, Wait::no);
    }
  }

  std::vector<float> result() {
    std::vector<float> all;
    if (values_[0].requires_grad() && values_[0].is_leaf()) {
      Tensor total = sum(detach(values_[0]) * constant(0), {0, 1}, false);
      for (const Tensor& value : values_) total = total + sum(value, {0, 1}, false);
      if (total.requires_grad()) backward(total, {}, {});
      const auto& grad = values_[0].cell().grad;
      if (grad) append(all, *grad);
    }
    for (const Tensor& value : values_) append(all, value);
    return all;
  }

 private:
  static void append(std::vector<float>& all, const Tensor& value) {
    const std::vector<float> more = values(value);
    all.insert(all.end(), more.begin(), more.end());
  }
  size_t pick(size_t count) { return pick(count, random_); }
  static size_t pick(size_t count, std::mt19937& random) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random);
  }
  const Tensor& any() { return values_[pick(values_.size())]; }

  // Every value has the one shape and stays within [-1, 1] or so.
  Tensor operation() {
    const Tensor& a = any();
    const Tensor& b = any();
    switch (pick(16)) {
      case 0:
        return tanh(a + b);
      case 1:
        return a * b;
      case 2:
        return sin(a) - cos(b) * constant(0.5);
      case 3:
        return tanh(matmul(matmul(a, matrix_transpose(b)), a));
      case 4:
        return reshape(permute_dims(a, {1, 0}), shape_);
      case 5:
        return softmax(a, int64_t(pick(2)));
      case 6:
        return a - mean(a, {int64_t(pick(2))}, true);
      case 7:
        return broadcast_to(max(a, {int64_t(pick(2))}, true), shape_);
      case 8:
        return where(less(a, b), a, b * constant(0.5));
      case 9:
        return flip(a, {int64_t(pick(2))});
      case 10: {
        const int64_t upper = int64_t(pick(size_t(rows_) + 1));
        const Tensor top = slice(a, {0, 0}, {upper, columns_}, {1, 1});
        const Tensor rest = slice(b, {upper, 0}, {rows_ - upper, columns_}, {1, 1});
        return concat({top, rest}, 0);
      }
      case 11: {
        const int64_t rows = 1 + int64_t(pick(size_t(rows_))),
                      to = int64_t(pick(size_t(rows_ - rows + 1)));
        const Tensor part = slice(b, {rows_ - rows, 0}, {rows, columns_}, {1, 1});
        return slice_update(a, part, {to, 0}, {1, 1});
      }
      case 12:
        return tanh(sum(reshape(a, {columns_, rows_}), {0, 1}, true) + a);
      case 13:
        return tanh(cumulative(a, int64_t(pick(2)), kCumSum));
      case 14:
        return astype(astype(a, DType::float16) + constant(0.25), DType::float32) * b;
      default:
        return sort_with_indices(a, int64_t(pick(2)), pick(2) == 1)[0];
    }
  }

  void step() {
    Tensor fresh = operation();
    const size_t what = pick(10);
    if (what < 5 || values_.size() < 3) {
      values_.push_back(std::move(fresh));
    } else if (what < 8) {
      values_[1 + pick(values_.size() - 1)] = std::move(fresh);
    } else {
      const GradMode off(false);
      rebind(values_[pick(values_.size())], detach(fresh), "test");
    }
    if (values_.size() > 8) values_.erase(values_.begin() + 1 + int64_t(pick(values_.size() - 1)));
  }

  int64_t rows_, columns_;
  Shape shape_;
  std::mt19937 random_, scheduling_{1};
  bool eager_;
  std::vector<Tensor> values_;
};

constexpr unsigned kSeeds = 300;

std::vector<float> run(unsigned seed, bool eager) {
  Program program(seed, eager);
  program.run(20 + int(seed % 60));
  return program.result();
}

void check_seeds() {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    const std::vector<float> expected = run(seed, true), found = run(seed, false);
    REQUIRE(expected.size() == found.size());
    size_t differing = 0;
    for (size_t i = 0; i < found.size(); ++i)
      differing += std::memcmp(&expected[i], &found[i], sizeof(float)) != 0 &&
                   !(std::isnan(expected[i]) && std::isnan(found[i]));
    INFO("seed ", seed);
    CHECK(differing == 0);
  }
}

}  // namespace

TEST_CASE("plan: random programs give the same bits in one plan as one by one") { check_seeds(); }

TEST_CASE("plan: the same where every value counts as large") {
  const int64_t before = large_value_bytes();
  clear_plan_cache();
  large_value_bytes() = 1;
  check_seeds();
  large_value_bytes() = before;
  clear_plan_cache();
}
