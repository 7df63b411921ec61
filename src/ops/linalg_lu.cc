// tegula.linalg: LU factors, and what is solved and made with factors.
#include <algorithm>

#include "ops/linalg.h"

namespace tegula {
namespace {

Tensor strictly_lower(const Tensor& x) {
  const Tensor row = expand_dims(iota(x.shape()[x.rank() - 2]), 1);
  return where(greater(row, iota(x.shape().back())), x, constant(0));
}

Tensor rows_from(const Tensor& x, int64_t begin) {
  return part_of(x, x.rank() - 2, begin, x.shape()[x.rank() - 2]);
}
Tensor columns_from(const Tensor& x, int64_t begin) {
  return part_of(x, x.rank() - 1, begin, x.shape().back());
}

// x u^-H for upper triangular u, and l^-H x for unit lower triangular l; what is in the other
// triangle is not read.
Tensor times_inverse_of_upper(const Tensor& x, const Tensor& u) {
  return adjoint(solve_triangular(u, adjoint(x), true));
}
Tensor inverse_of_lower_times(const Tensor& l, const Tensor& x) {
  return solve_triangular(adjoint(l), x, true, true);
}

// pivots (..., K), where row i was exchanged with row pivots[i] -> the order of the M rows that
// results; attrs: M.
const Primitive kPivotOrder = {
    .name = "pivot_order",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          shape.back() = c.attrs[0];
          out.push_back({DType::int64, std::move(shape)});
        },
    .batch = batch_in_place,
    .can_fail = true,
};

Tensor pivot_order(const Tensor& pivots, int64_t rows) {
  return record(kPivotOrder, {pivots}, {rows});
}

// The row numbers beside each element of x.
Tensor for_every_column(const Tensor& order, const Tensor& x) {
  return broadcast_to(expand_dims(order, -1), x.shape());
}

// The gradient of a[order] = l u from that of both in one matrix.
Tensor lu_vjp(const Tensor& both, const Tensor& g) {
  const int64_t m = both.shape()[both.rank() - 2], n = both.shape().back(), k = std::min(m, n);
  const Tensor f = corner(both, k, k), square = corner(g, k, k);
  Tensor gl = strictly_lower(square), gu = upper_triangle(square), rest;
  if (m > n) {  // rows below: l2 = b2 u^-1
    rest = times_inverse_of_upper(rows_from(g, k), f);
    gu = gu - upper_triangle(matmul(adjoint(rows_from(both, k)), rest));
  } else if (n > m) {  // columns beyond: u2 = l^-1 b2
    rest = inverse_of_lower_times(f, columns_from(g, k));
    gl = gl - strictly_lower(matmul(rest, adjoint(columns_from(both, k))));
  }
  const Tensor l = strictly_lower(f) + identity(k, f.dtype());
  const Tensor inner = strictly_lower(matmul(adjoint(l), gl)) +
                       upper_triangle(matmul(gu, adjoint(upper_triangle(f))));
  const Tensor first = times_inverse_of_upper(inverse_of_lower_times(f, inner), f);
  return rest ? concat({first, rest}, m > n ? -2 : -1) : first;
}

// x (..., M, N) -> l without its diagonal and u in one matrix, and the pivots (..., K).
const Primitive kLu = {
    .name = "lu",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape& x = c.shape(0);
          out.push_back({c.dtype(0), x});
          out.push_back({DType::int32, extended(batch_of(x), {std::min(x.end()[-2], x.back())})});
        },
    .vjp =
        [](VjpContext& c) {
          if (!c.grad()) return;
          const Tensor both = c.output(0);
          const Tensor g = lu_vjp(both, c.grad());
          const Tensor order = pivot_order(c.output(1), both.shape()[both.rank() - 2]);
          c.give(0, scatter_along_axis(zeros(g.shape(), g.dtype()), for_every_column(order, g), g,
                                       -2, kScatterSet));
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
};

Tensors lu(const Tensor& x) {
  const Tensors factors = record_all(kLu, {&x, 1});
  const int64_t m = x.shape()[x.rank() - 2], n = x.shape().back(), k = std::min(m, n);
  const Tensor order = pivot_order(factors[1], m);  // row i of l u is row order[i] of x
  const Tensor p =
      astype(equal(expand_dims(iota(m), 1), expand_dims(order, -2)), real_dtype(x.dtype()));
  const Tensor eye = astype(equal(expand_dims(iota(m), 1), iota(k)), x.dtype());
  return {astype(p, x.dtype()), strictly_lower(corner(factors[0], m, k)) + eye,
          upper_triangle(corner(factors[0], k, n))};
}

// x2 as matrices, and the result as x2 was.
template <class F>
Tensors with_right_sides(const Tensor& a, const Tensor& given, const char* op, F&& f) {
  check_square(a, op, "x1");
  require(given.rank() > 0, op, ": x2 must have at least 1 dimension");
  const bool vector = given.rank() == 1;
  const Tensor b = vector ? expand_dims(given, -1) : given;
  require(a.shape().back() == b.shape()[b.rank() - 2], op, ": x1 of shape ", a.shape(),
          " and x2 of shape ", given.shape(), " differ in their number of rows");
  const Shape batch = batch_shape(a, b, op);
  const Tensor x = f(with_batch(a, batch), with_batch(b, batch), batch);
  return {vector ? squeeze(x, {-1}) : x};
}

Tensors lu_solve(const Tensor& factors, const Tensor& pivots, const Tensor& right) {
  constexpr const char* kOp = "linalg.lu_solve";
  if (!is_integer(pivots.dtype()))
    fail(ErrorKind::type, kOp, ": pivots must be integers, got ", pivots.dtype());
  check_square(factors, kOp, "x1");
  require(pivots.rank() > 0 && pivots.shape().back() == factors.shape().back(), kOp,
          ": pivots of shape ", pivots.shape(), " are not one for each row of x1 of shape ",
          factors.shape());
  const Shape every = broadcast_shapes(
      batch_of(factors.shape()), Shape(pivots.shape().begin(), pivots.shape().end() - 1), kOp);
  return with_right_sides(
      with_batch(factors, every), right, kOp,
      [&](const Tensor& a, const Tensor& b, const Shape& batch) {
        const int64_t n = a.shape().back();
        const Tensor steps = broadcast_to(astype(pivots, DType::int32), extended(batch, {n}));
        const Tensor order = for_every_column(pivot_order(steps, n), b);
        const Tensor y = solve_triangular(a, take_along_axis(b, order, -2), false, true);
        return solve_triangular(a, y, true);
      });
}

// x with l l^H x = b (upper: u^H u x = b).
Tensor cholesky_solution(const Tensor& factor, const Tensor& b, bool upper) {
  const Tensor l = upper ? adjoint(factor) : factor;
  return solve_triangular(adjoint(l), solve_triangular(l, b, false), true);
}

// I - V T V^H with T^-1 = diag(1 / tau) + striu(V^H V), the first columns of it: Joffrain et al.
// 2006, ACM Trans. Math. Softw. 32(2). Written so that tau may be 0.
Tensor householder_product(const Tensor& x, const Tensor& tau) {
  constexpr const char* kOp = "linalg.householder_product";
  check_matrix(x, kOp);
  const int64_t m = x.shape()[x.rank() - 2], n = x.shape().back();
  require(m >= n, kOp, ": x of shape ", x.shape(), " has more columns than rows");
  require(tau.rank() == x.rank() - 1 && tau.shape().back() <= n &&
              std::equal(tau.shape().begin(), tau.shape().end() - 1, x.shape().begin()),
          kOp, ": tau of shape ", tau.shape(), " does not fit x of shape ", x.shape());
  const int64_t k = tau.shape().back();
  const Tensor eye = astype(equal(expand_dims(iota(m), 1), iota(n)), x.dtype());
  const Tensor v = strictly_lower(corner(x, m, k)) + corner(eye, m, k);
  const Tensor scale = expand_dims(tau, -1);
  const Tensor products = matmul(adjoint(v), v);
  const Tensor between = scale * (upper_triangle(products) - from_diagonal(diagonal(products, 0)));
  const Tensor right = scale * adjoint(corner(v, n, k));
  return eye - matmul(v, solve_triangular(between, right, true, true));
}

// clang-format off
const Family kLinalgLu("Linear algebra: factors", {
    {.name = "linalg.lu",
     .parameters = "x: Tensor, /",
     .doc = "x = P L U for matrices (..., M, N), with partial pivoting: P a permutation (..., M, M), "
            "L unit lower triangular (..., M, K) and U upper triangular (..., K, N), with K the "
            "smaller of M and N. The derivative is that of the same permutation, for a leading "
            "square part that is regular.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.lu", {a.tensor(0)}, [](const Tensors& xs) {
             check_matrix(xs[0], "linalg.lu");
             return lu(xs[0]);
           });
         },
     .samples = "square(3);;f(2, 4, 3);;f(2, 3, 5);;f(1, 1);;f(0, 3);;f(3, 0);;c(3, 3)",
     .reference = "reference.lu",
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true,
     .result = "LUResult: P, L, U"},
    {.name = "linalg.lu_factor",
     .parameters = "x: Tensor, /",
     .doc = "L and U of matrices (..., M, N) in one matrix, without the diagonal of L, which is "
            "ones, and the pivots (..., K) as int32: row i was exchanged with row pivots[i], one "
            "after the other, counted from 0 as in SciPy. For lu_solve.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.lu_factor", {a.tensor(0)}, [](const Tensors& xs) {
             check_matrix(xs[0], "linalg.lu_factor");
             return record_all(kLu, xs);
           });
         },
     .samples = "square(3);;f(2, 4, 3);;f(2, 3, 5);;c(3, 3);;f(0, 0)",
     .reference = "reference.lu_factor",
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true,
     .result = "LUFactorResult: LU, pivots"},
    {.name = "linalg.lu_solve",
     .parameters = "x1: Tensor, pivots: Tensor, x2: Tensor, /",
     .doc = "x with a x = x2, where x1 (..., N, N) and pivots (..., N) are what lu_factor gave for "
            "a. x2 is one vector (N,) if it is 1-d, else matrices (..., N, K); the batches "
            "broadcast. LinAlgError for a singular matrix, IndexError for pivots out of range.",
     .call =
         [](const Args& a) {
           const Tensor pivots = a.tensor(1);
           return by_lapack("linalg.lu_solve", {a.tensor(0), a.tensor(2)}, [&](const Tensors& xs) {
             return lu_solve(xs[0], pivots, xs[1]);
           });
         },
     .samples = "square(3), numpy.array([2, 1, 2]), f(3);;square(2, 3), numpy.array([0, 2, 2]), "
                "f(2, 3, 2);;square(3), numpy.array([[1, 1, 2], [0, 1, 2]]), f(3, 4);;"
                "c(2, 2), numpy.array([1, 1]), c(2, 1)",
     .reference = "reference.lu_solve",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.cholesky_solve",
     .parameters = "x1: Tensor, x2: Tensor, /, *, upper: bool = False",
     .doc = "x with a x = x2, where x1 (..., N, N) is the Cholesky factor of a: L with a = L L^H, or "
            "U with a = U^H U where upper. Only that triangle is read. x2 as in solve.",
     .call =
         [](const Args& args) {
           return by_lapack("linalg.cholesky_solve", {args.tensor(0), args.tensor(1)},
                            [&](const Tensors& xs) {
             const auto solution = [&](const Tensor& a, const Tensor& b, const Shape&) {
               return cholesky_solution(a, b, args.boolean(2));
             };
             return with_right_sides(xs[0], xs[1], "linalg.cholesky_solve", solution);
           });
         },
     .samples = "square(3), f(3);;square(2, 3), f(2, 3, 2), upper=True;;square(3), f(2, 3, 2);;"
                "c(3, 3), c(3)",
     .reference = "reference.cholesky_solve",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.cholesky_inverse",
     .parameters = "x: Tensor, /, *, upper: bool = False",
     .doc = "The inverses of matrices whose Cholesky factors are x (..., N, N), as in "
            "cholesky_solve.",
     .call =
         [](const Args& args) {
           return by_lapack("linalg.cholesky_inverse", {args.tensor(0)}, [&](const Tensors& xs) {
             const Tensor& x = xs[0];
             check_square(x, "linalg.cholesky_inverse");
             const Tensor eye = broadcast_to(identity(x.shape().back(), x.dtype()), x.shape());
             return Tensors{cholesky_solution(x, eye, args.boolean(1))};
           });
         },
     .samples = "square(3);;square(2, 3), upper=True;;square(0);;c(2, 2)",
     .reference = "lambda x, upper=False: reference.cholesky_solve(x, numpy.broadcast_to("
                  "numpy.eye(x.shape[-1], dtype=x.dtype), x.shape), upper)",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.householder_product",
     .parameters = "x: Tensor, tau: Tensor, /",
     .doc = "The first N columns of the product of reflections I - tau_i v_i v_i^H, where v_i is "
            "column i of x (..., M, N) with ones on the diagonal and zeros above: what LAPACK's "
            "geqrf leaves is made Q, as by orgqr. tau is (..., K) with K at most N.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.householder_product", {a.tensor(0), a.tensor(1)},
                            [](const Tensors& xs) {
             return Tensors{householder_product(xs[0], xs[1])};
           });
         },
     .samples = "f(4, 3), f(3);;f(2, 3, 3), f(2, 2);;f(3, 2), f(2) * 0;;f(3, 0), f(0);;c(3, 2), c(2)",
     .reference = "reference.householder_product",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
