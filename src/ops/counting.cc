// Where elements belong, and how many belong there.
#include <cmath>

#include "ops/indexing.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

// x1 in order, x2 of the same dtype; attrs: {after equal elements}.
const Primitive kSearchSorted = {
    .name = "searchsorted",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({DType::int64, c.shape(1)}); },
    .expand =
        [](std::span<const Tensor> in, std::span<const int64_t> attrs) {
          const Tensor wanted = expand_dims(in[1], -1), last = isnan(wanted);  // NaN comes last
          const Tensor below = attrs[0] ? logical_or(less_equal(in[0], wanted), last)
                                        : logical_or(less(in[0], wanted),
                                                     logical_and(last, logical_not(isnan(in[0]))));
          return Tensors{sum(below, {-1}, false, DType::int64)};
        },
};

// x, edges -> the elements in each bin; attrs: {bins are of one width}.
const Primitive kHistogram = {
    .name = "histogram",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({DType::int64, {c.shape(1)[0] - 1}}); },
    .can_fail = true,
};

// x (integers from 0 to below attrs[0]), weights or nothing -> a sum for each integer.
const Primitive kBinCount = {
    .name = "bincount",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back({c.inputs.size() > 1 ? c.dtype(1) : DType::int64, {c.attrs[0]}});
        },
    .vjp = [](VjpContext& c) { c.give(1, gather_checked(c.grad(), c.input(0), 0)); },
    .uses = {kUsesNothing, 1u << 0},
};

Tensor searchsorted(const Args& a) {
  Tensor x1 = a.tensor(0);
  const std::string& side = a.text(2);
  require(x1.rank() == 1, "searchsorted: x1 must be 1-d, got shape ", x1.shape());
  require(side == "left" || side == "right", "searchsorted: side must be 'left' or 'right', got '",
          side, "'");
  if (a.has(3)) {
    const Tensor& sorter = a.tensor(3);
    require(sorter.shape() == x1.shape(), "searchsorted: sorter must have the shape ", x1.shape(),
            " of x1, got ", sorter.shape());
    x1 = take(x1, sorter, 0);
  }
  return searchsorted(x1, a.tensor(1), side == "right");
}

// The ends of a histogram whose edges are not given.
std::pair<double, double> histogram_ends(const Tensor& x, const Tensors* given,
                                         const char* op = "histogram") {
  double first = 0, last = 1;
  if (given) {
    require(given->size() == 2, op, ": range must be two numbers, got ", given->size());
    first = item_as_double((*given)[0]);
    last = item_as_double((*given)[1]);
    require(first <= last, op, ": range must not decrease, got ", first, " and ", last);
  } else if (x.size() > 0) {
    first = item_as_double(min(x, all_axes(x), false));
    last = item_as_double(max(x, all_axes(x), false));
  }
  require(std::isfinite(first) && std::isfinite(last), op, ": the range must be finite, got ",
          first, " to ", last, given ? "" : ", the range of x");
  if (first == last) {
    first -= 0.5;
    last += 0.5;
  }
  return {first, last};
}

Tensor even_edges(double first, double last, int64_t bins, DType dtype) {
  const DType f64 = DType::float64;
  const Tensor i = iota(bins + 1);
  const Tensor inner =
      astype(i, f64) * scalar((last - first) / double(bins), f64) + scalar(first, f64);
  const Tensor is_last = equal(i, scalar(bins, DType::int64));
  return astype(where(is_last, scalar(last, f64), inner), dtype);
}

Tensors histogram(const Tensor& given, const Tensor& bins, const Tensors* range) {
  require_order(given, "histogram");
  const Tensor x = given.dtype() == DType::bool_ ? astype(given, DType::uint8) : given;
  DType dtype =
      !is_floating(x.dtype()) || x.dtype() == DType::float64 ? DType::float64 : DType::float32;
  if (bins.rank() == 1) {
    require(bins.size() > 0, "histogram: bins needs at least one edge");
    if (bins.dtype() == DType::float64) dtype = DType::float64;
    return {record(kHistogram, {x, astype(bins, dtype)}, {0}), bins};
  }
  require(bins.rank() == 0 && is_integer(bins.dtype()),
          "histogram: bins must be an integer or 1-d edges, got shape ", bins.shape(), " and ",
          bins.dtype());
  const int64_t count = item_as_int(bins);
  require(count > 0, "histogram: bins must be positive, got ", count);
  const auto [first, last] = histogram_ends(x, range);
  const Tensor edges = even_edges(first, last, count, dtype);
  return {record(kHistogram, {x, edges}, {1}), edges};
}

// Where elements are among edges, and whether they are inside.
struct Binned {
  Tensor place, inside, edges;
};
Binned binned(const Tensor& given, int64_t bins, const Tensors* range) {
  const char* op = "histogram2d";
  require_order(given, op);
  require(given.rank() == 1, op, ": x and y must be 1-d, got shape ", given.shape());
  require(bins > 0, op, ": bins must be positive, got ", bins);
  const DType dtype = is_floating(given.dtype()) && given.dtype() != DType::float64
                          ? DType::float32
                          : DType::float64;
  const auto [first, last] = histogram_ends(given, range, op);
  const Tensor x = astype(given, dtype), edges = even_edges(first, last, bins, dtype);
  const auto edge = [&](int64_t i) { return reshape(part_of(edges, 0, i, i + 1), {}); };
  const Tensor inside =
      logical_and(greater_equal(x, edge(0)), less_equal(x, edge(bins)));  // NaN is not
  const Tensor found = searchsorted(edges, x, true) - scalar(int64_t(1), DType::int64);
  const Tensor most = minimum(found, scalar(bins - 1, DType::int64));
  return {maximum(most, scalar(int64_t(0), DType::int64)), inside, edges};
}

Tensors histogram2d(const Tensor& x, const Tensor& y, const Dims& bins, const Tensors* range) {
  const char* op = "histogram2d";
  require(x.shape() == y.shape(), op, ": x and y must have one shape, got ", x.shape(), " and ",
          y.shape());
  require(bins.size() == 1 || bins.size() == 2, op, ": bins must be one int or two, got ", bins);
  Tensors ranges[2];
  if (range) {
    require(range->size() == 2, op, ": range must be two pairs, got ", range->size());
    for (size_t i = 0; i < 2; ++i) {
      const Tensor& pair = (*range)[i];
      require(pair.shape() == Shape{2}, op, ": range must be two pairs, got shape ", pair.shape());
      ranges[i] = {part_of(pair, 0, 0, 1), part_of(pair, 0, 1, 2)};
      for (Tensor& end : ranges[i]) end = reshape(end, {});
    }
  }
  const Binned a = binned(x, bins[0], range ? &ranges[0] : nullptr);
  const Binned b = binned(y, bins[bins.size() - 1], range ? &ranges[1] : nullptr);
  const int64_t rows = a.edges.size() - 1, columns = b.edges.size() - 1;
  checked_numel({rows, columns}, op);
  const Tensor counted = astype(logical_and(a.inside, b.inside), DType::int64);
  const Tensor place = a.place * scalar(columns, DType::int64) + b.place;
  const Tensor blank = zeros({rows * columns}, DType::int64);
  return {reshape(scatter_checked(blank, place, counted, 0, kScatterAdd), {rows, columns}), a.edges,
          b.edges};
}

Tensor bincount(const Tensor& given, const Tensor& weights, int64_t at_least) {
  require(given.rank() == 1, "bincount: x must be 1-d, got shape ", given.shape());
  require(at_least >= 0, "bincount: minlength must not be negative, got ", at_least);
  if (is_inexact(given.dtype()))
    fail(ErrorKind::type, "bincount: needs integers, got ", given.dtype());
  const Tensor x = given.dtype() == DType::bool_ ? astype(given, DType::uint8) : given;
  int64_t count = at_least;
  if (x.size() > 0) {
    const int64_t least = item_as_int(min(x, {0}, false));
    const int64_t most = item_as_int(max(x, {0}, false));
    require(least >= 0, "bincount: x must not have negative elements, got ", least);
    require(most < INT64_MAX, "bincount: ", most, " is too large");
    count = std::max(count, most + 1);
  }
  checked_numel({count}, "bincount");
  if (!weights) return record(kBinCount, {x}, {count});
  require(weights.shape() == x.shape(), "bincount: weights of shape ", weights.shape(),
          " must have the shape ", x.shape(), " of x");
  const DType dtype = is_floating(weights.dtype()) ? weights.dtype() : DType::float64;
  return record(kBinCount, {astype(x, DType::int64), astype(weights, dtype)}, {count});
}

// clang-format off
const Family kCounting("Counting", {
    {.name = "searchsorted",
     .parameters = "x1: Tensor, x2: Tensor, side: str = 'left', sorter: Tensor? = None",
     .doc = "Where each element of x2 belongs in x1, which is 1-d and in order, NaN last: before "
            "elements equal to it for side='left', after them for 'right'. sorter, if given, are "
            "the indices that put x1 in order.",
     .call = [](const Args& a) { return Tensors{searchsorted(a)}; },
     .samples = "numpy.sort(f(7)), f(3, 2);;numpy.sort(ints(0, 5, 9)), ints(-1, 6, 8), 'right';;"
                "numpy.sort(special()), special();;numpy.sort(special()), special(), 'right';;"
                "f(0), f(3);;numpy.sort(f(40)), 0.5;;numpy.sort(f(7))[::-1], f(3, 2), 'left', "
                "numpy.arange(7)[::-1]",
     .reference = "numpy.searchsorted"},
    {.name = "histogram",
     .parameters = "x: Tensor, bins: Tensor = 10, range: Tensors? = None",
     .doc = "How many elements of x fall between neighbouring edges, and the edges: bins + 1 evenly "
            "spaced ones over range (of x for None, which evaluates x), or bins itself if it is "
            "1-d. An edge belongs to the bin above it, the last one to the last bin; NaN to none. "
            "ValueError for a range that is not finite, or, when read, for edges that decrease.",
     .call =
         [](const Args& a) {
           return histogram(a.tensor(0), a.tensor(1), a.has(2) ? &a.tensors(2) : nullptr);
         },
     .samples = "f(40);;ints(0, 9, 5, 8), 4;;f(30), 5, (-1.0, 1.5);;f(30), numpy.sort(f(6));;f(0);;"
                "special(), 3, (-2, 2)",
     .reference = "numpy.histogram",
     .returns_tuple = true},
    {.name = "histogram2d",
     .parameters = "x: Tensor, y: Tensor, bins: ints = 10, range: Tensors? = None",
     .doc = "How many of the points x, y (1-d) fall into each cell of a grid, and the edges along "
            "both axes: evenly spaced ones, bins of them or two numbers of bins, over range (two "
            "pairs; of x and y for None, which evaluates them). An edge belongs to the bin above it, "
            "the last one to the last bin; points outside, or with a NaN, to none.",
     .call =
         [](const Args& a) {
           return histogram2d(a.tensor(0), a.tensor(1), a.ints(2),
                              a.has(3) ? &a.tensors(3) : nullptr);
         },
     .samples = "f(40), f(40), 4, [(-1.0, 1.5), (-2.0, 2.0)];;f(30), f(30), (3, 5);;ints(0, 9, 20), "
                "ints(0, 5, 20), 3",
     .reference = "reference.histogram2d",
     .method = false,
     .returns_tuple = true},
    {.name = "bincount",
     .parameters = "x: Tensor, weights: Tensor? = None, minlength: int = 0",
     .doc = "How often each integer from 0 to the largest in x (1-d, none negative) occurs, or the "
            "sums of the weights where it does, in their dtype (float64 for integers); at least "
            "minlength elements. Evaluates x, whose values decide the shape.",
     .call =
         [](const Args& a) {
           return Tensors{bincount(a.tensor(0), a.optional_tensor(1), a.integer(2))};
         },
     .samples = "ints(0, 9, 30);;ints(0, 9, 30), f(30);;ints(0, 5, 8), None, 7;;ints(0, 5, 0);;"
                "ints(0, 5, 8), ints(0, 9, 8)",
     .reference = "numpy.bincount",
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor searchsorted(const Tensor& x1, const Tensor& x2, bool right) {
  const DType dtype = common_dtype(x1, x2);
  if (is_complex(dtype))
    fail(ErrorKind::type, "searchsorted: complex numbers have no order, got ", x1.dtype(), " and ",
         x2.dtype());
  return record(kSearchSorted, {astype(x1, dtype), astype(x2, dtype)}, {right});
}

}  // namespace tegula
