#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "kernel_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

void sorting_kernel(std::string_view kind, std::vector<View> in, std::vector<View> out,
                    const Attrs& attrs) {
  run_kernel(cpu::sorting_kernels(), kind, in, out, attrs);
}

// Few distinct values, with the special ones of the dtype.
void fill_special(Array& x, std::mt19937& random) {
  const DType dtype = x.shell.dtype;
  for (int64_t i = 0; i < x.size(); ++i) {
    const int pick = int(random() % 12);
    double value = pick;
    if (is_signed_integer(dtype)) value = pick - 6;
    if (is_floating(dtype)) {
      const double specials[] = {kNan, -kNan, kInf, -kInf, 0.0, -0.0};
      value = pick < 6 ? specials[pick] : pick - 9;
    }
    x.set(i, value);
  }
}

bool same_bits(double a, double b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0 || (a != a && b != b);
}

// a comes before b; NaN comes after all else.
bool before(double a, double b, bool descending) {
  if (a != a) return false;
  if (b != b) return true;
  return descending ? a > b : a < b;
}

void check_sort(Array& x, bool descending) {
  Array values(x.shell.dtype, x.shell.shape), indices(DType::int64, x.shell.shape);
  const int64_t length = x.shell.shape.back();
  sorting_kernel("sort", {x.view()}, {values.view(), indices.view()},
                 {int64_t(x.shell.shape.size()) - 1, descending ? kDescending : kAscending});
  bool same = true;
  for (int64_t row = 0; length > 0 && row < x.size() / length; ++row) {
    std::vector<double> from(length);
    for (int64_t i = 0; i < length; ++i) from[i] = x.get(row * length + i);
    std::vector<int64_t> order(length);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return before(from[a], from[b], descending); });
    for (int64_t i = 0; i < length; ++i) {
      same &= indices.get(row * length + i) == double(order[i]);
      same &= same_bits(values.get(row * length + i), from[order[i]]);
    }
  }
  CHECK(same);
}

}  // namespace

TEST_CASE("sort is stable, with NaN last, in both directions") {
  std::mt19937 random(1);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (const Shape& shape : {Shape{7}, Shape{4, 33}, Shape{2, 3, 50}, Shape{3, 0}, Shape{0, 3},
                                 Shape{2, 1}, Shape{2, 1500}})
        for (bool descending : {false, true}) {
          CAPTURE(dtype);
          CAPTURE(shape);
          CAPTURE(int(layout));
          Array x(dtype, shape, layout);
          fill_special(x, random);
          check_sort(x, descending);
        }
}

TEST_CASE("sort orders full-range values") {
  std::mt19937_64 random(2);
  for (DType dtype : kAllDTypes) {
    if (dtype == DType::bool_) continue;
    Array x(dtype, {3000});
    for (auto& byte : x.memory) byte = std::byte(random());
    if (dtype == DType::int64 || dtype == DType::uint64)  // exact in the reference's doubles
      for (int64_t i = 0; i < x.size(); ++i) x.at<uint64_t>(i) &= 0xfffffffffffff800u;
    CAPTURE(dtype);
    check_sort(x, false);
    check_sort(x, true);
  }
}

TEST_CASE("sort deals long rows into buckets") {
  std::mt19937_64 random(7);
  for (DType dtype : {DType::float32, DType::float64, DType::int32, DType::uint8, DType::float16})
    for (int skew : {0, 1, 2}) {
      Array x(dtype, {400'001});
      if (skew == 0) {  // values of all kinds
        std::mt19937 small(8);
        fill_special(x, small);
      }
      for (int64_t i = 0; i < x.size(); ++i) {
        if (skew == 1) x.set(i, double(random() % 200));
        // Most differ in their low bits alone, so buckets are dealt again.
        if (skew == 2) x.set(i, i % 1000 == 0 ? -100.0 : 100 + double(random() >> 11) * 0x1p-53);
      }
      CAPTURE(dtype);
      CAPTURE(skew);
      check_sort(x, skew == 1);
    }
}

TEST_CASE("sort without indices") {
  std::mt19937 random(9);
  for (DType dtype : kAllDTypes)
    for (int64_t length : {5, 1000, 200'000})
      for (bool descending : {false, true}) {
        Array x(dtype, {2, length}), values(dtype, x.shell.shape), alone(dtype, x.shell.shape);
        Array indices(DType::int64, x.shell.shape);
        fill_special(x, random);
        const Attrs attrs{1, descending ? kDescending : kAscending};
        sorting_kernel("sort", {x.view()}, {values.view(), indices.view()}, attrs);
        View none = indices.view();
        none.data = nullptr;
        sorting_kernel("sort", {x.view()}, {alone.view(), none}, attrs);
        bool same = true;
        for (int64_t i = 0; i < x.size(); ++i) same &= same_bits(values.get(i), alone.get(i));
        CAPTURE(dtype);
        CHECK(same);
      }
}

TEST_CASE("topk is the beginning of sort") {
  std::mt19937 random(10);
  const auto check = [&](Array& x, int64_t k, bool descending) {
    Shape first = x.shell.shape;
    const int64_t length = first.back(), last_axis = int64_t(first.size()) - 1;
    first.back() = k;
    Array values(x.shell.dtype, first), indices(DType::int64, first);
    Array all(x.shell.dtype, x.shell.shape), order(DType::int64, x.shell.shape);
    const int64_t mode = descending ? kDescending : kAscending;
    sorting_kernel("sort", {x.view()}, {all.view(), order.view()}, {last_axis, mode});
    check_threads(indices, [&] {
      sorting_kernel("topk", {x.view()}, {values.view(), indices.view()}, {k, mode});
    });
    bool same = true;
    for (int64_t i = 0; i < values.size(); ++i) {
      const int64_t at = i / k * length + i % k;
      same &= indices.get(i) == order.get(at) && same_bits(values.get(i), all.get(at));
    }
    CAPTURE(x.shell.dtype);
    CAPTURE(x.shell.shape);
    CAPTURE(k);
    CAPTURE(descending);
    CHECK(same);
  };
  for (DType dtype : kAllDTypes)
    for (bool descending : {false, true}) {
      for (Layout layout : kLayouts)
        for (const Shape& shape : {Shape{1}, Shape{3, 700}, Shape{2, 5, 257}, Shape{0, 3}}) {
          Array x(dtype, shape, layout);
          fill_special(x, random);
          for (int64_t k : {int64_t(1), shape.back() / 8, shape.back()}) check(x, k, descending);
        }
      for (const Shape& shape : {Shape{150'001}, Shape{300, 900}})
        for (int kind : {0, 1, 2}) {
          if (kind == 2 && !is_floating(dtype)) continue;
          Array x(dtype, shape);
          if (kind == 0) fill_special(x, random);
          for (int64_t i = 0; kind == 1 && i < x.size(); ++i) x.set(i, double(random() % 50'000));
          for (int64_t i = 0; kind == 2 && i < x.size(); ++i)  // the worst order, NaN between
            x.set(i, i % 9 == 4 ? kNan : double(descending ? i : x.size() - i));
          for (int64_t k : {1, 10, 100}) check(x, k, descending);
        }
    }
}

TEST_CASE("topk without indices or without values") {
  std::mt19937 random(11);
  Array x(DType::float32, {3, 500}), values(DType::float32, {3, 5}), indices(DType::int64, {3, 5}),
      values_alone(DType::float32, {3, 5}), indices_alone(DType::int64, {3, 5});
  x.fill(random, 0, 100);
  const auto without = [](Array& a) {
    View v = a.view();
    v.data = nullptr;
    return v;
  };
  sorting_kernel("topk", {x.view()}, {values.view(), indices.view()}, {5, kDescending});
  sorting_kernel("topk", {x.view()}, {values_alone.view(), without(indices)}, {5, kDescending});
  sorting_kernel("topk", {x.view()}, {without(values), indices_alone.view()}, {5, kDescending});
  CHECK(values.memory == values_alone.memory);
  CHECK(indices.memory == indices_alone.memory);
}

TEST_CASE("cumulative agrees with a loop in every dtype") {
  std::mt19937 random(3);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (const Shape& shape : {Shape{5}, Shape{4, 6}, Shape{3, 4, 5}, Shape{0, 3}, Shape{3, 0},
                                 Shape{300, 3}, Shape{3, 300}})
        for (size_t axis = 0; axis < shape.size(); ++axis)
          for (int64_t mode : {kCumSum, kCumProd, kCumMax, kCumMin}) {
            Array x(dtype, shape, layout), out(dtype, shape);
            if (mode == kCumSum || mode == kCumProd) {
              x.fill(random, 0, 2);
            } else {
              fill_special(x, random);
            }
            CAPTURE(dtype);
            CAPTURE(shape);
            CAPTURE(axis);
            CAPTURE(mode);
            sorting_kernel("cumulative", {x.view()}, {out.view()}, {int64_t(axis), mode});
            int64_t inner = 1;
            for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
            bool same = true;
            dispatch(dtype, [&](auto zero) {
              using T = decltype(zero);
              using C = compute_t<T>;
              std::vector<C> totals(std::max<int64_t>(x.size(), 1));
              for (int64_t i = 0; i < x.size(); ++i) {
                const C value = C(x.at<T>(i));
                C total = value;
                if (i / inner % shape[axis] > 0) {
                  const C last = totals[i - inner];
                  if (mode == kCumSum) total = C(last + value);
                  if (mode == kCumProd) total = C(last * value);
                  if (mode == kCumMax && !(value > last || value != value)) total = last;
                  if (mode == kCumMin && !(value < last || value != value)) total = last;
                  if (mode >= kCumMax && last != last) total = last;
                }
                totals[i] = total;
                same &= same_bits(double(T(total)), out.get(i));
              }
            });
            CHECK(same);
          }
}

// The order that sorting_scan.cc promises.
template <class C>
std::vector<C> blocked_sums(const std::vector<C>& x) {
  std::vector<C> sums;
  C blocks = C(-0.0), segments = C(-0.0), total = C(-0.0);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i > 0 && i % 128 == 0) segments += std::exchange(total, C(-0.0));
    if (i > 0 && i % 1024 == 0) blocks += std::exchange(segments, C(-0.0));
    total += x[i];
    sums.push_back((blocks + segments) + total);
  }
  return sums;
}

TEST_CASE("running sums have one order in every layout, for any number of threads") {
  std::mt19937 random(12);
  std::normal_distribution<double> normal;
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (Layout layout : kLayouts)
      for (const Shape& shape : {Shape{129}, Shape{1023}, Shape{5, 2500}, Shape{2500, 5},
                                 Shape{70'001}, Shape{2, 66'000}, Shape{66'000, 2}}) {
        const size_t axis = shape.size() == 2 && shape[1] > shape[0] ? 1 : 0;
        Array x(dtype, shape, layout), out(dtype, shape);
        for (int64_t i = 0; i < x.size(); ++i) x.set(i, normal(random));
        CAPTURE(dtype);
        CAPTURE(shape);
        CAPTURE(int(layout));
        check_threads(out, [&] {
          sorting_kernel("cumulative", {x.view()}, {out.view()}, {int64_t(axis), kCumSum});
        });
        const int64_t length = shape[axis], lines = x.size() / length;
        bool same = true;
        dispatch_floating(dtype, [&](auto zero) {
          using T = decltype(zero);
          for (int64_t line = 0; line < lines; ++line) {
            const auto at = [&](int64_t i) { return axis ? line * length + i : i * lines + line; };
            std::vector<compute_t<T>> values;
            for (int64_t i = 0; i < length; ++i) values.push_back(x.at<T>(at(i)));
            const auto sums = blocked_sums(values);
            for (int64_t i = 0; i < length; ++i)
              same &= same_bits(double(T(sums[size_t(i)])), out.get(at(i)));
          }
        });
        CHECK(same);
      }
}

TEST_CASE("running sums of a long line stay accurate") {
  Array x(DType::float32, {3'000'000}), out(DType::float32, {3'000'000});
  std::fill_n(&x.at<float>(0), x.size(), 0.1f);
  sorting_kernel("cumulative", {x.view()}, {out.view()}, {0, kCumSum});
  double worst = 0;
  for (int64_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, std::abs(out.at<float>(i) / (double(0.1f) * double(i + 1)) - 1));
  CHECK(worst < 1e-4);
}

TEST_CASE("products go in order: nothing after a zero brings it back") {
  Array x(DType::float32, {3000}), out(DType::float32, {3000});
  std::fill_n(&x.at<float>(0), x.size(), 1e30f);
  x.at<float>(0) = 0;
  sorting_kernel("cumulative", {x.view()}, {out.view()}, {0, kCumProd});
  for (double v : out.values()) CHECK(v == 0);
}

TEST_CASE("argreduce finds the first best, and the first NaN before any") {
  std::mt19937 random(4);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (const Shape& shape : {Shape{1}, Shape{9}, Shape{5, 7}, Shape{3, 4, 6}, Shape{0, 3},
                                 Shape{2, 3000}, Shape{300, 5}})
        for (int64_t mode : {kArgMax, kArgMin})
          for (bool special : {false, true}) {
            Array x(dtype, shape, layout);
            if (special) {
              fill_special(x, random);
            } else {
              x.fill(random, 0, 100);
            }
            Shape rows = shape;
            const int64_t length = rows.back();
            rows.pop_back();
            Array out(DType::int64, rows);
            CAPTURE(dtype);
            CAPTURE(shape);
            sorting_kernel("argreduce", {x.view()}, {out.view()},
                           {int64_t(shape.size()) - 1, mode});
            bool same = true;
            for (int64_t row = 0; row < out.size(); ++row) {
              int64_t best = 0;
              for (int64_t i = 1; i < length; ++i) {
                const double a = x.get(row * length + best), b = x.get(row * length + i);
                if (a != a) break;
                if (b != b || (mode == kArgMax ? b > a : b < a)) best = i;
              }
              same &= out.get(row) == double(best);
            }
            CHECK(same);
          }
}

TEST_CASE("nonzero lists coordinates in row-major order") {
  std::mt19937 random(5);
  for (Layout layout : kLayouts)
    for (const Shape& shape :
         {Shape{9}, Shape{5, 7}, Shape{3, 4, 6}, Shape{0, 3}, Shape{300, 301}, Shape{}}) {
      Array mask(DType::bool_, shape, layout);
      mask.fill(random, 0, 1);
      std::vector<int64_t> found;
      for (int64_t i = 0; i < mask.size(); ++i)
        if (mask.get(i) != 0) found.push_back(i);
      const int64_t count = int64_t(found.size()), rank = int64_t(shape.size());
      Array out(DType::int64, {rank, count});
      check_threads(out, [&] { sorting_kernel("nonzero", {mask.view()}, {out.view()}, {}); });
      bool same = true;
      for (int64_t k = 0; k < count; ++k) {
        int64_t flat = 0;
        for (int64_t axis = 0; axis < rank; ++axis)
          flat = flat * shape[axis] + int64_t(out.get(axis * count + k));
        same &= rank == 0 || flat == found[k];
      }
      CHECK(same);
    }
}

TEST_CASE("searchsorted finds the place of each element, NaN last") {
  std::mt19937 random(13);
  for (DType dtype : kAllDTypes)
    for (Layout layout : {Layout::dense, Layout::flipped, Layout::gaps})
      for (int64_t length : {0, 1, 2, 7, 1000})
        for (const Shape& shape : {Shape{}, Shape{17}, Shape{30, 41}, Shape{0, 3}})
          for (bool right : {false, true}) {
            Array x(dtype, {length}, layout), wanted(dtype, shape, layout);
            fill_special(x, random);
            fill_special(wanted, random);
            std::vector<double> sorted = x.values();
            std::stable_sort(sorted.begin(), sorted.end(),
                             [](double a, double b) { return before(a, b, false); });
            for (int64_t i = 0; i < length; ++i) x.set(i, sorted[size_t(i)]);
            Array out(DType::int64, shape);
            check_threads(out, [&] {
              sorting_kernel("searchsorted", {x.view(), wanted.view()}, {out.view()}, {right});
            });
            bool same = true;
            for (int64_t i = 0; i < wanted.size(); ++i) {
              const double v = wanted.get(i);
              const auto at = std::partition_point(sorted.begin(), sorted.end(), [&](double e) {
                return right ? !before(v, e, false) : before(e, v, false);
              });
              same &= out.get(i) == double(at - sorted.begin());
            }
            CAPTURE(dtype);
            CAPTURE(length);
            CAPTURE(right);
            CHECK(same);
          }
}

TEST_CASE("histogram counts between edges") {
  std::mt19937 random(14);
  for (DType dtype : kAllDTypes)
    for (DType edge : {DType::float32, DType::float64})
      for (Layout layout : {Layout::dense, Layout::flipped, Layout::gaps})
        for (const Shape& shape : {Shape{0}, Shape{13}, Shape{300, 700}})
          for (int64_t bins : {1, 6, 1000})
            for (bool even : {false, true}) {
              Array x(dtype, shape, layout), edges(edge, {bins + 1}), out(DType::int64, {bins});
              fill_special(x, random);
              for (int64_t b = 0; b <= bins; ++b) {
                const double t = double(b) / double(bins);
                edges.set(b, 10 * (even ? t : t * t) - 4);
              }
              check_threads(out, [&] {
                sorting_kernel("histogram", {x.view(), edges.view()}, {out.view()}, {even});
              });
              const std::vector<double> e = edges.values();
              std::vector<double> expected(size_t(bins), 0.0);
              for (double v : x.values()) {
                if (!(v >= e.front() && v <= e.back())) continue;
                const int64_t bin = std::upper_bound(e.begin(), e.end(), v) - e.begin() - 1;
                ++expected[size_t(std::min(bin, bins - 1))];
              }
              CAPTURE(dtype);
              CAPTURE(bins);
              CAPTURE(even);
              CHECK(out.values() == expected);
            }
  Array x(DType::float32, {3}), edges(DType::float32, {3}), out(DType::int64, {2});
  edges.set(1, -1);
  CHECK_THROWS_AS(sorting_kernel("histogram", {x.view(), edges.view()}, {out.view()}, {0}), Error);
}

TEST_CASE("bincount counts, or adds weights in one order") {
  std::mt19937 random(15);
  for (DType dtype : kAllDTypes) {
    if (!is_integer(dtype)) continue;
    for (Layout layout : {Layout::dense, Layout::flipped, Layout::gaps})
      for (int64_t length : {0, 1, 1000, 300'001})
        for (int64_t bins : {100, 20'000}) {
          Array x(dtype, {length}, layout), out(DType::int64, {bins});
          x.fill(random, 0, 99);
          check_threads(out, [&] { sorting_kernel("bincount", {x.view()}, {out.view()}, {bins}); });
          std::vector<double> expected(size_t(bins), 0.0);
          for (double v : x.values()) ++expected[size_t(v)];
          CHECK(out.values() == expected);
        }
  }
  std::normal_distribution<double> normal;
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    Array x(DType::int64, {200'000}), weights(dtype, {200'000}, Layout::gaps), out(dtype, {50});
    x.fill(random, 0, 49);
    for (int64_t i = 0; i < weights.size(); ++i) weights.set(i, normal(random));
    check_threads(
        out, [&] { sorting_kernel("bincount", {x.view(), weights.view()}, {out.view()}, {50}); });
    std::vector<double> expected(50, 0.0);
    for (int64_t i = 0; i < x.size(); ++i) expected[size_t(x.get(i))] += weights.get(i);
    const double tolerance = dtype == DType::bfloat16 ? 0x1p-8 : 0x1p-11;
    for (int64_t b = 0; b < 50; ++b)
      CHECK(out.get(b) == doctest::Approx(expected[size_t(b)]).epsilon(tolerance));
  }
}

TEST_CASE("sorting kernels: equal bits over threads") {
  std::mt19937 random(6);
  std::normal_distribution<double> normal;
  for (DType dtype : {DType::float32, DType::float16, DType::int64})
    for (const Shape& shape : {Shape{300, 400}, Shape{4, 30000}}) {
      Array x(dtype, shape), out(dtype, shape), indices(DType::int64, shape),
          best(DType::int64, {shape[0]});
      for (int64_t i = 0; i < x.size(); ++i) x.set(i, 100 * normal(random));
      check_threads(indices, [&] {
        sorting_kernel("sort", {x.view()}, {out.view(), indices.view()}, {1, kDescending});
      });
      check_threads(best, [&] { sorting_kernel("argreduce", {x.view()}, {best.view()}, {1, 0}); });
      for (int64_t axis : {0, 1})
        check_threads(
            out, [&] { sorting_kernel("cumulative", {x.view()}, {out.view()}, {axis, kCumSum}); });
    }
}
