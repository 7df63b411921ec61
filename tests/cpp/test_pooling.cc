#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Shapes {
  int64_t n, c, size[2];
  PoolAttrs attrs;

  int64_t out(int axis) const {
    return (size[axis] + 2 * attrs.padding[axis] - attrs.kernel[axis]) / attrs.stride[axis] + 1;
  }
  Shape x() const { return {n, c, size[0], size[1]}; }
  Shape y() const { return {n, c, out(0), out(1)}; }
};

void pool(std::string_view kind, const Shapes& s, const std::vector<View>& in, const View& out) {
  run_kernel(cpu::pooling_kernels(), kind, in, {out}, write_attrs(s.attrs));
}

// Calls f(window index, indices of its elements inside the image).
template <class F>
void for_windows(const Shapes& s, F&& f) {
  int64_t index = 0;
  for (int64_t plane = 0; plane < s.n * s.c; ++plane)
    for (int64_t r = 0; r < s.out(0); ++r)
      for (int64_t q = 0; q < s.out(1); ++q) {
        std::vector<int64_t> inside;
        for (int64_t i = 0; i < s.attrs.kernel[0]; ++i)
          for (int64_t j = 0; j < s.attrs.kernel[1]; ++j) {
            const int64_t h = r * s.attrs.stride[0] - s.attrs.padding[0] + i;
            const int64_t w = q * s.attrs.stride[1] - s.attrs.padding[1] + j;
            if (h < 0 || h >= s.size[0] || w < 0 || w >= s.size[1]) continue;
            inside.push_back((plane * s.size[0] + h) * s.size[1] + w);
          }
        f(index++, inside);
      }
}

int64_t first_maximum(const std::vector<double>& x, const std::vector<int64_t>& inside) {
  int64_t best = inside[0];
  for (int64_t i : inside) {
    if (x[best] != x[best]) break;
    if (x[i] > x[best] || x[i] != x[i]) best = i;
  }
  return best;
}

constexpr Shapes kShapes[] = {
    {2, 3, {8, 8}, {{2, 2}, {2, 2}, {0, 0}, 1}},    {2, 3, {9, 37}, {{2, 2}, {2, 2}, {0, 0}, 1}},
    {1, 2, {7, 7}, {{3, 3}, {2, 2}, {1, 1}, 1}},    {1, 2, {7, 8}, {{3, 2}, {1, 1}, {1, 1}, 0}},
    {3, 1, {5, 9}, {{2, 3}, {3, 2}, {0, 1}, 0}},    {1, 1, {4, 4}, {{4, 4}, {4, 4}, {0, 0}, 1}},
    {70, 9, {14, 14}, {{2, 2}, {2, 2}, {0, 0}, 1}}, {1, 2, {6, 6}, {{1, 1}, {2, 2}, {0, 0}, 1}},
};

}  // namespace

TEST_CASE("pooling: against the definition, in every dtype and layout") {
  std::mt19937 random(1);
  for_each_isa([&] {
    for (const Shapes& s : kShapes)
      for (DType dtype : kAllDTypes)
        for (Layout layout : kLayouts) {
          CAPTURE(s.size[1]);
          CAPTURE(s.attrs.kernel[0]);
          CAPTURE(dtype);
          CAPTURE(int(layout));
          Array x(dtype, s.x(), layout), y(dtype, s.y());
          x.fill(random, 0, 3);
          if (is_floating(dtype)) {
            for (int i = 0; i < 3; ++i) x.set(int64_t(random() % x.size()), kNan);
            x.set(int64_t(random() % x.size()), -std::numeric_limits<double>::infinity());
          }
          auto xs = x.values();
          std::vector<double> want(y.size());
          for_windows(
              s, [&](int64_t i, const auto& inside) { want[i] = xs[first_maximum(xs, inside)]; });
          pool("max_pool2d", s, {x.view()}, y.view());
          CHECK(largest_error(y, want, 1) == 0);
          if (!is_floating(dtype)) continue;

          Array dy(dtype, s.y(), layout), dx(dtype, s.x());
          std::fill(dx.memory.begin(), dx.memory.end(), std::byte(0x55));
          dy.fill(random, -2, 2);
          const auto dys = dy.values();
          std::vector<double> want_dx(dx.size());
          for_windows(s, [&](int64_t i, const auto& inside) {
            want_dx[first_maximum(xs, inside)] += dys[i];
          });
          pool("max_pool2d_grad", s, {x.view(), dy.view()}, dx.view());
          CHECK(largest_error(dx, want_dx, 1) == 0);

          x.fill(random, -3, 3);
          xs = x.values();
          const int64_t whole = s.attrs.kernel[0] * s.attrs.kernel[1];
          std::fill(want_dx.begin(), want_dx.end(), 0.0);
          for_windows(s, [&](int64_t i, const auto& inside) {
            const double count = s.attrs.count_padding ? whole : double(inside.size());
            double sum = 0;
            for (int64_t at : inside) sum += xs[at];
            want[i] = sum / count;
            for (int64_t at : inside) want_dx[at] += dys[i] / count;
          });
          pool("avg_pool2d", s, {x.view()}, y.view());
          pool("avg_pool2d_grad", s, {dy.view()}, dx.view());
          const double unit = dtype == DType::float64   ? 0x1p-52
                              : dtype == DType::float32 ? 0x1p-23
                              : dtype == DType::float16 ? 0x1p-10
                                                        : 0x1p-7;
          CHECK(largest_error(y, want, unit) <= 4);
          CHECK(largest_error(dx, want_dx, unit) <= 16);
        }
  });
}

TEST_CASE("pooling: the same bits for every number of threads and layout") {
  std::mt19937 random(2);
  const Shapes shapes[] = {{16, 32, {14, 14}, {{2, 2}, {2, 2}, {0, 0}, 1}},
                           {8, 16, {28, 28}, {{3, 3}, {2, 2}, {1, 1}, 0}}};
  for_each_isa([&] {
    for (const Shapes& s : shapes) {
      Array x(DType::float32, s.x()), dy(DType::float32, s.y());
      fill_normal(x, random);
      fill_normal(dy, random);
      const auto check = [&](std::string_view kind, std::vector<Array*> in, const Shape& shape) {
        Array out(DType::float32, shape), other(DType::float32, shape);
        std::vector<View> views, flipped;
        std::vector<Array> copies;
        copies.reserve(in.size());
        for (Array* a : in) {
          views.push_back(a->view());
          copies.push_back(in_layout(*a, Layout::flipped));
          flipped.push_back(copies.back().view());
        }
        check_threads(out, [&] { pool(kind, s, views, out.view()); });
        pool(kind, s, flipped, other.view());
        CHECK(other.memory == out.memory);
      };
      check("max_pool2d", {&x}, s.y());
      check("max_pool2d_grad", {&x, &dy}, s.x());
      check("avg_pool2d", {&x}, s.y());
      check("avg_pool2d_grad", {&dy}, s.x());
    }
  });
}

TEST_CASE("pooling: empty batch") {
  const Shapes s{0, 3, {8, 8}, {{2, 2}, {2, 2}, {0, 0}, 1}};
  Array x(DType::float32, s.x()), y(DType::float32, s.y());
  pool("max_pool2d", s, {x.view()}, y.view());
  pool("avg_pool2d_grad", s, {y.view()}, x.view());
}
