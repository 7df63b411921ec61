// tegula.linalg: products, diagonals and powers, which need no LAPACK.
#include <algorithm>

#include "ops/linalg.h"

namespace tegula {
namespace {

// Component i of vectors along the last axis.
Tensor component(const Tensor& x, int64_t i) {
  return squeeze(part_of(x, x.rank() - 1, i, i + 1), {-1});
}

Tensor cross(const Tensor& a, const Tensor& b, int64_t given) {
  const int64_t rank = int64_t(std::min(a.rank(), b.rank()));
  if (given < -rank || given >= rank)
    fail(ErrorKind::index, "linalg.cross: axis ", given, " is out of range for shapes ", a.shape(),
         " and ", b.shape());
  const size_t from_end = size_t(given < 0 ? -given : rank - given);
  require(a.shape()[a.rank() - from_end] == 3 && b.shape()[b.rank() - from_end] == 3,
          "linalg.cross: vectors must have 3 components along axis ", given, ", got shapes ",
          a.shape(), " and ", b.shape());
  const auto vectors = [&](const Tensor& x) {
    Dims order = all_axes(x);
    order.erase(x.rank() - from_end);
    order.push_back(int64_t(x.rank() - from_end));
    return permute_dims(x, order);
  };
  const Tensor u = vectors(a), v = vectors(b);
  broadcast_shapes(u.shape(), v.shape(), "linalg.cross");
  const auto minor = [&](int64_t i, int64_t j) {
    return component(u, i) * component(v, j) - component(u, j) * component(v, i);
  };
  const Tensor result = stack({minor(1, 2), minor(2, 0), minor(0, 1)}, -1);
  Dims order = all_axes(result);
  order.pop_back();
  order.insert(result.rank() - from_end, int64_t(result.rank()) - 1);
  return permute_dims(result, order);
}

}  // namespace

Tensor diagonal(const Tensor& x, int64_t offset, const char* op) {
  check_matrix(x, op);
  const int64_t rows = x.shape()[x.rank() - 2], columns = x.shape().back();
  const int64_t row = std::max<int64_t>(0, -offset), column = std::max<int64_t>(0, offset);
  const int64_t length = std::max<int64_t>(0, std::min(rows - row, columns - column));
  Shape shape(x.shape().begin(), x.shape().end() - 2);
  if (length == 0) {
    shape.push_back(0);
    return zeros(shape, x.dtype());
  }
  shape.push_back(rows * columns);
  const Tensor flat = reshape(x, shape);
  Dims starts(flat.rank(), 0), steps(flat.rank(), 1);
  starts.back() = row * columns + column;
  steps.back() = columns + 1;
  shape.back() = length;
  return slice(flat, starts, shape, steps);
}

Tensor identity(int64_t n, DType dtype) {
  return astype(equal(expand_dims(iota(n), 1), iota(n)), dtype);
}

Tensor from_diagonal(const Tensor& x) {
  return expand_dims(x, -1) * identity(x.shape().back(), x.dtype());
}

Tensor reciprocal_or_zero(const Tensor& x) {
  const Tensor zero = equal(x, constant(0));
  return where(zero, constant(0), reciprocal(where(zero, constant(1), x)));
}

Tensor reciprocal_differences(const Tensor& x) {
  return reciprocal_or_zero(expand_dims(x, -2) - expand_dims(x, -1));
}

Tensor squared_size(const Tensor& x) {
  return is_complex(x.dtype()) ? square(real(x)) + square(imag(x)) : square(x);
}

Tensor lower_triangle(const Tensor& x) {
  const Tensor row = expand_dims(iota(x.shape()[x.rank() - 2]), 1);
  return where(greater_equal(row, iota(x.shape().back())), x, constant(0));
}

Tensor upper_triangle(const Tensor& x) {
  const Tensor row = expand_dims(iota(x.shape()[x.rank() - 2]), 1);
  return where(less_equal(row, iota(x.shape().back())), x, constant(0));
}

Tensor corner(const Tensor& x, int64_t rows, int64_t columns) {
  Shape sizes = x.shape();
  sizes[x.rank() - 2] = rows;
  sizes.back() = columns;
  return slice(x, Dims(x.rank(), 0), sizes, Dims(x.rank(), 1));
}

// clang-format off
const Family kLinalgProducts("Linear algebra: products", {
    {.name = "linalg.cross",
     .parameters = "x1: Tensor, x2: Tensor, /, *, axis: int = -1",
     .doc = "The cross product of vectors with 3 components along axis, which counts from the end "
            "where the ranks differ; the other axes broadcast.",
     .call =
         [](const Args& a) { return Tensors{cross(a.tensor(0), a.tensor(1), a.integer(2))}; },
     .samples = "f(3), f(3);;f(2, 3), f(3);;f(3, 4), f(3, 4), axis=0;;f(2, 3, 4), f(3, 1), axis=-2",
     .reference = "reference.cross",
     .differentiable = true},
    {.name = "linalg.diagonal",
     .parameters = "x: Tensor, /, *, offset: int = 0",
     .doc = "The diagonals of matrices, (..., M, N) -> (..., K): the main one, or one `offset` "
            "places above it (below, if negative).",
     .call = [](const Args& a) { return Tensors{diagonal(a.tensor(0), a.integer(1))}; },
     .samples = "f(3, 3);;f(2, 3, 4), offset=1;;f(4, 3), offset=-2;;f(2, 3), offset=5;;f(2, 0, 3)",
     .reference = "numpy.linalg.diagonal",
     .differentiable = true},
    {.name = "linalg.outer",
     .parameters = "x1: Tensor, x2: Tensor, /",
     .doc = "The product of every element of x1 (M,) with every element of x2 (N,): (M, N).",
     .call =
         [](const Args& a) {
           const Tensor &u = a.tensor(0), &v = a.tensor(1);
           require(u.rank() == 1 && v.rank() == 1, "linalg.outer: x1 and x2 must be 1-d, got "
                   "shapes ", u.shape(), " and ", v.shape());
           return Tensors{expand_dims(u, 1) * expand_dims(v, 0)};
         },
     .samples = "f(3), f(4);;f(0), f(2)",
     .reference = "numpy.outer",
     .differentiable = true},
    {.name = "linalg.trace",
     .parameters = "x: Tensor, /, *, offset: int = 0, dtype: dtype? = None",
     .doc = "The sums of the diagonals of matrices, (..., M, N) -> (...). dtype is that of the "
            "result, as of sum.",
     .call =
         [](const Args& a) {
           return Tensors{sum(diagonal(a.tensor(0), a.integer(1), "linalg.trace"), {-1}, false,
                              a.has(2) ? std::optional(a.dtype(2)) : std::nullopt)};
         },
     .samples = "f(3, 3);;f(2, 3, 4), offset=-1;;ints(-5, 5, 3, 3);;f(0, 0)",
     .reference = "numpy.linalg.trace",
     .differentiable = true},
});
// clang-format on

}  // namespace tegula
