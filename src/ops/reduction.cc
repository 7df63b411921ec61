// Reductions. A primitive reduces either its trailing axes or none of them (the two orders of
// adding up that a tile program knows), and keeps every axis, reduced ones with size 1; the
// functions here split other sets of axes and drop the axes afterwards.
#include <algorithm>

#include "ops/complex.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

template <bool kBool>
void infer_reduction(const InferContext& c, OutputSpecs& out) {
  Shape shape = c.shape(0);
  for (int64_t axis : c.attrs) shape[size_t(axis)] = 1;
  out.push_back({kBool ? DType::bool_ : c.dtype(0), std::move(shape)});
}

// An extremum's gradient is shared evenly by the elements that attain it.
void extremum_vjp(VjpContext& c) {
  const Tensor hit = astype(equal(c.input(0), c.output()), c.input_dtype(0));
  const Tensor count = sum(hit, Dims(c.attrs()), true);
  c.give(0, hit * (c.grad() / count));
}

// For every element the product of the others along the axes, without a division: so it has
// derivatives itself wherever x has zeros.
Tensor products_of_others(const Tensor& x, const Dims& axes) {
  Dims order;
  Shape lines;
  int64_t length = 1;
  for (int64_t i = 0; i < int64_t(x.rank()); ++i) {
    if (std::find(axes.begin(), axes.end(), i) != axes.end()) continue;
    order.push_back(i);
    lines.push_back(x.shape()[size_t(i)]);
  }
  for (int64_t axis : axes) {
    order.push_back(axis);
    length *= x.shape()[size_t(axis)];
  }
  const int64_t last = int64_t(lines.size());
  Shape start = lines;
  lines.push_back(length);
  start.push_back(1);
  const Tensor moved = permute_dims(x, order);
  const auto before = [&](const Tensor& line) {
    const Tensor joined = concat({ones(start, x.dtype()), cumulative(line, last, kCumProd)}, last);
    return slice(joined, Dims(lines.size(), 0), lines, Dims(lines.size(), 1));
  };
  const Tensor line = reshape(moved, lines);
  const Tensor others = before(line) * flip(before(flip(line, {last})), {last});
  Dims back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[size_t(order[i])] = int64_t(i);
  return permute_dims(reshape(others, moved.shape()), back);
}

// Zeros need care: where an axis has one zero only that element has a gradient, where it has more
// none has.
void prod_vjp(VjpContext& c) {
  const Tensor x = c.input(0);
  const Dims axes(c.attrs());
  if (grad_enabled()) return c.give(0, c.grad() * products_of_others(x, axes));
  const Tensor zero = equal(x, constant(0));
  const Tensor others = where(zero, constant(1), x);
  const Tensor zeros_seen = sum(astype(zero, x.dtype()), axes, true);
  const Tensor product = prod(others, axes, true);
  const Tensor lone =
      where(logical_and(zero, equal(zeros_seen, constant(1))), product, constant(0));
  c.give(0, c.grad() * where(equal(zeros_seen, constant(0)), product / others, lone));
}

const Primitive kSum = {
    .name = "sum",
    .kind = Kind::reduction,
    .infer = infer_reduction<false>,
    .vjp = [](VjpContext& c) { c.give(0, broadcast_to(c.grad(), c.input_shape(0))); },
};
const Primitive kProd = {.name = "prod",
                         .kind = Kind::reduction,
                         .infer = infer_reduction<false>,
                         .vjp = prod_vjp,
                         .uses = {kX}};
const Primitive kMax = {.name = "max",
                        .kind = Kind::reduction,
                        .infer = infer_reduction<false>,
                        .vjp = extremum_vjp,
                        .uses = {kX | kUsesOutput}};
const Primitive kMin = {.name = "min",
                        .kind = Kind::reduction,
                        .infer = infer_reduction<false>,
                        .vjp = extremum_vjp,
                        .uses = {kX | kUsesOutput}};
const Primitive kAny = {.name = "any", .kind = Kind::reduction, .infer = infer_reduction<true>};
const Primitive kAll = {.name = "all", .kind = Kind::reduction, .infer = infer_reduction<true>};

// Reduces `axes` of x: first the run of trailing ones, then the rest.
Tensor reduce(const Primitive& primitive, const Tensor& x, const Dims& given, bool keepdims) {
  const Dims axes = normalize_axes(given, x.rank(), primitive.name.data());
  Dims trailing, leading;
  size_t next = x.rank();
  for (size_t i = axes.size(); i-- > 0;) {
    if (axes[i] + 1 == int64_t(next)) {
      trailing.insert(0, axes[i]);
      next = size_t(axes[i]);
    } else {
      leading.insert(0, axes[i]);
    }
  }
  Tensor result = x;
  for (const Dims& part : {trailing, leading})
    if (!part.empty()) result = record(primitive, {result}, Attrs(part.begin(), part.end()));
  return keepdims ? result : squeeze(result, axes);
}

// Of complex numbers: one half of an axis times the other, until one element is left.
Tensor product_by_halves(Tensor x, const Dims& given, bool keepdims) {
  const Dims axes = normalize_axes(given, x.rank(), "prod");
  for (int64_t axis : axes) {
    const size_t a = size_t(axis);
    if (x.shape()[a] == 0) {
      Shape one = x.shape();
      one[a] = 1;
      x = ones(one, x.dtype());
    }
    while (x.shape()[a] > 1) {
      const int64_t size = x.shape()[a], half = size / 2;
      const Tensor products = part_of(x, a, 0, half) * part_of(x, a, half, 2 * half);
      x = size % 2 ? concat({products, part_of(x, a, size - 1, size)}, axis) : products;
    }
  }
  return keepdims ? x : squeeze(x, axes);
}

void check_nonempty(const Tensor& x, const Dims& axes, const char* op) {
  for (int64_t axis : normalize_axes(axes, x.rank(), op))
    require(x.shape()[size_t(axis)] > 0, op, ": axis ", axis, " of shape ", x.shape(),
            " is empty, and nothing has no ", op);
}

// Sums of small integers are kept in 64 bits, as the array API standard asks.
DType sum_dtype(DType dtype) {
  if (is_unsigned_integer(dtype)) return DType::uint64;
  return is_inexact(dtype) ? dtype : DType::int64;
}

int64_t reduced_count(const Tensor& x, const Dims& axes, const char* op) {
  int64_t count = 1;
  for (int64_t axis : normalize_axes(axes, x.rank(), op)) count *= x.shape()[size_t(axis)];
  return count;
}

constexpr std::string_view kParameters = "x: Tensor, axis: ints? = None, *, keepdims: bool = False";
constexpr std::string_view kSamples =
    "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2);;f(2, 3, 4), (1, 2), "
    "keepdims=True;;f(2, 3, 4), 1;;f(5), -1";

using Reduction = Tensor (*)(const Tensor&, const Dims&, bool);
template <Reduction kFunction>
Tensors call(const Args& a) {
  return {kFunction(a.tensor(0), a.axes(1, a.tensor(0).rank()), a.boolean(2))};
}
Tensor count_nonzero(const Tensor& x, const Dims& axes, bool keepdims) {
  return sum(astype(x, DType::bool_), axes, keepdims, DType::int64);
}
Tensor sum_of(const Tensor& x, const Dims& axes, bool keepdims, const Args& a) {
  return sum(x, axes, keepdims, a.has(2) ? std::optional(a.dtype(2)) : std::nullopt);
}

// clang-format off
const Family kReductions("Reductions", {
    {.name = "sum",
     .parameters = "x: Tensor, axis: ints? = None, *, dtype: dtype? = None, keepdims: bool = False",
     .doc = "The sum over axis (all axes for None). Small integers add up in 64 bits; the order of "
            "adding depends on the shape alone, so the bits never depend on threads.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{sum_of(x, a.axes(1, x.rank()), a.boolean(3), a)};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2);;f(2, 3, 4), (1, 2), keepdims=True;;"
                "f(2, 3, 4), 1;;mask(3, 4), 0;;f(2000), -1;;f(200, 3), 0",
     .reference = "numpy.sum",
     .differentiable = true},
    {.name = "prod",
     .parameters = "x: Tensor, axis: ints? = None, *, dtype: dtype? = None, keepdims: bool = False",
     .doc = "The product over axis (all axes for None). Small integers multiply in 64 bits.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{prod(x, a.axes(1, x.rank()), a.boolean(3),
                               a.has(2) ? std::optional(a.dtype(2)) : std::nullopt)};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), keepdims=True",
     .reference = "numpy.prod",
     .differentiable = true},
    {.name = "max", .parameters = kParameters,
     .doc = "The largest element over axis; NaN if there is one. ValueError for an empty axis.",
     .call = call<max>, .samples = kSamples, .reference = "numpy.max", .differentiable = true},
    {.name = "min", .parameters = kParameters,
     .doc = "The smallest element over axis; NaN if there is one. ValueError for an empty axis.",
     .call = call<min>, .samples = kSamples, .reference = "numpy.min", .differentiable = true},
    {.name = "any", .parameters = kParameters, .doc = "Whether any element over axis is true.",
     .call = call<any>, .samples = "mask(3, 4);;mask(3, 4), 0;;f(3, 4), 1", .reference = "numpy.any"},
    {.name = "all", .parameters = kParameters, .doc = "Whether every element over axis is true.",
     .call = call<all>, .samples = "mask(3, 4);;mask(3, 4), 0;;f(3, 4), 1", .reference = "numpy.all"},
    {.name = "count_nonzero", .parameters = kParameters,
     .doc = "How many elements over axis are not zero.", .call = call<count_nonzero>,
     .samples = "mask(3, 4);;mask(3, 4), 0;;ints(-1, 2, 2, 3, 4), (0, 2), keepdims=True;;special()",
     .reference = "numpy.count_nonzero"},
    {.name = "mean", .parameters = kParameters,
     .doc = "The arithmetic mean over axis; integers average as float32.",
     .call = call<mean>, .samples = kSamples, .reference = "numpy.mean", .differentiable = true},
    {.name = "var",
     .parameters =
         "x: Tensor, axis: ints? = None, *, correction: float = 0.0, keepdims: bool = False",
     .doc = "The variance over axis: the mean squared distance from the mean, the count lessened "
            "by correction.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{var(x, a.axes(1, x.rank()), a.real(2), a.boolean(3))};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2), correction=1.0",
     .reference = "lambda x, axis=None, correction=0, keepdims=False: numpy.var(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "std",
     .parameters =
         "x: Tensor, axis: ints? = None, *, correction: float = 0.0, keepdims: bool = False",
     .doc = "The standard deviation over axis: the square root of var.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{sqrt(var(x, a.axes(1, x.rank()), a.real(2), a.boolean(3)))};
         },
     .samples = "f(3, 4);;f(3, 4), 0",
     .reference = "lambda x, axis=None, correction=0, keepdims=False: numpy.std(x, axis=axis, "
                  "ddof=correction, keepdims=keepdims)",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace

Dims all_axes(const Tensor& x) {
  Dims axes;
  for (size_t i = 0; i < x.rank(); ++i) axes.push_back(int64_t(i));
  return axes;
}

Tensor sum(const Tensor& x, const Dims& axes, bool keepdims, std::optional<DType> dtype) {
  const Tensor terms = astype(x, dtype.value_or(sum_dtype(x.dtype())));
  if (is_complex(terms.dtype()))
    return by_parts(terms, [&](const Tensor& part) { return reduce(kSum, part, axes, keepdims); });
  return reduce(kSum, terms, axes, keepdims);
}
Tensor prod(const Tensor& x, const Dims& axes, bool keepdims, std::optional<DType> dtype) {
  const Tensor factors = astype(x, dtype.value_or(sum_dtype(x.dtype())));
  return is_complex(factors.dtype()) ? product_by_halves(factors, axes, keepdims)
                                     : reduce(kProd, factors, axes, keepdims);
}
Tensor max(const Tensor& x, const Dims& axes, bool keepdims) {
  require_order(x, "max");
  check_nonempty(x, axes, "max");
  return reduce(kMax, x, axes, keepdims);
}
Tensor min(const Tensor& x, const Dims& axes, bool keepdims) {
  require_order(x, "min");
  check_nonempty(x, axes, "min");
  return reduce(kMin, x, axes, keepdims);
}
Tensor any(const Tensor& x, const Dims& axes, bool keepdims) {
  return reduce(kAny, astype(x, DType::bool_), axes, keepdims);
}
Tensor all(const Tensor& x, const Dims& axes, bool keepdims) {
  return reduce(kAll, astype(x, DType::bool_), axes, keepdims);
}

Tensor mean(const Tensor& x, const Dims& axes, bool keepdims) {
  const double scale = 1.0 / double(reduced_count(x, axes, "mean"));
  const Tensor total = sum(astype(x, float_dtype(x.dtype())), axes, true);
  const Tensor result = total * constant(scale);
  return keepdims ? result : squeeze(result, normalize_axes(axes, x.rank(), "mean"));
}

Tensor var(const Tensor& x, const Dims& axes, double correction, bool keepdims) {
  const double count = double(reduced_count(x, axes, "var")) - correction;
  const Tensor apart = x - mean(x, axes, true);
  const Tensor squares =
      is_complex(x.dtype()) ? square(real(apart)) + square(imag(apart)) : square(apart);
  const Tensor result = sum(squares, axes, true) * constant(1.0 / std::max(count, 0.0));
  return keepdims ? result : squeeze(result, normalize_axes(axes, x.rank(), "var"));
}

Tensor reduce_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const size_t lead = x.rank() - shape.size();
  Dims axes;
  for (size_t i = 0; i < x.rank(); ++i)
    if (i < lead || (shape[i - lead] == 1 && x.shape()[i] != 1)) axes.push_back(int64_t(i));
  const Tensor total = axes.empty() ? x : sum(x, axes, true);
  return reshape(total, shape);
}

}  // namespace tegula
