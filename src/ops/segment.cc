// Reductions by index: of segments, into places, of bags of embeddings.
#include <array>
#include <limits>

#include "graph/trace.h"
#include "ops/complex.h"
#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

// What combining with any value gives that value.
Tensor identity_of(DType dtype, ScatterMode mode) {
  if (mode == kScatterAdd || mode == kScatterMul)
    return scalar(int64_t(mode == kScatterMul), dtype);
  const bool least = mode == kScatterMax;
  return dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_same_v<T, bool>) {
      return scalar(int64_t(!least), dtype);
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      return least ? scalar(int64_t(0), dtype) : cast_scalar(wide_scalar(UINT64_MAX), dtype);
    } else if constexpr (std::is_integral_v<T>) {
      return scalar(int64_t(least ? Limits::lowest() : Limits::max()), dtype);
    } else {
      const double infinity = std::numeric_limits<double>::infinity();
      return scalar(least ? -infinity : infinity, dtype);
    }
  });
}

Tensor quotient(const Tensor& total, const Tensor& counts, DType dtype) {
  const Tensor at_least_one = maximum(counts, scalar(int64_t(1), counts.dtype()));
  if (!is_inexact(dtype)) return floor_divide(total, astype(at_least_one, total.dtype()));
  return astype(total / astype(at_least_one, real_dtype(total.dtype())), dtype);
}

// ---- segments ----------------------------------------------------------------------------------
struct Segments {
  Tensor index;
  int64_t count;
};

Segments segments_of(const Args& a, std::string_view op, std::string_view name) {
  const Tensor &values = a.tensor(0), &ids = a.tensor(1);
  if (!is_integer(ids.dtype()))
    fail(ErrorKind::type, op, ": segment_ids must be integers, got ", ids.dtype());
  require(values.rank() > 0 && ids.shape() == Shape{values.shape()[0]}, op,
          ": segment_ids must be one for each of the slices of values of shape ", values.shape(),
          " along axis 0, got shape ", ids.shape());
  int64_t count = 0;
  if (a.has(2)) {
    count = a.integer(2);
  } else if (ids.size() > 0) {
    require_known(ids, "how many segments there are");
    count = item_as_int(max(ids, {0}, false)) + 1;
  }
  require(count >= 0, op, ": num_segments must not be negative, got ", count);
  return {check_index(ids, count, 0, true, name), count};
}

Shape with_first(Shape shape, int64_t size) {
  shape[0] = size;
  return shape;
}

Tensor segment_reduce(const Tensor& values, const Segments& segments, ScatterMode mode) {
  const Shape shape = with_first(values.shape(), segments.count);
  return scatter_checked(full(shape, identity_of(values.dtype(), mode)), segments.index, values, 0,
                         mode);
}

// Integers are summed up and multiplied in their own dtype.
template <ScatterMode kMode>
Tensors call_segment(const Args& a, std::string_view name) {
  const std::string_view op = name.substr(0, name.find(':'));
  if (kMode == kScatterMax || kMode == kScatterMin)
    require_order(a.tensor(0), std::string(op).c_str());
  return {segment_reduce(a.tensor(0), segments_of(a, op, name), kMode)};
}

Tensor segment_mean(const Args& a) {
  const Segments segments = segments_of(a, "segment_mean", "segment_mean: segment_ids");
  const DType dtype = float_dtype(a.tensor(0).dtype());
  const Tensor values = astype(a.tensor(0), dtype);
  const Tensor total =
      segment_reduce(is_complex(dtype) ? values : widened(values), segments, kScatterAdd);
  const Tensor ones_ = full(segments.index.shape(), scalar(int64_t(1), DType::int64));
  const Tensor counts = segment_reduce(ones_, segments, kScatterAdd);
  Shape along(total.rank(), 1);
  along[0] = segments.count;
  return quotient(total, reshape(counts, along), dtype);
}

// ---- into places -------------------------------------------------------------------------------
ScatterMode mode_named(const std::string& reduce, const char* op) {
  if (reduce == "sum") return kScatterAdd;
  if (reduce == "prod") return kScatterMul;
  if (reduce == "amax") return kScatterMax;
  if (reduce == "amin") return kScatterMin;
  fail(ErrorKind::value, op, ": reduce must be 'sum', 'prod', 'mean', 'amax' or 'amin', got '",
       reduce, "'");
}

// x combined with a source that `spread(x, source, mode)` scatters.
template <class F>
Tensor reduce_into(const Tensor& x, const Tensor& source, const std::string& reduce,
                   bool include_self, const char* op, F&& spread) {
  const bool averages = reduce == "mean";
  const ScatterMode mode = averages ? kScatterAdd : mode_named(reduce, op);
  if (mode == kScatterMax || mode == kScatterMin) require_order(x, op);
  const auto cleared = [&](const Tensor& t) {  // where something will be scattered
    const Tensor blank = full(source.shape(), identity_of(t.dtype(), mode));
    return include_self ? t : spread(t, blank, kScatterSet);
  };
  if (!averages) return spread(cleared(x), source, mode);
  const auto wide = [](const Tensor& t) { return is_floating(t.dtype()) ? widened(t) : t; };
  const Tensor total = spread(cleared(wide(x)), wide(source), kScatterAdd);
  const Tensor one = scalar(int64_t(1), DType::int64);
  const Tensor counts =
      spread(cleared(full(x.shape(), one)), full(source.shape(), one), kScatterAdd);
  return quotient(total, counts, x.dtype());
}

Tensor scatter_reduce(const Args& a) {
  const char* op = "scatter_reduce";
  const Tensor& x = a.tensor(0);
  require(a.tensor(1).rank() == x.rank(), op, ": indices of shape ", a.tensor(1).shape(),
          " need as many axes as x of shape ", x.shape());
  const size_t axis = size_t(normalize_axis(a.integer(4), x.rank(), op));
  const Tensor index = indices_along(x, a.tensor(1), axis, op, "scatter_reduce: indices");
  const Tensor source = source_for(x, a.tensor(2), index.shape(), op);
  return reduce_into(x, source, a.text(3), a.boolean(5), op,
                     [&](const Tensor& onto, const Tensor& from, ScatterMode mode) {
                       return scatter_along_checked(onto, index, from, axis, mode);
                     });
}

Tensor index_reduce(const Args& a) {
  const char* op = "index_reduce";
  const Tensor& x = a.tensor(0);
  const size_t axis = size_t(normalize_axis(a.integer(4), x.rank(), op));
  const Tensor index =
      check_index(a.tensor(1), x.shape()[axis], axis, false, "index_reduce: indices");
  const Tensor source = source_for(x, a.tensor(2), scatter_shape(x, index, axis), op);
  return reduce_into(x, source, a.text(3), a.boolean(5), op,
                     [&](const Tensor& onto, const Tensor& from, ScatterMode mode) {
                       return scatter_checked(onto, index, from, axis, mode);
                     });
}

// ---- bags --------------------------------------------------------------------------------------
// weight (E, D), index (N), offsets (B) [, a factor for each index (N)] -> (B, D). attrs: BagMode.
const Primitive kEmbeddingBag = {
    .name = "embedding_bag",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), {c.shape(2)[0], c.shape(0)[1]}}); },
    .can_fail = true,
    .expand =
        [](std::span<const Tensor> in, std::span<const int64_t> attrs) {
          const int64_t count = in[1].size(), bags = in[2].size();
          const Tensor bag =
              searchsorted(in[2], iota(count), true) - scalar(int64_t(1), DType::int64);
          Tensor rows = widened(gather_checked(in[0], in[1], 0));
          if (in.size() > 3) rows = rows * expand_dims(widened(in[3]), 1);
          const Segments segments{bag, bags};
          const bool greatest = attrs[0] == kBagMax;
          Tensor result = segment_reduce(rows, segments, greatest ? kScatterMax : kScatterAdd);
          if (attrs[0] != kBagSum) {
            const Tensor one = full({count}, scalar(int64_t(1), DType::int64));
            const Tensor counts = expand_dims(segment_reduce(one, segments, kScatterAdd), 1);
            if (greatest) result = where(greater(counts, constant(0)), result, constant(0));
            else result = quotient(result, counts, result.dtype());
          }
          return Tensors{astype(result, in[0].dtype())};
        },
};

Tensor embedding_bag(const Args& a) {
  const char* op = "embedding_bag";
  const Tensor &weight = a.tensor(0), &indices = a.tensor(1);
  const std::string& mode = a.text(3);
  require(weight.rank() == 2, op, ": weight must be (entries, size), got shape ", weight.shape());
  if (!is_floating(weight.dtype()))
    fail(ErrorKind::type, op, ": weight must be floating, got ", weight.dtype());
  require(mode == "sum" || mode == "mean" || mode == "max", op,
          ": mode must be 'sum', 'mean' or 'max', got '", mode, "'");
  const bool rows = indices.rank() == 2;
  require(rows || indices.rank() == 1, op, ": indices must be 1-d or 2-d, got shape ",
          indices.shape());
  require(rows != a.has(2), op,
          rows ? ": offsets must be None for 2-d indices, whose rows are the bags"
               : ": 1-d indices need offsets, where each bag begins");
  const Tensor index = check_index(indices, weight.shape()[0], 0, true, "embedding_bag: indices");
  Tensor offsets;
  if (rows) {
    offsets = iota(indices.shape()[0]) * scalar(indices.shape()[1], DType::int64);
  } else {
    offsets = a.tensor(2);
    if (!is_integer(offsets.dtype()))
      fail(ErrorKind::type, op, ": offsets must be integers, got ", offsets.dtype());
    require(offsets.rank() == 1, op, ": offsets must be 1-d, got shape ", offsets.shape());
    require(offsets.size() > 0 || indices.size() == 0, op,
            ": offsets must not be empty where there are indices");
    offsets = astype(offsets, DType::int64);
  }
  Tensors inputs{weight, reshape(index, {-1}), offsets};
  if (a.has(4)) {
    const Tensor& factors = a.tensor(4);
    require(mode == "sum", op, ": per_sample_weights go with mode='sum' alone, got '", mode, "'");
    require(factors.shape() == indices.shape(), op, ": per_sample_weights of shape ",
            factors.shape(), " must have the shape ", indices.shape(), " of indices");
    inputs.push_back(reshape(astype(factors, weight.dtype()), {-1}));
  }
  const int64_t word = mode == "sum" ? kBagSum : mode == "mean" ? kBagMean : kBagMax;
  return record(kEmbeddingBag, std::span<const Tensor>(inputs), {word});
}

constexpr std::string_view kSegmentParameters =
    "values: Tensor, segment_ids: Tensor, num_segments: int? = None, *, "
    "indices_are_sorted: bool = False";
constexpr std::string_view kSegmentSamples =
    "f(6, 3), ints(0, 4, 6), 4;;f(7), numpy.sort(ints(0, 3, 7)), 5, indices_are_sorted=True;;"
    "f(2, 0, 3), ints(0, 2, 2), 2;;f(0, 2), ints(0, 2, 0), 3";

constexpr std::string_view kExtremeSamples =
    "f(6, 3), numpy.arange(6) % 4, 4;;f(7), numpy.arange(7) // 3, 3, indices_are_sorted=True;;"
    "f(2, 0, 3), ints(0, 2, 2), 2";

// clang-format off
const Family kSegments("Segments and scattered reductions", {
    {.name = "segment_sum",
     .parameters = kSegmentParameters,
     .doc = "Slice i of the result is the sum of the slices of values along axis 0 whose segment_ids "
            "are i, added up in their order whatever the number of threads; 0 for none. "
            "num_segments is the size of the result, one more than the largest id for None, which "
            "evaluates segment_ids. indices_are_sorted is for what was written for JAX: order is "
            "noticed. IndexError, when read, for an id outside of [0, num_segments).",
     .call = [](const Args& a) { return call_segment<kScatterAdd>(a, "segment_sum: segment_ids"); },
     .samples = kSegmentSamples,
     .reference = "reference.segments(numpy.sum)",
     .differentiable = true},
    {.name = "segment_mean",
     .parameters = kSegmentParameters,
     .doc = "segment_sum over the number of slices in each segment; 0 for none. Integers average as "
            "float32.",
     .call = [](const Args& a) { return Tensors{segment_mean(a)}; },
     .samples = kSegmentSamples,
     .reference = "reference.segments(numpy.mean)",
     .differentiable = true},
    {.name = "segment_max",
     .parameters = kSegmentParameters,
     .doc = "As segment_sum, the largest elements of each segment; the lowest number of the dtype "
            "for none, -inf if it has one. Equal ones share the derivative.",
     .call = [](const Args& a) { return call_segment<kScatterMax>(a, "segment_max: segment_ids"); },
     .samples = kExtremeSamples,
     .reference = "reference.segments(numpy.max, -numpy.inf)",
     .differentiable = true},
    {.name = "segment_min",
     .parameters = kSegmentParameters,
     .doc = "As segment_sum, the smallest elements of each segment; the largest number of the dtype "
            "for none, inf if it has one. Equal ones share the derivative.",
     .call = [](const Args& a) { return call_segment<kScatterMin>(a, "segment_min: segment_ids"); },
     .samples = kExtremeSamples,
     .reference = "reference.segments(numpy.min, numpy.inf)",
     .differentiable = true},
    {.name = "segment_prod",
     .parameters = kSegmentParameters,
     .doc = "As segment_sum, the products of the elements of each segment; 1 for none. Second "
            "derivatives leave out what meets at a zero.",
     .call = [](const Args& a) { return call_segment<kScatterMul>(a, "segment_prod: segment_ids"); },
     .samples = kSegmentSamples,
     .reference = "reference.segments(numpy.prod, 1)",
     .differentiable = true},
    {.name = "scatter_reduce",
     .parameters = "x: Tensor, indices: Tensor, source: Tensor, reduce: str, axis: int = -1, *, "
                   "include_self: bool = True",
     .doc = "x with the elements of source combined with it where take_along_axis would take, in "
            "the order of the indices. reduce is 'sum', 'prod', 'mean' (of integers rounded down), "
            "'amax' or 'amin'; unless include_self the elements of x that are hit do not count.",
     .call = [](const Args& a) { return Tensors{scatter_reduce(a)}; },
     .samples = "f(3, 4), ints(-4, 4, 3, 6), f(3, 6), 'sum';;f(3, 4), ints(0, 3, 5, 4), f(5, 4), "
                "'amax', 0;;f(3, 4), ints(0, 4, 3, 6), f(3, 6), 'prod', include_self=False;;"
                "f(3, 4), ints(0, 4, 1, 6), f(3, 6), 'mean';;f(3, 4), ints(0, 4, 3, 2), f(3, 2), "
                "'amin', include_self=False;;f(5), ints(0, 4, 6), f(6), 'mean', include_self=False;;"
                "ints(-9, 9, 5), ints(0, 4, 6), ints(-9, 9, 6), 'mean'",
     .reference = "reference.scatter_reduce",
     .differentiable = true},
    {.name = "index_reduce",
     .parameters = "x: Tensor, indices: Tensor, source: Tensor, reduce: str, axis: int = 0, *, "
                   "include_self: bool = True",
     .doc = "x with the slices of source combined with it at indices along axis, otherwise as "
            "scatter_reduce.",
     .call = [](const Args& a) { return Tensors{index_reduce(a)}; },
     .samples = "f(5, 3), ints(-5, 5, 8), f(8, 3), 'prod';;f(3, 5), ints(0, 5, 4), f(3, 4), 'mean', "
                "1;;f(5, 3), ints(0, 5, 4), f(4, 3), 'amax', include_self=False;;"
                "f(5, 3), ints(0, 5, 0), f(0, 3), 'amin'",
     .reference = "reference.index_reduce",
     .differentiable = true},
    {.name = "embedding_bag",
     .parameters = "weight: Tensor, indices: Tensor, offsets: Tensor? = None, mode: str = 'mean', "
                   "per_sample_weights: Tensor? = None",
     .doc = "The 'sum', 'mean' or 'max' over each bag of the rows of weight (entries, size) at "
            "indices: a bag is a row of 2-d indices, or begins at each of offsets in 1-d ones and "
            "goes up to the next; an empty one gives 0. per_sample_weights, of the shape of indices, "
            "multiply the rows of a sum. When read, IndexError for an index outside of [0, entries), "
            "ValueError for offsets that decrease, do not begin with 0 or pass the last index.",
     .call = [](const Args& a) { return Tensors{embedding_bag(a)}; },
     .samples = "f(6, 3), ints(0, 6, 4, 5);;f(6, 3), ints(0, 6, 7), numpy.asarray([0, 2, 2, 5]), 'sum';;"
                "f(6, 3), ints(0, 6, 7), numpy.asarray([0, 3, 7]), 'max';;f(6, 3), ints(0, 6, 2, 4), "
                "None, 'sum', f(2, 4);;f(6, 3), ints(0, 6, 7), numpy.asarray([0, 2, 2, 7]), 'mean'",
     .reference = "reference.embedding_bag",
     .method = false,
     .differentiable = true},
});
// clang-format on

}  // namespace
}  // namespace tegula
