// Elementwise operations: one row each. A row is the whole operation: its name is also that of its
// tile instruction, and its primitive, C++ function, Python function, documentation and tests all
// come from it. docs/add-an-operation.md adds one as an example.
#include <array>
#include <deque>
#include <numbers>
#include <utility>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

// What operands are converted to, and what comes out.
enum class Rule : uint8_t {
  same,       // real numbers: promoted, and the result is of that dtype
  field,      // as same, complex numbers too
  floating,   // as same, integers and bool becoming float32
  analytic,   // as floating, complex numbers too
  predicate,  // floating-point question: bool
  compare,    // real numbers, promoted: bool
  equality,   // as compare, complex numbers too
  logical,    // bool operands: bool
  bitwise,    // integers or bool
};

struct Row {
  std::string_view name;
  int arity;
  Rule rule;
  std::string_view doc;
  void (*vjp)(VjpContext&) = nullptr;
  Uses uses = {};
  std::string_view samples = "f(3, 4)";
  std::string_view reference = "";  // the NumPy function; by default the one of the same name
  double tolerance = 1e-6;
};

constexpr uint32_t kX = 1u << 0;
constexpr uint32_t kY = 1u << 1;
constexpr uint32_t kOut = kUsesOutput;

void no_change(VjpContext& c) { c.give(0, c.grad() * constant(0)); }
void no_change_of_two(VjpContext& c) {
  c.give(0, c.grad() * constant(0));
  c.give(1, c.grad() * constant(0));
}
void pow_vjp(VjpContext& c) {
  if (c.needs(0)) {
    const Tensor x = c.input(0), y = c.input(1);
    const Tensor less_one = where(equal(y, constant(0)), constant(1), y - constant(1));
    c.give(0, c.grad() * conj(y * pow(x, less_one)));
  }
  if (c.needs(1)) {  // log 0 counts as 0 where 0 ** y is constant
    const Tensor x = c.input(0), out = c.output();
    const Tensor safe = where(equal(x, constant(0)), constant(1), x);
    c.give(1, c.grad() * conj(out * log(safe)));
  }
}
// Where operands are equal each has half the slope.
template <bool kMaximum>
void extremum_vjp(VjpContext& c) {
  const Tensor a = c.input(0), b = c.input(1), &g = c.grad();
  const Tensor tie = where(equal(a, b), g * constant(0.5), constant(0));
  const Tensor first = kMaximum ? greater(a, b) : less(a, b);
  const Tensor second = kMaximum ? less(a, b) : greater(a, b);
  if (c.needs(0)) c.give(0, where(first, g, tie));
  if (c.needs(1)) c.give(1, where(second, g, tie));
}

constexpr double kLn2 = std::numbers::ln2;
constexpr double kLn10 = std::numbers::ln10;

// One row an operation, laid out by hand.
// clang-format off
constexpr Row kRows[] = {
    {"negative", 1, Rule::field, "-x.", [](VjpContext& c) { c.give(0, -c.grad()); }},
    {"abs", 1, Rule::same, "The distance of x from 0; its derivative at 0 is 0.",
     [](VjpContext& c) { c.give(0, c.grad() * sign(c.input(0))); }, {kX}},
    {"sign", 1, Rule::same, "-1, 0 or 1 by the sign of x; NaN for NaN.", no_change},
    {"square", 1, Rule::field, "x * x.",
     [](VjpContext& c) { c.give(0, c.grad() * (conj(c.input(0)) * constant(2))); }, {kX}},
    {"sqrt", 1, Rule::analytic, "Square root; NaN for negative x.",
     [](VjpContext& c) { c.give(0, c.grad() * constant(0.5) / conj(c.output())); }, {kOut}, "pos(3, 4)"},
    {"rsqrt", 1, Rule::analytic, "1 / sqrt(x).",
     [](VjpContext& c) {
       const Tensor y = conj(c.output());
       c.give(0, c.grad() * constant(-0.5) * (y * y * y));
     },
     {kOut}, "pos(3, 4)", "lambda x: 1 / numpy.sqrt(x)"},
    {"reciprocal", 1, Rule::analytic, "1 / x.",
     [](VjpContext& c) { c.give(0, -(c.grad() * square(conj(c.output())))); }, {kOut}, "pos(3, 4)",
     "lambda x: 1 / x"},
    {"exp", 1, Rule::analytic, "e to the power x.",
     [](VjpContext& c) { c.give(0, c.grad() * conj(c.output())); }, {kOut}},
    {"exp2", 1, Rule::analytic, "2 to the power x.",
     [](VjpContext& c) { c.give(0, c.grad() * (conj(c.output()) * constant(kLn2))); }, {kOut}},
    {"expm1", 1, Rule::analytic, "exp(x) - 1, accurate near 0.",
     [](VjpContext& c) { c.give(0, c.grad() * (conj(c.output()) + constant(1))); }, {kOut}},
    {"log", 1, Rule::analytic, "Natural logarithm; -inf for 0, NaN below.",
     [](VjpContext& c) { c.give(0, c.grad() / conj(c.input(0))); }, {kX}, "pos(3, 4)"},
    {"log1p", 1, Rule::analytic, "log(1 + x), accurate near 0.",
     [](VjpContext& c) { c.give(0, c.grad() / (conj(c.input(0)) + constant(1))); }, {kX}, "pos(3, 4)"},
    {"log2", 1, Rule::analytic, "Logarithm to base 2.",
     [](VjpContext& c) { c.give(0, c.grad() / (conj(c.input(0)) * constant(kLn2))); }, {kX}, "pos(3, 4)"},
    {"log10", 1, Rule::analytic, "Logarithm to base 10.",
     [](VjpContext& c) { c.give(0, c.grad() / (conj(c.input(0)) * constant(kLn10))); }, {kX},
     "pos(3, 4)"},
    {"sin", 1, Rule::analytic, "Sine of x radians.",
     [](VjpContext& c) { c.give(0, c.grad() * cos(conj(c.input(0)))); }, {kX}},
    {"cos", 1, Rule::analytic, "Cosine of x radians.",
     [](VjpContext& c) { c.give(0, -(c.grad() * sin(conj(c.input(0))))); }, {kX}},
    {"tan", 1, Rule::analytic, "Tangent of x radians.",
     [](VjpContext& c) { c.give(0, c.grad() * (square(conj(c.output())) + constant(1))); }, {kOut},
     "unit(3, 4)"},
    {"asin", 1, Rule::analytic, "Inverse sine, in [-pi/2, pi/2]; NaN outside [-1, 1].",
     [](VjpContext& c) { c.give(0, c.grad() * rsqrt(constant(1) - square(conj(c.input(0))))); }, {kX},
     "unit(3, 4)", "numpy.arcsin"},
    {"acos", 1, Rule::analytic, "Inverse cosine, in [0, pi]; NaN outside [-1, 1].",
     [](VjpContext& c) { c.give(0, -(c.grad() * rsqrt(constant(1) - square(conj(c.input(0)))))); }, {kX},
     "unit(3, 4)", "numpy.arccos"},
    {"atan", 1, Rule::analytic, "Inverse tangent, in [-pi/2, pi/2].",
     [](VjpContext& c) { c.give(0, c.grad() / (square(conj(c.input(0))) + constant(1))); }, {kX},
     "f(3, 4)", "numpy.arctan"},
    {"sinh", 1, Rule::analytic, "Hyperbolic sine.",
     [](VjpContext& c) { c.give(0, c.grad() * cosh(conj(c.input(0)))); }, {kX}},
    {"cosh", 1, Rule::analytic, "Hyperbolic cosine.",
     [](VjpContext& c) { c.give(0, c.grad() * sinh(conj(c.input(0)))); }, {kX}},
    {"tanh", 1, Rule::analytic, "Hyperbolic tangent.",
     [](VjpContext& c) { c.give(0, c.grad() * (constant(1) - square(conj(c.output())))); }, {kOut}},
    {"asinh", 1, Rule::analytic, "Inverse hyperbolic sine.",
     [](VjpContext& c) { c.give(0, c.grad() * rsqrt(square(conj(c.input(0))) + constant(1))); }, {kX},
     "f(3, 4)", "numpy.arcsinh"},
    {"acosh", 1, Rule::analytic, "Inverse hyperbolic cosine; NaN below 1.",
     [](VjpContext& c) {  // one root of the product would have another branch cut
       const Tensor x = conj(c.input(0));
       c.give(0, c.grad() * (rsqrt(x - constant(1)) * rsqrt(x + constant(1))));
     },
     {kX},
     "pos(3, 4) + 1", "numpy.arccosh"},
    {"atanh", 1, Rule::analytic, "Inverse hyperbolic tangent; NaN outside [-1, 1].",
     [](VjpContext& c) { c.give(0, c.grad() / (constant(1) - square(conj(c.input(0))))); }, {kX},
     "unit(3, 4)", "numpy.arctanh"},
    {"erf", 1, Rule::floating, "The error function.",
     [](VjpContext& c) {
       c.give(0, c.grad() * (exp(-square(c.input(0))) * constant(2 * std::numbers::inv_sqrtpi)));
     },
     {kX}, "f(3, 4)", "scipy.special.erf"},
    {"sigmoid", 1, Rule::analytic, "1 / (1 + exp(-x)).",
     [](VjpContext& c) {
       const Tensor y = conj(c.output());
       c.give(0, c.grad() * (y * (constant(1) - y)));
     },
     {kOut}, "f(3, 4)", "lambda x: 1 / (1 + numpy.exp(-x))"},
    {"floor", 1, Rule::same, "The largest integer not above x.", no_change},
    {"ceil", 1, Rule::same, "The smallest integer not below x.", no_change},
    {"trunc", 1, Rule::same, "The nearest integer towards 0.", no_change},
    {"round", 1, Rule::same, "The nearest integer, ties to even.", no_change},
    {"isnan", 1, Rule::predicate, "Whether x is NaN.", nullptr, {}, "special()"},
    {"isinf", 1, Rule::predicate, "Whether x is infinite.", nullptr, {}, "special()"},
    {"isfinite", 1, Rule::predicate, "Whether x is neither infinite nor NaN.", nullptr, {},
     "special()"},
    {"signbit", 1, Rule::predicate, "Whether the sign bit of x is set, as for -0.0.", nullptr, {},
     "special()"},
    {"logical_not", 1, Rule::logical, "True where x is zero.", nullptr, {}, "mask(3, 4)"},
    {"bitwise_invert", 1, Rule::bitwise, "Every bit flipped; logical not for bool.", nullptr, {},
     "ints(-9, 9, 3, 4)", "numpy.invert"},

    {"add", 2, Rule::field, "x1 + x2.",
     [](VjpContext& c) {
       c.give(0, c.grad());
       c.give(1, c.grad());
     },
     {}, "f(3, 4), f(4);;f(3, 1), f(1, 4);;f(3), 2.5"},
    {"subtract", 2, Rule::field, "x1 - x2.",
     [](VjpContext& c) {
       c.give(0, c.grad());
       if (c.needs(1)) c.give(1, -c.grad());
     },
     {}, "f(3, 4), f(4);;f(3), 2.5"},
    {"multiply", 2, Rule::field, "x1 * x2.",
     [](VjpContext& c) {
       if (c.needs(0)) c.give(0, c.grad() * conj(c.input(1)));
       if (c.needs(1)) c.give(1, c.grad() * conj(c.input(0)));
     },
     {kY, kX}, "f(3, 4), f(4);;f(3), 2.5"},
    {"divide", 2, Rule::analytic, "x1 / x2; integers divide as float32.",
     [](VjpContext& c) {
       const Tensor b = conj(c.input(1));
       const Tensor slope = c.grad() / b;
       c.give(0, slope);
       if (c.needs(1)) c.give(1, -(slope * conj(c.output())));
     },
     {kY, kY | kOut}, "f(3, 4), pos(4);;f(3), 2.5"},
    {"floor_divide", 2, Rule::same,
     "The floor of x1 / x2, infinities as divide has them; for integers exact, 0 where x2 is 0.",
     no_change_of_two, {},
     "f(3, 4), pos(4);;ints(-20, 20, 3, 4), ints(1, 5, 4)"},
    {"remainder", 2, Rule::same, "x1 - x2 * floor_divide(x1, x2): the sign of x2.",
     [](VjpContext& c) {
       c.give(0, c.grad());
       if (c.needs(1)) c.give(1, -(c.grad() * floor_divide(c.input(0), c.input(1))));
     },
     {0, kX | kY}, "f(3, 4), pos(4);;ints(-20, 20, 3, 4), ints(1, 5, 4)"},
    {"pow", 2, Rule::field, "x1 to the power x2.", pow_vjp, {kX | kY, kX | kOut},
     "pos(3, 4), f(4);;pos(3), 2.0", "numpy.power"},
    {"atan2", 2, Rule::floating, "The angle of the point (x2, x1), in [-pi, pi].",
     [](VjpContext& c) {
       const Tensor a = c.input(0), b = c.input(1);
       const Tensor scaled = c.grad() / (square(a) + square(b));
       if (c.needs(0)) c.give(0, scaled * b);
       if (c.needs(1)) c.give(1, -(scaled * a));
     },
     {kX | kY, kX | kY}, "f(3, 4), f(4)", "numpy.arctan2"},
    {"hypot", 2, Rule::floating,
     "sqrt(x1 * x1 + x2 * x2), without overflow; its derivative at 0, 0 is 0.",
     [](VjpContext& c) {
       const Tensor size = c.output(), zero = constant(0);
       const Tensor scaled = where(equal(size, zero), zero, c.grad() / size);
       if (c.needs(0)) c.give(0, scaled * c.input(0));
       if (c.needs(1)) c.give(1, scaled * c.input(1));
     },
     {kX | kOut, kY | kOut}, "f(3, 4), f(4)"},
    {"maximum", 2, Rule::same, "The larger of x1 and x2; NaN if either is.", extremum_vjp<true>,
     {kX | kY, kX | kY}, "f(3, 4), f(4);;f(3), 0.5"},
    {"minimum", 2, Rule::same, "The smaller of x1 and x2; NaN if either is.", extremum_vjp<false>,
     {kX | kY, kX | kY}, "f(3, 4), f(4);;f(3), 0.5"},
    {"copysign", 2, Rule::floating, "The size of x1 with the sign of x2.",
     [](VjpContext& c) {
       if (c.needs(0)) c.give(0, c.grad() * (sign(c.input(0)) * sign(c.output())));
       if (c.needs(1)) c.give(1, c.grad() * constant(0));
     },
     {kX | kOut, 0}, "f(3, 4), f(4)"},
    {"nextafter", 2, Rule::floating, "The number after x1 on the way to x2.", nullptr, {},
     "f(3, 4), f(4)"},
    {"equal", 2, Rule::equality, "x1 == x2.", nullptr, {}, "ints(0, 3, 3, 4), ints(0, 3, 4)"},
    {"not_equal", 2, Rule::equality, "x1 != x2.", nullptr, {}, "ints(0, 3, 3, 4), ints(0, 3, 4)"},
    {"less", 2, Rule::compare, "x1 < x2.", nullptr, {}, "f(3, 4), f(4);;f(3), 0"},
    {"less_equal", 2, Rule::compare, "x1 <= x2.", nullptr, {}, "f(3, 4), f(4);;f(3), 0"},
    {"greater", 2, Rule::compare, "x1 > x2.", nullptr, {}, "f(3, 4), f(4);;f(3), 0"},
    {"greater_equal", 2, Rule::compare, "x1 >= x2.", nullptr, {}, "f(3, 4), f(4);;f(3), 0"},
    {"logical_and", 2, Rule::logical, "Whether both are true.", nullptr, {},
     "mask(3, 4), mask(4)"},
    {"logical_or", 2, Rule::logical, "Whether either is true.", nullptr, {},
     "mask(3, 4), mask(4)"},
    {"logical_xor", 2, Rule::logical, "Whether just one is true.", nullptr, {},
     "mask(3, 4), mask(4)"},
    {"bitwise_and", 2, Rule::bitwise, "Bits set in both.", nullptr, {},
     "ints(-9, 9, 3, 4), ints(0, 9, 4)"},
    {"bitwise_or", 2, Rule::bitwise, "Bits set in either.", nullptr, {},
     "ints(-9, 9, 3, 4), ints(0, 9, 4)"},
    {"bitwise_xor", 2, Rule::bitwise, "Bits set in just one.", nullptr, {},
     "ints(-9, 9, 3, 4), ints(0, 9, 4)"},
    {"bitwise_left_shift", 2, Rule::bitwise, "x1 shifted left by x2 bits; 0 past the width.",
     nullptr, {}, "ints(-9, 9, 3, 4), ints(0, 9, 4)", "numpy.left_shift"},
    {"bitwise_right_shift", 2, Rule::bitwise, "x1 shifted right by x2 bits, keeping its sign.",
     nullptr, {}, "ints(-9, 9, 3, 4), ints(0, 9, 4)", "numpy.right_shift"},
};
// clang-format on
constexpr size_t kCount = std::size(kRows);

consteval size_t row(std::string_view name) {
  for (size_t i = 0; i < kCount; ++i)
    if (kRows[i].name == name) return i;
  throw "no such row";
}

constexpr bool gives_bool(Rule rule) {
  return rule == Rule::predicate || rule == Rule::compare || rule == Rule::equality ||
         rule == Rule::logical;
}
constexpr bool takes_complex(Rule rule) {
  return rule == Rule::field || rule == Rule::analytic || rule == Rule::equality ||
         rule == Rule::logical;
}

// Operands have been converted by now, so the shape and dtype rules are these.
template <bool kBool>
void infer_elementwise(const InferContext& c, OutputSpecs& out) {
  const DType dtype = kBool ? DType::bool_ : c.dtype(c.inputs.size() - 1);
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.inputs.size(); ++i)
    shape = broadcast_shapes(shape, c.shape(i), "elementwise operation");
  out.push_back({dtype, std::move(shape)});
}

const Primitive& primitive(size_t i) {
  static const auto all = [] {
    std::array<Primitive, kCount> made{};
    for (size_t k = 0; k < kCount; ++k) {
      const Row& r = kRows[k];
      made[k] = {.name = r.name,
                 .kind = Kind::elementwise,
                 .infer = gives_bool(r.rule) ? infer_elementwise<true> : infer_elementwise<false>,
                 .vjp = r.vjp,
                 .uses = r.uses};
    }
    return made;
  }();
  return all[i];
}

bool is_weak(const Tensor& x) { return x.node().weak_scalar; }
int category(DType d) { return d == DType::bool_ ? 0 : is_integer(d) ? 1 : is_floating(d) ? 2 : 3; }

Tensor convert(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return x.node().state == NodeState::scalar ? cast_scalar(x, dtype) : astype(x, dtype);
}

void check_operand(const Row& r, DType dtype) {
  if (r.rule == Rule::bitwise && is_inexact(dtype))
    fail(ErrorKind::type, r.name, ": needs integers or bool, got ", dtype);
  if (is_complex(dtype) && !takes_complex(r.rule))
    fail(ErrorKind::type, r.name, ": not defined for complex numbers",
         r.rule == Rule::compare ? ", which have no order" : "", ", got ", dtype);
  if (dtype == DType::bool_ && (r.name == "negative" || r.name == "sign"))
    fail(ErrorKind::type, r.name, ": not defined for bool; use logical_not, or astype first");
}

DType operand_dtype(const Row& r, DType dtype) {
  check_operand(r, dtype);
  if (r.rule == Rule::logical) return DType::bool_;
  if (r.rule == Rule::floating || r.rule == Rule::analytic) return float_dtype(dtype);
  return dtype;
}

Tensor apply(size_t i, const Tensor& x) {
  const Row& r = kRows[i];
  if (is_integer(x.dtype()) && r.name != "negative") {
    if (r.name == "floor" || r.name == "ceil" || r.name == "trunc" || r.name == "round") return x;
  }
  if (is_complex(x.dtype()) && made_of_parts(r.name)) return by_parts(r.name, x);
  return record(primitive(i), {convert(x, operand_dtype(r, x.dtype()))});
}

void check_shapes(const Row& r, const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) broadcast_shapes(a.shape(), b.shape(), r.name.data());
}

Tensor apply(size_t i, const Tensor& a, const Tensor& b) {
  const Row& r = kRows[i];
  check_shapes(r, a, b);
  const bool as_they_are = r.rule == Rule::same || r.rule == Rule::field;
  if (a.dtype() == b.dtype() && as_they_are && !is_complex(a.dtype()) && !is_weak(a) && !is_weak(b))
    return record(primitive(i), {a, b});
  DType dtype = operand_dtype(r, common_dtype(a, b));
  return record(primitive(i), {convert(a, dtype), convert(b, dtype)});
}

template <size_t I>
Tensors call(const Args& args) {
  if constexpr (kRows[I].arity == 1) return {apply(I, args.tensor(0))};
  else return {apply(I, args.tensor(0), args.tensor(1))};
}

// A row's samples, and complex ones where it takes those.
const char* samples_of(const Row& r) {
  static std::deque<std::string> texts;
  const bool parts = r.arity == 1 && made_of_parts(r.name);
  std::string text(r.samples);
  if (parts || (takes_complex(r.rule) && r.rule != Rule::logical))
    text += r.arity == 1 ? ";;c(3, 4)" : ";;c(3, 4), c(4);;c(3, 1), pos(4)";
  return texts.emplace_back(std::move(text)).c_str();
}

template <size_t... I>
std::vector<Op> make_ops(std::index_sequence<I...>) {
  return {Op{.name = kRows[I].name,
             .parameters = kRows[I].arity == 1 ? "x: Tensor" : "x1: Tensor, x2: Tensor",
             .doc = kRows[I].doc,
             .call = call<I>,
             .samples = samples_of(kRows[I]),
             .reference = kRows[I].reference,
             .differentiable = kRows[I].vjp != nullptr,
             .tolerance = kRows[I].tolerance}...};
}
const Family kElementwise("Elementwise", make_ops(std::make_index_sequence<kCount>()));

const Primitive kWhere = {
    .name = "where",
    .kind = Kind::elementwise,
    .infer = infer_elementwise<false>,
    .vjp =
        [](VjpContext& c) {
          const Tensor condition = c.input(0);
          if (c.needs(1)) c.give(1, where(condition, c.grad(), constant(0)));
          if (c.needs(2)) c.give(2, where(condition, constant(0), c.grad()));
        },
    .uses = {0, kX, kX},
};

const Primitive kCast = {
    .name = "cast",
    .kind = Kind::elementwise,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({DType(c.attrs[0]), c.shape(0)}); },
    .vjp =
        [](VjpContext& c) {
          const DType dtype = c.input_dtype(0);
          c.give(0, astype(is_complex(dtype) ? c.grad() : real(c.grad()), dtype));
        },
    .dtype_attr = 0,
};

Tensor clip(const Tensor& x, const Tensor& least, const Tensor& most) {
  Tensor result = x;
  if (least) result = maximum(result, least);
  if (most) result = minimum(result, most);
  const auto real = [](const Tensor& bound) { return bound && is_floating(bound.dtype()); };
  return is_integer(x.dtype()) && (real(least) || real(most)) ? result : astype(result, x.dtype());
}

// clang-format off
const Family kSelection("Selection and conversion", {
    {.name = "where",
     .parameters = "condition: Tensor, x1: Tensor, x2: Tensor",
     .doc = "x1 where condition is true, else x2; the three broadcast, x1 and x2 promote.",
     .call = [](const Args& a) { return Tensors{where(a.tensor(0), a.tensor(1), a.tensor(2))}; },
     .samples = "mask(3, 4), f(3, 4), f(4);;mask(3, 1), f(4), 0.0",
     .reference = "numpy.where",
     .method = false,
     .differentiable = true},
    {.name = "clip",
     .parameters = "x: Tensor, min: Tensor? = None, max: Tensor? = None",
     .doc = "x kept between min and max (either may be None); NaN stays NaN. The dtype is x's, but "
            "for integers between floats.",
     .call =
         [](const Args& a) {
           return Tensors{clip(a.tensor(0), a.optional_tensor(1), a.optional_tensor(2))};
         },
     .samples = "f(3, 4), -0.5, 0.5;;f(3, 4), None, 0.5;;f(3, 4), 0.25",
     .reference = "lambda x, min=None, max=None: numpy.clip(x, min, max)",
     .differentiable = true},
    {.name = "astype",
     .parameters = "x: Tensor, dtype: dtype, *, copy: bool = True, device: device? = None",
     .doc = "x converted to dtype, and brought to device. A float becomes an integer towards 0, "
            "kept in range, NaN as 0. Values never change, so copy makes no difference. TypeError "
            "for a complex x and a real dtype but bool.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{on_device(astype(x, a.dtype(1)), a.device_or(3, x.device()))};
         },
     .samples = "f(3, 4), 'float64';;ints(0, 9, 3), 'float32';;f(3), 'int32'",
     .reference = "lambda x, dtype: x.astype(dtype)",
     .differentiable = true},
});
// clang-format on

// Whether the exponent is 2 as the program says, not as an argument of a traced function has it.
bool is_square(const Tensor& a, const Tensor& exponent) {
  const Node& number = exponent.node();
  return number.state == NodeState::scalar && number.weak_scalar && number.attrs.empty() &&
         scalar_value(number) == 2 && exponent.rank() == 0 &&
         (is_inexact(a.dtype()) || (is_integer(a.dtype()) && is_integer(exponent.dtype())));
}

}  // namespace

DType common_dtype(const Tensor& a, const Tensor& b) {
  if (is_weak(a) == is_weak(b)) return promote(a.dtype(), b.dtype());
  const DType weak = is_weak(a) ? a.dtype() : b.dtype();
  const DType strong = is_weak(a) ? b.dtype() : a.dtype();
  if (category(weak) <= category(strong)) return strong;
  return is_complex(weak) ? complex_dtype(strong) : weak;
}

DType float_dtype(DType dtype) { return is_inexact(dtype) ? dtype : DType::float32; }

Tensor negative(const Tensor& x) { return apply(row("negative"), x); }
Tensor abs(const Tensor& x) { return apply(row("abs"), x); }
Tensor sign(const Tensor& x) { return apply(row("sign"), x); }
Tensor square(const Tensor& x) { return apply(row("square"), x); }
Tensor sqrt(const Tensor& x) { return apply(row("sqrt"), x); }
Tensor rsqrt(const Tensor& x) { return apply(row("rsqrt"), x); }
Tensor reciprocal(const Tensor& x) { return apply(row("reciprocal"), x); }
Tensor exp(const Tensor& x) { return apply(row("exp"), x); }
Tensor expm1(const Tensor& x) { return apply(row("expm1"), x); }
Tensor log(const Tensor& x) { return apply(row("log"), x); }
Tensor log1p(const Tensor& x) { return apply(row("log1p"), x); }
Tensor sin(const Tensor& x) { return apply(row("sin"), x); }
Tensor cos(const Tensor& x) { return apply(row("cos"), x); }
Tensor sinh(const Tensor& x) { return apply(row("sinh"), x); }
Tensor cosh(const Tensor& x) { return apply(row("cosh"), x); }
Tensor tanh(const Tensor& x) { return apply(row("tanh"), x); }
Tensor erf(const Tensor& x) { return apply(row("erf"), x); }
Tensor sigmoid(const Tensor& x) { return apply(row("sigmoid"), x); }
Tensor round(const Tensor& x) { return apply(row("round"), x); }
Tensor floor(const Tensor& x) { return apply(row("floor"), x); }
Tensor trunc(const Tensor& x) { return apply(row("trunc"), x); }
Tensor tan(const Tensor& x) { return apply(row("tan"), x); }
Tensor exp2(const Tensor& x) { return apply(row("exp2"), x); }
Tensor isnan(const Tensor& x) { return apply(row("isnan"), x); }
Tensor isinf(const Tensor& x) { return apply(row("isinf"), x); }
Tensor isfinite(const Tensor& x) { return apply(row("isfinite"), x); }
Tensor logical_not(const Tensor& x) { return apply(row("logical_not"), x); }
Tensor bitwise_invert(const Tensor& x) { return apply(row("bitwise_invert"), x); }

Tensor add(const Tensor& a, const Tensor& b) { return apply(row("add"), a, b); }
Tensor subtract(const Tensor& a, const Tensor& b) { return apply(row("subtract"), a, b); }
Tensor multiply(const Tensor& a, const Tensor& b) { return apply(row("multiply"), a, b); }
Tensor divide(const Tensor& a, const Tensor& b) { return apply(row("divide"), a, b); }
Tensor floor_divide(const Tensor& a, const Tensor& b) { return apply(row("floor_divide"), a, b); }
Tensor remainder(const Tensor& a, const Tensor& b) { return apply(row("remainder"), a, b); }
Tensor pow(const Tensor& a, const Tensor& b) {
  return is_square(a, b) ? square(a) : apply(row("pow"), a, b);
}
Tensor atan2(const Tensor& a, const Tensor& b) { return apply(row("atan2"), a, b); }
Tensor hypot(const Tensor& a, const Tensor& b) { return apply(row("hypot"), a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return apply(row("maximum"), a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return apply(row("minimum"), a, b); }
Tensor equal(const Tensor& a, const Tensor& b) { return apply(row("equal"), a, b); }
Tensor not_equal(const Tensor& a, const Tensor& b) { return apply(row("not_equal"), a, b); }
Tensor less(const Tensor& a, const Tensor& b) { return apply(row("less"), a, b); }
Tensor less_equal(const Tensor& a, const Tensor& b) { return apply(row("less_equal"), a, b); }
Tensor greater(const Tensor& a, const Tensor& b) { return apply(row("greater"), a, b); }
Tensor greater_equal(const Tensor& a, const Tensor& b) { return apply(row("greater_equal"), a, b); }
Tensor logical_and(const Tensor& a, const Tensor& b) { return apply(row("logical_and"), a, b); }
Tensor logical_or(const Tensor& a, const Tensor& b) { return apply(row("logical_or"), a, b); }
Tensor bitwise_and(const Tensor& a, const Tensor& b) { return apply(row("bitwise_and"), a, b); }
Tensor bitwise_or(const Tensor& a, const Tensor& b) { return apply(row("bitwise_or"), a, b); }
Tensor bitwise_xor(const Tensor& a, const Tensor& b) { return apply(row("bitwise_xor"), a, b); }
Tensor bitwise_left_shift(const Tensor& a, const Tensor& b) {
  return apply(row("bitwise_left_shift"), a, b);
}
Tensor bitwise_right_shift(const Tensor& a, const Tensor& b) {
  return apply(row("bitwise_right_shift"), a, b);
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), "where"), condition.shape(), "where");
  const DType dtype = common_dtype(a, b);
  return record(kWhere, {convert(condition, DType::bool_), convert(a, dtype), convert(b, dtype)});
}

Tensor astype(const Tensor& x, DType dtype) {
  if (x.node().state == NodeState::scalar) return cast_scalar(x, dtype);
  if (x.dtype() == dtype && !is_weak(x)) return x;
  if (is_complex(x.dtype()) && dtype == DType::bool_) return not_equal(x, constant(0));
  if (is_complex(x.dtype()) && !is_complex(dtype))
    fail(ErrorKind::type, "astype: a complex number becomes no ", dtype,
         " by itself; take real(), imag() or abs()");
  return record(kCast, {x}, {int64_t(dtype)});
}

}  // namespace tegula
