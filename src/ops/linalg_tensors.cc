// tegula.linalg: tensors as matrices, and chains of products.
#include <algorithm>

#include "ops/einsum.h"
#include "ops/linalg.h"

namespace tegula {
namespace {

int64_t extent(std::span<const int64_t> sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) product *= size;
  return product;
}

Tensor tensorinv(const Tensor& x, int64_t ind) {
  require(ind > 0 && ind < int64_t(x.rank()), "linalg.tensorinv: ind must be between 1 and ",
          int64_t(x.rank()) - 1, " for x of shape ", x.shape(), ", got ", ind);
  const Shape rows(x.shape().begin(), x.shape().begin() + size_t(ind));
  const Shape columns(x.shape().begin() + size_t(ind), x.shape().end());
  const int64_t n = extent(rows);
  require(n == extent(columns), "linalg.tensorinv: the first ", ind, " axes of x of shape ",
          x.shape(), " have ", n, " elements and the others ", extent(columns));
  Shape shape = columns;
  shape.append(rows.begin(), rows.end());
  return reshape(inv(reshape(x, {n, n})), shape);
}

Tensor tensorsolve(const Tensor& given, const Tensor& b, const Dims& moved) {
  constexpr const char* kOp = "linalg.tensorsolve";
  Dims order;
  const Dims last = [&] {
    normalize_axes(moved, given.rank(), kOp);  // none twice
    Dims axes;
    for (const int64_t axis : moved) axes.push_back(normalize_axis(axis, given.rank(), kOp));
    return axes;
  }();
  for (size_t i = 0; i < given.rank(); ++i)
    if (std::find(last.begin(), last.end(), int64_t(i)) == last.end()) order.push_back(int64_t(i));
  order.append(last.begin(), last.end());
  const Tensor a = permute_dims(given, order);
  require(a.rank() >= b.rank() && std::equal(b.shape().begin(), b.shape().end(), a.shape().begin()),
          kOp, ": x1 of shape ", a.shape(), " does not begin with the shape ", b.shape(), " of x2");
  const Shape shape(a.shape().begin() + b.rank(), a.shape().end());
  const int64_t n = b.size();
  require(n == extent(shape), kOp, ": x1 of shape ", a.shape(), " is no square matrix of ", n,
          " rows");
  return reshape(solve(reshape(a, {n, n}), reshape(b, {n, 1})), shape);
}

Tensor multi_dot(const Tensors& xs) {
  require(xs.size() >= 2, "linalg.multi_dot: needs at least two arrays, got ", xs.size());
  require(xs.size() < 128, "linalg.multi_dot: needs less than 128 arrays, got ", xs.size());
  std::vector<Dims> labels;
  Dims result;
  for (size_t i = 0; i < xs.size(); ++i) {
    const bool outer = i == 0 || i + 1 == xs.size();
    require(xs[i].rank() == 2 || (outer && xs[i].rank() == 1), "linalg.multi_dot: array ", i,
            " must be a matrix", outer ? " or a vector" : "", ", got shape ", xs[i].shape());
    const bool row = i == 0 && xs[i].rank() == 1;
    if (i > 0)
      require(xs[i].shape()[0] == xs[i - 1].shape().back(), "linalg.multi_dot: shapes ",
              xs[i - 1].shape(), " and ", xs[i].shape(), " of arrays ", i - 1, " and ", i,
              " do not fit");
    Dims mine;
    if (!row) mine.push_back(int64_t(i));
    if (row || xs[i].rank() == 2) mine.push_back(int64_t(i) + 1);
    labels.push_back(mine);
  }
  if (xs.front().rank() == 2) result.push_back(0);
  if (xs.back().rank() == 2) result.push_back(int64_t(xs.size()));
  return contract(xs, labels, result, "linalg.multi_dot");
}

// clang-format off
const Family kLinalgTensors("Linear algebra: tensors", {
    {.name = "linalg.tensorinv",
     .parameters = "x: Tensor, /, *, ind: int = 2",
     .doc = "The inverse of x as a map from its last axes to its first `ind` ones, which have as many "
            "elements: tensordot of both over `ind` axes is the identity. LinAlgError for a "
            "singular one.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.tensorinv", {a.tensor(0)}, [&](const Tensors& xs) {
             return Tensors{tensorinv(xs[0], a.integer(1))};
           });
         },
     .samples = "square(6).reshape(2, 3, 6);;square(4).reshape(4, 2, 2), ind=1",
     .reference = "numpy.linalg.tensorinv",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.tensorsolve",
     .parameters = "x1: Tensor, x2: Tensor, /, *, axes: ints = ()",
     .doc = "x with tensordot(x1, x, x.ndim) = x2: x1 has the shape of x2, then that of x, which "
            "have as many elements. axes of x1 are moved to its end first. LinAlgError where x1 is "
            "singular.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.tensorsolve", {a.tensor(0), a.tensor(1)},
                            [&](const Tensors& xs) {
             return Tensors{tensorsolve(xs[0], xs[1], a.ints(2))};
           });
         },
     .samples = "square(6).reshape(2, 3, 3, 2), f(2, 3);;"
                "square(6).reshape(6, 2, 3), f(2, 3), axes=(0,);;square(2), f(2)",
     .reference = "lambda a, b, axes=(): numpy.linalg.tensorsolve(a, b, axes or None)",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.multi_dot",
     .parameters = "arrays: Tensors, /",
     .doc = "The product of two or more matrices, in the order of the fewest operations (as einsum "
            "multiplies). The first may be a vector, a row, and the last one, a column; the result "
            "lacks their axes. ValueError for shapes that do not fit.",
     .call = [](const Args& a) { return Tensors{multi_dot(a.tensors(0))}; },
     .samples = "[f(2, 3), f(3, 4)];;[f(5, 2), f(2, 6), f(6, 3), f(3, 1)];;[f(3), f(3, 4), f(4)];;"
                "[f(3), f(3, 4)];;[c(2, 3), c(3, 2), c(2)]",
     .reference = "numpy.linalg.multi_dot",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
