// Shared by the tests of matmul, convolution and pooling.
#pragma once

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "backend/cpu/isa.h"
#include "kernel_harness.h"

namespace tegula::testing {

// Runs body() under every instruction set this processor has.
template <class F>
void for_each_isa(F&& body) {
  const char* before = std::getenv("TEGULA_ISA");
  const std::string kept = before ? before : "";
  for (const std::string& isa : cpu::supported_isas()) {
    CAPTURE(isa);
    setenv("TEGULA_ISA", isa.c_str(), 1);
    cpu::choose_isa();
    body();
  }
  if (before) {
    setenv("TEGULA_ISA", kept.c_str(), 1);
  } else {
    unsetenv("TEGULA_ISA");
  }
  cpu::choose_isa();
}

// Numbers whose sums round.
inline void fill_normal(Array& x, std::mt19937& random) {
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, normal(random));
}

// The same values in another layout.
inline Array in_layout(Array& x, Layout layout) {
  Array copy(x.shell.dtype, x.shell.shape, layout);
  for (int64_t i = 0; i < x.size(); ++i) copy.set(i, x.get(i));
  return copy;
}

// What a value becomes when stored as `dtype`.
inline double stored(double value, DType dtype) {
  return dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    return double(T(compute_t<T>(value)));
  });
}

// Largest distance to the expected values, as a multiple of `unit`.
inline double largest_error(Array& got, const std::vector<double>& want, double unit) {
  double worst = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double a = got.get(i), b = want[i];
    if (a == b || (a != a && b != b)) continue;
    const double error = std::abs(a - b) / unit;
    worst = error == error ? std::max(worst, error) : std::numeric_limits<double>::infinity();
  }
  return worst;
}

}  // namespace tegula::testing
