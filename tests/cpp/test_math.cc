// float32 transcendental functions against the C library's double, over all floats: every so many
// bit patterns in `make test`, each of them in `make test-all`.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "backend/cpu/tile/functions.h"
#include "tile_harness.h"

namespace tegula::testing {
namespace {

constexpr double kLimit = 2;  // ulp
constexpr uint64_t kFloats = uint64_t(1) << 32;

struct Function {
  TileOp op;
  double (*exact)(double);
};
double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
const Function kFunctions[] = {
    {TileOp::exp, std::exp},     {TileOp::exp2, std::exp2},   {TileOp::expm1, std::expm1},
    {TileOp::log, std::log},     {TileOp::log1p, std::log1p}, {TileOp::log2, std::log2},
    {TileOp::log10, std::log10}, {TileOp::sin, std::sin},     {TileOp::cos, std::cos},
    {TileOp::tan, std::tan},     {TileOp::asin, std::asin},   {TileOp::acos, std::acos},
    {TileOp::atan, std::atan},   {TileOp::sinh, std::sinh},   {TileOp::cosh, std::cosh},
    {TileOp::tanh, std::tanh},   {TileOp::asinh, std::asinh}, {TileOp::acosh, std::acosh},
    {TileOp::atanh, std::atanh}, {TileOp::erf, std::erf},     {TileOp::sigmoid, sigmoid},
};

// The distance of `got` from `want`, in units of the last place of float at `want`; infinite where
// a NaN, an infinity or the sign of a zero is wrong.
double ulps(float got, double want) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kWrong;
  if (std::signbit(got) != std::signbit(want)) return kWrong;
  if (std::isinf(got) && std::isinf(float(want))) return 0;
  if (std::isinf(want)) return kWrong;
  // The unit by the exponent in the bits: below the least normal float it stays what it is there.
  const double size = std::clamp(std::abs(want), 0x1p-126, 0x1p127);
  uint64_t bits;
  std::memcpy(&bits, &size, sizeof(bits));
  bits = (bits & 0x7ff0000000000000) - (uint64_t(23) << 52);
  double unit;
  std::memcpy(&unit, &bits, sizeof(unit));
  const double reached = std::isinf(got) ? std::copysign(0x1p128, want) : got;
  return std::abs(reached - want) / unit;
}

struct Worst {
  double error = 0;
  float at = 0;
};
// Over the bit patterns begin, begin + step, ...
Worst worst_of(const Function& f, uint64_t begin, uint64_t step) {
  const cpu::TileFunction run = cpu::find_function(f.op, DType::float32, cpu::Form::vectors);
  std::vector<float> x(1024), y(1024);
  Worst worst;
  for (uint64_t bits = begin; bits < kFloats;) {
    int64_t n = 0;
    for (; n < int64_t(x.size()) && bits < kFloats; ++n, bits += step) {
      const uint32_t word = uint32_t(bits);
      std::memcpy(&x[size_t(n)], &word, sizeof(word));
    }
    run(y.data(), x.data(), nullptr, nullptr, n);
    for (size_t i = 0; i < size_t(n); ++i) {
      const double error = ulps(y[i], f.exact(x[i]));
      if (error > worst.error) worst = {error, x[i]};
    }
  }
  return worst;
}

TEST_CASE("math: float32 functions are within 2 ulp at every so many floats") {
  for_each_isa([&](const std::string& isa) {
    for (const Function& f : kFunctions) {
      const Worst worst = worst_of(f, 5, 16381);
      CHECK_MESSAGE(worst.error <= kLimit, isa, " ", name(f.op), ": ", worst.error, " ulp at ",
                    worst.at);
    }
  });
}

TEST_CASE("math: float32 functions are within 2 ulp at every float" * doctest::skip()) {
  const uint64_t count = std::max(1u, std::thread::hardware_concurrency());
  for (const Function& f : kFunctions) {
    std::vector<Worst> parts(count);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < count; ++i)
      threads.emplace_back([&, i] { parts[i] = worst_of(f, i, count); });
    for (std::thread& thread : threads) thread.join();
    const Worst worst = *std::max_element(parts.begin(), parts.end(),
                                          [](Worst a, Worst b) { return a.error < b.error; });
    MESSAGE(name(f.op), ": ", worst.error, " ulp at ", worst.at);
    CHECK(worst.error <= kLimit);
  }
}

// ---- float64, and functions of two arguments, at random

long double long_sigmoid(long double x) {
  const long double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
struct LongFunction {
  TileOp op;
  long double (*exact)(long double);
};
const LongFunction kLongFunctions[] = {
    {TileOp::exp, std::exp},     {TileOp::exp2, std::exp2},   {TileOp::expm1, std::expm1},
    {TileOp::log, std::log},     {TileOp::log1p, std::log1p}, {TileOp::log2, std::log2},
    {TileOp::log10, std::log10}, {TileOp::sin, std::sin},     {TileOp::cos, std::cos},
    {TileOp::tan, std::tan},     {TileOp::asin, std::asin},   {TileOp::acos, std::acos},
    {TileOp::atan, std::atan},   {TileOp::sinh, std::sinh},   {TileOp::cosh, std::cosh},
    {TileOp::tanh, std::tanh},   {TileOp::asinh, std::asinh}, {TileOp::acosh, std::acosh},
    {TileOp::atanh, std::atanh}, {TileOp::erf, std::erf},     {TileOp::sigmoid, long_sigmoid},
};
struct BinaryFunction {
  TileOp op;
  long double (*exact)(long double, long double);
};
const BinaryFunction kBinaryFunctions[] = {
    {TileOp::pow, std::pow}, {TileOp::atan2, std::atan2}, {TileOp::hypot, std::hypot}};

// As ulps(), for T.
template <class T>
double places(T got, long double want) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kWrong;
  if (std::signbit(got) != std::signbit(want)) return kWrong;
  if (std::isinf(got) && std::isinf(T(want))) return 0;
  if (std::isinf(want)) return kWrong;
  constexpr int kLeast = std::numeric_limits<T>::min_exponent,
                kMost = std::numeric_limits<T>::max_exponent;
  int exponent;
  std::frexp(want, &exponent);
  exponent = std::clamp(want == 0 ? kLeast : exponent, kLeast, kMost);
  const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
  const long double reached = std::isinf(got) ? std::copysign(std::ldexp(1.0L, kMost), want) : got;
  return double(std::abs(reached - want) / unit);
}

// Numbers of every size, many near 1, and the special ones.
template <class T>
std::vector<T> samples(uint32_t seed, int64_t count) {
  using L = std::numeric_limits<T>;
  std::vector<T> x = {T(0),
                      -T(0),
                      T(1),
                      T(-1),
                      T(2),
                      T(-2),
                      T(0.5),
                      T(-0.5),
                      T(3),
                      T(-3),
                      L::infinity(),
                      -L::infinity(),
                      L::quiet_NaN(),
                      L::denorm_min(),
                      -L::denorm_min(),
                      L::min(),
                      -L::min(),
                      L::max(),
                      L::lowest(),
                      T(1e5),
                      T(-1e5),
                      T(1e22)};
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> share(-1, 1);
  for (int64_t i = 0; i < count; ++i) {
    const double u = share(random);
    const int kind = int(random() % 4);
    x.push_back(kind == 0   ? T(u * 20)
                : kind == 1 ? T(1 + u / 4)
                : kind == 2
                    ? T(u * 800)
                    : T(std::ldexp(u, int(random() % 2 ? 60 * share(random)
                                                       : L::max_exponent * share(random)))));
  }
  return x;
}

TEST_CASE("math: float64 functions are within 2 ulp") {
  const std::vector<double> x = samples<double>(1, 200'000);
  std::vector<double> y(x.size());
  for_each_isa([&](const std::string& isa) {
    for (const LongFunction& f : kLongFunctions) {
      const cpu::TileFunction run = cpu::find_function(f.op, DType::float64, cpu::Form::vectors);
      run(y.data(), x.data(), nullptr, nullptr, int64_t(x.size()));
      double worst = 0, at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double error = places(y[i], f.exact(x[i]));
        if (error > worst) worst = error, at = x[i];
      }
      CHECK_MESSAGE(worst <= kLimit, isa, " ", name(f.op), ": ", worst, " ulp at ", at);
    }
  });
}

template <class T>
void check_binary(DType dtype) {
  std::vector<T> a = samples<T>(2, 40'000), b = samples<T>(3, 40'000);
  const size_t special = a.size() - 40'000;
  for (size_t i = 0; i < special; ++i)
    for (size_t j = 0; j < special; ++j) a.push_back(a[i]), b.push_back(b[j]);
  std::vector<T> y(a.size());
  for_each_isa([&](const std::string& isa) {
    for (const BinaryFunction& f : kBinaryFunctions) {
      const cpu::TileFunction run = cpu::find_function(f.op, dtype, cpu::Form::vectors);
      run(y.data(), a.data(), b.data(), nullptr, int64_t(a.size()));
      double worst = 0, at = 0, and_at = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        const double error = places(y[i], f.exact(a[i], b[i]));
        if (error > worst) worst = error, at = a[i], and_at = b[i];
      }
      CHECK_MESSAGE(worst <= kLimit, isa, " ", name(f.op), ": ", worst, " ulp at ", at, ", ",
                    and_at);
    }
  });
}

TEST_CASE("math: functions of two arguments are within 2 ulp") {
  check_binary<float>(DType::float32);
  check_binary<double>(DType::float64);
}

}  // namespace
}  // namespace tegula::testing
