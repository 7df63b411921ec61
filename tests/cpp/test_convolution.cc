#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

struct Shapes {
  int64_t n, c, h, w, o, kh, kw;
  ConvAttrs attrs;

  int64_t out(int axis) const {
    const int64_t size = axis == 0 ? h : w, kernel = axis == 0 ? kh : kw;
    return (size + 2 * attrs.padding[axis] - attrs.dilation[axis] * (kernel - 1) - 1) /
               attrs.stride[axis] +
           1;
  }
  Shape x() const { return {n, c, h, w}; }
  Shape weights() const { return {o, c / attrs.groups, kh, kw}; }
  Shape y() const { return {n, o, out(0), out(1)}; }
};

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
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t o = 0; o < s.o; ++o)
      for (int64_t r = 0; r < s.out(0); ++r)
        for (int64_t q = 0; q < s.out(1); ++q)
          for (int64_t c = 0; c < cg; ++c)
            for (int64_t i = 0; i < s.kh; ++i)
              for (int64_t j = 0; j < s.kw; ++j) {
                const int64_t h =
                    r * s.attrs.stride[0] - s.attrs.padding[0] + i * s.attrs.dilation[0];
                const int64_t w =
                    q * s.attrs.stride[1] - s.attrs.padding[1] + j * s.attrs.dilation[1];
                if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
                f(((n * s.c + o / og * cg + c) * s.h + h) * s.w + w,
                  ((o * cg + c) * s.kh + i) * s.kw + j,
                  ((n * s.o + o) * s.out(0) + r) * s.out(1) + q);
              }
}

void convolve(std::string_view kind, const Shapes& s, const View& a, const View& b,
              const View& out) {
  run_kernel(cpu::contraction_kernels(), kind, {a, b}, {out}, write_attrs(s.attrs));
}

constexpr Shapes kShapes[] = {
    {2, 3, 7, 9, 4, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {1, 1, 28, 28, 5, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {2, 4, 8, 8, 6, 1, 1, {{1, 1}, {0, 0}, {1, 1}, 1}},
    {1, 4, 20, 21, 6, 1, 1, {{1, 1}, {0, 0}, {1, 1}, 2}},
    {2, 4, 9, 8, 6, 1, 1, {{2, 2}, {0, 0}, {1, 1}, 1}},
    {2, 3, 11, 10, 5, 3, 3, {{2, 2}, {1, 1}, {1, 1}, 1}},
    {1, 2, 12, 13, 3, 5, 4, {{3, 2}, {2, 1}, {1, 2}, 1}},
    {2, 6, 9, 9, 6, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 6}},
    {1, 6, 10, 9, 12, 3, 3, {{2, 1}, {1, 0}, {1, 1}, 3}},
    {3, 2, 5, 5, 2, 2, 2, {{3, 3}, {0, 0}, {1, 1}, 1}},
    {2, 2, 4, 4, 3, 3, 3, {{1, 1}, {4, 3}, {1, 1}, 1}},
    {1, 2, 9, 9, 3, 3, 3, {{1, 1}, {0, 0}, {3, 2}, 1}},
    {1, 2, 9, 9, 3, 3, 3, {{2, 3}, {2, 3}, {2, 3}, 1}},
    {7, 40, 7, 7, 33, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {1, 3, 40, 300, 4, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
    {1, 1, 6, 6, 1, 6, 6, {{1, 1}, {0, 0}, {1, 1}, 1}},
};

}  // namespace

TEST_CASE("conv2d and its gradients: exact against the definition") {
  std::mt19937 random(1);
  for_each_isa([&] {
    for (const Shapes& s : kShapes)
      for (DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
        for (Layout layout : kLayouts) {
          CAPTURE(s.h);
          CAPTURE(s.w);
          CAPTURE(s.kh);
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
          convolve("conv2d", s, x.view(), w.view(), y.view());
          convolve("conv2d_input_grad", s, dy.view(), w.view(), dx.view());
          convolve("conv2d_weight_grad", s, x.view(), dy.view(), dw.view());
          for (auto* want : {&want_y, &want_dx, &want_dw})
            for (double& value : *want) value = stored(value, dtype);
          CHECK(largest_error(y, want_y, 1) == 0);
          CHECK(largest_error(dx, want_dx, 1) == 0);
          CHECK(largest_error(dw, want_dw, 1) == 0);
        }
  });
}

TEST_CASE("conv2d and its gradients: the same bits for every layout and number of threads") {
  std::mt19937 random(2);
  const Shapes shapes[] = {
      {5, 24, 14, 14, 40, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {3, 64, 7, 7, 70, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {2, 8, 30, 30, 36, 3, 3, {{2, 2}, {1, 1}, {1, 1}, 2}},
      {4, 40, 12, 12, 40, 1, 1, {{1, 1}, {0, 0}, {1, 1}, 1}},
      {2, 12, 16, 16, 12, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 12}},
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
      check("conv2d", x, w, s.y());
      check("conv2d_input_grad", dy, w, s.x());
      check("conv2d_weight_grad", x, dy, s.weights());
    }
  });
}

TEST_CASE("conv2d and its gradients: empty sizes") {
  const Shapes none{0, 2, 5, 5, 3, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}};
  Array x(DType::float32, none.x()), w(DType::float32, none.weights());
  Array y(DType::float32, none.y()), dw(DType::float32, none.weights());
  std::fill(dw.memory.begin(), dw.memory.end(), std::byte(0x55));
  convolve("conv2d", none, x.view(), w.view(), y.view());
  convolve("conv2d_input_grad", none, y.view(), w.view(), x.view());
  convolve("conv2d_weight_grad", none, x.view(), y.view(), dw.view());
  CHECK(largest_error(dw, std::vector<double>(dw.size()), 1) == 0);

  const Shapes no_channels{2, 0, 5, 5, 3, 3, 3, {{1, 1}, {1, 1}, {1, 1}, 1}};
  Array empty(DType::float32, no_channels.x()), no_weights(DType::float32, no_channels.weights());
  Array zeros(DType::float32, no_channels.y());
  std::fill(zeros.memory.begin(), zeros.memory.end(), std::byte(0x55));
  convolve("conv2d", no_channels, empty.view(), no_weights.view(), zeros.view());
  CHECK(largest_error(zeros, std::vector<double>(zeros.size()), 1) == 0);
}
