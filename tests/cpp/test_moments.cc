#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

struct Case {
  Shape shape;
  Attrs axes;
  Shape result() const {
    Shape kept = shape;
    for (int64_t axis : axes) kept[size_t(axis)] = 1;
    return kept;
  }
};

const Case kCases[] = {
    {{3}, {0}},
    {{1, 1}, {0, 1}},
    {{5, 70}, {0}},
    {{5, 70}, {1}},
    {{2000, 3}, {0}},
    {{4, 20, 3, 7}, {0, 2, 3}},
    {{3, 17, 23, 29}, {0, 2, 3}},
    {{2, 3, 5, 4, 6}, {2, 3, 4}},
    {{2, 3, 5, 4, 6}, {1, 3}},
    {{1, 130, 300}, {0, 2}},
};

void moments(const Case& c, const View& x, const View& mean, const View& variance) {
  run_kernel(cpu::neural_kernels(), "moments", {x}, {mean, variance}, c.axes);
}

// Which result each element goes into.
int64_t result_of(const Case& c, int64_t flat) {
  int64_t at[8] = {}, index = 0;
  const Shape kept = c.result();
  for (size_t a = c.shape.size(); a-- > 0;) {
    at[a] = flat % c.shape[a];
    flat /= c.shape[a];
  }
  for (size_t a = 0; a < kept.size(); ++a) index = index * kept[a] + (kept[a] == 1 ? 0 : at[a]);
  return index;
}

}  // namespace

TEST_CASE("moments: against double precision, the same bits in every layout") {
  std::mt19937 random(4);
  for_each_isa([&] {
    for (const Case& c : kCases)
      for (DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::float16}) {
        const DType wide = dtype == DType::float64 ? dtype : DType::float32;
        Array x(dtype, c.shape), mean(wide, c.result()), variance(wide, c.result());
        fill_normal(x, random);
        for (int64_t i = 0; i < x.size(); ++i) x.set(i, x.get(i) + 30);
        std::vector<long double> sums(mean.size()), squares(mean.size());
        const double count = double(x.size()) / double(mean.size());
        for (int64_t i = 0; i < x.size(); ++i) sums[result_of(c, i)] += x.get(i);
        for (int64_t i = 0; i < x.size(); ++i) {
          const long double apart = x.get(i) - sums[result_of(c, i)] / count;
          squares[result_of(c, i)] += apart * apart;
        }
        std::vector<double> centers, spreads;
        for (long double sum : sums) centers.push_back(double(sum / count));
        for (long double sum : squares) spreads.push_back(double(sum / count));
        moments(c, x.view(), mean.view(), variance.view());
        const double unit = wide == DType::float64 ? 0x1p-52 : 0x1p-23;
        CAPTURE(c.shape);
        CAPTURE(dtype);
        CHECK(largest_error(mean, centers, 30 * unit) < 2);
        CHECK(largest_error(variance, spreads, 3 * unit) < 8);
        for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
          Array other = in_layout(x, layout), mean2(wide, c.result()), variance2(wide, c.result());
          moments(c, other.view(), mean2.view(), variance2.view());
          CHECK(mean2.memory == mean.memory);
          CHECK(variance2.memory == variance.memory);
        }
      }
  });
}

TEST_CASE("moments: the same bits for any number of threads, and of nothing") {
  std::mt19937 random(5);
  const Case large{{16, 40, 30, 30}, {0, 2, 3}};
  Array x(DType::float32, large.shape), mean(DType::float32, large.result());
  Array variance(DType::float32, large.result());
  fill_normal(x, random);
  check_threads(mean, [&] { moments(large, x.view(), mean.view(), variance.view()); });
  check_threads(variance, [&] { moments(large, x.view(), mean.view(), variance.view()); });

  const Case none{{0, 3}, {0}}, no_results{{3, 0}, {0}};
  Array empty(DType::float32, none.shape), m(DType::float32, none.result()), v = m;
  moments(none, empty.view(), m.view(), v.view());
  for (int64_t i = 0; i < 3; ++i) CHECK(std::isnan(m.get(i)));
  Array m0(DType::float32, no_results.result()), v0 = m0;
  moments(no_results, empty.view(), m0.view(), v0.view());
}
