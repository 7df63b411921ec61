// Special functions and other functions of single elements that are no tile instructions: one row
// each, the name of which is its kernel's (src/backend/cpu/special). Operands broadcast and
// promote; they are computed in float64 and rounded once.
#include <algorithm>
#include <cmath>
#include <deque>
#include <numbers>
#include <utility>
#include <vector>

#include "ops/batching.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kInvSqrtPi = std::numbers::inv_sqrtpi;
constexpr int64_t kMostOrder = 10000;  // of functions that have an order n

struct Row {
  std::string_view name;
  std::string_view parameters;
  std::string_view doc;  // none: for other operations alone
  void (*vjp)(VjpContext&) = nullptr;
  uint32_t uses = 0;
  std::string_view samples = "";
  std::string_view reference = "";  // by default SciPy's function of the same name
  bool main = false;                // of `tegula` itself, not of tegula.special
  double tolerance = 1e-6;
};

constexpr uint32_t kX = 1u << 0, kY = 1u << 1, kZ = 1u << 2, kOut = kUsesOutput;

// The gradient of the last input; none of the others has one.
void give_last(VjpContext& c, const Tensor& slope) {
  const size_t last = c.input_count() - 1;
  for (size_t i = 0; i < last; ++i)
    if (c.needs(i))
      fail(ErrorKind::unsupported, c.name(), ": has no derivative with respect to argument ", i + 1,
           ", only to the last one");
  if (c.needs(last)) c.give(last, c.grad() * slope);
}

// The density of the gamma distribution with shape a.
Tensor gamma_density(const Tensor& a, const Tensor& x) {
  return exp(xlogy(a - constant(1), x) - x - special("lgamma", {a}));
}
template <int kSign>
void gammainc_vjp(VjpContext& c) {
  const Tensor a = c.input(0), x = c.input(1);
  const Tensor slope = c.grad() * gamma_density(a, x) * constant(kSign);
  if (c.needs(0)) c.give(0, -(slope * special("gammaincinv_slope", {a, x})));
  if (c.needs(1)) c.give(1, slope);
}
void beta_slopes(VjpContext& c, const Tensor& scaled) {
  const Tensor a = c.input(0), b = c.input(1), whole = special("digamma", {a + b});
  if (c.needs(0)) c.give(0, scaled * (special("digamma", {a}) - whole));
  if (c.needs(1)) c.give(1, scaled * (special("digamma", {b}) - whole));
}
// f' = other - f / x, with the slope at 0.
void order_one_vjp(VjpContext& c, std::string_view other) {
  const Tensor x = c.input(0), zero = equal(x, constant(0));
  const Tensor quotient = where(zero, constant(0.5), c.output() / where(zero, constant(1), x));
  c.give(0, c.grad() * (special(other, {x}) - quotient));
}

// clang-format off
constexpr Row kRows[] = {
    {"lgamma", "x: Tensor", "The logarithm of the size of the gamma function (DLMF 5.2); infinite at "
     "0, -1, -2, ...",
     [](VjpContext& c) { c.give(0, c.grad() * special("digamma", {c.input(0)})); }, kX,
     "4 * pos(3, 4);;f(3, 4);;50 * pos(5)", "scipy.special.gammaln"},
    {"gamma", "x: Tensor", "The gamma function (DLMF 5.2); NaN at -1, -2, ...",
     [](VjpContext& c) { c.give(0, c.grad() * (c.output() * special("digamma", {c.input(0)}))); }, kX | kOut,
     "4 * pos(3, 4);;unit(5) - 1.9"},
    {"digamma", "x: Tensor", "The derivative of lgamma (DLMF 5.2); NaN at -1, -2, ...",
     [](VjpContext& c) { c.give(0, c.grad() * special("polygamma", {constant(1), c.input(0)})); }, kX,
     "4 * pos(3, 4);;unit(5) - 1.9"},
    {"polygamma", "n: int, x: Tensor", "The n-th derivative of digamma (DLMF 5.15); NaN for n > 0 and x "
     "below -100000. ValueError for a negative n.",
     [](VjpContext& c) {
       c.give(1, c.grad() * special("polygamma", {c.input(0) + constant(1), c.input(1)}));
     }, kX | kY,
     "1, 4 * pos(3, 4);;0, pos(3);;3, unit(4) - 1.9"},
    {"zeta", "x: Tensor, q: Tensor", "Hurwitz's zeta function, the sum of (k + q) ** -x over k = 0, 1, ... "
     "(DLMF 25.11); NaN for x < 1, infinite at x = 1. Differentiable in q.",
     [](VjpContext& c) {
       const Tensor s = c.input(0);
       give_last(c, -(s * special("zeta", {s + constant(1), c.input(1)})));
     }, kX | kY,
     "2.5, 3 * pos(3, 4);;3, 20 * pos(5)"},
    {"beta", "a: Tensor, b: Tensor", "Euler's beta function (DLMF 5.12).",
     [](VjpContext& c) { beta_slopes(c, c.grad() * c.output()); }, kX | kY | kOut,
     "pos(3, 4), 3 * pos(4);;20 * pos(3), pos(3);;10 * pos(3), 12 * pos(3)"},
    {"betaln", "a: Tensor, b: Tensor", "The logarithm of the size of beta(a, b).",
     [](VjpContext& c) { beta_slopes(c, c.grad()); }, kX | kY,
     "pos(3, 4), 3 * pos(4);;20 * pos(3), pos(3);;10 * pos(3), 1e3 * pos(3)"},
    {"gammainc", "a: Tensor, x: Tensor", "The regularised lower incomplete gamma function (DLMF 8.2), "
     "the distribution function of gamma variables of shape a. Its derivative in a has none itself.",
     gammainc_vjp<1>, kX | kY,
     "1.7, 2 * pos(3, 4);;0.3, pos(4);;25.0, 25 * pos(5)"},
    {"gammaincc", "a: Tensor, x: Tensor", "1 - gammainc(a, x), accurate where that is small.",
     gammainc_vjp<-1>, kX | kY,
     "1.7, 2 * pos(3, 4);;0.3, pos(4);;25.0, 25 * pos(5)"},
    {"gammaincinv", "a: Tensor, p: Tensor", "The x with gammainc(a, x) = p. Its derivative in a has none "
     "itself.",
     [](VjpContext& c) {
       const Tensor a = c.input(0), x = c.output();
       if (c.needs(0)) c.give(0, c.grad() * special("gammaincinv_slope", {a, x}));
       if (c.needs(1)) c.give(1, c.grad() / gamma_density(a, x));
     }, kX | kOut,
     "1.7, (unit(3, 4) + 1) / 2;;25.0, (unit(5) + 1) / 2"},
    {"gammaincinv_slope", "a: Tensor, x: Tensor", ""},
    {"betainc", "a: Tensor, b: Tensor, x: Tensor", "The regularised incomplete beta function (DLMF 8.17), "
     "the distribution function of beta variables. Differentiable in x.",
     [](VjpContext& c) {
       const Tensor a = c.input(0), b = c.input(1), x = c.input(2), one = constant(1);
       give_last(c, exp(xlogy(a - one, x) + xlog1py(b - one, -x) - special("betaln", {a, b})));
     }, kX | kY | kZ,
     "1.7, 0.6, (unit(3, 4) + 1) / 2;;25.0, 40.0, (unit(5) + 1) / 2;;0.3, 12, (unit(5) + 1) / 2"},
    {"erfc", "x: Tensor", "1 - erf(x), accurate where that is small.",
     [](VjpContext& c) { c.give(0, c.grad() * (exp(-square(c.input(0))) * constant(-2 * kInvSqrtPi))); }, kX,
     "f(3, 4);;3 * f(5)", "", true},
    {"erfinv", "x: Tensor", "The inverse of erf, on [-1, 1]; NaN outside.",
     [](VjpContext& c) { c.give(0, c.grad() * (exp(square(c.output())) * constant(0.5 / kInvSqrtPi))); }, kOut,
     "unit(3, 4);;unit(5) ** 5", "", true},
    {"erfcinv", "x: Tensor", "The inverse of erfc, on [0, 2]; NaN outside.",
     [](VjpContext& c) { c.give(0, c.grad() * (exp(square(c.output())) * constant(-0.5 / kInvSqrtPi))); }, kOut,
     "unit(3, 4) + 1;;abs(unit(5)) / 8 + 0.01"},
    {"erfcx", "x: Tensor", "exp(x ** 2) * erfc(x), without overflow for positive x (DLMF 7.2).",
     [](VjpContext& c) {
       c.give(0, c.grad() * (c.input(0) * c.output() - constant(kInvSqrtPi)) * constant(2));
     }, kX | kOut,
     "f(3, 4);;20 * pos(5)"},
    {"ndtr", "x: Tensor", "The distribution function of the standard normal distribution.",
     [](VjpContext& c) {
       c.give(0, c.grad() * (exp(square(c.input(0)) * constant(-0.5)) *
                             constant(kInvSqrtPi * std::numbers::sqrt2 / 2)));
     }, kX,
     "f(3, 4);;3 * f(5)"},
    {"ndtri", "p: Tensor", "The inverse of ndtr, on [0, 1]; NaN outside.",
     [](VjpContext& c) {
       c.give(0, c.grad() * (exp(square(c.output()) * constant(0.5)) *
                             constant(std::numbers::sqrt2 / kInvSqrtPi)));
     }, kOut,
     "(unit(3, 4) + 1) / 2;;abs(unit(5)) / 8 + 0.05"},
    {"log_ndtr", "x: Tensor", "log(ndtr(x)), accurate in both tails.",
     [](VjpContext& c) {
       c.give(0, c.grad() * (exp(square(c.input(0)) * constant(-0.5) - c.output()) *
                             constant(kInvSqrtPi * std::numbers::sqrt2 / 2)));
     }, kX | kOut,
     "f(3, 4);;10 * f(5)"},
    {"i0", "x: Tensor", "The modified Bessel function of the first kind of order 0 (DLMF 10.25).",
     [](VjpContext& c) { c.give(0, c.grad() * special("i1", {c.input(0)})); }, kX, "f(3, 4);;10 * f(5)"},
    {"i0e", "x: Tensor", "exp(-abs(x)) * i0(x), without overflow.",
     [](VjpContext& c) {
       const Tensor x = c.input(0);
       c.give(0, c.grad() * (special("i1e", {x}) - sign(x) * c.output()));
     }, kX | kOut, "f(3, 4);;10 * f(5)"},
    {"i1", "x: Tensor", "The modified Bessel function of the first kind of order 1 (DLMF 10.25).",
     [](VjpContext& c) { order_one_vjp(c, "i0"); }, kX | kOut, "f(3, 4);;10 * f(5)"},
    {"i1e", "x: Tensor", "exp(-abs(x)) * i1(x), without overflow.",
     [](VjpContext& c) {
       const Tensor x = c.input(0), zero = equal(x, constant(0)), y = c.output();
       const Tensor quotient = where(zero, constant(0.5), y / where(zero, constant(1), x));
       c.give(0, c.grad() * (special("i0e", {x}) - sign(x) * y - quotient));
     }, kX | kOut, "f(3, 4);;10 * f(5)"},
    {"j0", "x: Tensor", "The Bessel function of the first kind of order 0 (DLMF 10.2).",
     [](VjpContext& c) { c.give(0, -(c.grad() * special("j1", {c.input(0)}))); }, kX, "f(3, 4);;10 * f(5)"},
    {"j1", "x: Tensor", "The Bessel function of the first kind of order 1 (DLMF 10.2).",
     [](VjpContext& c) { order_one_vjp(c, "j0"); }, kX | kOut, "f(3, 4);;10 * f(5)"},
    {"y0", "x: Tensor", "The Bessel function of the second kind of order 0 (DLMF 10.2); NaN below 0.",
     [](VjpContext& c) { c.give(0, -(c.grad() * special("y1", {c.input(0)}))); }, kX, "pos(3, 4);;10 * pos(5)"},
    {"y1", "x: Tensor", "The Bessel function of the second kind of order 1 (DLMF 10.2); NaN below 0.",
     [](VjpContext& c) {
       c.give(0, c.grad() * (special("y0", {c.input(0)}) - c.output() / c.input(0)));
     }, kX | kOut, "pos(3, 4);;10 * pos(5)"},
    {"k0", "x: Tensor", "The modified Bessel function of the second kind of order 0 (DLMF 10.25); NaN "
     "below 0.",
     [](VjpContext& c) { c.give(0, -(c.grad() * special("k1", {c.input(0)}))); }, kX, "pos(3, 4);;10 * pos(5)"},
    {"k0e", "x: Tensor", "exp(x) * k0(x), without underflow.",
     [](VjpContext& c) { c.give(0, c.grad() * (c.output() - special("k1e", {c.input(0)}))); }, kX | kOut,
     "pos(3, 4);;10 * pos(5)"},
    {"k1", "x: Tensor", "The modified Bessel function of the second kind of order 1 (DLMF 10.25); NaN "
     "below 0.",
     [](VjpContext& c) {
       c.give(0, -(c.grad() * (special("k0", {c.input(0)}) + c.output() / c.input(0))));
     }, kX | kOut, "pos(3, 4);;10 * pos(5)"},
    {"k1e", "x: Tensor", "exp(x) * k1(x), without underflow.",
     [](VjpContext& c) {
       const Tensor x = c.input(0), y = c.output();
       c.give(0, c.grad() * (y - special("k0e", {x}) - y / x));
     }, kX | kOut, "pos(3, 4);;10 * pos(5)"},
    {"spherical_jn", "n: int, x: Tensor", "The spherical Bessel function of the first kind of order n "
     "(DLMF 10.47). ValueError for a negative n.",
     [](VjpContext& c) {
       const Tensor n = c.input(0), x = c.input(1), one = constant(1);
       const Tensor below = special("spherical_jn", {maximum(n - one, constant(0)), x});
       const Tensor above = special("spherical_jn", {n + one, x});
       c.give(1, c.grad() * (n * below - (n + one) * above) / (n * constant(2) + one));
     }, kX | kY, "2, 3 * pos(3, 4);;0, f(3);;7, 10 * pos(5);;12, pos(3)"},
    {"exp1", "x: Tensor", "The exponential integral E1, of exp(-t) / t from x on (DLMF 6.2); NaN below 0.",
     [](VjpContext& c) { c.give(0, -(c.grad() * (exp(-c.input(0)) / c.input(0)))); }, kX,
     "pos(3, 4);;10 * pos(5)"},
    {"expi", "x: Tensor", "The exponential integral Ei, the principal value of exp(t) / t up to x (DLMF "
     "6.2).",
     [](VjpContext& c) { c.give(0, c.grad() * (exp(c.input(0)) / c.input(0))); }, kX,
     "pos(3, 4);;-pos(3);;25 * pos(5)"},
    {"ellipk", "m: Tensor", "The complete elliptic integral of the first kind of parameter m = k ** 2 (DLMF "
     "19.2); NaN above 1.",
     [](VjpContext& c) {
       const Tensor m = c.input(0), zero = equal(m, constant(0)), safe = where(zero, constant(0.5), m);
       const Tensor slope = (special("ellipe", {m}) / (constant(1) - m) - c.output()) / (safe * constant(2));
       c.give(0, c.grad() * where(zero, constant(kPi / 8), slope));
     }, kX | kOut, "unit(3, 4);;-20 * pos(5)"},
    {"ellipe", "m: Tensor", "The complete elliptic integral of the second kind of parameter m = k ** 2 (DLMF "
     "19.2); NaN above 1.",
     [](VjpContext& c) {
       const Tensor m = c.input(0), zero = equal(m, constant(0)), safe = where(zero, constant(0.5), m);
       const Tensor slope = (c.output() - special("ellipk", {m})) / (safe * constant(2));
       c.give(0, c.grad() * where(zero, constant(-kPi / 8), slope));
     }, kX | kOut, "unit(3, 4);;-20 * pos(5)"},
    {"poisson_quantile", "rate: Tensor, u: Tensor", ""},
    {"binomial_quantile", "trials: Tensor, p: Tensor, u: Tensor", ""},
    {"mantissa", "x: Tensor", "",
     [](VjpContext& c) {
       Tensor scale;
       {
         GradMode off(false);
         scale = -special("exponent", {c.input(0)});
       }
       c.give(0, special("ldexp", {c.grad(), scale}));
     }, kX},
    {"exponent", "x: Tensor", ""},
    {"ldexp", "x: Tensor, n: Tensor", "",
     [](VjpContext& c) { c.give(0, special("ldexp", {c.grad(), c.input(1)})); }, kY},
    {"fmod", "x1: Tensor, x2: Tensor", "",
     [](VjpContext& c) {
       c.give(0, c.grad());
       if (c.needs(1)) c.give(1, -(c.grad() * round((c.input(0) - c.output()) / c.input(1))));
     }, kX | kY | kOut},
    {"gcd", "x1: Tensor, x2: Tensor", "The greatest common divisor of integers, not negative.", nullptr, 0,
     "ints(-30, 30, 3, 4), ints(1, 20, 4);;ints(0, 9, 5), 0", "numpy.gcd", true},
    {"lcm", "x1: Tensor, x2: Tensor", "The least common multiple of integers, not negative; it wraps "
     "around where the dtype is too narrow.", nullptr, 0,
     "ints(-30, 30, 3, 4), ints(1, 20, 4);;ints(0, 9, 5), 0", "numpy.lcm", true},
};
// clang-format on
constexpr size_t kCount = std::size(kRows);

size_t row(std::string_view name) {
  for (size_t i = 0; i < kCount; ++i)
    if (kRows[i].name == name) return i;
  fail(ErrorKind::runtime, "no special function '", name, "'");
}

const Primitive& primitive(size_t i) {
  static const auto all = [] {
    std::vector<Primitive> made(kCount);
    for (size_t k = 0; k < kCount; ++k)
      made[k] = {.name = kRows[k].name,
                 .kind = Kind::opaque,
                 .infer = [](const InferContext& c,
                             OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
                 .vjp = kRows[k].vjp,
                 .uses = uses_for_every_input(kRows[k].uses),
                 .batch = batch_in_place};
    return made;
  }();
  return all[i];
}

bool of_integers(std::string_view name) { return name == "gcd" || name == "lcm"; }

// What operands meet in; a Python number takes the dtype of the tensors it meets.
DType meet(const Tensors& xs) {
  std::optional<DType> dtype;
  for (const Tensor& x : xs)
    if (!x.node().weak_scalar) dtype = dtype ? promote(*dtype, x.dtype()) : x.dtype();
  for (const Tensor& x : xs)
    if (x.node().weak_scalar)
      dtype = dtype ? common_dtype(x, scalar(int64_t(0), *dtype)) : x.dtype();
  return *dtype;
}

template <size_t I>
Tensors call(const Args& a) {
  constexpr std::string_view parameters = kRows[I].parameters;
  Tensors operands;
  size_t count = 1;
  for (char c : parameters) count += c == ',';
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 || !parameters.starts_with("n: int")) {
      operands.push_back(a.tensor(i));
      continue;
    }
    const int64_t n = a.integer(0);
    require(n >= 0 && n <= kMostOrder, "special.", kRows[I].name, ": n must be between 0 and ",
            kMostOrder, ", got ", n);
    operands.push_back(constant(double(n)));
  }
  return {special(kRows[I].name, operands)};
}

std::string_view kept(std::string text) {
  static std::deque<std::string> texts;
  return texts.emplace_back(std::move(text));
}

template <size_t I>
void add_op(std::vector<Op>& ops, bool main) {
  const Row& r = kRows[I];
  if (r.doc.empty() || r.main != main) return;
  ops.push_back(
      {.name = main ? r.name : kept(cat("special.", r.name)),
       .parameters = r.parameters,
       .doc = r.doc,
       .call = call<I>,
       .samples = r.samples,
       .reference = r.reference.empty() ? kept(cat("scipy.special.", r.name)) : r.reference,
       .method = main,
       .differentiable = r.vjp != nullptr,
       .tolerance = r.tolerance});
}

template <size_t... I>
std::vector<Op> make_ops(bool main, std::index_sequence<I...>) {
  std::vector<Op> ops;
  (add_op<I>(ops, main), ...);
  return ops;
}
const Family kMain("Error functions and divisors",
                   make_ops(true, std::make_index_sequence<kCount>()));
const Family kSpecial("Special functions", make_ops(false, std::make_index_sequence<kCount>()));

}  // namespace

Tensor special(std::string_view name, const Tensors& given) {
  const size_t i = row(name);
  for (const Tensor& x : given) require_order(x, name.data());
  const DType dtype = meet(given);
  if (of_integers(name) && !is_integer(dtype))
    fail(ErrorKind::type, name, ": needs integers, got ", dtype);
  const DType wide = of_integers(name) ? dtype : dtype == DType::float64 ? dtype : DType::float32;
  Shape shape = given[0].shape();
  for (const Tensor& x : given) shape = broadcast_shapes(shape, x.shape(), name.data());
  Tensors operands;
  for (const Tensor& x : given) operands.push_back(broadcast_to(astype(x, wide), shape));
  const Tensor result = record(primitive(i), operands);
  return of_integers(name) ? result : astype(result, float_dtype(dtype));
}

}  // namespace tegula
