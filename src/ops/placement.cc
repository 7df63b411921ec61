// Putting values into places, taking them from there, and matrices made of diagonals.
#include <algorithm>

#include "graph/trace.h"
#include "ops/arrays.h"
#include "ops/indexing.h"
#include "ops/linalg.h"
#include "ops/op.h"

namespace tegula {
namespace {

Tensor zero_like(const Tensor& x) { return scalar(int64_t(0), x.dtype()); }

void check_mask(const Tensor& mask, const char* op) {
  if (mask.dtype() != DType::bool_)
    fail(ErrorKind::type, op, ": mask must be bool, got ", mask.dtype());
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  check_mask(mask, "masked_fill");
  require(value.rank() == 0, "masked_fill: value must be one number, got shape ", value.shape());
  return where(mask, astype(value, x.dtype()), x);
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_mask(mask, "masked_select");
  const Shape shape = broadcast_shapes(x.shape(), mask.shape(), "masked_select");
  const Tensor flat = reshape(broadcast_to(x, shape), {-1});
  return gather_checked(flat, true_positions(broadcast_to(mask, shape)), 0);
}

// The elements of source, in order, where the mask is true.
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source) {
  const char* op = "masked_scatter";
  check_mask(mask, op);
  require(broadcast_shapes(x.shape(), mask.shape(), op) == x.shape(), op, ": mask of shape ",
          mask.shape(), " does not broadcast to the shape ", x.shape(), " of x");
  if (x.size() == 0) return x;
  require(source.size() > 0, op, ": source has no elements");
  const Tensor flat = reshape(broadcast_to(mask, x.shape()), {-1});
  const Tensor one = scalar(int64_t(1), DType::int64);
  const Tensor place = cumulative(astype(flat, DType::int64), 0, kCumSum) - one;
  const Tensor used = where(flat, place, scalar(int64_t(0), DType::int64));
  const Tensor index = check_index(used, source.size(), 0, true, "masked_scatter: source");
  const Tensor values = gather_checked(reshape(astype(source, x.dtype()), {-1}), index, 0);
  return reshape(where(flat, values, reshape(x, {-1})), x.shape());
}

Tensor put(const Tensor& x, const Tensor& indices, const Tensor& values, bool accumulate) {
  const Tensor flat = reshape(x, {-1});
  const Tensor index = check_index(indices, x.size(), 0, false, "put: indices");
  const Tensor source = source_for(x, values, index.shape(), "put");
  return reshape(scatter_checked(flat, index, source, 0, accumulate ? kScatterAdd : kScatterSet),
                 x.shape());
}

Tensor index_fill(const Tensor& x, const Tensor& indices, const Tensor& value, int64_t given) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "index_fill"));
  require(value.rank() == 0, "index_fill: value must be one number, got shape ", value.shape());
  const Tensor index = check_index(indices, x.shape()[axis], axis, false, "index_fill: indices");
  const Tensor source = source_for(x, value, scatter_shape(x, index, axis), "index_fill");
  return scatter_checked(x, index, source, axis, kScatterSet);
}

// Integer tensors index the first axes together; a mask stands for the positions where it is true.
Tensor index_put(const Tensor& x, const Tensors& indices, const Tensor& values, bool accumulate) {
  const char* op = "index_put";
  Tensors places;
  for (const Tensor& given : indices) {
    if (given.dtype() != DType::bool_) {
      places.push_back(given);
      continue;
    }
    const size_t first = places.size();
    require(first + given.rank() <= x.rank() &&
                std::equal(given.shape().begin(), given.shape().end(), x.shape().begin() + first),
            op, ": a mask of shape ", given.shape(), " does not fit x of shape ", x.shape());
    for (const Tensor& positions : nonzero(given)) places.push_back(positions);
  }
  require(!places.empty() && places.size() <= x.rank(), op, ": needs one to ", x.rank(),
          " index tensors for x of shape ", x.shape(), ", got ", places.size());
  Tensor index;
  Shape common;
  int64_t size = 1;
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t extent = x.shape()[i];
    const Tensor place = check_index(places[i], extent, i, false, "index_put: indices");
    common = broadcast_shapes(common, place.shape(), op);
    index = index ? index * scalar(extent, DType::int64) + place : place;
    size *= extent;
  }
  Shape merged{size};
  merged.append(x.shape().begin() + places.size(), x.shape().end());
  const Tensor rows = reshape(x, merged);
  const Tensor source = source_for(x, values, scatter_shape(rows, index, 0), op);
  return reshape(scatter_checked(rows, index, source, 0, accumulate ? kScatterAdd : kScatterSet),
                 x.shape());
}

// ---- parts -------------------------------------------------------------------------------------
int64_t inside(int64_t index, int64_t size, size_t axis, const char* op) {
  const int64_t at = index < 0 ? index + size : index;
  if (at < 0 || at >= size)
    fail(ErrorKind::index, op, ": index ", index, " is out of bounds for axis ", axis,
         " with size ", size);
  return at;
}

Tensor select(const Tensor& x, int64_t given, int64_t index) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "select"));
  const int64_t at = inside(index, x.shape()[axis], axis, "select");
  return squeeze(part_of(x, axis, at, at + 1), {int64_t(axis)});
}

Tensor select_scatter(const Tensor& x, const Tensor& source, int64_t given, int64_t index) {
  const char* op = "select_scatter";
  const size_t axis = size_t(normalize_axis(given, x.rank(), op));
  Dims starts(x.rank(), 0);
  starts[axis] = inside(index, x.shape()[axis], axis, op);
  Shape shape = x.shape();
  shape.erase(axis);
  const Tensor fitted = source_for(x, source, shape, op);
  return slice_update(x, expand_dims(fitted, int64_t(axis)), starts, Dims(x.rank(), 1));
}

Tensor slice_scatter(const Tensor& x, const Tensor& source, const Args& a) {
  const char* op = "slice_scatter";
  const size_t axis = size_t(normalize_axis(a.integer(2), x.rank(), op));
  const int64_t size = x.shape()[axis], step = a.integer(5);
  require(step > 0, op, ": step must be positive, got ", step);
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (!a.has(i)) return otherwise;
    const int64_t at = a.integer(i);
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const int64_t start = bound(3, 0), stop = bound(4, size);
  Shape shape = x.shape();
  shape[axis] = stop > start ? (stop - start - 1) / step + 1 : 0;
  Dims starts(x.rank(), 0), steps(x.rank(), 1);
  starts[axis] = start;
  steps[axis] = step;
  return slice_update(x, source_for(x, source, shape, op), starts, steps);
}

// ---- diagonals ---------------------------------------------------------------------------------
struct Pair {
  int64_t first, second;
};
Pair two_axes(int64_t axis1, int64_t axis2, size_t rank, const char* op) {
  require(rank >= 2, op, ": needs at least 2 dimensions");
  const Pair axes{normalize_axis(axis1, rank, op), normalize_axis(axis2, rank, op)};
  require(axes.first != axes.second, op, ": axis1 and axis2 are both ", axes.first);
  return axes;
}
void check_offset(int64_t k, const char* op) {
  require(k < (int64_t(1) << 40) && k > -(int64_t(1) << 40), op, ": offset ", k, " is too large");
}

// x's last axis as rows of a matrix, each repeated: element i is in row first + i of `rows`.
Tensor as_rows(const Tensor& x, int64_t first, int64_t rows) {
  Dims before(x.rank(), 0), after(x.rank(), 0);
  before.back() = first;
  after.back() = rows - first - x.shape().back();
  return expand_dims(pad(x, before, after, zero_like(x)), -1);
}

Tensor diagonal_of(const Tensor& x, int64_t offset, int64_t axis1, int64_t axis2, const char* op) {
  check_offset(offset, op);
  const Pair axes = two_axes(axis1, axis2, x.rank(), op);
  return diagonal(moveaxis(x, {axes.first, axes.second}, {-2, -1}), offset, op);
}

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t axis1, int64_t axis2, const char* op) {
  check_offset(offset, op);
  require(x.rank() > 0, op, ": needs at least 1 dimension");
  const Pair axes = two_axes(axis1, axis2, x.rank() + 1, op);
  const int64_t n = x.shape().back() + std::abs(offset);
  Shape shape(x.shape().begin(), x.shape().end() - 1);
  shape.push_back(n);
  shape.push_back(n);
  checked_numel(shape, op);
  const Tensor rows = as_rows(x, std::max<int64_t>(0, -offset), n);
  const Tensor matrix = where(on_diagonal(n, n, offset), rows, zero_like(x));
  return moveaxis(matrix, {-2, -1}, {axes.first, axes.second});
}

Tensor diagonal_scatter(const Tensor& x, const Tensor& source, int64_t offset, int64_t axis1,
                        int64_t axis2) {
  const char* op = "diagonal_scatter";
  check_offset(offset, op);
  const Pair axes = two_axes(axis1, axis2, x.rank(), op);
  const Tensor matrices = moveaxis(x, {axes.first, axes.second}, {-2, -1});
  const int64_t rows = matrices.shape()[x.rank() - 2], columns = matrices.shape().back();
  const int64_t row = std::max<int64_t>(0, -offset), column = std::max<int64_t>(0, offset);
  Shape shape(matrices.shape().begin(), matrices.shape().end() - 2);
  shape.push_back(std::max<int64_t>(0, std::min(rows - row, columns - column)));
  const Tensor fitted = source_for(x, source, shape, op);
  if (fitted.size() == 0) return x;
  const Tensor written =
      where(on_diagonal(rows, columns, offset), as_rows(fitted, row, rows), matrices);
  return moveaxis(written, {-2, -1}, {axes.first, axes.second});
}

Tensor diag(const Tensor& x, int64_t k) {
  require(x.rank() == 1 || x.rank() == 2, "diag: x must be 1-d or 2-d, got shape ", x.shape());
  return x.rank() == 1 ? diag_embed(x, k, 0, 1, "diag") : diagonal_of(x, k, 0, 1, "diag");
}

Tensor fill_diagonal(const Tensor& x, const Tensor& value) {
  const char* op = "fill_diagonal";
  require(x.rank() >= 2, op, ": needs at least 2 dimensions, got shape ", x.shape());
  require(value.rank() == 0, op, ": value must be one number, got shape ", value.shape());
  for (size_t i = 2; i < x.rank(); ++i)
    require(x.shape()[i] == x.shape()[0] && x.shape()[1] == x.shape()[0], op,
            ": more than 2 dimensions must be of one size, got shape ", x.shape());
  Tensor mask;
  for (size_t i = 1; i < x.rank(); ++i) {
    Shape first(x.rank(), 1), along(x.rank(), 1);
    first[0] = x.shape()[0];
    along[i] = x.shape()[i];
    const Tensor same = equal(reshape(iota(first[0]), first), reshape(iota(along[i]), along));
    mask = mask ? logical_and(mask, same) : same;
  }
  return where(mask, astype(value, x.dtype()), x);
}

// ---- indices -----------------------------------------------------------------------------------
template <bool kLower>
Tensors triangle_indices(const Args& a) {
  const char* op = kLower ? "tril_indices" : "triu_indices";
  const int64_t n = a.integer(0), m = a.has(2) ? a.integer(2) : n, k = a.integer(1);
  require(n >= 0 && m >= 0, op, ": sizes must not be negative, got ", n, " and ", m);
  checked_numel({n, m, 16}, op);
  check_offset(k, op);
  std::vector<int64_t> rows, columns;
  for (int64_t row = 0; row < n; ++row) {
    const int64_t edge = row + k;  // the diagonal's column
    const int64_t begin = kLower ? 0 : std::clamp<int64_t>(edge, 0, m);
    const int64_t end = kLower ? std::clamp<int64_t>(edge + 1, 0, m) : m;
    for (int64_t column = begin; column < end; ++column) {
      rows.push_back(row);
      columns.push_back(column);
    }
  }
  const Shape shape{int64_t(rows.size())};
  return {from_host(rows.data(), DType::int64, shape, default_device()),
          from_host(columns.data(), DType::int64, shape, default_device())};
}

Tensors unravel_index(const Tensor& indices, const Dims& shape) {
  for (const int64_t size : shape)
    require(size >= 0, "unravel_index: shape must not be negative, got ", shape);
  const int64_t count = checked_numel(Shape(shape.begin(), shape.end()), "unravel_index");
  Tensor rest = check_index(indices, count, 0, true, "unravel_index: indices");
  Tensors places(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    const Tensor size = scalar(std::max<int64_t>(shape[i], 1), DType::int64);
    places[i] = remainder(rest, size);
    rest = floor_divide(rest, size);
  }
  return places;
}

Tensor ravel_multi_index(const Tensors& places, const Dims& shape) {
  const char* op = "ravel_multi_index";
  require(places.size() == shape.size(), op, ": needs an index tensor for each of the ",
          shape.size(), " axes of shape ", shape, ", got ", places.size());
  checked_numel(Shape(shape.begin(), shape.end()), op);
  Tensor index = scalar(int64_t(0), DType::int64);
  for (size_t i = 0; i < places.size(); ++i)
    index = index * scalar(shape[i], DType::int64) +
            check_index(places[i], shape[i], i, true, "ravel_multi_index: indices");
  return index;
}

// clang-format off
const Family kPlacement("Placing and taking", {
    {.name = "masked_fill",
     .parameters = "x: Tensor, mask: Tensor, value: Tensor",
     .doc = "x with a number where mask (bool, broadcasting with x) is true.",
     .call = [](const Args& a) { return Tensors{masked_fill(a.tensor(0), a.tensor(1), a.tensor(2))}; },
     .samples = "f(3, 4), mask(3, 4), 1.5;;f(3, 4), mask(4), -7;;ints(0, 9, 3), mask(3), 7",
     .reference = "lambda x, mask, value: numpy.where(mask, numpy.asarray(value, x.dtype), x)",
     .differentiable = true},
    {.name = "masked_select",
     .parameters = "x: Tensor, mask: Tensor",
     .doc = "The elements of x where mask (bool, broadcasting with x) is true, in row-major order. "
            "Evaluates mask, whose values decide the shape.",
     .call = [](const Args& a) { return Tensors{masked_select(a.tensor(0), a.tensor(1))}; },
     .samples = "f(3, 4), mask(3, 4);;f(3, 4), mask(4);;f(4), mask(3, 4);;ints(0, 9, 3), mask(3)",
     .reference = "lambda x, mask: numpy.broadcast_arrays(x, mask)[0][numpy.broadcast_arrays(x, "
                  "mask)[1]]",
     .differentiable = true},
    {.name = "masked_scatter",
     .parameters = "x: Tensor, mask: Tensor, source: Tensor",
     .doc = "x with the elements of source, one after the other in row-major order, where mask (bool, "
            "broadcasting to x) is true. IndexError, when read, for a source that is too short.",
     .call = [](const Args& a) { return Tensors{masked_scatter(a.tensor(0), a.tensor(1), a.tensor(2))}; },
     .samples = "f(3, 4), mask(3, 4), f(12);;f(3, 4), mask(4), f(4, 4);;f(5), mask(5), f(5)",
     .reference = "reference.masked_scatter",
     .differentiable = true},
    {.name = "put",
     .parameters = "x: Tensor, indices: Tensor, values: Tensor, *, accumulate: bool = False",
     .doc = "x with values put, or added if accumulate, at indices into the flattened x, in their "
            "order. Negative indices count from the end; IndexError, when read, for one out of bounds.",
     .call = [](const Args& a) { return Tensors{put(a.tensor(0), a.tensor(1), a.tensor(2), a.boolean(3))}; },
     .samples = "f(3, 4), ints(-12, 12, 5), f(5);;f(3, 4), ints(0, 12, 2, 3), f(2, 3), "
                "accumulate=True;;f(5), ints(0, 5, 3), 1.5",
     .reference = "reference.put",
     .differentiable = true},
    {.name = "index_fill",
     .parameters = "x: Tensor, indices: Tensor, value: Tensor, axis: int = 0",
     .doc = "x with a number in the slices at indices along axis. Negative indices count from the "
            "end; IndexError, when read, for one out of bounds.",
     .call =
         [](const Args& a) {
           return Tensors{index_fill(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3))};
         },
     .samples = "f(5, 3), ints(-5, 5, 3), 1.5;;f(3, 5), ints(0, 5, 2), -2, 1",
     .reference = "reference.index_fill",
     .differentiable = true},
    {.name = "index_put",
     .parameters = "x: Tensor, indices: Tensors, values: Tensor, *, accumulate: bool = False",
     .doc = "x with values put, or added in the order of the indices if accumulate, where index "
            "tensors of integers, which broadcast, point in the first axes together. A mask stands "
            "for the positions where it is true and is evaluated. IndexError, when read, for an index "
            "out of bounds.",
     .call = [](const Args& a) { return Tensors{index_put(a.tensor(0), a.tensors(1), a.tensor(2), a.boolean(3))}; },
     .samples = "f(4, 3), [ints(-4, 4, 5)], f(5, 3), accumulate=True;;f(4, 3, 2), [ints(0, 4, 6), "
                "ints(0, 3, 6)], f(6, 2), accumulate=True;;f(4, 3), [ints(0, 4, 2, 1), ints(0, 3, 3)], "
                "1.5",
     .reference = "reference.index_put",
     .differentiable = true},
    {.name = "select",
     .parameters = "x: Tensor, axis: int, index: int",
     .doc = "The slice of x at one index of an axis, which goes. IndexError for one out of bounds.",
     .call = [](const Args& a) { return Tensors{select(a.tensor(0), a.integer(1), a.integer(2))}; },
     .samples = "f(3, 4), 0, 1;;f(3, 4), -1, -2;;f(5), 0, 3",
     .reference = "lambda x, axis, index: numpy.take(x, index, axis)",
     .differentiable = true},
    {.name = "select_scatter",
     .parameters = "x: Tensor, source: Tensor, axis: int, index: int",
     .doc = "x with source, which broadcasts to it, as the slice that select takes.",
     .call =
         [](const Args& a) {
           return Tensors{select_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3))};
         },
     .samples = "f(3, 4), f(4), 0, 1;;f(3, 4), f(3), -1, -2;;f(3, 4), 2.0, 1, 0",
     .reference = "reference.select_scatter",
     .differentiable = true},
    {.name = "slice_scatter",
     .parameters = "x: Tensor, source: Tensor, axis: int = 0, start: int? = None, stop: int? = None, "
                   "step: int = 1",
     .doc = "x with source, which broadcasts to it, as its slice start:stop:step along axis.",
     .call = [](const Args& a) { return Tensors{slice_scatter(a.tensor(0), a.tensor(1), a)}; },
     .samples = "f(5, 3), f(2, 3), 0, 1, 3;;f(3, 5), f(3, 3), 1, None, None, 2;;f(5), 1.5, 0, -2;;"
                "f(4), f(0), 0, 3, 2",
     .reference = "reference.slice_scatter",
     .differentiable = true},
    {.name = "argwhere",
     .parameters = "x: Tensor",
     .doc = "The indices of the elements that are not zero, in row-major order, one row each. "
            "Evaluates x, whose values decide the shape.",
     .call = [](const Args& a) { return Tensors{stack(nonzero(a.tensor(0)), 1)}; },
     .samples = "mask(3, 4);;ints(-1, 2, 7)",
     .reference = "numpy.argwhere"},
    {.name = "flatnonzero",
     .parameters = "x: Tensor",
     .doc = "The indices into the flattened x of the elements that are not zero. Evaluates x, whose "
            "values decide the shape.",
     .call = [](const Args& a) { return Tensors{true_positions(astype(a.tensor(0), DType::bool_))}; },
     .samples = "mask(3, 4);;ints(-1, 2, 7)",
     .reference = "numpy.flatnonzero"},
    {.name = "tril_indices",
     .parameters = "n: int, k: int = 0, m: int? = None, *, device: device? = None",
     .doc = "The rows and the columns of the elements of an n by m matrix (n by n for None) on and "
            "below diagonal k (column - row <= k).",
     .call = triangle_indices<true>,
     .samples = "3;;4, 1;;3, -1, 5;;2, -4",
     .reference = "numpy.tril_indices",
     .method = false,
     .returns_tuple = true},
    {.name = "triu_indices",
     .parameters = "n: int, k: int = 0, m: int? = None, *, device: device? = None",
     .doc = "The rows and the columns of the elements of an n by m matrix (n by n for None) on and "
            "above diagonal k (column - row >= k).",
     .call = triangle_indices<false>,
     .samples = "3;;4, 1;;3, -1, 5;;2, 4",
     .reference = "numpy.triu_indices",
     .method = false,
     .returns_tuple = true},
    {.name = "diagonal",
     .parameters = "x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1",
     .doc = "The elements of x whose index of axis2 less that of axis1 is offset, along a last axis.",
     .call =
         [](const Args& a) {
           return Tensors{
               diagonal_of(a.tensor(0), a.integer(1), a.integer(2), a.integer(3), "diagonal")};
         },
     .samples = "f(3, 4);;f(3, 4), 1;;f(2, 3, 4), -1, 1, -1;;f(2, 3), 5",
     .reference = "numpy.diagonal",
     .differentiable = true},
    {.name = "diag",
     .parameters = "x: Tensor, k: int = 0",
     .doc = "The matrix with 1-d x on diagonal k (column - row = k), or that diagonal of 2-d x.",
     .call = [](const Args& a) { return Tensors{diag(a.tensor(0), a.integer(1))}; },
     .samples = "f(3);;f(3), -2;;f(3, 4);;f(3, 4), 1;;f(0)",
     .reference = "numpy.diag",
     .differentiable = true},
    {.name = "diagflat",
     .parameters = "x: Tensor, k: int = 0",
     .doc = "The matrix with the flattened x on diagonal k (column - row = k).",
     .call =
         [](const Args& a) {
           return Tensors{diag_embed(reshape(a.tensor(0), {-1}), a.integer(1), 0, 1, "diagflat")};
         },
     .samples = "f(2, 2);;f(3), 1;;f(), -1",
     .reference = "numpy.diagflat",
     .differentiable = true},
    {.name = "diag_embed",
     .parameters = "x: Tensor, offset: int = 0, axis1: int = -2, axis2: int = -1",
     .doc = "Square matrices with x's last axis on a diagonal (column - row = offset), zero "
            "elsewhere; the new axes are axis1 and axis2 of the result.",
     .call =
         [](const Args& a) {
           return Tensors{
               diag_embed(a.tensor(0), a.integer(1), a.integer(2), a.integer(3), "diag_embed")};
         },
     .samples = "f(2, 3);;f(2, 3), 1;;f(2, 3), -1, 0, 2",
     .reference = "reference.diag_embed",
     .differentiable = true},
    {.name = "diagonal_scatter",
     .parameters = "x: Tensor, source: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1",
     .doc = "x with source, which broadcasts to it, where diagonal takes.",
     .call =
         [](const Args& a) {
           return Tensors{diagonal_scatter(a.tensor(0), a.tensor(1), a.integer(2), a.integer(3),
                                           a.integer(4))};
         },
     .samples = "f(3, 4), f(3);;f(4, 3), f(2), -2;;f(2, 3, 4), f(2, 3), 1, 1, -1;;f(3, 3), 2.0",
     .reference = "reference.diagonal_scatter",
     .differentiable = true},
    {.name = "fill_diagonal",
     .parameters = "x: Tensor, value: Tensor",
     .doc = "x with a number where all indices are equal. More than two axes must be of one size.",
     .call = [](const Args& a) { return Tensors{fill_diagonal(a.tensor(0), a.tensor(1))}; },
     .samples = "f(3, 4), 1.5;;f(4, 3), 2;;f(3, 3, 3), 0.5",
     .reference = "reference.fill_diagonal",
     .differentiable = true},
    {.name = "unravel_index",
     .parameters = "indices: Tensor, shape: ints",
     .doc = "For indices into a flattened array of a shape those of each axis. IndexError, when read, "
            "for one out of bounds.",
     .call = [](const Args& a) { return unravel_index(a.tensor(0), a.ints(1)); },
     .samples = "ints(0, 24, 5), (2, 3, 4);;ints(0, 6, 2, 2), (3, 2)",
     .reference = "numpy.unravel_index",
     .method = false,
     .returns_tuple = true},
    {.name = "ravel_multi_index",
     .parameters = "multi_index: Tensors, shape: ints",
     .doc = "The indices into a flattened array of a shape for those of each axis, which broadcast. "
            "IndexError, when read, for one out of bounds.",
     .call = [](const Args& a) { return Tensors{ravel_multi_index(a.tensors(0), a.ints(1))}; },
     .samples = "[ints(0, 2, 5), ints(0, 3, 5)], (2, 3);;[ints(0, 2, 2, 1), ints(0, 3, 3)], (2, 3)",
     .reference = "numpy.ravel_multi_index",
     .method = false},
});
// clang-format on

}  // namespace

Tensor on_diagonal(int64_t rows, int64_t columns, int64_t k) {
  return equal(iota(columns), expand_dims(iota(rows), 1) + scalar(k, DType::int64));
}

}  // namespace tegula
