// Quantiles, running extremes and what else is read off sorted numbers.
#include <cmath>
#include <limits>

#include "ops/arrays.h"
#include "ops/complex.h"
#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

enum class Method { linear, lower, higher, midpoint, nearest };
Method method_named(const std::string& name, const char* op) {
  constexpr std::string_view kNames[] = {"linear", "lower", "higher", "midpoint", "nearest"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return Method(i);
  fail(ErrorKind::value, op,
       ": method must be 'linear', 'lower', 'higher', 'midpoint' or 'nearest', got '", name, "'");
}

// What a quantile operation is asked for. A NaN makes the result NaN unless `skips_nan`.
struct Quantiles {
  const char* op;
  Dims axes;
  bool keepdims, skips_nan;
  Method method;
};

// q: 0-d or 1-d in float64, whose axis comes first in the result.
Tensor quantiles(const Tensor& x, const Tensor& q, const Quantiles& wanted) {
  const char* op = wanted.op;
  require_order(x, op);
  require(q.rank() <= 1, op, ": q must be 0-d or 1-d, got shape ", q.shape());
  if (is_complex(q.dtype())) fail(ErrorKind::type, op, ": q must be real, got ", q.dtype());
  const Dims axes = normalize_axes(wanted.axes, x.rank(), op);
  for (const int64_t axis : axes)
    require(x.shape()[size_t(axis)] > 0, op, ": axis ", axis, " of shape ", x.shape(),
            " is empty, and nothing has no ", op);
  const Tensor sorted = sort_with_indices(lines_last(x, axes), -1, false)[0];
  const int64_t last = int64_t(sorted.rank()) - 1, length = sorted.shape().back();
  // Where each quantile is among the sorted elements, (rest or 1..., quantiles).
  Shape along(sorted.rank(), 1);
  along.back() = q.size();
  const Tensor level = reshape(astype(q, DType::float64), along);
  const Tensor most = wanted.skips_nan
                          ? count_numbers(sorted, {last}, true) - scalar(int64_t(1), DType::int64)
                          : scalar(length - 1, DType::int64);
  const Tensor valid =
      logical_and(greater_equal(level, constant(0)), less_equal(level, constant(1)));
  const Tensor place = where(valid, level, constant(0)) * astype(most, DType::float64);
  Shape shape = sorted.shape();
  shape.back() = q.size();
  const auto element = [&](const Tensor& at) {
    const Tensor index = maximum(astype(at, DType::int64), scalar(int64_t(0), DType::int64));
    return take_along_checked(sorted, broadcast_to(index, shape), size_t(last));
  };
  const DType dtype = float_dtype(x.dtype());
  const auto wide = [&](const Tensor& t) { return widened(astype(t, dtype)); };
  Tensor below = place;  // floor, without a derivative
  {
    const GradMode off(false);
    below = astype(astype(place, DType::int64), DType::float64);
  }
  const Tensor above = below + astype(greater(place, below), DType::float64);
  Tensor result;
  switch (wanted.method) {
    case Method::lower:
      result = wide(element(below));
      break;
    case Method::higher:
      result = wide(element(above));
      break;
    case Method::nearest:
      result = wide(element(round(place)));
      break;
    case Method::midpoint:
      result = (wide(element(below)) + wide(element(above))) * constant(0.5);
      break;
    case Method::linear: {
      const Tensor a = wide(element(below)), b = wide(element(above));
      result = a + where(equal(a, b), constant(0), b - a) * astype(place - below, a.dtype());
    }
  }
  if (is_floating(x.dtype()) && !wanted.skips_nan) {  // NaN is last
    const Tensor greatest = part_of(sorted, size_t(last), length - 1, length);
    result = where(isnan(greatest), constant(kNaN), result);
  }
  result = where(valid, result, constant(kNaN));
  result = astype(moveaxis(result, {-1}, {0}), dtype);
  Shape kept = x.shape();
  for (const int64_t axis : axes) kept[size_t(axis)] = 1;
  Shape out(q.shape().begin(), q.shape().end());
  if (wanted.keepdims) {
    out.append(kept.begin(), kept.end());
  } else {
    out.append(sorted.shape().begin(), sorted.shape().end() - 1);
  }
  return reshape(result, out);
}

// A number among the arguments is checked at once; among tensors NaN stands for a wrong result.
void check_level(const Tensor& q, double most, const char* op) {
  if (q.node().state != NodeState::scalar) return;
  const double value = item_as_double(q);
  require(value >= 0 && value <= most, op, ": q must be between 0 and ", most, ", got ", value);
}

template <bool kSkipsNaN, bool kPercent>
Tensors call_quantile(const Args& a) {
  const char* op = kSkipsNaN ? (kPercent ? "nanpercentile" : "nanquantile")
                             : (kPercent ? "percentile" : "quantile");
  const Tensor &x = a.tensor(0), &q = a.tensor(1);
  if (!is_complex(q.dtype())) check_level(q, kPercent ? 100 : 1, op);
  const Method method = method_named(a.text(4), op);
  const Tensor level = astype(q, is_complex(q.dtype()) ? q.dtype() : DType::float64);
  return {quantiles(x, kPercent ? level / constant(100) : level,
                    {op, a.axes(2, x.rank()), a.boolean(3), kSkipsNaN, method})};
}

template <bool kSkipsNaN>
Tensors median(const Args& a) {
  const Tensor& x = a.tensor(0);
  return {quantiles(x, scalar(0.5, DType::float64),
                    {kSkipsNaN ? "nanmedian" : "median", a.axes(1, x.rank()), a.boolean(2),
                     kSkipsNaN, Method::midpoint})};
}

// The most frequent value along an axis, the smallest of several, and how often it occurs.
Tensors mode(const Tensor& x, int64_t given, bool keepdims) {
  require_order(x, "mode");
  const int64_t axis = normalize_axis(given, x.rank(), "mode");
  require(x.shape()[size_t(axis)] > 0, "mode: axis ", axis, " of shape ", x.shape(),
          " is empty, and nothing has no mode");
  const Tensor sorted = sort_with_indices(lines_last(x, {axis}), -1, false)[0];
  const size_t last = sorted.rank() - 1;
  const int64_t length = sorted.shape()[last];
  Shape first = sorted.shape();
  first[last] = 1;
  const Tensor later = part_of(sorted, last, 1, length);
  const Tensor earlier = part_of(sorted, last, 0, length - 1);
  Tensor differs = not_equal(later, earlier);
  if (is_floating(x.dtype()))
    differs = logical_and(differs, logical_not(logical_and(isnan(later), isnan(earlier))));
  const Tensor begins = concat({ones(first, DType::bool_), differs}, int64_t(last));
  const Tensor place = iota(length);
  const Tensor start =
      cumulative(where(begins, place, scalar(int64_t(0), DType::int64)), int64_t(last), kCumMax);
  const Tensor seen = place - start + scalar(int64_t(1), DType::int64);
  const Tensor at = arg_reduce(seen, int64_t(last), kArgMax, true);
  Tensors results{take_along_checked(sorted, at, last), take_along_checked(seen, at, last)};
  for (Tensor& t : results) t = keepdims ? moveaxis(t, {-1}, {axis}) : squeeze(t, {-1});
  return results;
}

template <CumulativeMode kMode>
Tensors running_extreme(const Args& a) {
  const char* op = kMode == kCumMax ? "cumulative_max" : "cumulative_min";
  const Tensor& x = a.tensor(0);
  require(a.has(1) || x.rank() == 1, op, ": axis must be given for shape ", x.shape());
  require_order(x, op);
  return {cumulative(x, a.has(1) ? normalize_axis(a.integer(1), x.rank(), op) : 0, kMode)};
}

// By doubling: sums of 2, 4, 8, ... elements up to each.
Tensor cumulative_logsumexp(const Tensor& given, int64_t axis) {
  Tensor x = widened(astype(given, float_dtype(given.dtype())));
  const int64_t size = x.shape()[size_t(axis)];
  for (int64_t step = 1; step < size; step *= 2)
    x = concat(
        {part_of(x, size_t(axis), 0, step),
         logaddexp(part_of(x, size_t(axis), step, size), part_of(x, size_t(axis), 0, size - step))},
        axis);
  return astype(x, float_dtype(given.dtype()));
}

Tensor bucketize(const Tensor& x, const Tensor& boundaries, bool right, const char* op,
                 const char* argument) {
  require(boundaries.rank() == 1, op, ": ", argument, " must be 1-d, got shape ",
          boundaries.shape());
  require_order(x, op);
  require_order(boundaries, op);
  return searchsorted(boundaries, x, right);
}

Tensor ptp(const Tensor& x, const Dims& axes, bool keepdims) {
  if (x.dtype() == DType::bool_) fail(ErrorKind::type, "ptp: not defined for bool");
  require_order(x, "ptp");
  return max(x, axes, keepdims) - min(x, axes, keepdims);
}

constexpr std::string_view kQuantile =
    "x: Tensor, q: Tensor, axis: ints? = None, *, keepdims: bool = False, method: str = 'linear'";
constexpr std::string_view kReduction = "x: Tensor, axis: ints? = None, *, keepdims: bool = False";
constexpr std::string_view kRunning = "x: Tensor, axis: int? = None";

// clang-format off
const Family kOrderStatistics("Order statistics", {
    {.name = "quantile", .parameters = kQuantile,
     .doc = "The numbers below which shares q in [0, 1] (0-d or 1-d, whose axis comes first) of x "
            "over axis lie. Between two elements method decides: 'linear', 'lower', 'higher', "
            "'midpoint' or 'nearest' (Hyndman and Fan 1996, definition 7). NaN if there is one or, "
            "in a tensor, where q is outside; ValueError for such a number or an empty axis.",
     .call = call_quantile<false, false>,
     .samples = "f(3, 4), 0.3;;f(3, 5), numpy.asarray([0.2, 0.3, 0.8]), 1;;f(2, 3, 4), 0.6, "
                "(0, 2), keepdims=True;;f(7), 0.4, method='lower';;f(7), 0.4, method='higher';;f(7), "
                "0.4, method='midpoint';;f(7), 0.4, method='nearest';;ints(0, 9, 8), 0.3;;f(4, 3), numpy.asarray([0.1, 0.6]), 0, keepdims=True",
     .reference = "numpy.quantile", .differentiable = true, .tolerance = 1e-5},
    {.name = "percentile", .parameters = kQuantile,
     .doc = "quantile with q in percent: [0, 100].",
     .call = call_quantile<false, true>,
     .samples = "f(3, 4), 30;;f(3, 5), numpy.asarray([5.0, 80.0]), 1;;f(6), 45, method='nearest'",
     .reference = "numpy.percentile", .differentiable = true, .tolerance = 1e-5},
    {.name = "nanquantile", .parameters = kQuantile,
     .doc = "quantile of what is not NaN; NaN for none.",
     .call = call_quantile<true, false>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0), 0.3;;f(3, 5) + numpy.where("
                "numpy.eye(3, 5), numpy.nan, 0), numpy.asarray([0.3, 0.9]), 1;;f(7), 0.4, "
                "method='lower';;f(4, 3), 0.5, 0, keepdims=True",
     .reference = "numpy.nanquantile", .differentiable = true, .tolerance = 1e-5},
    {.name = "nanpercentile", .parameters = kQuantile,
     .doc = "percentile of what is not NaN; NaN for none.",
     .call = call_quantile<true, true>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0), 30, 1;;f(7), 40",
     .reference = "numpy.nanpercentile", .differentiable = true, .tolerance = 1e-5},
    {.name = "median", .parameters = kReduction,
     .doc = "The middle element over axis, the mean of the middle two of an even number; NaN if "
            "there is one.",
     .call = median<false>,
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), keepdims=True;;ints(0, 9, 5)",
     .reference = "numpy.median", .differentiable = true},
    {.name = "nanmedian", .parameters = kReduction,
     .doc = "median of what is not NaN; NaN for none.",
     .call = median<true>,
     .samples = "f(3, 4) + numpy.where(numpy.eye(3, 4), numpy.nan, 0);;f(3, 4) + numpy.where("
                "numpy.eye(3, 4), numpy.nan, 0), 1;;f(2, 3, 4), (0, 2), keepdims=True",
     .reference = "numpy.nanmedian", .differentiable = true},
    {.name = "mode",
     .parameters = "x: Tensor, axis: int = -1, *, keepdims: bool = False",
     .doc = "The most frequent value along axis, the smallest of several, and how often it occurs; "
            "NaN counts as one value.",
     .call = [](const Args& a) { return mode(a.tensor(0), a.integer(1), a.boolean(2)); },
     .samples = "ints(0, 4, 3, 9);;ints(0, 4, 7, 3), 0;;ints(0, 3, 2, 8, 2), 1, keepdims=True;;f(5)",
     .reference = "lambda x, axis=-1, keepdims=False: tuple(scipy.stats.mode(x, axis, "
                  "keepdims=keepdims))",
     .differentiable = true, .returns_tuple = true, .result = "ModeResult: values, counts"},
    {.name = "cumulative_max", .parameters = kRunning,
     .doc = "The largest of the elements up to each one along axis; NaN from the first one on. axis "
            "may be None for 1-d x. The derivative goes to the last of equal elements.",
     .call = running_extreme<kCumMax>,
     .samples = "f(5);;f(3, 4), 0;;f(3, 4), -1;;ints(0, 9, 3, 4), 1;;special()",
     .reference = "lambda x, axis=0: numpy.maximum.accumulate(x, axis)", .differentiable = true},
    {.name = "cumulative_min", .parameters = kRunning,
     .doc = "The smallest of the elements up to each one along axis; NaN from the first one on. axis "
            "may be None for 1-d x. The derivative goes to the last of equal elements.",
     .call = running_extreme<kCumMin>,
     .samples = "f(5);;f(3, 4), 0;;f(3, 4), -1;;ints(0, 9, 3, 4), 1;;special()",
     .reference = "lambda x, axis=0: numpy.minimum.accumulate(x, axis)", .differentiable = true},
    {.name = "cumulative_logsumexp", .parameters = kRunning,
     .doc = "log of the sum of exp of the elements up to each one along axis, without overflow. axis "
            "may be None for 1-d x.",
     .call =
         [](const Args& a) {
           const char* op = "cumulative_logsumexp";
           const Tensor& x = a.tensor(0);
           require(a.has(1) || x.rank() == 1, op, ": axis must be given for shape ", x.shape());
           require_order(x, op);
           return Tensors{cumulative_logsumexp(
               x, a.has(1) ? normalize_axis(a.integer(1), x.rank(), op) : 0)};
         },
     .samples = "f(5);;f(3, 4), 0;;f(3, 4) * 500, -1;;ints(0, 9, 3, 4), 1",
     .reference = "lambda x, axis=0: numpy.logaddexp.accumulate(x, axis, dtype=x.dtype if "
                  "x.dtype.kind == 'f' else 'float32')",
     .differentiable = true, .tolerance = 1e-5},
    {.name = "bucketize",
     .parameters = "x: Tensor, boundaries: Tensor, *, right: bool = False",
     .doc = "For each element of x the index of the bucket between boundaries (1-d, in order) that it "
            "is in: boundaries[i - 1] < x <= boundaries[i], or with <= and < if right.",
     .call =
         [](const Args& a) {
           return Tensors{
               bucketize(a.tensor(0), a.tensor(1), a.boolean(2), "bucketize", "boundaries")};
         },
     .samples = "f(3, 4), numpy.sort(f(5));;ints(0, 9, 7), numpy.arange(0, 9, 2);;ints(0, 9, 7), "
                "numpy.arange(0, 9, 2), right=True",
     .reference = "lambda x, b, right=False: numpy.searchsorted(b, x, 'right' if right else 'left')"},
    {.name = "digitize",
     .parameters = "x: Tensor, bins: Tensor, right: bool = False",
     .doc = "For each element of x the index of the bin (1-d edges that increase) that it is in: "
            "bins[i - 1] <= x < bins[i], or with < and <= if right.",
     .call =
         [](const Args& a) {
           return Tensors{bucketize(a.tensor(0), a.tensor(1), !a.boolean(2), "digitize", "bins")};
         },
     .samples = "f(3, 4), numpy.sort(f(5));;ints(0, 9, 7), numpy.arange(0, 9, 2);;ints(0, 9, 7), "
                "numpy.arange(0, 9, 2), True",
     .reference = "numpy.digitize"},
    {.name = "ptp", .parameters = kReduction,
     .doc = "The largest element over axis less the smallest. ValueError for an empty axis.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{ptp(x, a.axes(1, x.rank()), a.boolean(2))};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), keepdims=True;;ints(-5, 5, 7)",
     .reference = "numpy.ptp", .differentiable = true},
    {.name = "aminmax", .parameters = kReduction,
     .doc = "The smallest and the largest element over axis; NaN if there is one. ValueError for an "
            "empty axis.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           const Dims axes = a.axes(1, x.rank());
           return Tensors{min(x, axes, a.boolean(2)), max(x, axes, a.boolean(2))};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), keepdims=True",
     .reference = "lambda x, axis=None, keepdims=False: (numpy.min(x, axis, keepdims=keepdims), "
                  "numpy.max(x, axis, keepdims=keepdims))",
     .differentiable = true, .returns_tuple = true, .result = "AminmaxResult: min, max"},
});
// clang-format on

}  // namespace
}  // namespace tegula
