#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Shapes {
  int64_t n, c;
  PoolAttrs attrs;

  // Spatial axes of one element before the first longer one are left out.
  size_t first_axis() const { return attrs.size[0] > 1 ? 0 : attrs.size[1] > 1 ? 1 : 2; }
  Shape with_axes(const int64_t* sizes) const {
    Shape shape{n, c};
    shape.append(sizes + first_axis(), sizes + 3);
    return shape;
  }
  Shape x() const { return with_axes(attrs.size); }
  Shape y() const { return with_axes(attrs.grid); }
  DType choice_dtype() const { return attrs.wide() ? DType::uint32 : DType::uint8; }
};

using Axes = std::array<int64_t, 3>;
Shapes windows(int64_t n, int64_t c, Axes size, Axes kernel, Axes stride, Axes padding,
               bool count_padding = true, Axes dilation = {1, 1, 1}, Axes more = {0, 0, 0}) {
  Shapes s{n, c, {}};
  for (size_t i = 0; i < 3; ++i) {
    s.attrs.size[i] = size[i];
    s.attrs.kernel[i] = kernel[i];
    s.attrs.stride[i] = stride[i];
    s.attrs.padding[i] = padding[i];
    s.attrs.dilation[i] = dilation[i];
    const int64_t room = size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
    s.attrs.grid[i] = room / stride[i] + 1 + more[i];
  }
  s.attrs.count_padding = count_padding;
  return s;
}
Shapes adaptive(int64_t n, int64_t c, Axes size, Axes grid) {
  Shapes s = windows(n, c, size, {1, 1, 1}, {1, 1, 1}, {0, 0, 0});
  for (size_t i = 0; i < 3; ++i) {
    s.attrs.grid[i] = grid[i];
    s.attrs.kernel[i] = std::min(size[i], size[i] / grid[i] + 2);
  }
  s.attrs.adaptive = true;
  return s;
}

void pool(std::string_view kind, const Shapes& s, const std::vector<View>& in,
          const std::vector<View>& out) {
  run_kernel(cpu::pooling_kernels(), kind, in, out, write_attrs(s.attrs));
}

// The elements of `x` as (N, spatial axes..., C) in memory.
Array channels_last(Array& x) {
  Array copy(x.shell.dtype, x.shell.shape);
  const size_t rank = x.shell.shape.size();
  copy.shell.strides[1] = 1;
  int64_t step = copy.shell.shape[1];
  for (size_t axis = rank - 1; axis >= 2; --axis) {
    copy.shell.strides[axis] = step;
    step *= copy.shell.shape[axis];
  }
  copy.shell.strides[0] = step;
  for (int64_t i = 0; i < x.size(); ++i) copy.set(i, x.get(i));
  return copy;
}

// Elements of a window on one axis: those inside the image, and how many it counts.
struct Span {
  std::vector<int64_t> inside;
  int64_t counted = 0;
};
Span span_of(const PoolAttrs& a, int axis, int64_t i) {
  Span span;
  if (a.adaptive) {
    for (int64_t at = 0; at < a.size[axis]; ++at)
      if (at >= i * a.size[axis] / a.grid[axis] && at * a.grid[axis] < (i + 1) * a.size[axis])
        span.inside.push_back(at);
  } else {
    for (int64_t tap = 0; tap < a.kernel[axis]; ++tap) {
      const int64_t at = i * a.stride[axis] - a.padding[axis] + tap * a.dilation[axis];
      span.counted += at < a.size[axis] + a.padding[axis];
      if (at >= 0 && at < a.size[axis]) span.inside.push_back(at);
    }
  }
  if (!a.count_padding || a.adaptive) span.counted = int64_t(span.inside.size());
  return span;
}

// Calls f(window index, indices of its elements inside the image, how many it counts).
template <class F>
void for_windows(const Shapes& s, F&& f) {
  const PoolAttrs& a = s.attrs;
  int64_t index = 0;
  for (int64_t plane = 0; plane < s.n * s.c; ++plane)
    for (int64_t i = 0; i < a.grid[0]; ++i)
      for (int64_t j = 0; j < a.grid[1]; ++j)
        for (int64_t k = 0; k < a.grid[2]; ++k) {
          const Span zs = span_of(a, 0, i), ys = span_of(a, 1, j), xs = span_of(a, 2, k);
          std::vector<int64_t> inside;
          for (int64_t z : zs.inside)
            for (int64_t y : ys.inside)
              for (int64_t x : xs.inside)
                inside.push_back(((plane * a.size[0] + z) * a.size[1] + y) * a.size[2] + x);
          f(index++, inside, zs.counted * ys.counted * xs.counted);
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

const Shapes kShapes[] = {
    windows(2, 3, {1, 8, 8}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}),
    windows(2, 17, {1, 9, 37}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}),
    windows(1, 70, {1, 7, 7}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}),
    windows(1, 2, {1, 7, 8}, {1, 3, 2}, {1, 1, 1}, {0, 1, 1}, false),
    windows(3, 1, {1, 5, 9}, {1, 2, 3}, {1, 3, 2}, {0, 0, 1}, false),
    windows(1, 1, {1, 4, 4}, {1, 4, 4}, {1, 4, 4}, {0, 0, 0}),
    windows(2, 5, {1, 6, 6}, {1, 1, 1}, {1, 2, 2}, {0, 0, 0}),
    windows(2, 33, {1, 1, 19}, {1, 1, 3}, {1, 1, 2}, {0, 0, 1}, true, {1, 1, 2}),
    windows(2, 3, {5, 6, 7}, {2, 3, 3}, {2, 2, 1}, {1, 0, 1}, false),
    windows(1, 20, {1, 6, 8}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, true, {1, 1, 1}, {0, 1, 1}),
    windows(1, 3, {1, 18, 19}, {1, 17, 16}, {1, 1, 3}, {0, 2, 0}),
    adaptive(2, 18, {1, 7, 9}, {1, 3, 4}),
    adaptive(1, 2, {3, 5, 4}, {2, 7, 4}),
};

}  // namespace

TEST_CASE("pooling: against the definition, in every dtype and layout") {
  std::mt19937 random(1);
  const DType dtypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64};
  for_each_isa([&] {
    for (const Shapes& s : kShapes)
      for (DType dtype : dtypes)
        for (Layout layout : kLayouts) {
          CAPTURE(&s - kShapes);
          CAPTURE(dtype);
          CAPTURE(int(layout));
          Array x(dtype, s.x(), layout), y(dtype, s.y()), choices(s.choice_dtype(), s.y());
          x.fill(random, 0, 3);
          for (int i = 0; i < 3; ++i) x.set(int64_t(random() % x.size()), kNan);
          x.set(int64_t(random() % x.size()), -std::numeric_limits<double>::infinity());
          auto xs = x.values();
          std::vector<double> want(y.size());
          for_windows(s, [&](int64_t i, const auto& inside, int64_t) {
            want[i] = xs[first_maximum(xs, inside)];
          });
          View nobody = choices.view();
          nobody.data = nullptr;
          pool("max_pool", s, {x.view()}, {y.view(), nobody});
          CHECK(largest_error(y, want, 1) == 0);
          std::fill(y.memory.begin(), y.memory.end(), std::byte(0x55));
          pool("max_pool", s, {x.view()}, {y.view(), choices.view()});
          CHECK(largest_error(y, want, 1) == 0);
          nobody = y.view();
          nobody.data = nullptr;
          pool("max_pool", s, {x.view()}, {nobody, choices.view()});

          Array dy(dtype, s.y(), layout), dx(dtype, s.x());
          std::fill(dx.memory.begin(), dx.memory.end(), std::byte(0x55));
          dy.fill(random, -2, 2);
          const auto dys = dy.values();
          std::vector<double> want_dx(dx.size());
          for_windows(s, [&](int64_t i, const auto& inside, int64_t) {
            want_dx[first_maximum(xs, inside)] += dys[i];
          });
          pool("max_pool_grad", s, {choices.view(), dy.view()}, {dx.view()});
          CHECK(largest_error(dx, want_dx, 1) == 0);

          x.fill(random, -3, 3);
          xs = x.values();
          std::fill(want_dx.begin(), want_dx.end(), 0.0);
          for_windows(s, [&](int64_t i, const auto& inside, int64_t counted) {
            double sum = 0;
            for (int64_t at : inside) sum += xs[at];
            want[i] = sum / double(counted);
            for (int64_t at : inside) want_dx[at] += dys[i] / double(counted);
          });
          pool("avg_pool", s, {x.view()}, {y.view()});
          pool("avg_pool_grad", s, {dy.view()}, {dx.view()});
          const double unit = dtype == DType::float64   ? 0x1p-52
                              : dtype == DType::float32 ? 0x1p-23
                              : dtype == DType::float16 ? 0x1p-10
                                                        : 0x1p-7;
          CHECK(largest_error(y, want, unit) <= 4);
          CHECK(largest_error(dx, want_dx, unit) <= 32);
        }
  });
}

TEST_CASE("pooling: the same bits for every number of threads and layout, of results too") {
  std::mt19937 random(2);
  const Shapes shapes[] = {
      windows(16, 32, {1, 14, 14}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}),
      windows(4, 130, {1, 28, 28}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, false),
      windows(2, 20, {6, 28, 28}, {2, 3, 3}, {2, 2, 2}, {0, 1, 1}),
      windows(3, 7, {1, 1, 2000}, {1, 1, 5}, {1, 1, 1}, {0, 0, 2}),
      windows(3, 17, {1, 30, 21}, {1, 4, 5}, {1, 3, 2}, {0, 1, 2}, false),
      adaptive(4, 40, {1, 23, 31}, {1, 5, 7}),
  };
  for_each_isa([&] {
    for (const Shapes& s : shapes) {
      Array x(DType::float32, s.x()), dy(DType::float32, s.y());
      Array choices(s.choice_dtype(), s.y());
      fill_normal(x, random);
      fill_normal(dy, random);
      const auto check = [&](std::string_view kind, std::vector<Array*> in,
                             std::vector<Array*> more, const Shape& shape) {
        Array out(DType::float32, shape);
        const auto run = [&](Array& to, auto&& layout) {
          std::vector<Array> copies;
          std::vector<View> views, results{to.view()};
          copies.reserve(in.size());
          for (Array* a : in) views.push_back(copies.emplace_back(layout(*a)).view());
          for (Array* a : more) results.push_back(a->view());
          pool(kind, s, views, results);
        };
        const auto same = [](Array& a) { return a; };
        check_threads(out, [&] { run(out, same); });
        const auto expect_bits = [&](Array other) {
          for (int64_t i = 0; i < out.size(); ++i) CHECK(other.at<float>(i) == out.at<float>(i));
        };
        Array flipped(DType::float32, shape), last = channels_last(out);
        run(flipped, [](Array& a) { return in_layout(a, Layout::flipped); });
        expect_bits(flipped);
        run(last, channels_last);
        expect_bits(last);
        run(last, same);
        expect_bits(last);
      };
      check("max_pool", {&x}, {&choices}, s.y());
      check("avg_pool", {&x}, {}, s.y());
      check("avg_pool_grad", {&dy}, {}, s.x());
      Array dx(DType::float32, s.x());
      check_threads(dx,
                    [&] { pool("max_pool_grad", s, {choices.view(), dy.view()}, {dx.view()}); });
      Array last_dy = channels_last(dy), last = channels_last(dx);
      pool("max_pool_grad", s, {choices.view(), last_dy.view()}, {last.view()});
      for (int64_t i = 0; i < dx.size(); ++i) CHECK(last.at<float>(i) == dx.at<float>(i));
      Array last_x = channels_last(x), y(DType::float32, s.y());
      Array others(s.choice_dtype(), s.y());
      pool("max_pool", s, {last_x.view()}, {y.view(), others.view()});
      CHECK(others.memory == choices.memory);
    }
  });
}

TEST_CASE("pooling: empty batch") {
  const Shapes s = windows(0, 3, {1, 8, 8}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0});
  Array x(DType::float32, s.x()), y(DType::float32, s.y()), choices(DType::uint8, s.y());
  pool("max_pool", s, {x.view()}, {y.view(), choices.view()});
  pool("max_pool_grad", s, {choices.view(), y.view()}, {x.view()});
  pool("avg_pool_grad", s, {y.view()}, {x.view()});
}

TEST_CASE("pooling: results too large for the caches, which are written past them") {
  std::mt19937 random(3);
  const Shapes s = windows(1, 33, {1, 261, 259}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1});
  Array x(DType::float32, s.x()), choices(DType::uint8, s.y());
  fill_normal(x, random);
  for_each_isa([&] {
    for (const char* kind : {"max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad"}) {
      CAPTURE(kind);
      const std::string_view name = kind;
      Array dense(DType::float32, s.x()), gaps(DType::float32, s.x(), Layout::gaps);
      for (Array* out : {&dense, &gaps}) {
        std::vector<View> in{x.view()}, results{out->view()};
        if (name == "max_pool") results.push_back(choices.view());
        if (name == "max_pool_grad") in.insert(in.begin(), choices.view());
        pool(kind, s, in, results);
      }
      int64_t different = 0;
      for (int64_t i = 0; i < dense.size(); ++i)
        different += dense.at<float>(i) != gaps.at<float>(i);
      CHECK(different == 0);
    }
  });
}

TEST_CASE("pooling: gradients of neighbouring channels, which are written past the caches") {
  std::mt19937 random(4);
  const Shapes s = windows(1, 32, {1, 362, 365}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1});
  Array x(DType::float32, s.x()), y(DType::float32, s.y()), choices(DType::uint8, s.y());
  fill_normal(x, random);
  pool("max_pool", s, {x.view()}, {y.view(), choices.view()});
  Array last = channels_last(x);
  last.memory.resize(last.memory.size() + 64);  // they begin where a line does
  last.origin = int64_t((64 - uintptr_t(last.memory.data()) % 64) % 64 / sizeof(float));
  for_each_isa([&] {
    for (const char* kind : {"max_pool_grad", "avg_pool_grad"}) {
      CAPTURE(kind);
      std::vector<View> in{y.view()};
      if (std::string_view(kind) == "max_pool_grad") in.insert(in.begin(), choices.view());
      Array dx(DType::float32, s.x());
      pool(kind, s, in, {dx.view()});
      pool(kind, s, in, {last.view()});
      int64_t different = 0;
      for (int64_t i = 0; i < dx.size(); ++i) different += last.at<float>(i) != dx.at<float>(i);
      CHECK(different == 0);
    }
  });
}
