#include <array>
#include <optional>

#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

struct Shapes {
  int64_t n, c, size[3], o, kernel[3];
  ConvAttrs attrs;

  int64_t out(int axis) const {
    return (size[axis] + attrs.padding[axis] + attrs.padding_after[axis] -
            attrs.dilation[axis] * (kernel[axis] - 1) - 1) /
               attrs.stride[axis] +
           1;
  }
  // Spatial axes of one element before the first longer one of the image are left out.
  Shape with_axes(int64_t outer, int64_t inner, const int64_t* axes) const {
    Shape shape{outer, inner};
    for (int axis = size[0] > 1 ? 0 : size[1] > 1 ? 1 : 2; axis < 3; ++axis)
      shape.push_back(axes[axis]);
    return shape;
  }
  Shape x() const { return with_axes(n, c, size); }
  Shape weights() const { return with_axes(o, c / attrs.groups, kernel); }
  Shape y() const {
    const int64_t grid[] = {out(0), out(1), out(2)};
    return with_axes(n, o, grid);
  }
};

// Of images: stride, padding before, padding after and dilation by (height, width).
Shapes plane(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kh, int64_t kw,
             std::array<int64_t, 2> stride = {1, 1}, std::array<int64_t, 2> before = {0, 0},
             std::array<int64_t, 2> dilation = {1, 1}, int64_t groups = 1,
             std::optional<std::array<int64_t, 2>> after = {}) {
  const auto end = after.value_or(before);
  return {n,
          c,
          {1, h, w},
          o,
          {1, kh, kw},
          {{1, stride[0], stride[1]},
           {0, before[0], before[1]},
           {0, end[0], end[1]},
           {1, dilation[0], dilation[1]},
           groups}};
}

// The elements of `x` as (N, spatial axes..., C) in memory.
Array channels_last(Array& x) {
  Array copy(x.shell.dtype, x.shell.shape);
  int64_t step = 1;
  for (size_t i = 1; i <= copy.shell.shape.size(); ++i) {
    const size_t axis = i == copy.shell.shape.size() ? 0
                        : i == 1                     ? 1
                                                     : copy.shell.shape.size() + 1 - i;
    copy.shell.strides[axis] = step;
    step *= copy.shell.shape[axis];
  }
  for (int64_t i = 0; i < x.size(); ++i) copy.set(i, x.get(i));
  return copy;
}

// Calls f(x index, w index, y index) for every product of the convolution.
template <class F>
void for_products(const Shapes& s, F&& f) {
  const int64_t cg = s.c / s.attrs.groups, og = s.o / s.attrs.groups;
  const auto each = [](const int64_t* sizes, auto&& body) {
    for (int64_t i = 0; i < sizes[0]; ++i)
      for (int64_t j = 0; j < sizes[1]; ++j)
        for (int64_t k = 0; k < sizes[2]; ++k) body(std::array<int64_t, 3>{i, j, k});
  };
  const auto flat = [](const std::array<int64_t, 3>& at, const int64_t* sizes) {
    return (at[0] * sizes[1] + at[1]) * sizes[2] + at[2];
  };
  const int64_t grid[] = {s.out(0), s.out(1), s.out(2)};
  const int64_t pixels = s.size[0] * s.size[1] * s.size[2], results = grid[0] * grid[1] * grid[2];
  const int64_t taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t o = 0; o < s.o; ++o)
      each(grid, [&](const auto& r) {
        for (int64_t c = 0; c < cg; ++c)
          each(s.kernel, [&](const auto& tap) {
            std::array<int64_t, 3> at;
            for (int i = 0; i < 3; ++i) {
              at[i] = r[i] * s.attrs.stride[i] - s.attrs.padding[i] + tap[i] * s.attrs.dilation[i];
              if (at[i] < 0 || at[i] >= s.size[i]) return;
            }
            f((n * s.c + o / og * cg + c) * pixels + flat(at, s.size),
              (o * cg + c) * taps + flat(tap, s.kernel), (n * s.o + o) * results + flat(r, grid));
          });
      });
}

void convolve(std::string_view kind, const Shapes& s, const View& a, const View& b,
              const View& out) {
  run_kernel(cpu::contraction_kernels(), kind, {a, b}, {out}, write_attrs(s.attrs));
}

const Shapes kShapes[] = {
    plane(2, 3, 7, 9, 4, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
    plane(1, 1, 28, 28, 5, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
    plane(2, 4, 8, 8, 6, 1, 1, {1, 1}, {0, 0}, {1, 1}, 1),
    plane(1, 4, 20, 21, 6, 1, 1, {1, 1}, {0, 0}, {1, 1}, 2),
    plane(2, 4, 9, 8, 6, 1, 1, {2, 2}, {0, 0}, {1, 1}, 1),
    plane(2, 3, 11, 10, 5, 3, 3, {2, 2}, {1, 1}, {1, 1}, 1),
    plane(1, 2, 12, 13, 3, 5, 4, {3, 2}, {2, 1}, {1, 2}, 1),
    plane(2, 6, 9, 9, 6, 3, 3, {1, 1}, {1, 1}, {1, 1}, 6),
    plane(1, 6, 10, 9, 12, 3, 3, {2, 1}, {1, 0}, {1, 1}, 3),
    plane(3, 2, 5, 5, 2, 2, 2, {3, 3}, {0, 0}, {1, 1}, 1),
    plane(2, 2, 4, 4, 3, 3, 3, {1, 1}, {4, 3}, {1, 1}, 1),
    plane(1, 2, 9, 9, 3, 3, 3, {1, 1}, {0, 0}, {3, 2}, 1),
    plane(1, 2, 9, 9, 3, 3, 3, {2, 3}, {2, 3}, {2, 3}, 1),
    plane(7, 40, 7, 7, 33, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
    plane(1, 3, 40, 300, 4, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
    plane(1, 1, 6, 6, 1, 6, 6, {1, 1}, {0, 0}, {1, 1}, 1),
    plane(1, 3, 8, 9, 5, 2, 4, {1, 1}, {0, 1}, {1, 1}, 1, {{1, 2}}),
    plane(2, 8, 9, 7, 8, 3, 3, {2, 2}, {0, 0}, {1, 1}, 8, {{1, 2}}),
    plane(2, 5, 1, 30, 7, 1, 4, {1, 2}, {0, 1}, {1, 2}),
    plane(2, 4, 1, 300, 6, 1, 3, {1, 1}, {0, 2}, {1, 1}, 2),
    {2, 3, {5, 6, 7}, 4, {3, 2, 3}, {{1, 1, 1}, {1, 0, 1}, {1, 1, 1}, {1, 1, 1}, 1}},
    {1, 4, {6, 5, 9}, 6, {2, 3, 3}, {{2, 1, 3}, {0, 2, 1}, {0, 2, 1}, {2, 1, 2}, 2}},
    {1, 6, {4, 7, 8}, 6, {3, 3, 3}, {{1, 2, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 6}},
    {2, 8, {3, 5, 6}, 9, {1, 1, 1}, {{1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, 1}},
};

}  // namespace

TEST_CASE("conv and its gradients: exact against the definition") {
  std::mt19937 random(1);
  for_each_isa([&] {
    for (const Shapes& s : kShapes)
      for (DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
        for (Layout layout : kLayouts) {
          CAPTURE(s.x());
          CAPTURE(s.weights());
          CAPTURE(dtype);
          CAPTURE(int(layout));
          Array x(dtype, s.x(), layout), w(dtype, s.weights(), layout), dy(dtype, s.y(), layout);
          const Layout out = layout == Layout::broadcast ? Layout::dense : layout;
          Array y(dtype, s.y(), out), dx(dtype, s.x(), out), dw(dtype, s.weights(), out);
          for (Array* out : {&y, &dx, &dw})
            std::fill(out->memory.begin(), out->memory.end(), std::byte(0x55));
          for (Array* in : {&x, &w, &dy}) in->fill(random, -1, 1);
          std::vector<double> want_y(y.size()), want_dx(dx.size()), want_dw(dw.size());
          const auto xs = x.values(), ws = w.values(), dys = dy.values();
          for_products(s, [&](int64_t i, int64_t j, int64_t k) {
            want_y[k] += xs[i] * ws[j];
            want_dx[i] += dys[k] * ws[j];
            want_dw[j] += dys[k] * xs[i];
          });
          convolve("conv", s, x.view(), w.view(), y.view());
          convolve("conv_input_grad", s, dy.view(), w.view(), dx.view());
          convolve("conv_weight_grad", s, x.view(), dy.view(), dw.view());
          for (auto* want : {&want_y, &want_dx, &want_dw})
            for (double& value : *want) value = stored(value, dtype);
          CHECK(largest_error(y, want_y, 1) == 0);
          CHECK(largest_error(dx, want_dx, 1) == 0);
          CHECK(largest_error(dw, want_dw, 1) == 0);
        }
  });
}

TEST_CASE("conv and its gradients: the same bits for every layout and number of threads") {
  std::mt19937 random(2);
  const Shapes shapes[] = {
      plane(5, 24, 14, 14, 40, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
      plane(3, 64, 7, 7, 70, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1),
      plane(2, 8, 30, 30, 36, 3, 3, {2, 2}, {1, 1}, {1, 1}, 2),
      plane(4, 40, 12, 12, 40, 1, 1, {1, 1}, {0, 0}, {1, 1}, 1),
      plane(2, 12, 16, 16, 12, 3, 3, {1, 1}, {1, 1}, {1, 1}, 12),
  };
  for_each_isa([&] {
    for (const Shapes& s : shapes) {
      Array x(DType::float32, s.x()), w(DType::float32, s.weights()), dy(DType::float32, s.y());
      for (Array* in : {&x, &w, &dy}) fill_normal(*in, random);
      const auto check = [&](std::string_view kind, Array& a, Array& b, const Shape& out) {
        Array first(DType::float32, out);
        check_threads(first, [&] { convolve(kind, s, a.view(), b.view(), first.view()); });
        for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
          Array other(DType::float32, out, layout);
          Array a2 = in_layout(a, layout), b2 = in_layout(b, layout);
          convolve(kind, s, a2.view(), b2.view(), other.view());
          CHECK(other.values() == first.values());
        }
        Array other(DType::float32, out), a2 = channels_last(a), b2 = channels_last(b);
        Array other_last = channels_last(other);
        convolve(kind, s, a2.view(), b2.view(), other.view());
        convolve(kind, s, a2.view(), b2.view(), other_last.view());
        CHECK(other.values() == first.values());
        CHECK(other_last.values() == first.values());
      };
      check("conv", x, w, s.y());
      check("conv_input_grad", dy, w, s.x());
      check("conv_weight_grad", x, dy, s.weights());
    }
  });
}

TEST_CASE("conv and its gradients: empty sizes") {
  const Shapes none = plane(0, 2, 5, 5, 3, 3, 3, {1, 1}, {1, 1});
  Array x(DType::float32, none.x()), w(DType::float32, none.weights());
  Array y(DType::float32, none.y()), dw(DType::float32, none.weights());
  std::fill(dw.memory.begin(), dw.memory.end(), std::byte(0x55));
  convolve("conv", none, x.view(), w.view(), y.view());
  convolve("conv_input_grad", none, y.view(), w.view(), x.view());
  convolve("conv_weight_grad", none, x.view(), y.view(), dw.view());
  CHECK(largest_error(dw, std::vector<double>(dw.size()), 1) == 0);

  const Shapes no_channels = plane(2, 0, 5, 5, 3, 3, 3, {1, 1}, {1, 1});
  Array empty(DType::float32, no_channels.x()), no_weights(DType::float32, no_channels.weights());
  Array zeros(DType::float32, no_channels.y());
  std::fill(zeros.memory.begin(), zeros.memory.end(), std::byte(0x55));
  convolve("conv", no_channels, empty.view(), no_weights.view(), zeros.view());
  CHECK(largest_error(zeros, std::vector<double>(zeros.size()), 1) == 0);
}
