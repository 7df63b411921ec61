#include "kernel_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

void index_kernel(std::string_view kind, std::vector<View> in, std::vector<View> out,
                  const Attrs& attrs, std::vector<int64_t> dynamic = {}) {
  run_kernel(cpu::indexing_kernels(), kind, in, out, attrs, dynamic);
}

Shape gathered_shape(const Shape& x, const Shape& index, size_t axis) {
  Shape out;
  out.append(x.begin(), x.begin() + axis);
  out.append(index.begin(), index.end());
  out.append(x.begin() + axis + 1, x.end());
  return out;
}

// Flat positions in x (outer, extent, inner) and in src (outer, count, inner).
template <class F>
void for_slices(const Shape& x, size_t axis, int64_t count, F&& f) {
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= x[i];
  for (size_t i = axis + 1; i < x.size(); ++i) inner *= x[i];
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < count; ++k)
      for (int64_t i = 0; i < inner; ++i)
        f(
            k, [&, o, i](int64_t at) { return (o * x[axis] + at) * inner + i; },
            (o * count + k) * inner + i);
}

double combined(int64_t mode, double a, double b) {
  if (mode == kScatterAdd) return a + b;
  if (mode == kScatterMul) return a * b;
  if (mode == kScatterMax) return std::max(a, b);
  return mode == kScatterMin ? std::min(a, b) : b;
}
std::vector<int64_t> modes_of(DType dtype) {
  std::vector<int64_t> modes{kScatterSet, kScatterAdd, kScatterMax, kScatterMin};
  if (is_complex(dtype)) modes.resize(2);
  return modes;
}

struct Case {
  Shape x, index;
  size_t axis;
};
const Case kCases[] = {{{5}, {7}, 0},         {{5, 6}, {3, 2}, 0}, {{4, 7}, {9}, 1},
                       {{3, 5, 4}, {6}, 1},   {{3, 5, 4}, {}, 2},  {{2, 3, 5, 4}, {2, 2}, 2},
                       {{5, 40}, {11}, 0},    {{0, 4}, {3}, 1},    {{3, 4}, {0}, 0},
                       {{9, 3, 2, 2}, {2}, 1}};

}  // namespace

TEST_CASE("check_index wraps, and names what is out of range") {
  for (DType dtype : kAllDTypes) {
    Array index(dtype, {3, 4}, Layout::flipped), out(DType::int64, {3, 4});
    if (!is_integer(dtype)) {
      CHECK_THROWS_AS(index_kernel("check_index", {index.view()}, {out.view()}, {10, 0, 0, 0}),
                      Error);
      continue;
    }
    for (int i = 0; i < 12; ++i) index.set(i, i % 10);
    if (is_signed_integer(dtype)) index.set(5, -10);
    index_kernel("check_index", {index.view()}, {out.view()}, {10, 0, 0, 0});
    for (int i = 0; i < 12; ++i) CHECK(out.get(i) == (i == 5 && index.get(5) < 0 ? 0 : i % 10));
    index.set(7, 12);
    CHECK_THROWS_WITH_AS(index_kernel("check_index", {index.view()}, {out.view()}, {10, 0, 0, 0}),
                         "index 12 is out of bounds for axis 0 with size 10", Error);
    if (is_signed_integer(dtype)) {
      index.set(7, -11);
      CHECK_THROWS_WITH_AS(index_kernel("check_index", {index.view()}, {out.view()}, {10, 2, 0, 0}),
                           "index -11 is out of bounds for axis 2 with size 10", Error);
    }
  }
  Array huge(DType::uint64, {1}), out(DType::int64, {1});
  huge.at<uint64_t>(0) = ~uint64_t(0);
  CHECK_THROWS_WITH_AS(index_kernel("check_index", {huge.view()}, {out.view()}, {10, 0, 0, 0}),
                       "index 18446744073709551615 is out of bounds for axis 0 with size 10",
                       Error);
  Array many(DType::int32, {100000}), big_out(DType::int64, {100000});
  many.set(40000, -3);
  many.set(99999, 5);
  CHECK_THROWS_WITH_AS(index_kernel("check_index", {many.view()}, {big_out.view()}, {2, 0, 0, 0}),
                       "index -3 is out of bounds for axis 0 with size 2", Error);
}

TEST_CASE("gather and scatter agree with loops") {
  std::mt19937 random(1);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (const Case& c : kCases) {
        const int64_t count = numel(c.index);
        const Shape shape = gathered_shape(c.x, c.index, c.axis);
        Array x(dtype, c.x, layout), index(DType::int64, c.index, layout);
        x.fill(random);
        index.fill(random, 0, int(c.x[c.axis]) - 1);
        CAPTURE(dtype);
        CAPTURE(c.x);
        CAPTURE(c.index);
        CAPTURE(int(layout));
        const Attrs gather_attrs{int64_t(c.axis), 0};
        Array out(dtype, shape);
        index_kernel("gather", {x.view(), index.view()}, {out.view()}, gather_attrs);
        bool same = true;
        for_slices(c.x, c.axis, count, [&](int64_t k, auto at, int64_t from) {
          same &= out.get(from) == x.get(at(int64_t(index.get(k))));
        });
        CHECK(same);

        Array src(dtype, shape, layout);
        src.fill(random);
        for (int64_t mode : modes_of(dtype)) {
          Array expected(dtype, c.x), got(dtype, c.x), in_place(dtype, c.x);
          for (int64_t i = 0; i < x.size(); ++i) {
            expected.set(i, x.get(i));
            in_place.set(i, x.get(i));
          }
          for_slices(c.x, c.axis, count, [&](int64_t k, auto at, int64_t from) {
            const int64_t to = at(int64_t(index.get(k)));
            expected.set(to, combined(mode, expected.get(to), src.get(from)));
          });
          const Attrs attrs{int64_t(c.axis), mode};
          index_kernel("scatter", {x.view(), index.view(), src.view()}, {got.view()}, attrs);
          CHECK(got.memory == expected.memory);
          index_kernel("scatter", {in_place.view(), index.view(), src.view()}, {in_place.view()},
                       attrs);
          CHECK(in_place.memory == expected.memory);
        }
      }
}

TEST_CASE("gather of a few slices whose axes do not merge") {
  std::mt19937 random(2);
  Array x(DType::int16, {4, 5, 6, 7, 3}, Layout::reversed_axes), index(DType::int64, {2});
  x.fill(random);
  index.set(0, 5);
  index.set(1, 2);
  Array out(DType::int16, {4, 5, 2, 7, 3});
  index_kernel("gather", {x.view(), index.view()}, {out.view()}, {2, 0});
  bool same = true;
  for_slices(x.shell.shape, 2, 2, [&](int64_t k, auto at, int64_t from) {
    same &= out.get(from) == x.get(at(int64_t(index.get(k))));
  });
  CHECK(same);
}

TEST_CASE("along-axis gather and scatter agree with loops") {
  std::mt19937 random(3);
  const Case cases[] = {{{5}, {7}, 0},
                        {{6, 4}, {6, 1}, 1},
                        {{6, 4}, {3, 4}, 0},
                        {{3, 5, 4}, {3, 2, 4}, 1},
                        {{3, 5, 4}, {3, 5, 6}, 2},
                        {{0, 4}, {0, 2}, 1},
                        {{2, 3}, {2, 0}, 1},
                        {{4, 3, 2}, {2, 2, 2}, 1}};
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (const Case& c : cases) {
        CAPTURE(dtype);
        CAPTURE(c.x);
        CAPTURE(c.index);
        CAPTURE(int(layout));
        Array x(dtype, c.x, layout), index(DType::int64, c.index, layout);
        x.fill(random);
        index.fill(random, 0, int(c.x[c.axis]) - 1);
        // The element of x that element `flat` of the index names.
        const auto target = [&](int64_t flat) {
          int64_t at = 0, rest = flat, step = 1;
          for (size_t i = c.x.size(); i-- > 0;) {
            const int64_t own = rest % c.index[i];
            rest /= c.index[i];
            at += (i == c.axis ? int64_t(index.get(flat)) : own) * step;
            step *= c.x[i];
          }
          return at;
        };
        Array out(dtype, c.index);
        index_kernel("take_along_axis", {x.view(), index.view()}, {out.view()},
                     {int64_t(c.axis), 0});
        bool same = true;
        for (int64_t i = 0; i < out.size(); ++i) same &= out.get(i) == x.get(target(i));
        CHECK(same);
        Array src(dtype, c.index, layout);
        src.fill(random);
        for (int64_t mode : modes_of(dtype)) {
          Array expected(dtype, c.x), got(dtype, c.x);
          for (int64_t i = 0; i < x.size(); ++i) expected.set(i, x.get(i));
          for (int64_t i = 0; i < src.size(); ++i) {
            const int64_t to = target(i);
            expected.set(to, combined(mode, expected.get(to), src.get(i)));
          }
          index_kernel("scatter_along_axis", {x.view(), index.view(), src.view()}, {got.view()},
                       {int64_t(c.axis), mode});
          CHECK(got.memory == expected.memory);
        }
      }
}

TEST_CASE("scatter add: order, one rounding and equal bits over threads") {
  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  struct Large {
    Shape x, index;
  };
  // Wide rows (grouped), one column, many slices, a wide sparse destination.
  const Large larges[] = {
      {{50, 600}, {900}}, {{300}, {60000}}, {{40, 20, 7}, {90}}, {{20000, 40}, {1500}}};
  for (DType dtype : {DType::float32, DType::float16, DType::bfloat16, DType::int32})
    for (const Large& c : larges) {
      const size_t axis = c.x.size() == 3 ? 1 : 0;
      Array x(dtype, c.x), index(DType::int64, c.index), out(dtype, c.x);
      Array src(dtype, gathered_shape(c.x, c.index, axis), Layout::gaps);
      for (int64_t i = 0; i < x.size(); ++i) x.set(i, std::round(1000 * normal(random)) / 100);
      for (int64_t i = 0; i < src.size(); ++i) src.set(i, std::round(1000 * normal(random)) / 100);
      index.fill(random, 0, int(c.x[axis]) - 1);
      CAPTURE(dtype);
      CAPTURE(c.x);
      for (int64_t mode : modes_of(dtype)) {
        std::vector<float> expected(x.size());
        for (int64_t i = 0; i < x.size(); ++i) expected[i] = float(x.get(i));
        for_slices(c.x, axis, index.size(), [&](int64_t k, auto at, int64_t from) {
          float& to = expected[at(int64_t(index.get(k)))];
          to = float(combined(mode, to, src.get(from)));
        });
        check_threads(out, [&] {
          index_kernel("scatter", {x.view(), index.view(), src.view()}, {out.view()},
                       {int64_t(axis), mode});
        });
        Array rounded(dtype, c.x);
        for (int64_t i = 0; i < x.size(); ++i) rounded.set(i, expected[i]);
        CHECK(out.memory == rounded.memory);
      }
    }
}

TEST_CASE("scattered products agree with loops") {
  std::mt19937 random(6);
  for (DType dtype : kAllDTypes) {
    Array x(dtype, {4, 20}), index(DType::int64, {5}), src(dtype, {5, 20}, Layout::gaps);
    x.fill(random, 1, 2);
    src.fill(random, 1, 2);
    index.fill(random, 0, 3);
    Array expected(dtype, {4, 20}), got(dtype, {4, 20});
    for (int64_t i = 0; i < x.size(); ++i) expected.set(i, x.get(i));
    for (int64_t i = 0; i < src.size(); ++i) {
      const int64_t to = int64_t(index.get(i / 20)) * 20 + i % 20;
      expected.set(to, expected.get(to) * src.get(i));
    }
    index_kernel("scatter_reduce", {x.view(), index.view(), src.view()}, {got.view()},
                 {0, kScatterMul});
    CAPTURE(dtype);
    CHECK(got.memory == expected.memory);
  }
}

TEST_CASE("many rows go to their destinations in order, whatever the threads") {
  std::mt19937 random(7);
  const int64_t count = 300000, extent = 70000, width = 16;
  Array x(DType::float32, {extent, width}), index(DType::int64, {count}),
      src(DType::float32, {count, width}), out(DType::float32, {extent, width});
  index.fill(random, 0, int(extent) - 1);
  std::normal_distribution<float> normal;
  std::vector<float> expected(size_t(x.size()), 0.0f);
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, 0);
  for (int64_t i = 0; i < src.size(); ++i) {
    const float value = normal(random);
    src.set(i, value);
    expected[size_t(int64_t(index.get(i / width)) * width + i % width)] += value;
  }
  check_threads(out, [&] {
    index_kernel("scatter", {x.view(), index.view(), src.view()}, {out.view()}, {0, kScatterAdd});
  });
  bool same = true;
  for (int64_t i = 0; i < x.size(); ++i) same &= float(out.get(i)) == expected[size_t(i)];
  CHECK(same);
}

TEST_CASE("embedding_bag agrees with a loop, and refuses wrong offsets") {
  std::mt19937 random(8);
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (Layout layout : kLayouts)
      for (int64_t mode : {kBagSum, kBagMean, kBagMax}) {
        Array table(dtype, {9, 5}, layout), index(DType::int64, {12}), offsets(DType::int64, {4}),
            out(dtype, {4, 5});
        table.fill(random);
        index.fill(random, 0, 8);
        const int64_t starts[] = {0, 3, 3, 7, 12};
        for (int64_t b = 0; b < 4; ++b) offsets.set(b, double(starts[b]));
        index_kernel("embedding_bag", {table.view(), index.view(), offsets.view()}, {out.view()},
                     {mode});
        Array expected(dtype, {4, 5});
        for (int64_t b = 0; b < 4; ++b)
          for (int64_t j = 0; j < 5; ++j) {
            float total = 0;
            for (int64_t i = starts[b]; i < starts[b + 1]; ++i) {
              const float value = float(table.get(int64_t(index.get(i)) * 5 + j));
              total = mode != kBagMax  ? total + value
                      : i == starts[b] ? value
                                       : std::max(total, value);
            }
            const int64_t count = std::max<int64_t>(1, starts[b + 1] - starts[b]);
            expected.set(b * 5 + j, mode == kBagMean && dtype == DType::float64
                                        ? double(total) / double(count)
                                    : mode == kBagMean ? total / float(count)
                                                       : total);
          }
        CAPTURE(dtype);
        CAPTURE(mode);
        CHECK(out.memory == expected.memory);
        offsets.set(1, 8);
        CHECK_THROWS_AS(index_kernel("embedding_bag", {table.view(), index.view(), offsets.view()},
                                     {out.view()}, {mode}),
                        Error);
      }
}

TEST_CASE("scatter_along_axis: equal bits over threads, on both loop orders") {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  for (DType dtype : {DType::float32, DType::float16})
    for (size_t axis : {0, 1}) {
      const Shape shape = axis == 0 ? Shape{200, 300} : Shape{300, 200};
      Array x(dtype, shape), index(DType::int64, {300, 300}), src(dtype, {300, 300}),
          out(dtype, shape);
      index.fill(random, 0, 199);
      for (int64_t i = 0; i < src.size(); ++i) src.set(i, normal(random));
      std::vector<float> expected(x.size());
      for (int64_t i = 0; i < src.size(); ++i) {
        const int64_t named = int64_t(index.get(i));
        expected[axis == 0 ? named * 300 + i % 300 : i / 300 * 200 + named] += float(src.get(i));
      }
      check_threads(out, [&] {
        index_kernel("scatter_along_axis", {x.view(), index.view(), src.view()}, {out.view()},
                     {int64_t(axis), kScatterAdd});
      });
      Array rounded(dtype, shape);
      for (int64_t i = 0; i < x.size(); ++i) rounded.set(i, expected[i]);
      CHECK(out.memory == rounded.memory);
    }
}

TEST_CASE("slice_update writes the slice and only it") {
  std::mt19937 random(6);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts) {
      Array x(dtype, {5, 8, 3}, layout), v(dtype, {2, 3, 3}, layout), out(dtype, {5, 8, 3});
      x.fill(random);
      v.fill(random);
      for (bool backwards : {false, true}) {
        const int64_t start = backwards ? 7 : 1, step = backwards ? -3 : 2;
        index_kernel("slice_update", {x.view(), v.view()}, {out.view()}, {2, step, 1},
                     {1, start, 0});
        Array expected(dtype, {5, 8, 3});
        for (int64_t i = 0; i < x.size(); ++i) expected.set(i, x.get(i));
        for (int64_t i = 0; i < v.size(); ++i)
          expected.set((1 + i / 9 * 2) * 24 + (start + i / 3 % 3 * step) * 3 + i % 3, v.get(i));
        CHECK(out.memory == expected.memory);
      }
      Array none(dtype, {0, 3, 3});
      index_kernel("slice_update", {out.view(), none.view()}, {out.view()}, {1, 1, 1}, {5, 0, 0});
    }
}

TEST_CASE("concat joins along any axis") {
  std::mt19937 random(7);
  for (DType dtype : kAllDTypes)
    for (Layout layout : kLayouts)
      for (size_t axis : {0, 1, 2}) {
        Shape shape{3, 4, 5};
        std::vector<Array> parts;
        std::vector<View> views;
        int64_t total = 0;
        for (int64_t extent : {2, 0, 5, 1}) {
          shape[axis] = extent;
          total += extent;
          parts.push_back(Array(dtype, shape, layout).fill(random));
        }
        for (Array& part : parts) views.push_back(part.view());
        shape[axis] = total;
        Array out(dtype, shape);
        index_kernel("concat", views, {out.view()}, {int64_t(axis), 0});
        int64_t start = 0;
        bool same = true;
        for (Array& part : parts) {
          const int64_t extent = part.shell.shape[axis];
          if (extent > 0)
            for_slices(part.shell.shape, axis, extent, [&](int64_t k, auto at, int64_t) {
              const int64_t from = at(k);
              const int64_t inner = axis == 0 ? shape[1] * shape[2] : axis == 1 ? shape[2] : 1;
              const int64_t o = from / inner / extent, i = from % inner;
              same &= out.get((o * total + start + k) * inner + i) == part.get(from);
            });
          start += extent;
        }
        CHECK(same);
      }
}

TEST_CASE("large strided copies") {
  std::mt19937 random(8);
  for (DType dtype : {DType::uint8, DType::int16, DType::float32, DType::int64})
    for (Layout layout : kLayouts)
      for (const Shape& shape : {Shape{300, 257}, Shape{33, 40, 50}, Shape{70001}}) {
        Array x(dtype, shape, layout), out(dtype, shape);
        x.fill(random, 0, 100);
        check_threads(out, [&] { index_kernel("concat", {x.view()}, {out.view()}, {0, 0}); });
        CHECK(out.values() == x.values());
      }
}
