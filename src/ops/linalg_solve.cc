// tegula.linalg: Cholesky and LU factors and what is made with them, and the exponential.
#include <limits>

#include "ops/linalg.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

void infer_same(const InferContext& c, OutputSpecs& out) {
  out.push_back({c.dtype(0), c.shape(0)});
}

// The lower triangle with half its diagonal: what of L^-1 dA L^-H is L^-1 dL.
Tensor half_lower(const Tensor& x) {
  return lower_triangle(x) - from_diagonal(diagonal(x, 0)) * constant(0.5);
}

// x -> L, or L^H when the attribute says upper, with (x + x^H) / 2 = L L^H. Murray 2016,
// "Differentiation of the Cholesky decomposition", arXiv:1602.07527.
const Primitive kCholesky = {
    .name = "cholesky",
    .kind = Kind::opaque,
    .infer = infer_same,
    .vjp =
        [](VjpContext& c) {
          const bool upper = c.attrs()[0];
          const Tensor l = upper ? adjoint(c.output()) : c.output();
          const Tensor g = upper ? adjoint(c.grad()) : c.grad();
          const Tensor lh = adjoint(l);
          const Tensor half = solve_triangular(lh, half_lower(matmul(lh, g)), true);
          const Tensor whole = adjoint(solve_triangular(lh, adjoint(half), true));
          c.give(0, hermitian_part(whole));
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
    .can_fail = true,
};

Tensor determinant(const Tensor& x);

// The inverse times the determinant; singular matrices have one too.
const Primitive kAdjugate = {
    .name = "adjugate",
    .kind = Kind::opaque,
    .infer = infer_same,
    .batch = batch_in_place,
    .expand =
        [](std::span<const Tensor> inputs, std::span<const int64_t>) {
          const Tensor size = expand_dims(expand_dims(determinant(inputs[0]), -1), -1);
          return Tensors{inv(inputs[0]) * size};
        },
};

// x (..., N, N) -> its determinant (...), or with attribute 1 its sign and the logarithm of its
// absolute value.
const Primitive kDeterminant = {
    .name = "determinant",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape& x = c.shape(0);
          const Shape batch(x.begin(), x.end() - 2);
          out.push_back({c.dtype(0), batch});
          if (c.attrs[0]) out.push_back({real_dtype(c.dtype(0)), batch});
        },
    .vjp =
        [](VjpContext& c) {
          const bool logarithm = c.attrs()[0];
          Tensor g = c.grad(logarithm);
          if (logarithm && c.grad() && is_complex(c.input_dtype(0))) {  // the sign turns
            const Tensor turn = imag(c.grad() * conj(c.output()));
            g = complex(g ? g : zeros(turn.shape(), turn.dtype()), turn);
          }
          if (!g) return;  // of a real sign, which is constant
          g = expand_dims(expand_dims(g, -1), -1);
          const Tensor x = c.input(0);
          c.give(0, g * adjoint(logarithm ? inv(x) : record(kAdjugate, {x})));
        },
    .uses = {kX | kUsesOutput},
    .batch = batch_in_place,
};

Tensor determinant(const Tensor& x) { return record(kDeterminant, {x}, {0}); }

const Primitive kInverse = {
    .name = "inv",
    .kind = Kind::opaque,
    .infer = infer_same,
    .vjp =
        [](VjpContext& c) {
          const Tensor yh = adjoint(c.output());
          c.give(0, -matmul(matmul(yh, c.grad()), yh));
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
    .can_fail = true,
};

void infer_solution(const InferContext& c, OutputSpecs& out) {
  out.push_back({c.dtype(1), c.shape(1)});
}

// Many systems with one matrix are one system with the columns of all.
Tensors batch_solve(BatchContext& c) {
  if (c.has_batch(0) || c.rank(0) != 2) return batch_in_place(c);
  const Tensor b = permute_dims(c.input(1), {1, 0, 2});
  const int64_t n = b.shape()[0], width = b.shape()[2];
  const Tensor x = c.again(Tensors{c.input(0), reshape(b, {n, c.size() * width})})[0];
  return {permute_dims(reshape(x, {n, c.size(), width}), {1, 0, 2})};
}

// a (..., N, N), b (..., N, K) -> x with a x = b.
const Primitive kSolve = {
    .name = "solve",
    .kind = Kind::opaque,
    .infer = infer_solution,
    .vjp =
        [](VjpContext& c) {
          const Tensor g = solve(adjoint(c.input(0)), c.grad());
          c.give(1, g);
          if (c.needs(0)) c.give(0, -matmul(g, adjoint(c.output())));
        },
    .uses = {kX | kUsesOutput, kX},
    .batch = batch_solve,
    .can_fail = true,
};

// The same for a triangular matrix; attrs: TriangularAttrs.
const Primitive kSolveTriangular = {
    .name = "solve_triangular",
    .kind = Kind::opaque,
    .infer = infer_solution,
    .vjp =
        [](VjpContext& c) {
          const auto [upper, unit] = read_attrs<TriangularAttrs>(c.attrs());
          const Tensor g = solve_triangular(adjoint(c.input(0)), c.grad(), !upper, unit);
          c.give(1, g);
          if (!c.needs(0)) return;
          const Tensor whole = -matmul(g, adjoint(c.output()));
          const Tensor part = upper ? upper_triangle(whole) : lower_triangle(whole);
          c.give(0, unit ? part - from_diagonal(diagonal(part, 0)) : part);
        },
    .uses = {kX | kUsesOutput, kX},
    .batch = batch_solve,
    .can_fail = true,
};

Tensor expm(const Tensor& x);

// exp of [[a, e], [0, a]] holds, top right, the derivative of exp at a along e. Higham 2008,
// "Functions of Matrices", (3.16).
Tensor expm_along(const Tensor& a, const Tensor& e) {
  const int64_t n = a.shape().back();
  const Tensor above = concat({a, e}, -1);
  const Tensor below = concat({zeros(a.shape(), a.dtype()), a}, -1);
  const Tensor all = expm(concat({above, below}, -2));
  Dims starts(all.rank(), 0);
  starts.back() = n;
  return slice(all, starts, a.shape(), Dims(all.rank(), 1));
}

const Primitive kExpm = {
    .name = "expm",
    .kind = Kind::opaque,
    .infer = infer_same,
    .vjp = [](VjpContext& c) { c.give(0, expm_along(adjoint(c.input(0)), c.grad())); },
    .uses = {kX},
    .jvp = [](JvpContext& c) { c.give(0, expm_along(c.input(0), c.tangent(0))); },
    .batch = batch_in_place,
};

Tensor expm(const Tensor& x) { return record(kExpm, {x}); }

// b counts as a vector only where it is 1-d.
template <class F>
Tensors solved(const Args& args, const char* op, F&& solve_matrices) {
  return by_lapack(op, {args.tensor(0), args.tensor(1)}, [&](const Tensors& xs) {
    const Tensor& a = xs[0];
    check_square(a, op, "x1");
    const bool vector = xs[1].rank() == 1;
    require(xs[1].rank() > 0, op, ": x2 must have at least 1 dimension");
    const Tensor b = vector ? expand_dims(xs[1], -1) : xs[1];
    require(a.shape().back() == b.shape()[b.rank() - 2], op, ": x1 of shape ", a.shape(),
            " and x2 of shape ", xs[1].shape(), " differ in their number of rows");
    const Shape batch = batch_shape(a, b, op);
    const Tensor x = solve_matrices(with_batch(a, batch), with_batch(b, batch));
    return Tensors{vector ? squeeze(x, {-1}) : x};
  });
}

Tensor matrix_power(const Tensor& given, int64_t n) {
  check_square(given, "linalg.matrix_power");
  if (n == 0) return broadcast_to(identity(given.shape().back(), given.dtype()), given.shape());
  if (n == std::numeric_limits<int64_t>::min())  // it has no opposite
    fail(ErrorKind::value, "linalg.matrix_power: n ", n, " is out of range");
  Tensor square = given;
  if (n < 0) {
    square = by_lapack("linalg.matrix_power", {given},
                       [](const Tensors& xs) { return Tensors{inv(xs[0])}; })[0];
    n = -n;
  }
  Tensor result;
  while (true) {
    if (n & 1) result = result ? matmul(result, square) : square;
    n >>= 1;
    if (n == 0) return result;
    square = matmul(square, square);
  }
}

// clang-format off
const Family kLinalgSolve("Linear algebra: solving", {
    {.name = "linalg.cholesky",
     .parameters = "x: Tensor, /, *, upper: bool = False",
     .doc = "The lower triangular L with x = L L^H (upper: U with x = U^H U) of positive definite "
            "matrices (..., N, N). What is factored is (x + x^H) / 2, so derivatives are "
            "symmetric. LinAlgError naming the matrix that is not positive definite. Derivative: "
            "Murray 2016, arXiv:1602.07527.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.cholesky", {a.tensor(0)}, [&](const Tensors& xs) {
             check_square(xs[0], "linalg.cholesky");
             return Tensors{record(kCholesky, {xs[0]}, {int64_t(a.boolean(1))})};
           });
         },
     .samples = "spd(3);;spd(2, 4);;spd(3), upper=True;;spd(2, 0);;spd(0, 3);;hpd(2, 3);;"
                "hpd(3), upper=True",
     .reference = "numpy.linalg.cholesky",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.det",
     .parameters = "x: Tensor, /",
     .doc = "The determinants (...) of matrices (..., N, N).",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.det", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.det");
             return Tensors{determinant(xs[0])};
           });
         },
     .samples = "square(3);;square(2, 4);;square(1);;square(0);;square(0, 3);;c(2, 3, 3)",
     .reference = "numpy.linalg.det",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.slogdet",
     .parameters = "x: Tensor, /",
     .doc = "The signs of the determinants of matrices (..., N, N), and the logarithms of their "
            "absolute values: 0 and -infinity for a singular matrix.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.slogdet", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.slogdet");
             return record_all(kDeterminant, xs, {1});
           });
         },
     .samples = "square(3);;-square(2, 3);;square(0);;square(0, 3);;c(2, 3, 3)",
     .reference = "numpy.linalg.slogdet",
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true,
     .result = "SlogdetResult: sign, logabsdet"},
    {.name = "linalg.inv",
     .parameters = "x: Tensor, /",
     .doc = "The inverses of matrices (..., N, N). LinAlgError naming the matrix that is "
            "singular.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.inv", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.inv");
             return Tensors{inv(xs[0])};
           });
         },
     .samples = "square(3);;square(2, 4);;square(0);;square(0, 3);;c(2, 3, 3)",
     .reference = "numpy.linalg.inv",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.solve",
     .parameters = "x1: Tensor, x2: Tensor, /",
     .doc = "x with x1 x = x2 for matrices x1 (..., N, N). x2 is one vector (N,) if it is 1-d, "
            "else matrices (..., N, K); the batches broadcast. LinAlgError naming the matrix "
            "that is singular.",
     .call = [](const Args& a) { return solved(a, "linalg.solve", solve); },
     .samples = "square(3), f(3);;square(3), f(3, 2);;square(2, 3), f(2, 3, 1);;"
                "square(2, 3), f(3);;square(3), f(2, 3, 4);;square(0), f(0, 2);;square(3), f(3, 0);;"
                "c(3, 3), c(3);;square(2, 3), c(3, 2)",
     .reference = "lambda a, b: numpy.linalg.solve(a, b)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.solve_triangular",
     .parameters = "x1: Tensor, x2: Tensor, /, *, upper: bool = False, unit_diagonal: bool = False",
     .doc = "x with x1 x = x2 for lower (or upper) triangular x1 (..., N, N), of which only that "
            "triangle is read, with unit_diagonal without its diagonal, which counts as ones. x2 "
            "as in solve. LinAlgError for a zero on the diagonal.",
     .call =
         [](const Args& args) {
           return solved(args, "linalg.solve_triangular", [&](const Tensor& a, const Tensor& b) {
             return solve_triangular(a, b, args.boolean(2), args.boolean(3));
           });
         },
     .samples = "square(3), f(3);;square(2, 3), f(2, 3, 2), upper=True;;"
                "square(3), f(2, 3, 2), unit_diagonal=True;;square(0), f(0, 2);;"
                "c(3, 3), c(3, 2), upper=True",
     .reference = "reference.solve_triangular",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.matrix_power",
     .parameters = "x: Tensor, n: int, /",
     .doc = "Matrices (..., N, N) multiplied by themselves; the inverse's power for negative n.",
     .call = [](const Args& a) { return Tensors{matrix_power(a.tensor(0), a.integer(1))}; },
     .samples = "square(3), 3;;square(2, 3), -2;;f(3, 3), 0;;f(2, 2), 1;;f(0, 0), 2;;c(2, 2, 2), 2",
     .reference = "numpy.linalg.matrix_power",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.expm",
     .parameters = "x: Tensor, /",
     .doc = "The exponentials of matrices (..., N, N), by scaling and squaring: Higham 2005, SIAM "
            "J. Matrix Anal. Appl. 26(4). A matrix with NaN or infinity gives NaN.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.expm", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.expm");
             return Tensors{expm(xs[0])};
           });
         },
     .samples = "f(3, 3);;f(2, 4, 4) * 0.1;;f(3, 3) * 9;;f(2, 2) * 0.01;;f(0, 0);;c(3, 3)",
     .reference = "reference.expm",
     .differentiable = true,
     .tolerance = 2e-5},
});
// clang-format on

}  // namespace

Tensor inv(const Tensor& x) { return record(kInverse, {x}); }

Tensor solve(const Tensor& a, const Tensor& b) { return record(kSolve, {a, b}); }

Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool unit_diagonal) {
  return record(kSolveTriangular, {a, b}, write_attrs(TriangularAttrs{upper, unit_diagonal}));
}

}  // namespace tegula
