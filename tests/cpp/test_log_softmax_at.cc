#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

struct Rows {
  Array x, index, value, top, total, upstream, dx;

  Rows(DType dtype, int64_t rows, int64_t classes, Layout layout)
      : x(dtype, {rows, classes}, layout),
        index(DType::int64, {rows, 1}),
        value(dtype, {rows, 1}),
        top(dtype, {rows, 1}),
        total(dtype, {rows, 1}),
        upstream(dtype, {rows, 1}),
        dx(dtype, {rows, classes}) {
    std::mt19937 random(uint32_t(rows * 31 + classes));
    fill_normal(x, random);
    fill_normal(upstream, random);
    for (int64_t i = 0; i < rows; ++i) index.set(i, double(random() % uint32_t(classes)));
  }
  void run() {
    run_kernel(cpu::neural_kernels(), "log_softmax_at", {x.view(), index.view()},
               {value.view(), top.view(), total.view()}, {});
  }
  void run_grad() {
    run_kernel(cpu::neural_kernels(), "log_softmax_at_grad",
               {x.view(), index.view(), top.view(), total.view(), upstream.view()}, {dx.view()},
               {});
  }
};

}  // namespace

TEST_CASE("log_softmax_at: against the definition") {
  for_each_isa([&] {
    for (DType dtype : {DType::float32, DType::float64})
      for (int64_t classes : {1, 2, 15, 16, 63, 64, 65, 200, 1031})
        for (int64_t rows : {0, 1, 7})
          for (Layout layout : {Layout::dense, Layout::reversed_axes, Layout::gaps}) {
            Rows r(dtype, rows, classes, layout);
            for (int64_t c = 0; rows > 1 && c < classes; ++c)  // large scores do not overflow
              r.x.set(classes + c, 1e4 + r.x.get(classes + c));
            r.run();
            r.run_grad();
            std::vector<double> value(rows), dx(rows * classes);
            for (int64_t i = 0; i < rows; ++i) {
              double top = r.x.get(i * classes), total = 0;
              for (int64_t c = 0; c < classes; ++c) top = std::max(top, r.x.get(i * classes + c));
              for (int64_t c = 0; c < classes; ++c)
                total += std::exp(r.x.get(i * classes + c) - top);
              const auto chosen = int64_t(r.index.get(i));
              value[i] = r.x.get(i * classes + chosen) - top - std::log(total);
              for (int64_t c = 0; c < classes; ++c)
                dx[i * classes + c] =
                    r.upstream.get(i) *
                    ((c == chosen) - std::exp(r.x.get(i * classes + c) - top) / total);
            }
            const double unit = dtype == DType::float32 ? 0x1p-23 : 0x1p-52;
            CHECK(largest_error(r.value, value, unit) <= 16);
            CHECK(largest_error(r.dx, dx, unit) <= 4);
          }
  });
}

TEST_CASE("log_softmax_at: the same bits for every number of threads") {
  Rows r(DType::float32, 300, 700, Layout::dense);
  check_threads(r.value, [&] { r.run(); });
  check_threads(r.dx, [&] { r.run_grad(); });
}

TEST_CASE("log_softmax_at: NaN and infinity stay in their rows") {
  Rows r(DType::float32, 4, 70, Layout::dense);
  r.x.set(70 + 3, std::numeric_limits<double>::quiet_NaN());
  r.x.set(2 * 70 + 66, std::numeric_limits<double>::infinity());
  r.run();
  for (int64_t i = 0; i < 4; ++i) CHECK((r.value.get(i) != r.value.get(i)) == (i == 1 || i == 2));
}
