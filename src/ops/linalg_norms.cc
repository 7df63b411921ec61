// tegula.linalg: norms of vectors and matrices.
#include <cmath>
#include <limits>

#include "ops/linalg.h"

namespace tegula {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The root of sums of positive powers, with the derivative 0 where all are 0.
Tensor root(const Tensor& sums, double order) {
  const Tensor zero = equal(sums, constant(0));
  const Tensor rest = where(zero, constant(1), sums);
  return where(zero, constant(0), order == 2 ? sqrt(rest) : pow(rest, constant(1 / order)));
}

bool is_empty_over(const Tensor& x, const Dims& axes) {
  for (const int64_t axis : axes)
    if (x.shape()[size_t(axis)] == 0) return true;
  return false;
}

Tensor zeros_without(const Tensor& x, const Dims& axes, bool keepdims) {
  return sum(abs(x), axes, keepdims);
}

}  // namespace

Tensor vector_norm(const Tensor& x, const Dims& axes, bool keepdims, double order) {
  if (order == 2) return root(sum(squared_size(x), axes, keepdims), 2);
  const Tensor size = abs(x);
  if (order == 1) return sum(size, axes, keepdims);
  if (order == kInfinity)
    return is_empty_over(x, axes) ? zeros_without(x, axes, keepdims) : max(size, axes, keepdims);
  if (order == -kInfinity) {
    require(!is_empty_over(x, axes), "linalg.vector_norm: ord -inf of no numbers, in shape ",
            x.shape());
    return min(size, axes, keepdims);
  }
  if (order == 0) return sum(astype(not_equal(x, constant(0)), size.dtype()), axes, keepdims);
  const Tensor sums = sum(pow(size, constant(order)), axes, keepdims);
  return order > 0 ? root(sums, order) : pow(sums, constant(1 / order));
}

namespace {

// The largest (or smallest) of sums along the other axis of the matrix.
Tensor extreme_sum(const Tensor& x, int64_t axis, bool greatest, bool keepdims) {
  const int64_t rank = int64_t(x.rank());
  if (greatest && is_empty_over(x, {rank - 2, rank - 1}))
    return zeros_without(x, {-2, -1}, keepdims);
  const Tensor sums = sum(abs(x), {axis}, true);
  const Tensor extreme = greatest ? max(sums, {-2, -1}, true) : min(sums, {-2, -1}, true);
  return keepdims ? extreme : squeeze(extreme, {-2, -1});
}

Tensor of_singular_values(const Tensor& x, double order, bool keepdims) {
  const Tensor s = svdvals(x);
  Tensor norm;
  if (order == 1) norm = sum(s, {-1}, false);
  else if (order == 2) norm = s.shape().back() == 0 ? sum(s, {-1}, false) : max(s, {-1}, false);
  else norm = min(s, {-1}, false);
  return keepdims ? expand_dims(expand_dims(norm, -1), -1) : norm;
}

Tensor matrix_norm(const Tensor& x, const std::string& order, bool keepdims, const char* op) {
  const int64_t rank = int64_t(x.rank());
  if (order == "fro") return vector_norm(x, {rank - 2, rank - 1}, keepdims, 2);
  if (order == "nuc") return of_singular_values(x, 1, keepdims);
  if (order == "2") return of_singular_values(x, 2, keepdims);
  if (order == "-2") return of_singular_values(x, -2, keepdims);
  if (order == "1") return extreme_sum(x, -2, true, keepdims);
  if (order == "-1") return extreme_sum(x, -2, false, keepdims);
  if (order == "inf") return extreme_sum(x, -1, true, keepdims);
  if (order == "-inf") return extreme_sum(x, -1, false, keepdims);
  fail(ErrorKind::value, op, ": ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got ", order);
}

bool needs_lapack(const std::string& order) {
  return order == "nuc" || order == "2" || order == "-2";
}

// Of all numbers, or over one axis of vectors, or two of matrices.
Tensor norm(const Tensor& x, const Args& a) {
  constexpr const char* kOp = "linalg.norm";
  const bool everything = !a.has(1), keepdims = a.boolean(2);
  if (everything && !a.has(3)) return vector_norm(x, all_axes(x), keepdims, 2);
  Dims axes;
  for (const int64_t axis : a.axes(1, x.rank()))
    axes.push_back(normalize_axis(axis, x.rank(), kOp));
  normalize_axes(axes, x.rank(), kOp);  // none twice
  const std::string order = a.order(3, axes.size() == 1 ? "2" : "fro");
  if (axes.size() == 1) {
    require(order != "fro" && order != "nuc", kOp, ": ord '", order, "' is a norm of matrices");
    return vector_norm(x, axes, keepdims, std::stod(order));
  }
  require(axes.size() == 2, kOp, ": with ord, axis must be one or two axes, got ", axes);
  Dims last;
  for (const int64_t axis : all_axes(x))
    if (axis != axes[0] && axis != axes[1]) last.push_back(axis);
  last.append(axes.begin(), axes.end());
  if (needs_lapack(order)) require_lapack(kOp);
  const Tensor y = matrix_norm(permute_dims(x, last), order, false, kOp);
  return keepdims ? expand_dims(y, axes) : y;
}

Tensor condition(const Tensor& x, const std::string& order) {
  constexpr const char* kOp = "linalg.cond";
  check_matrix(x, kOp);
  if (order == "2" || order == "-2") {
    const Tensor s = svdvals(x);
    const int64_t k = s.shape().back();
    require(k > 0, kOp, ": x of shape ", x.shape(), " is empty");
    const Tensor first = part_of(s, s.rank() - 1, 0, 1), last = part_of(s, s.rank() - 1, k - 1, k);
    return squeeze(order == "2" ? first / last : last / first, {-1});
  }
  check_square(x, kOp);
  return matrix_norm(x, order, false, kOp) * matrix_norm(inv(x), order, false, kOp);
}

// 16-bit floats are summed up in float32.
template <class F>
Tensors widened_norm(const Tensor& x, const char* op, F&& norm) {
  check_inexact(x, op);
  return {astype(norm(is_complex(x.dtype()) ? x : widened(x)), real_dtype(x.dtype()))};
}

// clang-format off
const Family kLinalgNorms("Linear algebra: norms", {
    {.name = "linalg.vector_norm",
     .parameters = "x: Tensor, /, *, axis: ints? = None, keepdims: bool = False, ord: float = 2",
     .doc = "The norm of the numbers along axis (of all for None): the sum of |x| to the power of "
            "ord, to the power of 1 / ord; the largest for inf, the smallest for -inf, how many "
            "are not 0 for 0. The derivative of the norm 2 of zeros is 0.",
     .call =
         [](const Args& a) {
           return widened_norm(a.tensor(0), "linalg.vector_norm", [&](const Tensor& x) {
             const Dims axes = normalize_axes(a.axes(1, x.rank()), x.rank(), "linalg.vector_norm");
             return vector_norm(x, axes, a.boolean(2), a.real(3));
           });
         },
     .samples = "f(5);;f(3, 4), axis=1;;f(2, 3, 4), axis=(0, 2), keepdims=True;;f(3, 4), ord=1;;"
                "f(3, 4), axis=0, ord=float('inf');;f(3, 4), ord=-float('inf');;f(5), ord=0;;"
                "pos(3, 4), ord=3.5, axis=-1;;f(2, 0), axis=1;;f(3, 4), keepdims=True;;"
                "c(3, 4), axis=0;;c(3, 4), ord=3",
     .reference = "numpy.linalg.vector_norm",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.matrix_norm",
     .parameters = "x: Tensor, /, *, keepdims: bool = False, ord: float|str? = 'fro'",
     .doc = "Norms of matrices (..., M, N): 'fro' (and None) the root of the sum of squares, 'nuc' "
            "the sum of the singular values, 2 and -2 the largest and smallest of those, 1 and -1 "
            "the largest and smallest sum of absolute values of a column, inf and -inf of a row.",
     .call =
         [](const Args& a) {
           const std::string order = a.order(2, "fro");
           if (needs_lapack(order)) require_lapack("linalg.matrix_norm");
           return widened_norm(a.tensor(0), "linalg.matrix_norm", [&](const Tensor& x) {
             check_matrix(x, "linalg.matrix_norm");
             return matrix_norm(x, order, a.boolean(1), "linalg.matrix_norm");
           });
         },
     .samples = "f(3, 4);;f(2, 3, 4), keepdims=True;;f(3, 4), ord='nuc';;f(2, 3, 3), ord=2;;"
                "f(3, 4), ord=-2, keepdims=True;;f(2, 3, 4), ord=1;;f(3, 4), ord=-1;;"
                "f(3, 4), ord=float('inf'), keepdims=True;;f(3, 4), ord=-float('inf');;f(0, 3);;"
                "c(3, 4);;c(3, 4), ord='nuc';;c(3, 4), ord=1",
     .reference = "numpy.linalg.matrix_norm",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.norm",
     .parameters = "x: Tensor, /, *, axis: ints? = None, keepdims: bool = False, "
                   "ord: float|str? = None",
     .doc = "The norm of all numbers, the root of the sum of squares; with axis (or ord, of a vector "
            "or a matrix) the vector_norm along one axis or the matrix_norm over two, by default "
            "that root too. ValueError for an ord that those do not know.",
     .call =
         [](const Args& a) {
           return widened_norm(a.tensor(0), "linalg.norm",
                               [&](const Tensor& x) { return norm(x, a); });
         },
     .samples = "f(2, 3, 4);;f(5), ord=1;;f(3, 4), ord=2;;f(3, 4), axis=1, keepdims=True;;"
                "f(2, 3, 4), axis=(2, 0), ord='nuc';;f(2, 3, 4), axis=(0, 1), keepdims=True;;"
                "f(3, 4), ord=-float('inf');;f(4), ord=float('inf');;c(3, 4);;f(3, 0)",
     .reference = "lambda x, axis=None, keepdims=False, ord=None: numpy.linalg.norm(x, ord, axis, "
                  "keepdims)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.cond",
     .parameters = "x: Tensor, /, *, ord: float|str? = None",
     .doc = "How errors grow where matrices (..., M, N) are solved with: the norm of x times that of "
            "its inverse, for the norms of matrix_norm; by default 2, the largest singular value "
            "over the smallest, which x need not be square for. LinAlgError for a singular matrix "
            "and another norm.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.cond", {a.tensor(0)}, [&](const Tensors& xs) {
             return Tensors{condition(xs[0], a.order(1, "2"))};
           });
         },
     .samples = "square(3);;f(2, 4, 3);;square(2, 3), ord='fro';;square(3), ord=1;;square(3), ord=-2;;"
                "square(3), ord=float('inf');;c(3, 3)",
     .reference = "lambda x, ord=None: numpy.linalg.cond(x, ord)",
     .differentiable = true,
     .tolerance = 2e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
