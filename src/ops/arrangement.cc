// Turning, stacking and cutting arrays, products of all pairs, and calculus on samples.
#include <algorithm>

#include "ops/arrays.h"
#include "ops/complex.h"
#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

Tensor rot90(const Tensor& x, int64_t k, const Dims& given) {
  require(given.size() == 2, "rot90: axes must be two, got ", given);
  const Dims unordered{normalize_axis(given[0], x.rank(), "rot90"),
                       normalize_axis(given[1], x.rank(), "rot90")};
  const int64_t a = unordered[0], b = unordered[1];
  require(a != b, "rot90: axes ", given, " are the same");
  const int64_t turns = ((k % 4) + 4) % 4;
  if (turns == 0) return x;
  if (turns == 2) return flip(x, {a, b});
  Dims order = all_axes(x);
  std::swap(order[size_t(a)], order[size_t(b)]);
  return turns == 1 ? permute_dims(flip(x, {b}), order) : flip(permute_dims(x, order), {b});
}

template <int kAxis>
Tensors flipped(const Args& a) {
  const Tensor& x = a.tensor(0);
  require(x.rank() > kAxis, kAxis ? "fliplr" : "flipud", ": needs at least ", kAxis + 1,
          " dimensions, got shape ", x.shape());
  return {flip(x, {kAxis})};
}

// x with at least so many axes, as NumPy adds them.
Tensor at_least(const Tensor& x, int rank) {
  if (x.rank() >= size_t(rank)) return x;
  if (x.rank() == 0) return reshape(x, Shape(size_t(rank), 1));
  if (rank == 2) return expand_dims(x, 0);
  return x.rank() == 1 ? expand_dims(expand_dims(x, 0), -1) : expand_dims(x, -1);
}
template <int kRank>
Tensors call_at_least(const Args& a) {
  return {at_least(a.tensor(0), kRank)};
}

Tensor hstack(const Tensors& xs) {
  Tensors parts;
  for (const Tensor& x : xs) parts.push_back(at_least(x, 1));
  return concat(parts, !parts.empty() && parts[0].rank() > 1);
}
template <int kRank, int kAxis>
Tensors stacked(const Args& a) {
  Tensors parts;
  for (const Tensor& x : a.tensors(0)) parts.push_back(at_least(x, kRank));
  return {concat(parts, kAxis)};
}
Tensor column_stack(const Tensors& xs) {
  Tensors parts;
  for (const Tensor& x : xs) parts.push_back(x.rank() < 2 ? reshape(x, {-1, 1}) : x);
  return concat(parts, 1);
}

// One number: so many parts, the first ones larger by one where they must be. Several: where to
// cut.
Tensors tensor_split(const Tensor& x, const Args& a) {
  const char* op = "tensor_split";
  const size_t axis = size_t(normalize_axis(a.integer(2), x.rank(), op));
  const int64_t size = x.shape()[axis];
  const Tensor& given = a.tensor(1);
  if (!is_integer(given.dtype()))
    fail(ErrorKind::type, op, ": indices_or_sections must be integers, got ", given.dtype());
  require(given.rank() <= 1, op, ": indices_or_sections must be an int or 1-d, got shape ",
          given.shape());
  Tensors parts;
  if (given.rank() == 0) {
    const int64_t count = item_as_int(given);
    require(count > 0 && count < (int64_t(1) << 24), op,
            ": the number of sections must be positive and no more than 2^24, got ", count);
    for (int64_t i = 0, at = 0; i < count; ++i) {
      const int64_t length = size / count + (i < size % count);
      parts.push_back(part_of(x, axis, at, at + length));
      at += length;
    }
    return parts;
  }
  const Tensor indices = astype(given, DType::int64);
  std::vector<int64_t> cuts(size_t(indices.size()));
  if (!cuts.empty()) copy_to_host(indices, cuts.data());
  cuts.push_back(size);
  int64_t at = 0;
  for (const int64_t cut : cuts) {
    const int64_t end = std::clamp<int64_t>(cut < 0 ? cut + size : cut, 0, size);
    parts.push_back(part_of(x, axis, at, std::max(at, end)));
    at = end;
  }
  return parts;
}

Tensor unflatten(const Tensor& x, int64_t given, const Dims& sizes) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "unflatten"));
  int64_t known = 1, unknown = 0;
  for (const int64_t size : sizes) {
    require(size >= -1 && size < (int64_t(1) << 40), "unflatten: sizes ", sizes,
            " must not be negative");
    size == -1 ? ++unknown : known *= std::max<int64_t>(size, 1);
  }
  require(!sizes.empty() && unknown <= 1, "unflatten: sizes ", sizes,
          " must not be empty, nor have more than one -1");
  Shape shape(x.shape().begin(), x.shape().begin() + axis);
  int64_t product = 1;
  for (const int64_t size : sizes) {
    shape.push_back(size == -1 ? x.shape()[axis] / known : size);
    product *= shape.back();
  }
  require(product == x.shape()[axis], "unflatten: sizes ", sizes, " do not multiply to the size ",
          x.shape()[axis], " of axis ", axis);
  shape.append(x.shape().begin() + axis + 1, x.shape().end());
  return reshape(x, shape);
}

Tensor narrow(const Tensor& x, int64_t given, int64_t start, int64_t length) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "narrow"));
  const int64_t size = x.shape()[axis], begin = start < 0 ? start + size : start;
  require(begin >= 0 && begin <= size && length >= 0 && length <= size - begin, "narrow: start ",
          start, " and length ", length, " leave axis ", axis, " of size ", size);
  return part_of(x, axis, begin, begin + length);
}

// ---- products ----------------------------------------------------------------------------------
Tensor kron(const Tensor& given_a, const Tensor& given_b) {
  const size_t rank = std::max(given_a.rank(), given_b.rank());
  Shape a, b, result;
  for (size_t i = 0; i < rank; ++i) {
    const auto size = [&](const Tensor& x) {
      const size_t missing = rank - x.rank();
      return i < missing ? int64_t(1) : x.shape()[i - missing];
    };
    a.push_back(size(given_a));
    a.push_back(1);
    b.push_back(1);
    b.push_back(size(given_b));
    result.push_back(checked_numel({size(given_a), size(given_b)}, "kron"));
  }
  checked_numel(result, "kron");
  return reshape(reshape(given_a, a) * reshape(given_b, b), result);
}

Tensor block_diag(const Tensors& xs) {
  require(!xs.empty(), "block_diag: needs at least one tensor");
  Tensors blocks;
  int64_t rows = 0, columns = 0;
  DType dtype = xs[0].dtype();
  for (const Tensor& x : xs) {
    require(x.rank() <= 2, "block_diag: needs at most 2 dimensions, got shape ", x.shape());
    blocks.push_back(at_least(x, 2));
    rows += blocks.back().shape()[0];
    columns += blocks.back().shape()[1];
    dtype = promote(dtype, x.dtype());
  }
  checked_numel({rows, columns}, "block_diag");
  Tensors bands;
  int64_t before = 0;
  for (const Tensor& block : blocks) {
    const int64_t width = block.shape()[1];
    const Tensor zero = scalar(int64_t(0), dtype);
    bands.push_back(pad(astype(block, dtype), {0, before}, {0, columns - before - width}, zero));
    before += width;
  }
  return concat(bands, 0);
}

Tensor cartesian_prod(const Tensors& xs) {
  const char* op = "cartesian_prod";
  require(!xs.empty(), op, ": needs at least one tensor");
  Shape shape;
  for (const Tensor& x : xs) {
    require(x.rank() == 1, op, ": needs 1-d tensors, got shape ", x.shape());
    shape.push_back(x.size());
  }
  if (xs.size() == 1) return xs[0];
  checked_numel(shape, op);
  Tensors columns;
  DType dtype = xs[0].dtype();
  for (const Tensor& x : xs) dtype = promote(dtype, x.dtype());
  for (size_t i = 0; i < xs.size(); ++i) {
    Shape along(xs.size(), 1);
    along[i] = shape[i];
    columns.push_back(reshape(broadcast_to(reshape(astype(xs[i], dtype), along), shape), {-1}));
  }
  return stack(columns, 1);
}

Tensor vander(const Tensor& x, int64_t columns, bool increasing) {
  require(x.rank() >= 1, "vander: x must have at least 1 dimension");
  require(columns >= 0, "vander: n must not be negative, got ", columns);
  Shape shape = x.shape();
  shape.push_back(columns);
  checked_numel(shape, "vander");
  const Tensor base = x.dtype() == DType::bool_ ? astype(x, DType::int64) : x;
  if (columns == 0) return zeros(shape, base.dtype());
  Shape first = shape;
  first.back() = 1;
  Tensor powers = ones(first, base.dtype());
  if (columns > 1) {
    const Tensor repeated = broadcast_to(expand_dims(base, -1), [&] {
      Shape rest = shape;
      rest.back() = columns - 1;
      return rest;
    }());
    powers = concat({powers, cumulative(repeated, int64_t(x.rank()), kCumProd)}, -1);
  }
  return increasing ? powers : flip(powers, {-1});
}

Tensor inner(const Tensor& a, const Tensor& b) {
  if (a.rank() == 0 || b.rank() == 0) return a * b;
  require(a.shape().back() == b.shape().back(), "inner: the last axes of shapes ", a.shape(),
          " and ", b.shape(), " differ");
  Shape shape(a.shape().begin(), a.shape().end() - 1);
  shape.append(b.shape().begin(), b.shape().end() - 1);
  const int64_t size = a.shape().back();
  const auto rows = [&](const Tensor& x) {
    return reshape(
        x, {size ? x.size() / size : numel(Shape(x.shape().begin(), x.shape().end() - 1)), size});
  };
  return reshape(matmul(rows(a), matrix_transpose(rows(b))), shape);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  if (a.rank() == 0 || b.rank() == 0) return a * b;
  if (b.rank() < 3) return matmul(a, b);
  require(a.shape().back() == b.shape()[b.rank() - 2], "dot: the last axis of shape ", a.shape(),
          " and the last but one of ", b.shape(), " differ");
  return inner(a, matrix_transpose(b));
}

// ---- samples of a function ---------------------------------------------------------------------
struct Samples {
  Tensor y, widths;  // of the intervals, along the last axis
};
// y with its axis last and what lies between the samples: from x, or dx.
Samples samples_of(const Tensor& given, const Args& a, const char* op) {
  const int64_t axis = normalize_axis(a.integer(3), given.rank(), op);
  const Tensor y = moveaxis(astype(given, float_dtype(given.dtype())), {axis}, {-1});
  const int64_t size = y.shape().back();
  require(size > 0, op, ": axis ", axis, " of shape ", given.shape(), " is empty");
  if (!a.has(1)) return {y, constant(a.real(2))};
  Tensor x = a.tensor(1);
  require(x.rank() == 1 || x.rank() == given.rank(), op, ": x of shape ", x.shape(),
          " must be 1-d or have as many axes as y of shape ", given.shape());
  if (x.rank() > 1) x = moveaxis(x, {axis}, {-1});
  require(x.shape().back() == size, op, ": x of shape ", a.tensor(1).shape(),
          " must have the size ", size, " of y along the axis");
  x = astype(x, is_complex(x.dtype()) ? x.dtype() : real_dtype(y.dtype()));
  const size_t last = x.rank() - 1;
  return {y, part_of(x, last, 1, size) - part_of(x, last, 0, size - 1)};
}

Tensor areas(const Samples& s) {
  const size_t last = s.y.rank() - 1;
  const int64_t size = s.y.shape()[last];
  return (part_of(s.y, last, 1, size) + part_of(s.y, last, 0, size - 1)) * constant(0.5) * s.widths;
}

Tensor trapezoid(const Args& a) {
  return sum(areas(samples_of(a.tensor(0), a, "trapezoid")), {-1}, false);
}

Tensor cumulative_trapezoid(const Args& a) {
  const char* op = "cumulative_trapezoid";
  const Tensor sums = areas(samples_of(a.tensor(0), a, op));
  const Tensor running =
      sums.shape().back() ? cumulative(sums, int64_t(sums.rank()) - 1, kCumSum) : sums;
  return moveaxis(running, {-1}, {normalize_axis(a.integer(3), a.tensor(0).rank(), op)});
}

// Second-order differences inside, first- or second-order ones at the ends.
Tensor slope_along(const Tensor& y, const Tensor& spacing, size_t axis, int64_t edge_order) {
  const char* op = "gradient";
  const int64_t size = y.shape()[axis];
  require(size > edge_order, op, ": axis ", axis, " of shape ", y.shape(), " needs at least ",
          edge_order + 1, " elements for edge_order ", edge_order);
  const auto at = [&](int64_t begin, int64_t end) { return part_of(y, axis, begin, end); };
  if (spacing.rank() == 0) {
    const Tensor h = spacing;
    Tensor first = (at(1, 2) - at(0, 1)) / h,
           last = (at(size - 1, size) - at(size - 2, size - 1)) / h;
    if (edge_order == 2) {
      const Tensor h2 = h * constant(2);
      first = (at(1, 2) * constant(4) - at(2, 3) - at(0, 1) * constant(3)) / h2;
      last = (at(size - 1, size) * constant(3) - at(size - 2, size - 1) * constant(4) +
              at(size - 3, size - 2)) /
             h2;
    }
    if (size == 2) return concat({first, last}, int64_t(axis));
    return concat({first, (at(2, size) - at(0, size - 2)) / (h * constant(2)), last},
                  int64_t(axis));
  }
  require(spacing.shape() == Shape{size}, op, ": spacing must be a number or the ", size,
          " coordinates of axis ", axis, ", got shape ", spacing.shape());
  Shape along(y.rank(), 1);
  along[axis] = size - 1;
  const Tensor x = astype(spacing, y.dtype());
  const Tensor width = reshape(part_of(x, 0, 1, size) - part_of(x, 0, 0, size - 1), along);
  const Tensor rise = (at(1, size) - at(0, size - 1)) / width;
  const auto slope = [&](int64_t begin, int64_t end) { return part_of(rise, axis, begin, end); };
  const auto gap = [&](int64_t begin, int64_t end) { return part_of(width, axis, begin, end); };
  if (size == 2) return concat({rise, rise}, int64_t(axis));
  const Tensor left = gap(0, size - 2), right = gap(1, size - 1);
  const Tensor inside = (slope(0, size - 2) * right + slope(1, size - 1) * left) / (left + right);
  Tensor first = slope(0, 1), last = slope(size - 2, size - 1);
  if (edge_order == 2) {
    first = first + (first - slope(1, 2)) * gap(0, 1) / (gap(0, 1) + gap(1, 2));
    last = last + (last - slope(size - 3, size - 2)) * gap(size - 2, size - 1) /
                      (gap(size - 2, size - 1) + gap(size - 3, size - 2));
  }
  return concat({first, inside, last}, int64_t(axis));
}

Tensors gradient(const Tensor& given, const Args& a) {
  const int64_t edge_order = a.integer(3);
  require(edge_order == 1 || edge_order == 2, "gradient: edge_order must be 1 or 2, got ",
          edge_order);
  const Tensor y = astype(given, float_dtype(given.dtype()));
  Tensors slopes;
  for (const int64_t axis : a.axes(2, y.rank()))
    slopes.push_back(slope_along(y, a.tensor(1), size_t(normalize_axis(axis, y.rank(), "gradient")),
                                 edge_order));
  return slopes;
}

// Piecewise linear; outside of xp its first and last values, or what is given.
Tensor interp(const Tensor& given, const Args& a) {
  const char* op = "interp";
  require_order(given, op);
  require_order(a.tensor(1), op);
  require(a.tensor(1).rank() == 1 && a.tensor(1).size() > 0, op,
          ": xp must be 1-d and not empty, got shape ", a.tensor(1).shape());
  require(a.tensor(2).shape() == a.tensor(1).shape(), op, ": fp of shape ", a.tensor(2).shape(),
          " must have the shape ", a.tensor(1).shape(), " of xp");
  const DType places = float_dtype(common_dtype(given, a.tensor(1)));
  const Tensor x = astype(given, places), xp = astype(a.tensor(1), places);
  const Tensor fp = astype(a.tensor(2), float_dtype(a.tensor(2).dtype()));
  const int64_t last = xp.size() - 1;
  const auto end = [&](const Tensor& t, int64_t i) { return reshape(part_of(t, 0, i, i + 1), {}); };
  Tensor y = broadcast_to(end(fp, 0), x.shape());
  if (last > 0) {
    const Tensor one = scalar(int64_t(1), DType::int64);
    const Tensor found = searchsorted(xp, x, true) - one;
    const Tensor at =
        minimum(maximum(found, scalar(int64_t(0), DType::int64)), scalar(last - 1, DType::int64));
    const Tensor x0 = gather_checked(xp, at, 0), x1 = gather_checked(xp, at + one, 0);
    const Tensor y0 = gather_checked(fp, at, 0), y1 = gather_checked(fp, at + one, 0);
    const Tensor width = x1 - x0, none = equal(width, constant(0));
    const Tensor share = where(none, constant(0), (x - x0) / where(none, constant(1), width));
    y = y0 + share * (y1 - y0);
  }
  const auto outside = [&](size_t i, int64_t at) {
    return a.has(i) ? constant(a.real(i)) : end(fp, at);
  };
  y = where(less(x, end(xp, 0)), outside(3, 0), y);
  y = where(greater(x, end(xp, last)), outside(4, last), y);
  return where(isnan(x), astype(x, y.dtype()), y);
}

constexpr std::string_view kIntegral =
    "y: Tensor, x: Tensor? = None, dx: float = 1.0, axis: int = -1";

// clang-format off
const Family kArrangement("Arranging", {
    {.name = "rot90",
     .parameters = "x: Tensor, k: int = 1, axes: ints = (0, 1)",
     .doc = "x turned by k times 90 degrees in the plane of two axes, from the first to the second.",
     .call = [](const Args& a) { return Tensors{rot90(a.tensor(0), a.integer(1), a.ints(2))}; },
     .samples = "f(3, 4);;f(3, 4), 2;;f(2, 3, 4), -1, (1, 2);;f(2, 3, 4), 1, (2, 0);;f(3, 4), 4",
     .reference = "numpy.rot90", .differentiable = true},
    {.name = "fliplr", .parameters = "x: Tensor", .doc = "x with its second axis reversed.",
     .call = flipped<1>, .samples = "f(3, 4);;f(2, 3, 4)", .reference = "numpy.fliplr",
     .differentiable = true},
    {.name = "flipud", .parameters = "x: Tensor", .doc = "x with its first axis reversed.",
     .call = flipped<0>, .samples = "f(3, 4);;f(5)", .reference = "numpy.flipud",
     .differentiable = true},
    {.name = "atleast_1d", .parameters = "x: Tensor", .doc = "x, a 0-d one as one of 1 element.",
     .call = call_at_least<1>, .samples = "f();;f(3)", .reference = "numpy.atleast_1d",
     .differentiable = true},
    {.name = "atleast_2d", .parameters = "x: Tensor",
     .doc = "x with axes of size 1 put in front until it has 2.", .call = call_at_least<2>,
     .samples = "f();;f(3);;f(3, 4)", .reference = "numpy.atleast_2d", .differentiable = true},
    {.name = "atleast_3d", .parameters = "x: Tensor",
     .doc = "x with axes of size 1 added until it has 3: (n,) becomes (1, n, 1), (m, n) (m, n, 1).",
     .call = call_at_least<3>, .samples = "f();;f(3);;f(3, 4);;f(2, 3, 4, 5)",
     .reference = "numpy.atleast_3d", .differentiable = true},
    {.name = "hstack", .parameters = "arrays: Tensors",
     .doc = "The tensors one after the other along the second axis, 1-d ones along the first.",
     .call = [](const Args& a) { return Tensors{hstack(a.tensors(0))}; },
     .samples = "[f(2, 3), f(2, 1)];;[f(3), f(2), f()]", .reference = "numpy.hstack",
     .method = false, .differentiable = true},
    {.name = "vstack", .parameters = "arrays: Tensors",
     .doc = "The tensors one after the other along the first axis, 1-d ones as rows.",
     .call = stacked<2, 0>, .samples = "[f(2, 3), f(3)];;[f(3), f(3)]", .reference = "numpy.vstack",
     .method = false, .differentiable = true},
    {.name = "dstack", .parameters = "arrays: Tensors",
     .doc = "The tensors one after the other along the third axis, as atleast_3d sees them.",
     .call = stacked<3, 2>, .samples = "[f(2, 3), f(2, 3)];;[f(3), f(3)]",
     .reference = "numpy.dstack", .method = false, .differentiable = true},
    {.name = "column_stack", .parameters = "arrays: Tensors",
     .doc = "1-d tensors as the columns of a matrix, those of 2-d ones among them.",
     .call = [](const Args& a) { return Tensors{column_stack(a.tensors(0))}; },
     .samples = "[f(3), f(3)];;[f(3), f(3, 2)]", .reference = "numpy.column_stack",
     .method = false, .differentiable = true},
    {.name = "tensor_split",
     .parameters = "x: Tensor, indices_or_sections: Tensor, axis: int = 0",
     .doc = "x cut along axis into so many parts, the first of which are larger by one where they do "
            "not divide it, or at each of several indices, which are evaluated.",
     .call = [](const Args& a) { return tensor_split(a.tensor(0), a); },
     .samples = "f(7, 2), 3;;f(2, 4), 2, 1;;f(7), (2, 5);;f(2), 3",
     .reference = "numpy.array_split", .differentiable = true, .returns_tuple = true},
    {.name = "unflatten",
     .parameters = "x: Tensor, axis: int, sizes: ints",
     .doc = "An axis of x as several, whose sizes multiply to its; one may be -1.",
     .call = [](const Args& a) { return Tensors{unflatten(a.tensor(0), a.integer(1), a.ints(2))}; },
     .samples = "f(3, 8), 1, (2, 4);;f(6, 2), 0, (-1, 3);;f(4), -1, (2, 2)",
     .reference = "lambda x, axis, sizes: x.reshape(x.shape[:axis % x.ndim] + sizes + "
                  "x.shape[axis % x.ndim + 1:])",
     .differentiable = true},
    {.name = "narrow",
     .parameters = "x: Tensor, axis: int, start: int, length: int",
     .doc = "length elements of x along axis from start.",
     .call =
         [](const Args& a) {
           return Tensors{narrow(a.tensor(0), a.integer(1), a.integer(2), a.integer(3))};
         },
     .samples = "f(5, 3), 0, 1, 3;;f(3, 5), 1, -4, 2;;f(4), 0, 4, 0",
     .reference = "lambda x, axis, start, length: numpy.take(x, numpy.arange(length) + start % "
                  "(x.shape[axis] + 1) if start >= 0 else numpy.arange(length) + start + "
                  "x.shape[axis], axis)",
     .differentiable = true},
    {.name = "kron",
     .parameters = "x1: Tensor, x2: Tensor",
     .doc = "The Kronecker product: every element of x1 times all of x2, block by block.",
     .call = [](const Args& a) { return Tensors{kron(a.tensor(0), a.tensor(1))}; },
     .samples = "f(2, 3), f(3, 2);;f(3), f(2, 2);;f(2, 2, 3), f(2, 3);;f(), f(3);;c(2, 2), c(2)",
     .reference = "numpy.kron", .differentiable = true},
    {.name = "block_diag",
     .parameters = "*arrays: Tensors",
     .doc = "A matrix of zeros with the matrices along its diagonal; 1-d tensors are rows.",
     .call = [](const Args& a) { return Tensors{block_diag(a.tensors(0))}; },
     .samples = "f(2, 3), f(1, 2), f(3, 1);;f(2), f(2, 2);;f(2, 2)",
     .reference = "lambda *xs: scipy.linalg.block_diag(*xs)",
     .method = false, .differentiable = true},
    {.name = "cartesian_prod",
     .parameters = "*arrays: Tensors",
     .doc = "All combinations of elements of 1-d tensors, one row each, the last one fastest; a "
            "single tensor as it is.",
     .call = [](const Args& a) { return Tensors{cartesian_prod(a.tensors(0))}; },
     .samples = "f(2), f(3);;f(2), f(3), f(2);;f(3)",
     .reference = "lambda *xs: numpy.stack(numpy.meshgrid(*xs, indexing='ij'), "
                  "-1).reshape(-1, len(xs)) if len(xs) > 1 else xs[0]",
     .method = false, .differentiable = true},
    {.name = "vander",
     .parameters = "x: Tensor, n: int? = None, *, increasing: bool = False",
     .doc = "The powers of x up to n - 1 (the size of its last axis less 1 for None), highest first "
            "unless increasing, along a new last axis: a Vandermonde matrix.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           require(a.has(1) || x.rank() > 0, "vander: x must have at least 1 dimension");
           return Tensors{vander(x, a.has(1) ? a.integer(1) : x.shape().back(), a.boolean(2))};
         },
     .samples = "f(4);;f(3), 5;;f(3), 2, increasing=True;;f(3), 0;;ints(-3, 4, 3);;f(4), 1",
     .reference = "numpy.vander", .differentiable = true, .tolerance = 1e-5},
    {.name = "inner",
     .parameters = "x1: Tensor, x2: Tensor",
     .doc = "The sums of products over the last axes of both.",
     .call = [](const Args& a) { return Tensors{inner(a.tensor(0), a.tensor(1))}; },
     .samples = "f(4), f(4);;f(2, 4), f(3, 4);;f(2, 3, 4), f(4);;f(), f(3)",
     .reference = "numpy.inner", .differentiable = true, .tolerance = 1e-5},
    {.name = "dot",
     .parameters = "x1: Tensor, x2: Tensor",
     .doc = "The sums of products over the last axis of x1 and the last but one (the only one) of x2; "
            "the product with a 0-d tensor.",
     .call = [](const Args& a) { return Tensors{dot(a.tensor(0), a.tensor(1))}; },
     .samples = "f(4), f(4);;f(2, 4), f(4, 3);;f(2, 4), f(4);;f(2, 4), f(2, 4, 3);;f(), f(3)",
     .reference = "numpy.dot", .differentiable = true, .tolerance = 1e-5},
    {.name = "trapezoid", .parameters = kIntegral,
     .doc = "The integral along axis of a function with values y at x (1-d, or of y's shape), or at "
            "distances dx for None, by the trapezoidal rule.",
     .call = [](const Args& a) { return Tensors{trapezoid(a)}; },
     .samples = "f(5);;f(3, 4), f(4);;f(3, 4), None, 0.5, 0;;f(3, 4), f(3, 4), axis=0;;f(1)",
     .reference = "numpy.trapezoid", .differentiable = true, .tolerance = 1e-5},
    {.name = "cumulative_trapezoid", .parameters = kIntegral,
     .doc = "The integrals along axis up to each sample but the first, as trapezoid has them.",
     .call = [](const Args& a) { return Tensors{cumulative_trapezoid(a)}; },
     .samples = "f(5);;f(3, 4), f(4);;f(3, 4), None, 0.5, 0;;f(3, 4), f(3, 4), axis=0",
     .reference = "reference.cumulative_trapezoid", .differentiable = true, .tolerance = 1e-5},
    {.name = "gradient",
     .parameters = "y: Tensor, spacing: Tensor = 1.0, axis: ints? = None, *, edge_order: int = 1",
     .doc = "The derivatives along each axis of a function with values y: second-order central "
            "differences inside, one-sided ones of edge_order at the ends. spacing is the distance of "
            "samples or their coordinates along the axis (1-d). A tensor for each axis.",
     .call = [](const Args& a) { return gradient(a.tensor(0), a); },
     .samples = "f(5);;f(4, 5);;f(4, 5), 0.5, 1;;f(3, 5), numpy.cumsum(pos(5)), 1, edge_order=2;;"
                "f(5), 2.0, 0, edge_order=2;;f(2), numpy.cumsum(pos(2));;f(4, 3), edge_order=1",
     .reference = "reference.gradient", .method = false, .differentiable = true, .tolerance = 1e-4,
     .returns_tuple = true},
    {.name = "interp",
     .parameters = "x: Tensor, xp: Tensor, fp: Tensor, left: float? = None, right: float? = None",
     .doc = "The piecewise linear function through the points xp (1-d, increasing) and fp at x; "
            "before and after them left and right, or the first and last of fp.",
     .call = [](const Args& a) { return Tensors{interp(a.tensor(0), a)}; },
     .samples = "f(3, 4), numpy.sort(f(5)), f(5);;f(6), numpy.sort(f(4)), f(4), -1.0, 2.0;;f(3), "
                "f(1), f(1)",
     .reference = "numpy.interp", .differentiable = true, .tolerance = 1e-4},
});
// clang-format on

}  // namespace
}  // namespace tegula
