// Functions of single elements made of other operations.
#include <cmath>
#include <numbers>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

Tensor floating(const Tensor& x, const char* op) {
  require_order(x, op);
  return astype(x, float_dtype(x.dtype()));
}

// Both in the floating dtype in which they meet.
struct Pair {
  Tensor a, b;
};
Pair floating(const Tensor& x1, const Tensor& x2, const char* op) {
  require_order(x1, op);
  require_order(x2, op);
  const DType dtype = float_dtype(common_dtype(x1, x2));
  broadcast_shapes(x1.shape(), x2.shape(), op);
  return {astype(x1, dtype), astype(x2, dtype)};
}
Pair promoted(const Tensor& x1, const Tensor& x2, const char* op) {
  require_order(x1, op);
  require_order(x2, op);
  const DType dtype = common_dtype(x1, x2);
  broadcast_shapes(x1.shape(), x2.shape(), op);
  return {astype(x1, dtype), astype(x2, dtype)};
}

bool is_float(const Tensor& x) { return is_floating(x.dtype()); }
Tensor zero_of(const Tensor& x) { return scalar(int64_t(0), x.dtype()); }
Tensor is_negative(const Tensor& x) { return less(x, zero_of(x)); }

// log(x / (1 - x)), by log1p where the ratio is near 1.
Tensor logit(const Tensor& given, const Tensor& eps) {
  Tensor x = widened(floating(given, "logit"));
  if (eps) x = minimum(maximum(x, eps), constant(1) - eps);
  const Tensor apart = x * constant(2) - constant(1), middle = less(abs(apart), constant(0.5));
  const Tensor near = where(middle, apart, constant(0)), far = where(middle, constant(0.25), x);
  const Tensor value = where(middle, log1p(near) - log1p(-near), log(far) - log1p(-far));
  return astype(value, float_dtype(given.dtype()));
}

Tensor sinc(const Tensor& given) {
  const Tensor x = floating(given, "sinc"), zero = equal(x, constant(0));
  const Tensor angle = where(zero, constant(1), x) * constant(std::numbers::pi);
  return where(zero, constant(1), sin(angle) / angle);
}

Tensor heaviside(const Tensor& x1, const Tensor& x2) {
  const auto [x, at_zero] = promoted(x1, x2, "heaviside");
  const Tensor zero = zero_of(x), one = scalar(int64_t(1), x.dtype());
  const Tensor step = where(less(x, zero), zero, where(greater(x, zero), one, x));  // NaN stays
  return where(equal(x, zero), at_zero, step);
}

template <bool kMaximum>
Tensor extremum(const Tensor& x1, const Tensor& x2) {
  const auto [a, b] = promoted(x1, x2, kMaximum ? "fmax" : "fmin");
  const Tensor value = kMaximum ? maximum(a, b) : minimum(a, b);
  return is_float(a) ? where(isnan(a), b, where(isnan(b), a, value)) : value;
}

Tensor fmod(const Tensor& x1, const Tensor& x2) {
  const auto [a, b] = promoted(x1, x2, "fmod");
  if (is_float(a)) return special("fmod", {a, b});
  const Tensor rest = remainder(a, b);
  const Tensor apart =
      logical_and(not_equal(rest, zero_of(a)), not_equal(is_negative(a), is_negative(b)));
  return where(apart, rest - b, rest);
}

Tensor trunc_divide(const Tensor& x1, const Tensor& x2) {
  const auto [a, b] = promoted(x1, x2, "trunc_divide");
  if (a.dtype() == DType::bool_) fail(ErrorKind::type, "trunc_divide: not defined for bool");
  if (is_float(a)) return trunc(a / b);
  const Tensor down = floor_divide(a, b);  // one less than wanted below 0, unless it is exact
  const Tensor inexact = logical_and(not_equal(down * b, a), not_equal(b, zero_of(b)));
  return down + astype(logical_and(inexact, is_negative(down)), a.dtype());
}

Tensor ldexp(const Tensor& x, const Tensor& n) {
  require_order(x, "ldexp");
  if (!is_integer(n.dtype()))
    fail(ErrorKind::type, "ldexp: x2 must hold integers, got ", n.dtype());
  return special("ldexp", {astype(x, float_dtype(x.dtype())), n});
}

Tensors frexp(const Tensor& given) {
  const Tensor x = floating(given, "frexp");
  Tensor exponent;
  {
    GradMode off(false);
    exponent = astype(special("exponent", {x}), DType::int32);
  }
  return {special("mantissa", {x}), exponent};
}

Tensor lerp(const Tensor& x1, const Tensor& x2, const Tensor& weight) {
  const auto [a, b] = floating(x1, x2, "lerp");
  require_order(weight, "lerp");
  broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), "lerp"), weight.shape(), "lerp");
  return a + weight * (b - a);
}

Tensor logaddexp2(const Tensor& x1, const Tensor& x2) {
  const auto [a, b] = floating(x1, x2, "logaddexp2");
  const Tensor apart = where(equal(a, b), constant(0), a - b);
  return maximum(a, b) + log1p(exp2(-abs(apart))) * constant(std::numbers::log2e);
}

Tensor float_power(const Tensor& x1, const Tensor& x2) {
  const bool complex = is_complex(x1.dtype()) || is_complex(x2.dtype());
  const DType dtype = complex ? DType::complex128 : DType::float64;
  return pow(astype(x1, dtype), astype(x2, dtype));
}

Tensor exp10(const Tensor& x) { return pow(constant(10), floating(x, "exp10")); }

Tensor infinite(const Tensor& x, const char* op, double value) {
  require_order(x, op);
  if (is_float(x)) return equal(x, constant(value));
  return full(x.shape(), scalar(int64_t(0), DType::bool_));
}

Tensor isreal(const Tensor& x) {
  if (is_complex(x.dtype())) return equal(imag(x), constant(0));
  return full(x.shape(), scalar(int64_t(1), DType::bool_));
}

Tensors modf(const Tensor& given) {
  const Tensor x = floating(given, "modf"), whole = trunc(x);
  return {where(isinf(x), constant(0), x - whole), whole};
}

// -x log x.
Tensor entr(const Tensor& given) {
  const Tensor x = floating(given, "special.entr");
  return where(less(x, constant(0)), constant(-HUGE_VAL), -xlogy(x, x));
}

Tensor rel_entr(const Tensor& x1, const Tensor& x2) {
  const auto [x, y] = floating(x1, x2, "special.rel_entr");
  const Tensor zero = constant(0), inside = logical_and(greater(x, zero), greater(y, zero));
  const Tensor value = x * log(where(inside, x, constant(1)) / where(inside, y, constant(1)));
  const Tensor at_zero = logical_and(equal(x, zero), greater_equal(y, zero));
  const Tensor unknown = where(isnan(x), x, y);
  const Tensor outside = where(at_zero, zero, where(isnan(unknown), unknown, constant(HUGE_VAL)));
  return where(inside, value, outside);
}

Tensor multigammaln(const Tensor& given, int64_t d) {
  const char* op = "special.multigammaln";
  require(d >= 1 && d <= 1000, op, ": d must be between 1 and 1000, got ", d);
  const Tensor a = floating(given, op);
  Tensor total = special("lgamma", {a});
  for (int64_t j = 1; j < d; ++j)
    total = total + special("lgamma", {a - constant(0.5 * double(j))});
  return total + constant(0.25 * double(d * (d - 1)) * std::log(std::numbers::pi));
}

Op numeric(std::string_view name, std::string_view parameters, std::string_view doc,
           Tensors (*call)(const Args&), std::string_view samples, std::string_view reference,
           bool differentiable = true, double tolerance = 2e-6) {
  return {.name = name,
          .parameters = parameters,
          .doc = doc,
          .call = call,
          .samples = samples,
          .reference = reference,
          .method = name.find('.') == name.npos,
          .differentiable = differentiable,
          .tolerance = tolerance};
}
template <Tensor (*kFunction)(const Tensor&)>
Tensors one(const Args& a) {
  return {kFunction(a.tensor(0))};
}
template <Tensor (*kFunction)(const Tensor&, const Tensor&)>
Tensors two(const Args& a) {
  return {kFunction(a.tensor(0), a.tensor(1))};
}

constexpr std::string_view kTwo = "x1: Tensor, x2: Tensor", kBoth = "f(3, 4), f(4);;f(3), 0.5";

// clang-format off
const Family kNumeric("Numeric", {
    numeric("logit", "x: Tensor, eps: Tensor? = None",
            "log(x / (1 - x)), the inverse of sigmoid; x is kept between eps and 1 - eps if that is "
            "given, and NaN comes of what is outside [0, 1].",
            [](const Args& a) { return Tensors{logit(a.tensor(0), a.optional_tensor(1))}; },
            "(unit(3, 4) + 1) / 2;;unit(5) + 0.5, 0.125",
            "lambda x, eps=0: scipy.special.logit(numpy.clip(x, eps, 1 - eps))"),
    numeric("xlogy", "x: Tensor, y: Tensor", "x * log(y), 0 where x is 0 and y is not NaN.", two<xlogy>,
            "f(3, 4), pos(4);;ints(0, 2, 5), pos(5)", "scipy.special.xlogy"),
    numeric("xlog1py", "x: Tensor, y: Tensor", "x * log(1 + y), 0 where x is 0 and y is not NaN.",
            two<xlog1py>, "f(3, 4), unit(4);;ints(0, 2, 5), pos(5)", "scipy.special.xlog1py"),
    numeric("sinc", "x: Tensor", "sin(pi x) / (pi x), 1 at 0.", one<sinc>, "f(3, 4)", "numpy.sinc"),
    numeric("heaviside", kTwo, "0 where x1 is negative, 1 where it is positive, x2 where it is 0.",
            two<heaviside>, "f(3, 4), f(4);;ints(-2, 3, 9), 5", "numpy.heaviside"),
    numeric("fmax", kTwo, "The larger of x1 and x2, the other one where one is NaN.", two<extremum<true>>,
            "f(3, 4), f(4);;f(3), 0.5;;ints(0, 9, 3), ints(0, 9, 3)", "numpy.fmax"),
    numeric("fmin", kTwo, "The smaller of x1 and x2, the other one where one is NaN.",
            two<extremum<false>>, "f(3, 4), f(4);;f(3), 0.5;;ints(0, 9, 3), ints(0, 9, 3)",
            "numpy.fmin"),
    numeric("fmod", kTwo, "What is left of x1 when x2 is taken off as often as it goes: the sign of x1, "
            "and exact. remainder has the sign of x2.", two<fmod>,
            "3 * f(3, 4), pos(4);;ints(-20, 20, 3, 4), numpy.array([-7, -3, 2, 5])", "numpy.fmod"),
    numeric("trunc_divide", kTwo, "x1 / x2 rounded towards 0; for integers exact, 0 where x2 is 0.",
            two<trunc_divide>, "3 * f(3, 4), pos(4);;ints(-20, 20, 3, 4), numpy.array([-7, -3, 2, 5])",
            "lambda a, b: numpy.trunc(a / b).astype(numpy.result_type(a, b))"),
    numeric("ldexp", kTwo, "x1 * 2 ** x2, without overflow on the way; x2 holds integers.", two<ldexp>,
            "f(3, 4), ints(-5, 5, 4);;f(3), 2", "numpy.ldexp"),
    {.name = "frexp",
     .parameters = "x: Tensor",
     .doc = "A mantissa in [0.5, 1) or 0, with x's sign, and an exponent, int32: x is mantissa * 2 ** "
            "exponent. Infinities and NaN are their own mantissas, with exponent 0.",
     .call = [](const Args& a) { return frexp(a.tensor(0)); },
     .samples = "f(3, 4);;100 * f(5);;special()",
     .reference = "numpy.frexp",
     .differentiable = true,
     .returns_tuple = true,
     .result = "FrexpResult: mantissa, exponent"},
    {.name = "modf",
     .parameters = "x: Tensor",
     .doc = "What is after the point and what is before it, both with x's sign.",
     .call = [](const Args& a) { return modf(a.tensor(0)); },
     .samples = "3 * f(3, 4)",
     .reference = "numpy.modf",
     .differentiable = true,
     .returns_tuple = true,
     .result = "ModfResult: fractional, integral"},
    numeric("lerp", "x1: Tensor, x2: Tensor, weight: Tensor", "x1 + weight * (x2 - x1).",
            [](const Args& a) { return Tensors{lerp(a.tensor(0), a.tensor(1), a.tensor(2))}; },
            "f(3, 4), f(4), 0.25;;f(3, 1), f(4), f(3, 4)", "lambda a, b, w: a + w * (b - a)"),
    numeric("deg2rad", "x: Tensor", "x * pi / 180.",
            one<[](const Tensor& x) { return floating(x, "deg2rad") * constant(std::numbers::pi / 180); }>,
            "90 * f(3, 4)", "numpy.deg2rad"),
    numeric("rad2deg", "x: Tensor", "x * 180 / pi.",
            one<[](const Tensor& x) { return floating(x, "rad2deg") * constant(180 / std::numbers::pi); }>,
            "f(3, 4)", "numpy.rad2deg"),
    numeric("frac", "x: Tensor", "x - trunc(x), which has the sign of x.",
            one<[](const Tensor& x) { require_order(x, "frac"); return x - trunc(x); }>,
            "3 * f(3, 4);;ints(-3, 3, 4)", "lambda x: x - numpy.trunc(x)"),
    numeric("logaddexp2", kTwo, "log2(2 ** x1 + 2 ** x2), without overflow.", two<logaddexp2>, kBoth,
            "numpy.logaddexp2"),
    numeric("float_power", kTwo, "x1 to the power x2, in float64 or complex128.", two<float_power>,
            "pos(3, 4), f(4);;ints(1, 9, 3), -1.5", "numpy.float_power", true, 1e-12),
    numeric("exp10", "x: Tensor", "10 to the power x.", one<exp10>, "f(3, 4)", "scipy.special.exp10"),
    numeric("isposinf", "x: Tensor", "Whether x is infinity.",
            one<[](const Tensor& x) { return infinite(x, "isposinf", HUGE_VAL); }>, "special();;ints(0, 3, 4)",
            "numpy.isposinf", false),
    numeric("isneginf", "x: Tensor", "Whether x is minus infinity.",
            one<[](const Tensor& x) { return infinite(x, "isneginf", -HUGE_VAL); }>, "special();;ints(0, 3, 4)",
            "numpy.isneginf", false),
    numeric("isreal", "x: Tensor", "Whether the imaginary part of x is 0.", one<isreal>,
            "f(3, 4);;c(4);;numpy.array([1 + 0j, 2j])", "numpy.isreal", false),
});

const Family kEntropies("Entropies", {
    numeric("special.entr", "x: Tensor", "-x * log(x), 0 at 0 and minus infinity below.", one<entr>,
            "pos(3, 4)", "scipy.special.entr"),
    numeric("special.rel_entr", "x: Tensor, y: Tensor", "x * log(x / y); 0 where x is 0 and y is not "
            "negative, infinity for other numbers that are not positive.", two<rel_entr>,
            "pos(3, 4), pos(4)", "scipy.special.rel_entr"),
    numeric("special.multigammaln", "a: Tensor, d: int", "The logarithm of the multivariate gamma "
            "function of dimension d (DLMF 35.3), for a > (d - 1) / 2.",
            [](const Args& a) { return Tensors{multigammaln(a.tensor(0), a.integer(1))}; },
            "pos(3, 4) + 2, 3;;pos(5), 1", "scipy.special.multigammaln"),
});
// clang-format on

}  // namespace

Tensor xlogy(const Tensor& x1, const Tensor& x2) {
  const auto [x, y] = floating(x1, x2, "xlogy");
  const Tensor rest = logical_or(greater(y, constant(0)), isnan(y));
  const Tensor idle = logical_and(equal(x, constant(0)), logical_or(logical_not(rest), isinf(y)));
  return x * log(where(idle, constant(1), y));
}

Tensor xlog1py(const Tensor& x1, const Tensor& x2) {
  const auto [x, y] = floating(x1, x2, "xlog1py");
  const Tensor rest = logical_or(greater(y, constant(-1)), isnan(y));
  const Tensor idle = logical_and(equal(x, constant(0)), logical_or(logical_not(rest), isinf(y)));
  return x * log1p(where(idle, constant(0), y));
}

}  // namespace tegula
