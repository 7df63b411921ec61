#include "contraction_harness.h"
#include "graph/attrs.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

// A matrix to be normalised, and what flows back.
struct Norm {
  DType wide;
  RowNormAttrs attrs;
  Array x, weight, bias, y, mean, scale, dy, dx, dweight, dbias;

  Norm(DType dtype, int64_t rows, int64_t length, Layout layout, bool affine, bool centered)
      : wide(dtype == DType::float64 ? dtype : DType::float32),
        attrs{affine, affine && centered, centered, 1e-3},
        x(dtype, {rows, length}, layout),
        weight(wide, {length}, layout == Layout::broadcast ? Layout::dense : layout),
        bias(wide, {length}),
        y(dtype, {rows, length}),
        mean(wide, {rows}),
        scale(wide, {rows}),
        dy(dtype, {rows, length}, layout),
        dx(dtype, {rows, length}),
        dweight(wide, {length}),
        dbias(wide, {length}) {
    std::mt19937 random(uint32_t(rows * 31 + length));
    for (Array* a : {&x, &weight, &bias, &dy}) fill_normal(*a, random);
  }
  void run() {
    std::vector<View> inputs = {x.view()};
    if (attrs.has_weight) inputs.push_back(weight.view());
    if (attrs.has_bias) inputs.push_back(bias.view());
    run_kernel(cpu::neural_kernels(), "row_norm", inputs, {y.view(), mean.view(), scale.view()},
               write_attrs(attrs));
  }
  void run_grad() {
    std::vector<View> inputs = {x.view(), dy.view(), mean.view(), scale.view()};
    std::vector<View> outputs = {dx.view()};
    if (attrs.has_weight) inputs.push_back(weight.view()), outputs.push_back(dweight.view());
    if (attrs.has_bias) outputs.push_back(dbias.view());
    run_kernel(cpu::neural_kernels(), "row_norm_grad", inputs, outputs, write_attrs(attrs));
  }
  double w(int64_t i) { return attrs.has_weight ? weight.get(i) : 1; }
};

void check_norm(Norm& c) {
  const int64_t rows = c.x.shell.shape[0], length = c.x.shell.shape[1];
  std::vector<double> y(c.y.size()), dx(c.dx.size()), dweight(length), dbias(length);
  for (int64_t r = 0; r < rows; ++r) {
    const auto x = [&](int64_t i) { return c.x.get(r * length + i); };
    const auto dy = [&](int64_t i) { return c.dy.get(r * length + i); };
    double mean = 0, variance = 0, even = 0, along = 0;
    for (int64_t i = 0; c.attrs.centered && i < length; ++i) mean += x(i) / double(length);
    for (int64_t i = 0; i < length; ++i) variance += (x(i) - mean) * (x(i) - mean) / double(length);
    const double scale = 1 / std::sqrt(variance + c.attrs.eps);
    for (int64_t i = 0; i < length; ++i) {
      const double h = (x(i) - mean) * scale;
      y[r * length + i] = h * c.w(i) + (c.attrs.has_bias ? c.bias.get(i) : 0);
      dweight[i] += dy(i) * h;
      dbias[i] += dy(i);
      even += c.attrs.centered ? dy(i) * c.w(i) / double(length) : 0;
      along += dy(i) * c.w(i) * h / double(length);
    }
    for (int64_t i = 0; i < length; ++i)
      dx[r * length + i] = scale * (dy(i) * c.w(i) - even - (x(i) - mean) * scale * along);
  }
  c.run();
  c.run_grad();
  const auto unit = [](DType dtype) {
    return dtype == DType::float64   ? 1e-14
           : dtype == DType::float32 ? 3e-6
           : dtype == DType::float16 ? 4e-3
                                     : 3e-2;
  };
  CHECK(largest_error(c.y, y, unit(c.x.shell.dtype)) < 4);
  CHECK(largest_error(c.dx, dx, unit(c.x.shell.dtype)) < 40);  // short rows: a large factor
  if (c.attrs.has_weight) CHECK(largest_error(c.dweight, dweight, unit(c.wide)) < 40);
  if (c.attrs.has_bias) CHECK(largest_error(c.dbias, dbias, unit(c.wide)) < 40);
}

}  // namespace

TEST_CASE("row_norm and its gradient: against the definition") {
  for_each_isa([&] {
    for (DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
      for (int64_t length : {1, 2, 15, 16, 17, 63, 64, 129, 1024, 2500})
        for (int64_t rows : {0, 1, 9, 70})
          for (bool affine : {false, true})
            for (bool centered : {false, true}) {
              if (length > 1000 && rows > 9) continue;
              CAPTURE(dtype);
              CAPTURE(length);
              CAPTURE(rows);
              Norm norm(dtype, rows, length, Layout::dense, affine, centered);
              check_norm(norm);
            }
  });
}

TEST_CASE("row_norm and its gradient: the same bits in every layout, for any number of threads") {
  for_each_isa([&] {
    Norm dense(DType::float32, 150, 333, Layout::dense, true, true);
    dense.run();
    dense.run_grad();
    for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
      Norm other(DType::float32, 150, 333, layout, true, true);
      other.run();
      other.run_grad();
      for (auto part : {&Norm::y, &Norm::dx, &Norm::dweight, &Norm::dbias})
        CHECK((other.*part).memory == (dense.*part).memory);
    }
    check_threads(dense.y, [&] { dense.run(); });
    for (auto part : {&Norm::dx, &Norm::dweight, &Norm::dbias})
      check_threads(dense.*part, [&] { dense.run_grad(); });
  });
}
