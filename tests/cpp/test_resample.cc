#include <cmath>

#include "contraction_harness.h"
#include "graph/resample_attrs.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

void resample(Array& x, Array& y, const ResampleAttrs& attrs) {
  const Attrs words = write_attrs(attrs);
  const std::vector<View> inputs{x.view()}, outputs{y.view()};
  for (const auto& entry : cpu::resampling_kernels()) {
    const auto prepared = entry.kernel.prepare(
        {.kind = entry.kind, .inputs = inputs, .outputs = outputs, .attrs = words});
    KernelArgs args;
    args.inputs = inputs;
    args.outputs = outputs;
    args.attrs = words;
    args.prepared = prepared.get();
    entry.kernel.run(args);
  }
}

ResampleAxis axis(int64_t from, int64_t to, ResampleMode mode) {
  return {from, to, mode, 0, 0, double(from) / double(to)};
}

// Element i of a resized axis as weights of those there were.
std::vector<double> weights(const ResampleAxis& a, int64_t i) {
  std::vector<double> row(a.from);
  if (a.mode == kResampleNearest) {
    row[std::min(int64_t(double(i) * a.scale), a.from - 1)] = 1;
  } else {
    const double at = std::max((double(i) + 0.5) * a.scale - 0.5, 0.0);
    const int64_t lower = std::min(int64_t(at), a.from - 1),
                  upper = std::min(lower + 1, a.from - 1);
    row[lower] += 1 - (at - double(int64_t(at)));
    row[upper] += at - double(int64_t(at));
  }
  return row;
}

std::vector<double> by_hand(Array& x, const ResampleAxis& rows, const ResampleAxis& columns) {
  std::vector<double> y;
  for (int64_t p = 0; p < x.shell.shape[0]; ++p)
    for (int64_t i = 0; i < rows.to; ++i)
      for (int64_t j = 0; j < columns.to; ++j) {
        const auto along = weights(rows, i), across = weights(columns, j);
        double sum = 0;
        for (int64_t a = 0; a < rows.from; ++a)
          for (int64_t b = 0; b < columns.from; ++b)
            if (along[a] != 0 && across[b] != 0)
              sum += along[a] * across[b] * x.get((p * rows.from + a) * columns.from + b);
        y.push_back(sum);
      }
  return y;
}

}  // namespace

TEST_CASE("resample: against the definition") {
  const int64_t sizes[][2] = {{1, 1}, {1, 5}, {7, 1}, {9, 9}, {16, 33}, {40, 19}, {67, 16}};
  for_each_isa([&] {
    for (DType dtype : {DType::float32, DType::float64})
      for (Layout layout : {Layout::dense, Layout::reversed_axes, Layout::gaps, Layout::flipped})
        for (ResampleMode mode : {kResampleLinear, kResampleNearest})
          for (const auto& [from, to] : sizes) {
            const ResampleAxis rows = axis(5, 3, mode), columns = axis(from, to, mode);
            Array x(dtype, {2, rows.from, from}, layout), y(dtype, {2, rows.to, to});
            std::mt19937 random(uint32_t(from * 31 + to));
            fill_normal(x, random);
            resample(x, y, {rows, columns, 0});
            const double unit = dtype == DType::float32 ? 0x1p-23 : 0x1p-52;
            CHECK(largest_error(y, by_hand(x, rows, columns), unit) <= 8);
          }
  });
}

TEST_CASE("resample: the gradient is the transpose") {
  for_each_isa([&] {
    const int64_t sizes[][2] = {{1, 5}, {9, 9}, {16, 33}, {40, 19}};
    for (ResampleMode mode :
         {kResampleNearest, kResampleNearestExact, kResampleLinear, kResampleCubic, kResampleArea})
      for (const auto& [from, to] : sizes) {
        const ResampleAxis rows = axis(to, from, mode), columns = axis(from, to, mode);
        Array x(DType::float64, {3, to, from}), y(DType::float64, {3, from, to});
        Array g(DType::float64, {3, from, to}), dx(DType::float64, {3, to, from});
        std::mt19937 random(uint32_t(from * 31 + to));
        fill_normal(x, random);
        fill_normal(g, random);
        resample(x, y, {rows, columns, 0});
        resample(g, dx, {rows, columns, 1});
        double forward = 0, backward = 0;
        for (int64_t i = 0; i < y.size(); ++i) forward += y.get(i) * g.get(i);
        for (int64_t i = 0; i < x.size(); ++i) backward += x.get(i) * dx.get(i);
        CHECK(forward == doctest::Approx(backward).epsilon(1e-12));
      }
  });
}

TEST_CASE("resample: the same bits for every number of threads") {
  const ResampleAxis rows = axis(300, 450, kResampleCubic),
                     columns = axis(500, 333, kResampleCubic);
  Array x(DType::float32, {3, 300, 500}), y(DType::float32, {3, 450, 333});
  std::mt19937 random(1);
  fill_normal(x, random);
  check_threads(y, [&] { resample(x, y, {rows, columns, 0}); });
}
