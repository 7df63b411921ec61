// Every tile instruction with every dtype it takes: exact ones against the interpreter bit for bit,
// transcendental ones against the C library in higher precision, within the errors that
// docs/tile-format.md states.
#include <algorithm>
#include <functional>

#include "tile_harness.h"

namespace tegula::testing {
namespace {

constexpr int64_t kSizes[] = {1, 7, 8, 9, 31, 32, 33, 1023, 1024, 1025};

// A function and the largest error allowed, in ulp of float32 and of float64.
struct Function {
  TileOp op;
  double f32, f64;
  long double (*exact)(long double);
};
long double exact_sigmoid(long double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
const Function kFunctions[] = {
    {TileOp::exp, 1.5, 1.5, [](long double x) { return std::exp(x); }},
    {TileOp::exp2, 1.5, 1.5, [](long double x) { return std::exp2(x); }},
    {TileOp::expm1, 2, 3, [](long double x) { return std::expm1(x); }},
    {TileOp::log, 2, 1.5, [](long double x) { return std::log(x); }},
    {TileOp::log1p, 2, 3, [](long double x) { return std::log1p(x); }},
    {TileOp::log2, 1, 2, [](long double x) { return std::log2(x); }},
    {TileOp::log10, 1, 2, [](long double x) { return std::log10(x); }},
    {TileOp::sin, 2, 3, [](long double x) { return std::sin(x); }},
    {TileOp::cos, 2, 3, [](long double x) { return std::cos(x); }},
    {TileOp::tan, 1, 1, [](long double x) { return std::tan(x); }},
    {TileOp::asin, 1, 3, [](long double x) { return std::asin(x); }},
    {TileOp::acos, 1, 3, [](long double x) { return std::acos(x); }},
    {TileOp::atan, 1, 3, [](long double x) { return std::atan(x); }},
    {TileOp::sinh, 1, 3, [](long double x) { return std::sinh(x); }},
    {TileOp::cosh, 1, 3, [](long double x) { return std::cosh(x); }},
    {TileOp::tanh, 1.5, 3, [](long double x) { return std::tanh(x); }},
    {TileOp::asinh, 1, 3, [](long double x) { return std::asinh(x); }},
    {TileOp::acosh, 1, 3, [](long double x) { return std::acosh(x); }},
    {TileOp::atanh, 1, 3, [](long double x) { return std::atanh(x); }},
    {TileOp::erf, 1.5, 1, [](long double x) { return std::erf(x); }},
    {TileOp::sigmoid, 2, 2.5, exact_sigmoid},
};
bool is_approximate(TileOp op) {
  for (const Function& f : kFunctions)
    if (f.op == op) return true;
  return op == TileOp::pow || op == TileOp::atan2 || op == TileOp::hypot;
}

// The distance of `got` from `want` in units of the last place of T at `want`.
template <class T>
double ulps(T got, long double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  const T rounded = T(want);
  if (std::isinf(rounded) || std::isinf(got)) {
    if (rounded == got) return 0;
    if (std::isinf(want)) return 1e30;
  }
  if (want == 0) return got == 0 && std::signbit(got) == std::signbit(want) ? 0 : 1e30;
  int exponent;
  std::frexp(std::abs(want), &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  exponent = std::min(exponent, std::numeric_limits<T>::max_exponent);
  const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
  const long double reached =
      std::isinf(got)
          ? std::copysign(std::ldexp(1.0L, std::numeric_limits<T>::max_exponent), (long double)got)
          : got;
  return double(std::abs(reached - want) / unit);
}

// Special values, then ever wider ranges, then any bits at all.
template <class T>
std::vector<T> samples(std::mt19937_64& random, size_t each) {
  using L = std::numeric_limits<T>;
  std::vector<T> x = {T(0),
                      -T(0),
                      T(1),
                      T(-1),
                      L::infinity(),
                      -L::infinity(),
                      L::quiet_NaN(),
                      L::max(),
                      L::lowest(),
                      L::min(),
                      -L::min(),
                      L::denorm_min(),
                      -L::denorm_min(),
                      T(0.5),
                      T(-0.5),
                      T(2),
                      T(3),
                      T(-2),
                      T(-3),
                      T(88.5),
                      T(-103.5),
                      T(709.5),
                      T(-745),
                      T(1e-5),
                      T(-1e-5),
                      T(29999),
                      T(30001),
                      T(1e10),
                      T(3.14159265),
                      T(-1.57079637)};
  for (const double scale : {1e-3, 1.0, 4.0, 20.0, 110.0, 760.0, 40000.0}) {
    std::uniform_real_distribution<double> any(-scale, scale);
    for (size_t i = 0; i < each; ++i) x.push_back(T(any(random)));
  }
  for (size_t i = 0; i < each; ++i) {
    const uint64_t bits = random();
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    x.push_back(value);
  }
  return x;
}

// A program of one instruction on `arity` operands, some of which are single elements.
TileProgram one_instr(TileOp op, DType in, DType out, int64_t n, unsigned scalars) {
  TileProgram p;
  p.extent = {n};
  TileInstr instr{op, out};
  for (int k = 0; k < arity(op); ++k) {
    const DType dtype = op == TileOp::where && k == 0 ? DType::bool_ : in;
    p.inputs.push_back({dtype, {int64_t((scalars >> k) & 1 ? 0 : 1)}});
    p.instrs.push_back({TileOp::load, dtype, {-1, -1, -1}, k});
    instr.source[k] = k;
  }
  p.outputs = {{out, {1}}};
  p.instrs.push_back(instr);
  p.instrs.push_back({TileOp::store, out, {arity(op), -1, -1}, 0});
  return p;
}
bool is_valid(const TileProgram& p) {
  try {
    check(p);
    return true;
  } catch (const Error&) {
    return false;
  }
}

template <class T>
double worst(const Function& f, const std::vector<T>& x) {
  constexpr DType dtype = sizeof(T) == 4 ? DType::float32 : DType::float64;
  const TileProgram p = one_instr(f.op, dtype, dtype, int64_t(x.size()), 0);
  TileOperands operands(p);
  std::copy(x.begin(), x.end(), operands.inputs[0].data<T>());
  operands.execute(p);
  double largest = 0;
  T at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(operands.outputs[0].data<T>()[i], f.exact(x[i]));
    if (error > largest) at = x[i];
    largest = std::max(largest, error);
  }
  CAPTURE(at);
  CHECK_MESSAGE(largest <= (sizeof(T) == 4 ? f.f32 : f.f64), name(f.op), " is wrong by ", largest,
                " ulp at ", at);
  return largest;
}

TEST_CASE("tile: transcendental functions are within their errors") {
  std::mt19937_64 random(7);
  const std::vector<float> x32 = samples<float>(random, 3000);
  const std::vector<double> x64 = samples<double>(random, 1500);
  for_each_isa([&](const std::string& isa) {
    for (const Function& f : kFunctions) {
      const double a = worst(f, x32), b = worst(f, x64);
      if (std::getenv("TEGULA_TEST_ULP"))
        MESSAGE(isa, " ", name(f.op), " float32 ", a, " float64 ", b);
    }
  });
}

template <class T>
double check_two_operands(TileOp op, double limit) {
  constexpr DType dtype = sizeof(T) == 4 ? DType::float32 : DType::float64;
  std::mt19937_64 random(11);
  std::vector<T> x = samples<T>(random, 400), y = x;
  std::shuffle(y.begin() + 30, y.end(), random);
  std::vector<T> a, b;
  for (size_t i = 0; i < 30; ++i)
    for (size_t j = 0; j < 30; ++j) {
      a.push_back(x[i]);
      b.push_back(x[j]);
    }
  for (size_t i = 30; i < x.size(); ++i) {
    a.push_back(i % 2 ? std::abs(x[i]) : x[i]);
    b.push_back(i % 4 < 2 ? T(std::nearbyint(y[i])) : y[i]);
  }
  const TileProgram p = one_instr(op, dtype, dtype, int64_t(a.size()), 0);
  TileOperands operands(p);
  std::copy(a.begin(), a.end(), operands.inputs[0].data<T>());
  std::copy(b.begin(), b.end(), operands.inputs[1].data<T>());
  operands.execute(p);
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const long double l = a[i], r = b[i];
    const long double want = op == TileOp::pow     ? std::pow(l, r)
                             : op == TileOp::atan2 ? std::atan2(l, r)
                                                   : std::hypot(l, r);
    const T got = operands.outputs[0].data<T>()[i];
    CHECK_MESSAGE(ulps(got, want) <= limit, name(op), "(", a[i], ", ", b[i], ") = ", got,
                  " is wrong by ", ulps(got, want), " ulp");
    largest = std::max(largest, ulps(got, want));
  }
  return largest;
}

TEST_CASE("tile: pow, atan2 and hypot are within their errors") {
  for_each_isa([&](const std::string& isa) {
    for (TileOp op : {TileOp::pow, TileOp::atan2, TileOp::hypot}) {
      const double a = check_two_operands<float>(op, 1.5), b = check_two_operands<double>(op, 1.5);
      if (std::getenv("TEGULA_TEST_ULP"))
        MESSAGE(isa, " ", name(op), " float32 ", a, " float64 ", b);
    }
  });
}

void fill_edges(TileMemory& memory, std::mt19937_64& random) {
  const int64_t parts = memory.size() * (is_complex(memory.dtype) ? 2 : 1);
  dispatch(real_dtype(memory.dtype), [&](auto zero) {
    using T = decltype(zero);
    T* data = memory.data<T>();
    for (int64_t i = 0; i < parts; ++i) {
      const uint64_t bits = random();
      if constexpr (std::is_same_v<T, bool>) {
        data[i] = bits & 1;
      } else if constexpr (std::is_integral_v<T>) {
        using L = std::numeric_limits<T>;
        const T edges[] = {L::min(), L::max(), T(L::min() + 1), T(-1), T(0), T(1), T(2), T(7)};
        data[i] = bits % 3 == 0   ? edges[(bits >> 8) % 8]
                  : bits % 3 == 1 ? T(int64_t((bits >> 8) % 41) - 20)
                                  : T(bits >> 8);
      } else {
        using C = compute_t<T>;
        using L = std::numeric_limits<C>;
        const C edges[] = {C(0),          -C(0),          C(1),           -C(1),
                           L::infinity(), -L::infinity(), L::quiet_NaN(), C(0.5),
                           C(2.5),        C(-2.5),        C(1e-6),        C(3e9),
                           C(-3e9),       C(1e19),        C(-1e19),       C(65519)};
        data[i] = bits % 3 == 0
                      ? T(edges[(bits >> 8) % 16])
                      : T(C(int64_t((bits >> 8) % 20001) - 10000) / C(bits % 3 == 1 ? 64 : 1));
      }
    }
  });
}

void check_exact(TileOp op, DType in, DType out, unsigned scalars, int64_t n) {
  const TileProgram p = one_instr(op, in, out, n, scalars);
  std::mt19937_64 random(uint64_t(op) * 1000 + uint64_t(n));
  TileOperands wanted(p);
  for (TileMemory& m : wanted.inputs) fill_edges(m, random);
  TileOperands got = wanted;
  wanted.interpret(p);
  got.execute(p);
  const int64_t at = first_difference(got.outputs[0], wanted.outputs[0]);
  CHECK_MESSAGE(at == -1, name(op), " of ", in, " to ", out, ", operands ", scalars,
                " single, n = ", n, ", element ", at);
}

TEST_CASE("tile: every exact instruction gives the interpreter's bits for every dtype") {
  for_each_isa([&](const std::string&) {
    for (int k = int(TileOp::cast); k < int(TileOp::sum); ++k) {
      const TileOp op = TileOp(k);
      for (int a = 0; a < kDTypeCount; ++a)
        for (int b = 0; b < kDTypeCount; ++b) {
          const DType in = DType(a), out = DType(b);
          if (is_approximate(op) && is_floating(in)) continue;
          if (!is_valid(one_instr(op, in, out, 1, 0))) continue;
          for (int64_t n : kSizes)
            for (unsigned scalars = 0; scalars < (1u << arity(op)); ++scalars)
              if (n == 33 || scalars == 0) check_exact(op, in, out, scalars, n);
        }
    }
  });
}

TEST_CASE("tile: every reduction gives the interpreter's bits for every dtype and both trees") {
  for_each_isa([&](const std::string&) {
    for (int k = int(TileOp::sum); k < kTileOpCount; ++k)
      for (int d = 0; d < kDTypeCount; ++d)
        for (ReduceTree tree : {ReduceTree::rows, ReduceTree::columns})
          for (int64_t n : {0, 1, 2, 31, 33, 64, 65, 1024, 1025, 5000})
            for (int64_t rows : {1, 3, 33}) {
              TileProgram p;
              p.extent = {rows, n};
              p.reduce_axes = 1;
              p.tree = tree;
              const DType dtype = DType(d);
              const bool by_column = tree == ReduceTree::columns;
              p.inputs = {{dtype, by_column ? Strides{1, rows} : Strides{n, 1}}};
              p.outputs = {{dtype, {1, 0}}};
              p.instrs = {{TileOp::load, dtype, {-1, -1, -1}, 0},
                          {TileOp(k), dtype, {0, -1, -1}},
                          {TileOp::store, dtype, {1, -1, -1}, 0}};
              if (!is_valid(p)) continue;
              std::mt19937_64 random(uint64_t(n) + 5);
              TileOperands wanted(p);
              for (TileMemory& m : wanted.inputs) fill_edges(m, random);
              TileOperands got = wanted;
              wanted.interpret(p);
              got.execute(p);
              CAPTURE(print(p));
              CHECK(first_difference(got.outputs[0], wanted.outputs[0]) == -1);
            }
  });
}

TEST_CASE("tile: an element's bits do not depend on where it falls") {
  std::mt19937_64 random(3);
  const std::vector<float> x = samples<float>(random, 20);
  for_each_isa([&](const std::string&) {
    for (const Function& f : kFunctions) {
      const TileProgram whole =
          one_instr(f.op, DType::float32, DType::float32, int64_t(x.size()), 0);
      TileOperands all(whole);
      std::copy(x.begin(), x.end(), all.inputs[0].data<float>());
      all.execute(whole);
      const TileProgram single = one_instr(f.op, DType::float32, DType::float32, 1, 0);
      for (size_t i = 0; i < x.size(); ++i) {
        TileOperands one(single);
        one.inputs[0].data<float>()[0] = x[i];
        one.execute(single);
        CHECK(same_element(DType::float32, one.outputs[0].bytes.data(),
                           all.outputs[0].bytes.data() + 4 * i));
      }
    }
  });
}

}  // namespace
}  // namespace tegula::testing
