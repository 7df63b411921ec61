// Indexing: subscripts as slices, gathers and scatters, and the operations that take indices.
#include "ops/indexing.h"

#include <algorithm>

#include "graph/trace.h"
#include "ops/op.h"

namespace tegula {
namespace {

// The positions (rank, count) of the true elements of a mask; attrs: {count}.
const Primitive kNonzero = {
    .name = "nonzero",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back({DType::int64, {int64_t(c.shape(0).size()), c.attrs[0]}});
        },
};

int64_t count_true(const Tensor& mask) {
  require_known(mask, "how many elements a mask selects");
  return item_as_int(sum(mask, all_axes(mask), false, DType::int64));
}

// x[...] with the arrays still to come: their axes together at `place`, merged into one, and one
// index into it.
struct Selection {
  Dims order;       // permutation of the base's axes that brings the arrays' together
  Shape permuted;   // its sizes
  Shape merged;     // with the arrays' axes as one
  size_t place = 0;
  Tensor index;     // checked
};

Selection select(const Subscript& s) {
  Selection sel;
  sel.place = s.arrays_adjacent ? s.arrays[0].axis : 0;
  std::vector<bool> indexed(s.base.size());
  for (const auto& array : s.arrays) indexed[array.axis] = true;
  Dims others;
  for (size_t i = 0; i < s.base.size(); ++i)
    if (!indexed[i]) others.push_back(int64_t(i));
  sel.order = Dims(others.begin(), others.begin() + sel.place);
  for (const auto& array : s.arrays) sel.order.push_back(int64_t(array.axis));
  sel.order.append(others.begin() + sel.place, others.end());
  for (int64_t axis : sel.order) sel.permuted.push_back(s.base[size_t(axis)]);

  int64_t size = 1;
  for (const auto& array : s.arrays) size *= s.base[array.axis];
  sel.merged = Shape(sel.permuted.begin(), sel.permuted.begin() + sel.place);
  sel.merged.push_back(size);
  sel.merged.append(sel.permuted.begin() + sel.place + s.arrays.size(), sel.permuted.end());

  Shape common;
  for (const auto& array : s.arrays) {
    const int64_t extent = s.base[array.axis];
    Tensor index = array.is_mask ? true_positions(array.index)
                                 : check_index(array.index, extent, array.x_axis);
    const Shape& shape = index.shape();
    for (size_t i = 0; i < std::min(common.size(), shape.size()); ++i) {
      const int64_t a = common[common.size() - 1 - i], b = shape[shape.size() - 1 - i];
      if (a != b && a != 1 && b != 1)
        fail(ErrorKind::index, "indexing: index tensors of shapes ", common, " and ", shape,
             " do not broadcast");
    }
    common = broadcast_shapes(common, shape, "indexing");
    if (!sel.index) sel.index = index;
    else sel.index = sel.index * scalar(extent, DType::int64) + index;
  }
  return sel;
}

// The shape of what a subscript selects; `arrays` is the broadcast shape of its arrays.
Shape result_shape(const Subscript& s, const Shape& arrays) {
  Shape shape;
  for (int64_t size : s.layout) {
    if (size >= 0) shape.push_back(size);
    else shape.append(arrays.begin(), arrays.end());
  }
  return shape;
}

[[noreturn]] void value_does_not_fit(const Tensor& v, const Shape& shape) {
  fail(ErrorKind::value, "indexing: a value of shape ", v.shape(),
       " does not broadcast to the selection of shape ", shape);
}

// NumPy lets a value have more leading axes of size 1 than the selection has axes.
Tensor without_leading_ones(const Tensor& v, size_t rank) {
  size_t extra = 0;
  while (v.rank() - extra > rank && v.shape()[extra] == 1) ++extra;
  return extra ? reshape(v, Shape(v.shape().begin() + extra, v.shape().end())) : v;
}

Tensor fit_value(const Tensor& value, const Shape& shape) {
  const Tensor v = without_leading_ones(value, shape.size());
  bool fits = v.rank() <= shape.size();
  for (size_t i = 0; fits && i < v.rank(); ++i) {
    const int64_t size = v.shape()[i];
    fits = size == 1 || size == shape[shape.size() - v.rank() + i];
  }
  if (!fits) value_does_not_fit(value, shape);
  return broadcast_to(v, shape);
}

// x[mask] = v for a v that does not depend on how many elements are selected: nothing to wait for.
Tensor masked_update(const Tensor& x, const Subscript& s, const Tensor& value) {
  const bool plain =
      s.arrays.size() == 1 && s.arrays[0].is_mask && s.whole && s.layout.size() == s.base.size();
  if (!plain) return {};
  const Shape& mask = s.arrays[0].mask_shape;
  if (s.base.size() - 1 + mask.size() != x.rank()) return {};  // an integer took an axis
  if (!std::equal(mask.begin(), mask.end(), x.shape().begin() + s.arrays[0].axis)) return {};
  const size_t after = s.base.size() - 1 - s.arrays[0].axis;
  const Tensor v = without_leading_ones(value, s.layout.size());
  Shape shape = v.shape();
  if (v.rank() > after) {
    const size_t count_axis = v.rank() - 1 - after;
    if (shape[count_axis] != 1 || v.rank() > s.layout.size()) return {};
    shape.erase(count_axis);
    for (size_t i = 0; i < mask.size(); ++i) shape.insert(count_axis, 1);
  }
  Shape wide = mask;
  wide.resize(mask.size() + after, 1);
  return where(reshape(s.arrays[0].index, wide), fit_value(reshape(v, shape), x.shape()), x);
}

Tensor indexed_base(const Tensor& x, const Subscript& s, const Selection& sel) {
  const Tensor base = reshape(slice(x, s.starts, s.sizes, s.steps), s.base);
  return reshape(permute_dims(base, sel.order), sel.merged);
}

void check_rank(const Tensor& x, const Tensor& indices, const char* op) {
  require(x.rank() == indices.rank(), op, ": indices of shape ", indices.shape(),
          " need as many axes as x of shape ", x.shape());
}

Tensor one_hot(const Tensor& x, int64_t classes, DType dtype) {
  require(classes >= 0, "one_hot: num_classes must not be negative, got ", classes);
  const Tensor index = check_index(x, classes, x.rank(), true);
  return astype(equal(expand_dims(index, -1), iota(classes)), dtype);
}

Tensor embedding(const Tensor& weight, const Tensor& indices) {
  require(weight.rank() == 2, "embedding: weight must be (entries, size), got shape ",
          weight.shape());
  return gather_checked(weight, check_index(indices, weight.shape()[0], 0, true), 0);
}

// clang-format off
const Family kIndexing("Indexing", {
    {.name = "take",
     .parameters = "x: Tensor, indices: Tensor, axis: int? = None",
     .doc = "The slices of x at indices along axis, whose place the axes of indices take; of the "
            "flattened x for None. Negative indices count from the end; IndexError, when read, for "
            "one out of bounds.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           if (!a.has(2)) return Tensors{take(reshape(x, {-1}), a.tensor(1), 0)};
           return Tensors{take(x, a.tensor(1), a.integer(2))};
         },
     .samples = "f(5, 3), ints(-5, 5, 4), 0;;f(3, 5), ints(0, 5, 2, 2), -1;;f(3, 4), ints(0, 12, 5)"
                ";;f(5, 3), 2, 0;;f(5, 3), ints(0, 5, 0), 0",
     .reference = "numpy.take",
     .differentiable = true},
    {.name = "take_along_axis",
     .parameters = "x: Tensor, indices: Tensor, axis: int = -1",
     .doc = "Element i along axis of the result is element indices[i] of x there; the other axes "
            "go together.",
     .call =
         [](const Args& a) {
           return Tensors{take_along_axis(a.tensor(0), a.tensor(1), a.integer(2))};
         },
     .samples = "f(3, 4), ints(-4, 4, 3, 2);;f(3, 4), ints(0, 3, 2, 4), 0;;f(3, 4), ints(0, 4, 1, 2)",
     .reference = "lambda x, indices, axis=-1: numpy.take_along_axis(x, indices, axis)",
     .differentiable = true},
    {.name = "put_along_axis",
     .parameters = "x: Tensor, indices: Tensor, values: Tensor, axis: int = -1",
     .doc = "x with values put where take_along_axis would take; the last of equal indices wins.",
     .call =
         [](const Args& a) {
           return Tensors{scatter_along_axis(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3),
                                             kScatterSet)};
         },
     .samples = "f(3, 4), ints(-4, 4, 3, 3), f(3, 3);;f(3, 4), ints(0, 3, 2, 4), 1.5, 0",
     .reference = "reference.put_along_axis",
     .differentiable = true},
    {.name = "scatter_add",
     .parameters = "x: Tensor, indices: Tensor, source: Tensor, axis: int = -1",
     .doc = "x with source added where take_along_axis would take, in the order of the indices.",
     .call =
         [](const Args& a) {
           return Tensors{scatter_along_axis(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3),
                                             kScatterAdd)};
         },
     .samples = "f(3, 4), ints(-4, 4, 3, 6), f(3, 6);;f(3, 4), ints(0, 3, 5, 4), 1.5, 0",
     .reference = "reference.scatter_add",
     .differentiable = true},
    {.name = "index_add",
     .parameters = "x: Tensor, indices: Tensor, source: Tensor, axis: int = 0",
     .doc = "x with the slices of source added at indices along axis, in the order of the indices.",
     .call =
         [](const Args& a) {
           return Tensors{
               scatter(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3), kScatterAdd)};
         },
     .samples = "f(5, 3), ints(-5, 5, 8), f(8, 3);;f(3, 5), ints(0, 5, 2, 2), f(3, 2, 2), 1;;"
                "f(5, 3), ints(0, 5, 4), 2.0",
     .reference = "reference.index_add",
     .differentiable = true},
    {.name = "embedding",
     .parameters = "weight: Tensor, indices: Tensor",
     .doc = "The rows of weight (entries, size) at indices (...): (..., size). IndexError, when "
            "read, for an index outside of [0, entries).",
     .call = [](const Args& a) { return Tensors{embedding(a.tensor(0), a.tensor(1))}; },
     .samples = "f(5, 3), ints(0, 5, 2, 4)",
     .reference = "lambda w, i: w[i]",
     .method = false,
     .differentiable = true},
    {.name = "one_hot",
     .parameters = "x: Tensor, num_classes: int, dtype: dtype? = None",
     .doc = "A new last axis of num_classes elements, 1 at x and 0 elsewhere. IndexError, when "
            "read, for a number outside of [0, num_classes).",
     .call =
         [](const Args& a) { return Tensors{one_hot(a.tensor(0), a.integer(1), a.dtype_or(2, DType::float32))}; },
     .samples = "ints(0, 5, 3), 5;;ints(0, 3, 2, 2), 3, 'int64'",
     .reference = "lambda x, n, dtype='float32': numpy.eye(n, dtype=dtype)[x]",
     .method = false},
    {.name = "nonzero",
     .parameters = "x: Tensor",
     .doc = "The indices of the elements that are not zero, in row-major order: a tensor for each "
            "axis. Evaluates x, whose values decide the shape.",
     .call = [](const Args& a) { return nonzero(a.tensor(0)); },
     .samples = "mask(3, 4);;ints(-1, 2, 7);;f(2, 2, 2)",
     .reference = "numpy.nonzero",
     .returns_tuple = true},
});
// clang-format on

}  // namespace

Tensor indices_along(const Tensor& x, const Tensor& indices, size_t axis, const char* op,
                     std::string_view name) {
  check_rank(x, indices, op);
  Shape shape = indices.shape();
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == axis) continue;
    require(shape[i] == x.shape()[i] || shape[i] == 1, op, ": indices of shape ", indices.shape(),
            " do not fit x of shape ", x.shape(), " outside of axis ", axis);
    shape[i] = x.shape()[i];
  }
  return broadcast_to(check_index(indices, x.shape()[axis], axis, false, name), shape);
}

Tensor source_for(const Tensor& x, const Tensor& source, const Shape& shape, const char* op) {
  require(broadcast_shapes(source.shape(), shape, op) == shape, op, ": the source of shape ",
          source.shape(), " does not broadcast to ", shape);
  return broadcast_to(astype(source, x.dtype()), shape);
}

Tensor true_positions(const Tensor& mask) {
  const Tensor flat = reshape(mask, {-1});
  const Tensor found = record(kNonzero, {flat}, {count_true(flat)});
  return reshape(found, {-1});
}

Tensors nonzero(const Tensor& x) {
  require(x.rank() > 0, "nonzero: needs at least 1 dimension");
  const Tensor mask = astype(x, DType::bool_);
  const Tensor found = record(kNonzero, {mask}, {count_true(mask)});
  const int64_t count = found.shape()[1];
  Tensors rows;
  for (int64_t i = 0; i < int64_t(x.rank()); ++i)
    rows.push_back(reshape(slice(found, {i, 0}, {1, count}, {1, 1}), {count}));
  return rows;
}

Tensor index(const Tensor& x, std::span<const IndexItem> items) {
  const OperationScope operation;
  const Subscript s = parse_subscript(x, items);
  if (s.arrays.empty()) return reshape(slice(x, s.starts, s.sizes, s.steps), result_shape(s, {}));
  const Selection sel = select(s);
  const Tensor found = gather_checked(indexed_base(x, s, sel), sel.index, sel.place);
  return reshape(found, result_shape(s, sel.index.shape()));
}

Tensor index_update(const Tensor& x, std::span<const IndexItem> items, const Tensor& value) {
  const OperationScope operation;
  const Subscript s = parse_subscript(x, items);
  const Tensor v = astype(value, x.dtype());
  if (s.arrays.empty()) {
    const Tensor fitted = fit_value(v, result_shape(s, {}));
    return slice_update(x, reshape(fitted, s.sizes), s.starts, s.steps);
  }
  if (Tensor updated = masked_update(x, s, v)) return updated;
  const Selection sel = select(s);
  const Tensor base = indexed_base(x, s, sel);
  const Tensor fitted = reshape(fit_value(v, result_shape(s, sel.index.shape())),
                                scatter_shape(base, sel.index, sel.place));
  const Tensor written = scatter_checked(base, sel.index, fitted, sel.place, kScatterSet);
  Dims back(sel.order.size());
  for (size_t i = 0; i < back.size(); ++i) back[size_t(sel.order[i])] = int64_t(i);
  const Tensor part = reshape(permute_dims(reshape(written, sel.permuted), back), s.sizes);
  return slice_update(x, part, s.starts, s.steps);
}

Tensor take(const Tensor& x, const Tensor& indices, int64_t given) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "take"));
  return gather_checked(x, check_index(indices, x.shape()[axis], axis), axis);
}

Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t given) {
  check_rank(x, indices, "take_along_axis");
  const size_t axis = size_t(normalize_axis(given, x.rank(), "take_along_axis"));
  Shape x_shape = x.shape(), shape = indices.shape();
  x_shape[axis] = shape[axis] = 1;
  x_shape = shape = broadcast_shapes(x_shape, shape, "take_along_axis");
  x_shape[axis] = x.shape()[axis];
  shape[axis] = indices.shape()[axis];
  const Tensor index = check_index(indices, x.shape()[axis], axis);
  return take_along_checked(broadcast_to(x, x_shape), broadcast_to(index, shape), axis);
}

Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& source, int64_t given,
               ScatterMode mode) {
  const char* op = mode == kScatterAdd ? "index_add" : "scatter";
  const size_t axis = size_t(normalize_axis(given, x.rank(), op));
  const Tensor index = check_index(indices, x.shape()[axis], axis);
  const Tensor fitted = source_for(x, source, scatter_shape(x, index, axis), op);
  return scatter_checked(x, index, fitted, axis, mode);
}

Tensor scatter_along_axis(const Tensor& x, const Tensor& indices, const Tensor& source,
                          int64_t given, ScatterMode mode) {
  const char* op = mode == kScatterAdd ? "scatter_add" : "put_along_axis";
  const size_t axis = size_t(normalize_axis(given, x.rank(), op));
  const Tensor index = indices_along(x, indices, axis, op);
  const Tensor fitted = source_for(x, source, index.shape(), op);
  return scatter_along_checked(x, index, fitted, axis, mode);
}

}  // namespace tegula
