// Order: sorting, extremes' positions, running sums, and what they make.
#include <algorithm>

#include "ops/batching.h"
#include "ops/indexing.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

AxisAttrs axis_attrs(std::span<const int64_t> attrs) { return read_attrs<AxisAttrs>(attrs); }

// x -> values and indices, along the last axis.
const Primitive kSort = {
    .name = "sort",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back({c.dtype(0), c.shape(0)});
          out.push_back({DType::int64, c.shape(0)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor blank = zeros(c.input_shape(0), c.input_dtype(0));
          c.give(0, scatter_along_checked(blank, c.output(1), c.grad(0),
                                          c.input_shape(0).size() - 1, kScatterSet));
        },
    .uses = {kUsesOutput},
    .batch = batch_by_axis,
};

// The first k of each output; the last axis alone is cut.
Tensors first_along_last(Tensors sorted, int64_t k) {
  for (Tensor& t : sorted) {
    Shape sizes = t.shape();
    sizes.back() = k;
    t = slice(t, Dims(t.rank(), 0), sizes, Dims(t.rank(), 1));
  }
  return sorted;
}

Tensors sort_last(const Tensor& x, bool descending) {
  const AxisAttrs attrs{int64_t(x.rank()) - 1, descending ? kDescending : kAscending};
  return record_all(kSort, std::span(&x, 1), write_attrs(attrs));
}

// x -> the first k values and indices in sorted order, along the last axis.
const Primitive kTopK = {
    .name = "topk",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          shape.back() = read_attrs<TopKAttrs>(c.attrs).k;
          out.push_back({c.dtype(0), shape});
          out.push_back({DType::int64, shape});
        },
    .vjp = kSort.vjp,
    .uses = kSort.uses,
    .batch = batch_in_place,
    .expand =
        [](std::span<const Tensor> inputs, std::span<const int64_t> attrs) {
          const auto [k, mode] = read_attrs<TopKAttrs>(attrs);
          return first_along_last(sort_last(inputs[0], mode == kDescending), k);
        },
};

// Of complex numbers: products of 2, 4, 8, ... elements up to each.
Tensor running_product_by_doubling(Tensor x, size_t axis) {
  const int64_t size = x.shape()[axis];
  for (int64_t step = 1; step < size; step *= 2)
    x = concat({part_of(x, axis, 0, step),
                part_of(x, axis, step, size) * part_of(x, axis, 0, size - step)},
               int64_t(axis));
  return x;
}

Tensor running_sum_from_end(const Tensor& x, int64_t axis) {
  return flip(cumulative(flip(x, {axis}), axis, kCumSum), {axis});
}

// x moved by `places` towards the start of an axis; zeros follow.
Tensor moved_up(const Tensor& x, size_t axis, int64_t places) {
  Dims starts(x.rank(), 0), before(x.rank(), 0), after(x.rank(), 0);
  Shape sizes = x.shape();
  starts[axis] = std::min(places, sizes[axis]);
  sizes[axis] -= starts[axis];
  after[axis] = starts[axis];
  return pad(slice(x, starts, sizes, Dims(x.rank(), 1)), before, after, constant(0));
}

// The products before each element, times what flows into it: h_j = g_j + x_{j + 1} h_{j + 1}, by
// doubling. Without a division it has derivatives itself wherever x has zeros.
Tensor smooth_product_vjp(const Tensor& x, const Tensor& y, const Tensor& g, size_t axis) {
  Tensor factor = moved_up(x, axis, 1), flow = g;
  for (int64_t places = 1; places < x.shape()[axis]; places *= 2) {
    flow = flow + factor * moved_up(flow, axis, places);
    factor = factor * moved_up(factor, axis, places);
  }
  Shape start = x.shape();
  start[axis] = 1;
  const Tensor joined = concat({ones(start, y.dtype()), y}, int64_t(axis));
  return flow * slice(joined, Dims(x.rank(), 0), x.shape(), Dims(x.rank(), 1));
}

// At the first zero of a line the others' product counts; past it nothing reaches any product.
void running_product_vjp(VjpContext& c, int64_t axis) {
  const Tensor x = c.input(0), g = c.grad();
  if (grad_enabled()) return c.give(0, smooth_product_vjp(x, c.output(), g, size_t(axis)));
  const Tensor zero = equal(x, constant(0));
  const Tensor zeros_seen = cumulative(astype(zero, DType::int64), axis, kCumSum);
  const Tensor first = logical_and(zero, equal(zeros_seen, constant(1)));
  const Tensor rest = cumulative(where(first, constant(1), x), axis, kCumProd);
  const Tensor before = running_sum_from_end(g * c.output(), axis) / where(zero, constant(1), x);
  const Tensor after = where(first, running_sum_from_end(g * rest, axis), constant(0));
  c.give(0, where(greater(zeros_seen, constant(0)), after, before));
}

// An extreme is the last element that attains it.
void running_extreme_vjp(VjpContext& c, int64_t axis) {
  const Tensor x = c.input(0), y = c.output();
  Shape along(x.rank(), 1);
  along[size_t(axis)] = x.shape()[size_t(axis)];
  const Tensor attains = logical_or(equal(x, y), isnan(x));
  const Tensor place =
      where(attains, reshape(iota(along[size_t(axis)]), along), scalar(int64_t(0), DType::int64));
  const Tensor at = cumulative(place, axis, kCumMax);
  const Tensor blank = zeros(x.shape(), x.dtype());
  c.give(0, scatter_along_checked(blank, at, c.grad(), size_t(axis), kScatterAdd));
}

const Primitive kCumulative = {
    .name = "cumulative",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .vjp =
        [](VjpContext& c) {
          const auto [axis, mode] = axis_attrs(c.attrs());
          if (mode == kCumSum) return c.give(0, running_sum_from_end(c.grad(), axis));
          if (mode == kCumProd) return running_product_vjp(c, axis);
          running_extreme_vjp(c, axis);
        },
    .uses = {kX | kUsesOutput},
    .batch = batch_by_axis,
};

// Position of the extreme along the last axis, which goes.
const Primitive kArgReduce = {
    .name = "argreduce",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape& x = c.shape(0);
          out.push_back({DType::int64, Shape(x.begin(), x.end() - 1)});
        },
    .batch = batch_by_axis,
};

Tensor axis_last(const Tensor& x, size_t axis) {
  Dims order = all_axes(x);
  order.erase(axis);
  order.push_back(int64_t(axis));
  return permute_dims(x, order);
}
Tensor axis_back(const Tensor& x, size_t axis) {
  Dims order = all_axes(x);
  order.pop_back();
  order.insert(axis, int64_t(x.rank()) - 1);
  return permute_dims(x, order);
}

Tensors topk(const Tensor& x, int64_t k, int64_t given, bool largest) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "topk"));
  require_order(x, "topk");
  require(k >= 0 && k <= x.shape()[axis], "topk: k must be between 0 and the size ",
          x.shape()[axis], " of axis ", axis, ", got ", k);
  // Selecting is faster than sorting while k is small beside the row.
  constexpr int64_t kMost = 8192;
  const Tensor last = axis_last(x, axis);
  Tensors found;
  if (k > kMost || k > x.shape()[axis] / 8) {
    found = first_along_last(sort_last(last, largest), k);
  } else {
    const TopKAttrs attrs{k, largest ? kDescending : kAscending};
    found = record_all(kTopK, std::span(&last, 1), write_attrs(attrs));
  }
  for (Tensor& t : found) t = axis_back(t, axis);
  return found;
}

// Running sums and products of small integers are kept in 64 bits, as sums and products are.
Tensors accumulate(const Args& a, CumulativeMode mode, const char* op) {
  const Tensor& x = a.tensor(0);
  require(a.has(1) || x.rank() == 1, op, ": axis must be given for shape ", x.shape());
  const int64_t axis = a.has(1) ? normalize_axis(a.integer(1), x.rank(), op) : 0;
  const DType wide = is_inexact(x.dtype())            ? x.dtype()
                     : is_unsigned_integer(x.dtype()) ? DType::uint64
                                                      : DType::int64;
  const Tensor result = cumulative(astype(x, a.dtype_or(2, wide)), axis, mode);
  if (!a.boolean(3)) return {result};
  Shape start = result.shape();
  start[size_t(axis)] = 1;
  const int64_t neutral = mode == kCumProd;
  return {concat({full(start, scalar(neutral, result.dtype())), result}, axis)};
}

template <ArgMode kMode>
Tensors call_arg_reduce(const Args& a) {
  const std::optional<int64_t> axis = a.has(1) ? std::optional(a.integer(1)) : std::nullopt;
  return {arg_reduce(a.tensor(0), axis, kMode, a.boolean(2))};
}

// Sorted values, and where in them each different value begins.
struct Runs {
  Tensor sorted, order, starts;
};
// Complex numbers by real part, then imaginary part.
Tensors in_order(const Tensor& flat) {
  if (!is_complex(flat.dtype())) return sort_with_indices(flat, 0, false);
  const Tensor by_imag = sort_with_indices(imag(flat), 0, false)[1];
  const Tensor by_real = sort_with_indices(gather_checked(real(flat), by_imag, 0), 0, false)[1];
  const Tensor order = gather_checked(by_imag, by_real, 0);
  return {gather_checked(flat, order, 0), order};
}
Runs runs_of(const Tensor& x) {
  const Tensor flat = reshape(x, {-1});
  const int64_t count = flat.size();
  const Tensors sorted = in_order(flat);
  if (count == 0) return {sorted[0], sorted[1], zeros({0}, DType::bool_)};
  const Tensor later = slice(sorted[0], {1}, {count - 1}, {1});
  const Tensor earlier = slice(sorted[0], {0}, {count - 1}, {1});
  return {sorted[0], sorted[1], concat({ones({1}, DType::bool_), not_equal(later, earlier)}, 0)};
}

// Where nobody asks for the order, the values are sorted alone, which is quicker.
Runs runs_without_order(const Tensor& x) {
  Runs runs = runs_of(x);
  runs.order = {};
  return runs;
}

Tensors unique_values(const Args& a) {
  const Runs runs = runs_without_order(a.tensor(0));
  return {gather_checked(runs.sorted, true_positions(runs.starts), 0)};
}

// The lengths of the runs that begin at `at`.
Tensor counts_of(const Runs& runs, const Tensor& at) {
  const int64_t count = at.size();
  if (count == 0) return at;
  const Tensor end = full({1}, scalar(runs.sorted.size(), DType::int64));
  return concat({slice(at, {1}, {count - 1}, {1}), end}, 0) - at;
}

Tensors unique_counts(const Args& a) {
  const Runs runs = runs_without_order(a.tensor(0));
  const Tensor at = true_positions(runs.starts);
  return {gather_checked(runs.sorted, at, 0), counts_of(runs, at)};
}

// For each element of x the number of its run.
Tensor inverse_of(const Runs& runs, const Shape& shape) {
  const Tensor group =
      cumulative(astype(runs.starts, DType::int64), 0, kCumSum) - scalar(int64_t(1), DType::int64);
  const Tensor blank = zeros(group.shape(), DType::int64);
  return reshape(scatter_checked(blank, runs.order, group, 0, kScatterSet), shape);
}

Tensors unique_inverse(const Args& a) {
  const Runs runs = runs_of(a.tensor(0));
  const Tensor values = gather_checked(runs.sorted, true_positions(runs.starts), 0);
  return {values, inverse_of(runs, a.tensor(0).shape())};
}

Tensors unique_all(const Args& a) {
  const Runs runs = runs_of(a.tensor(0));
  const Tensor at = true_positions(runs.starts);
  return {gather_checked(runs.sorted, at, 0), gather_checked(runs.order, at, 0),
          inverse_of(runs, a.tensor(0).shape()), counts_of(runs, at)};
}

Tensor isin(const Tensor& x1, const Tensor& x2, bool invert) {
  const DType dtype = common_dtype(x1, x2);
  if (is_complex(dtype)) {  // which have no order to search by
    const Tensor same = equal(expand_dims(x1, -1), reshape(x2, {-1}));
    const Tensor found = any(same, {-1}, false);
    return invert ? logical_not(found) : found;
  }
  const Tensor x = astype(x1, dtype),
               sorted = sort_with_indices(reshape(astype(x2, dtype), {-1}), 0, false)[0];
  const int64_t count = sorted.size();
  if (count == 0) return full(x.shape(), scalar(int64_t(invert), DType::bool_));
  const Tensor at = minimum(searchsorted(sorted, x, false), scalar(count - 1, DType::int64));
  const Tensor found = gather_checked(sorted, at, 0);
  return invert ? not_equal(found, x) : equal(found, x);
}

constexpr std::string_view kAccumulate =
    "x: Tensor, axis: int? = None, *, dtype: dtype? = None, include_initial: bool = False";

// clang-format off
const Family kSorting("Sorting", {
    {.name = "sort",
     .parameters = "x: Tensor, axis: int = -1, *, descending: bool = False, stable: bool = True",
     .doc = "x in order along axis; NaN comes last, equal elements keep their order, whatever "
            "stable is.",
     .call =
         [](const Args& a) {
           return Tensors{sort_with_indices(a.tensor(0), a.integer(1), a.boolean(2))[0]};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(3, 4), 1, descending=True;;ints(0, 5, 9);;f(2, 0);;"
                "special()",
     .reference = "reference.sort",
     .differentiable = true},
    {.name = "argsort",
     .parameters = "x: Tensor, axis: int = -1, *, descending: bool = False, stable: bool = True",
     .doc = "The indices that put x in order along axis; NaN comes last, equal elements keep their "
            "order, whatever stable is.",
     .call =
         [](const Args& a) {
           return Tensors{sort_with_indices(a.tensor(0), a.integer(1), a.boolean(2))[1]};
         },
     .samples = "f(3, 4);;f(3, 4), 0;;f(3, 4), 1, descending=True;;ints(0, 5, 9);;special()",
     .reference = "reference.argsort"},
    {.name = "topk",
     .parameters = "x: Tensor, k: int, axis: int = -1, *, largest: bool = True",
     .doc = "The k largest (or smallest) elements along axis in order, and their indices.",
     .call =
         [](const Args& a) {
           return topk(a.tensor(0), a.integer(1), a.integer(2), a.boolean(3));
         },
     .samples = "f(3, 4), 2;;f(3, 4), 1, 0, largest=False;;f(5), 0",
     .reference = "reference.topk",
     .differentiable = true,
     .returns_tuple = true},
    {.name = "argmax",
     .parameters = "x: Tensor, axis: int? = None, *, keepdims: bool = False",
     .doc = "The index of the first largest element along axis (of the flattened x for None); NaN "
            "counts as the largest. ValueError for an empty axis.",
     .call = call_arg_reduce<kArgMax>,
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), 1, keepdims=True;;ints(0, 3, 4, 9), 1;;special()",
     .reference = "numpy.argmax"},
    {.name = "argmin",
     .parameters = "x: Tensor, axis: int? = None, *, keepdims: bool = False",
     .doc = "The index of the first smallest element along axis (of the flattened x for None); NaN "
            "counts as the smallest. ValueError for an empty axis.",
     .call = call_arg_reduce<kArgMin>,
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), 1, keepdims=True;;ints(0, 3, 4, 9), 1;;special()",
     .reference = "numpy.argmin"},
    {.name = "cumulative_sum",
     .parameters = kAccumulate,
     .doc = "The sums of the elements up to each one along axis; after a 0 if include_initial. "
            "axis may be None for 1-d x.",
     .call = [](const Args& a) { return accumulate(a, kCumSum, "cumulative_sum"); },
     .samples = "f(5);;f(3, 4), 0;;f(3, 4), -1, include_initial=True;;ints(0, 9, 3, 4), 1",
     .reference = "lambda x, axis=None, **options: numpy.cumulative_sum(x, axis=axis, "
                  "**options)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "cumulative_prod",
     .parameters = kAccumulate,
     .doc = "The products of the elements up to each one along axis; after a 1 if "
            "include_initial. axis may be None for 1-d x.",
     .call = [](const Args& a) { return accumulate(a, kCumProd, "cumulative_prod"); },
     .samples = "f(5);;f(3, 4), 0;;f(3, 4), -1, include_initial=True;;f(4) * [1, 0, 1, 1]",
     .reference = "lambda x, axis=None, **options: numpy.cumulative_prod(x, axis=axis, "
                  "**options)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "unique_values",
     .parameters = "x: Tensor",
     .doc = "The different values in x, in order; every NaN is different. Evaluates x.",
     .call = unique_values,
     .samples = "ints(0, 5, 3, 4);;ints(0, 5, 0);;f(4)",
     .reference = "numpy.unique"},
    {.name = "unique_counts",
     .parameters = "x: Tensor",
     .doc = "The different values in x, in order, and how often each occurs. Evaluates x.",
     .call = unique_counts,
     .samples = "ints(0, 5, 3, 4);;ints(0, 5, 0)",
     .reference = "lambda x: numpy.unique(x, return_counts=True)",
     .returns_tuple = true,
     .result = "UniqueCountsResult: values, counts"},
    {.name = "unique_inverse",
     .parameters = "x: Tensor",
     .doc = "The different values in x, in order, and the index of each element's. Evaluates x.",
     .call = unique_inverse,
     .samples = "ints(0, 5, 3, 4);;ints(0, 5, 0)",
     .reference = "lambda x: numpy.unique(x, return_inverse=True)",
     .returns_tuple = true,
     .result = "UniqueInverseResult: values, inverse_indices"},
    {.name = "unique_all",
     .parameters = "x: Tensor",
     .doc = "The different values in x, in order, where in the flattened x each comes first, the "
            "index of each element's value, and how often each occurs. Evaluates x.",
     .call = unique_all,
     .samples = "ints(0, 5, 3, 4);;ints(0, 5, 0)",
     .reference = "lambda x: numpy.unique(x, return_index=True, return_inverse=True, "
                  "return_counts=True)",
     .returns_tuple = true,
     .result = "UniqueAllResult: values, indices, inverse_indices, counts"},
    {.name = "isin",
     .parameters = "x1: Tensor, x2: Tensor, *, invert: bool = False",
     .doc = "For each element of x1 whether it is among those of x2, or is not if invert.",
     .call = [](const Args& a) { return Tensors{isin(a.tensor(0), a.tensor(1), a.boolean(2))}; },
     .samples = "ints(0, 9, 3, 4), ints(0, 9, 4);;ints(0, 9, 5), 3, invert=True;;ints(0, 9, 5), "
                "ints(0, 9, 0);;special(), special()",
     .reference = "numpy.isin"},
});
// clang-format on

}  // namespace

Tensors sort_with_indices(const Tensor& x, int64_t given, bool descending) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "sort"));
  require_order(x, "sort");
  Tensors sorted = sort_last(axis_last(x, axis), descending);
  for (Tensor& t : sorted) t = axis_back(t, axis);
  return sorted;
}

Tensor cumulative(const Tensor& x, int64_t given, CumulativeMode mode) {
  const int64_t axis = normalize_axis(given, x.rank(), "cumulative");
  if (is_complex(x.dtype())) {
    if (mode == kCumProd) return running_product_by_doubling(x, size_t(axis));
    require(mode == kCumSum, "cumulative extremes: complex numbers have no order");
    return by_parts(x, [&](const Tensor& part) { return cumulative(part, axis, mode); });
  }
  return record(kCumulative, {x}, write_attrs(AxisAttrs{axis, mode}));
}

Tensor arg_reduce(const Tensor& x, std::optional<int64_t> given, ArgMode mode, bool keepdims) {
  const char* op = mode == kArgMax ? "argmax" : "argmin";
  require_order(x, op);
  const Tensor source = given ? x : reshape(x, {-1});
  const size_t axis = size_t(normalize_axis(given.value_or(0), source.rank(), op));
  require(source.shape()[axis] > 0, op, ": axis ", axis, " of shape ", source.shape(),
          " is empty, and nothing has no ", op);
  const AxisAttrs attrs{int64_t(source.rank()) - 1, mode};
  const Tensor result = record(kArgReduce, {axis_last(source, axis)}, write_attrs(attrs));
  if (!keepdims) return result;
  if (given) return expand_dims(result, int64_t(axis));
  return reshape(result, Shape(x.rank(), 1));
}

}  // namespace tegula
