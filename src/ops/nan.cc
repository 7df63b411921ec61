// Reductions that leave NaN out.
#include <limits>

#include "ops/arrays.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::optional<DType> dtype_of(const Args& a, size_t i) {
  return a.has(i) ? std::optional(a.dtype(i)) : std::nullopt;
}

Tensor nanmean(const Tensor& x, const Dims& axes, bool keepdims) {
  const DType dtype = float_dtype(x.dtype());
  const Tensor total = sum(with_nan_as(astype(x, dtype), 0), axes, keepdims);
  return total / astype(count_numbers(x, axes, keepdims), real_dtype(dtype));
}

Tensor nanvar(const Tensor& x, const Dims& axes, double correction, bool keepdims) {
  const Tensor apart = with_nan_as(x - nanmean(x, axes, true), 0);
  const Tensor squares =
      is_complex(apart.dtype()) ? square(real(apart)) + square(imag(apart)) : square(apart);
  const Tensor total = sum(squares, axes, keepdims);
  const Tensor count = astype(count_numbers(x, axes, keepdims), total.dtype());
  // Of no more numbers than the correction NaN.
  const Tensor divisor = count - constant(correction);
  return total / where(greater(divisor, constant(0)), divisor, constant(kNaN));
}

template <bool kGreatest>
Tensor extreme(const Tensor& x, const Dims& axes, bool keepdims) {
  const auto of = [&](const Tensor& t) {
    return kGreatest ? max(t, axes, keepdims) : min(t, axes, keepdims);
  };
  require_order(x, kGreatest ? "nanmax" : "nanmin");
  if (!is_floating(x.dtype())) return of(x);
  const Tensor found = of(with_nan_as(x, kGreatest ? -kInfinity : kInfinity));
  return where(all(isnan(x), axes, keepdims), constant(kNaN), found);
}

using Reduction = Tensor (*)(const Tensor&, const Dims&, bool);
template <Reduction kFunction>
Tensors call(const Args& a) {
  return {kFunction(a.tensor(0), a.axes(1, a.tensor(0).rank()), a.boolean(2))};
}

template <bool kGreatest>
Tensors position(const Args& a) {
  const Tensor& x = a.tensor(0);
  require_order(x, kGreatest ? "nanargmax" : "nanargmin");
  const std::optional<int64_t> axis = a.has(1) ? std::optional(a.integer(1)) : std::nullopt;
  return {arg_reduce(with_nan_as(x, kGreatest ? -kInfinity : kInfinity), axis,
                     kGreatest ? kArgMax : kArgMin, a.boolean(2))};
}

template <CumulativeMode kMode>
Tensors running(const Args& a) {
  const Tensor x = a.has(1) ? a.tensor(0) : reshape(a.tensor(0), {-1});
  const int64_t axis = a.has(1) ? normalize_axis(a.integer(1), x.rank(),
                                                 kMode == kCumSum ? "nancumsum" : "nancumprod")
                                : 0;
  const DType wide = is_inexact(x.dtype())            ? x.dtype()
                     : is_unsigned_integer(x.dtype()) ? DType::uint64
                                                      : DType::int64;
  return {cumulative(astype(with_nan_as(x, kMode == kCumProd), a.dtype_or(2, wide)), axis, kMode)};
}

double largest_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return 65504;
    case DType::bfloat16:
      return 0x1.FEp127;
    case DType::float32:
      return double(std::numeric_limits<float>::max());
    default:
      return std::numeric_limits<double>::max();
  }
}

Tensor nan_to_num(const Tensor& x, const Args& a) {
  if (is_complex(x.dtype()))
    return by_parts(x, [&](const Tensor& part) { return nan_to_num(part, a); });
  if (!is_floating(x.dtype())) return x;
  const double largest = largest_of(x.dtype());
  const Tensor finite = with_nan_as(x, a.real(1));
  const Tensor above = constant(a.has(2) ? a.real(2) : largest);
  const Tensor below = constant(a.has(3) ? a.real(3) : -largest);
  const Tensor inf = constant(kInfinity);
  return where(equal(x, inf), above, where(equal(x, -inf), below, finite));
}

constexpr std::string_view kParameters = "x: Tensor, axis: ints? = None, *, keepdims: bool = False";
constexpr std::string_view kTyped =
    "x: Tensor, axis: ints? = None, *, dtype: dtype? = None, keepdims: bool = False";
constexpr std::string_view kCorrected =
    "x: Tensor, axis: ints? = None, *, correction: float = 0.0, keepdims: bool = False";
constexpr std::string_view kSamples =
    "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4) + numpy.where(numpy.eye(3, 4), "
    "numpy.nan, 0), 0;;f(2, 3, 4), (0, 2), keepdims=True;;f(2, 3, 4) + numpy.where(numpy.eye(3, "
    "4), "
    "numpy.nan, 0), -1;;ints(-5, 5, 3, 4), 1";

// clang-format off
const Family kNan("Leaving NaN out", {
    {.name = "nansum", .parameters = kTyped,
     .doc = "The sum over axis of what is not NaN; 0 for none. As sum otherwise.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{sum(with_nan_as(x, 0), a.axes(1, x.rank()), a.boolean(3), dtype_of(a, 2))};
         },
     .samples = kSamples, .reference = "numpy.nansum", .differentiable = true},
    {.name = "nanprod", .parameters = kTyped,
     .doc = "The product over axis of what is not NaN; 1 for none. As prod otherwise.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{prod(with_nan_as(x, 1), a.axes(1, x.rank()), a.boolean(3), dtype_of(a, 2))};
         },
     .samples = kSamples, .reference = "numpy.nanprod", .differentiable = true},
    {.name = "nanmean", .parameters = kParameters,
     .doc = "The mean over axis of what is not NaN; NaN for none. Integers average as float32.",
     .call = call<nanmean>, .samples = kSamples, .reference = "numpy.nanmean",
     .differentiable = true},
    {.name = "nanvar", .parameters = kCorrected,
     .doc = "The variance over axis of what is not NaN, its count lessened by correction; NaN where "
            "that is not positive.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{nanvar(x, a.axes(1, x.rank()), a.real(2), a.boolean(3))};
         },
     .samples = kSamples,
     .reference = "lambda x, axis=None, correction=0, keepdims=False: numpy.nanvar(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims)",
     .differentiable = true, .tolerance = 1e-5},
    {.name = "nanstd", .parameters = kCorrected,
     .doc = "The standard deviation over axis of what is not NaN: the square root of nanvar.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{sqrt(nanvar(x, a.axes(1, x.rank()), a.real(2), a.boolean(3)))};
         },
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4) + numpy.where("
                "numpy.eye(3, 4), numpy.nan, 0), 1, correction=1.0;;f(3, 4), 0",
     .reference = "lambda x, axis=None, correction=0, keepdims=False: numpy.nanstd(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims)",
     .differentiable = true, .tolerance = 1e-5},
    {.name = "nanmax", .parameters = kParameters,
     .doc = "The largest element over axis that is not NaN; NaN for none. ValueError for an empty "
            "axis.",
     .call = call<extreme<true>>, .samples = kSamples, .reference = "numpy.nanmax",
     .differentiable = true},
    {.name = "nanmin", .parameters = kParameters,
     .doc = "The smallest element over axis that is not NaN; NaN for none. ValueError for an empty "
            "axis.",
     .call = call<extreme<false>>, .samples = kSamples, .reference = "numpy.nanmin",
     .differentiable = true},
    {.name = "nanargmax",
     .parameters = "x: Tensor, axis: int? = None, *, keepdims: bool = False",
     .doc = "The index of the first largest element along axis (of the flattened x for None) that is "
            "not NaN; 0 where all are.",
     .call = position<true>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4), 0;;special();;"
                "f(2, 3, 4), 1, keepdims=True",
     .reference = "numpy.nanargmax"},
    {.name = "nanargmin",
     .parameters = "x: Tensor, axis: int? = None, *, keepdims: bool = False",
     .doc = "The index of the first smallest element along axis (of the flattened x for None) that "
            "is not NaN; 0 where all are.",
     .call = position<false>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4), 0;;special();;"
                "f(2, 3, 4), 1, keepdims=True",
     .reference = "numpy.nanargmin"},
    {.name = "nancumsum",
     .parameters = "x: Tensor, axis: int? = None, *, dtype: dtype? = None",
     .doc = "The sums of the elements up to each one along axis (of the flattened x for None), NaN "
            "counting as 0.",
     .call = running<kCumSum>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4) + numpy.where("
                "numpy.eye(3, 4), numpy.nan, 0), 1;;ints(0, 9, 3, 4), 0",
     .reference = "numpy.nancumsum", .differentiable = true, .tolerance = 1e-5},
    {.name = "nancumprod",
     .parameters = "x: Tensor, axis: int? = None, *, dtype: dtype? = None",
     .doc = "The products of the elements up to each one along axis (of the flattened x for None), "
            "NaN counting as 1.",
     .call = running<kCumProd>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4) + numpy.where("
                "numpy.eye(3, 4), numpy.nan, 0), 1;;ints(0, 9, 3, 4), 0",
     .reference = "numpy.nancumprod", .differentiable = true, .tolerance = 1e-5},
    {.name = "nan_to_num",
     .parameters = "x: Tensor, nan: float = 0.0, posinf: float? = None, neginf: float? = None",
     .doc = "x with numbers for NaN and the infinities: the largest and the lowest of the dtype where "
            "none is given.",
     .call = [](const Args& a) { return Tensors{nan_to_num(a.tensor(0), a)}; },
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;special();;special(), 1.5, "
                "2.0, -3.0;;ints(0, 9, 3)",
     .reference = "lambda x, *values: numpy.nan_to_num(x, True, *values)", .differentiable = true},
});
// clang-format on

}  // namespace

Tensor with_nan_as(const Tensor& x, double value) {
  return is_inexact(x.dtype()) ? where(isnan(x), constant(value), x) : x;
}

Tensor count_numbers(const Tensor& x, const Dims& axes, bool keepdims) {
  return sum(logical_not(isnan(x)), axes, keepdims, DType::int64);
}

}  // namespace tegula
