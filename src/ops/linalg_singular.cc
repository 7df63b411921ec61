// tegula.linalg: QR, singular values, and what is made with them.
#include <algorithm>
#include <limits>

#include "ops/linalg.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

// ---- QR ----------------------------------------------------------------------------------------
// The gradient of x = q r, with r square, from those of q and r, of which one may be empty.
// Walter and Lehmann 2010, "Algorithmic differentiation of linear algebra functions",
// arXiv:1001.1654.
Tensor qr_vjp(const Tensor& q, const Tensor& r, const Tensor& gq, const Tensor& gr) {
  Tensor difference = gr ? matmul(gr, adjoint(r)) : Tensor();
  if (gq) {
    const Tensor part = matmul(adjoint(q), gq);
    difference = difference ? difference - part : -part;
  }
  const Tensor upper = upper_triangle(difference);
  const Tensor both = upper + adjoint(upper);
  const Tensor symmetric = both - from_diagonal(diagonal(both, 0)) * constant(0.5);
  const Tensor inner = matmul(q, symmetric);
  return adjoint(solve_triangular(r, adjoint(gq ? gq + inner : inner), true));
}

// x (..., M, N) -> q (..., M, K), r (..., K, N), where K is the smaller of M and N, or M with
// attribute 1.
const Primitive kQr = {
    .name = "qr",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape batch = batch_of(c.shape(0));
          const int64_t m = c.shape(0).end()[-2], n = c.shape(0).back();
          const int64_t k = c.attrs[0] ? m : std::min(m, n);
          out.push_back({c.dtype(0), extended(batch, {m, k})});
          out.push_back({c.dtype(0), extended(batch, {k, n})});
        },
    .vjp =
        [](VjpContext& c) {
          const Shape& shape = c.input_shape(0);
          const int64_t m = shape.end()[-2], n = shape.back(), k = std::min(m, n);
          const Tensor q = corner(c.output(0), m, k);
          Tensor gq = c.grad(0), gr = c.grad(1);
          if (c.attrs()[0] && m > n) {
            if (gq)
              fail(ErrorKind::unsupported, "linalg.qr: for more rows than columns the complete q ",
                   "has no derivative; use mode='reduced'");
            gr = corner(gr, n, n);
          }
          if (m >= n) return c.give(0, qr_vjp(q, corner(c.output(1), n, n), gq, gr));
          const auto right = [&](const Tensor& x) { return part_of(x, x.rank() - 1, m, n); };
          const Tensor r = c.output(1);
          Tensor rest;
          if (gr) {  // the columns past the square part are q times those of r
            rest = matmul(q, right(gr));
            const Tensor part = matmul(matmul(q, right(r)), adjoint(right(gr)));
            gq = gq ? gq + part : part;
            gr = corner(gr, m, m);
          } else {
            Shape sizes = shape;
            sizes.back() = n - m;
            rest = zeros(sizes, c.input_dtype(0));
          }
          c.give(0, concat({qr_vjp(q, corner(r, m, m), gq, gr), rest}, -1));
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
};

// ---- singular values ---------------------------------------------------------------------------
void infer_singular_values(const InferContext& c, OutputSpecs& out) {
  const int64_t k = std::min(c.shape(0).end()[-2], c.shape(0).back());
  out.push_back({real_dtype(c.dtype(0)), extended(batch_of(c.shape(0)), {k})});
}

// x (..., M, N) -> u, s, vh; the attribute is a SvdMode.
const Primitive kSvd = {
    .name = "svd",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape batch = batch_of(c.shape(0));
          const int64_t m = c.shape(0).end()[-2], n = c.shape(0).back(), k = std::min(m, n);
          const bool full = c.attrs[0] == kSvdFull;
          out.push_back({c.dtype(0), extended(batch, {m, full ? m : k})});
          infer_singular_values(c, out);
          out.push_back({c.dtype(0), extended(batch, {full ? n : k, n})});
        },
    .vjp =
        [](VjpContext& c) {
          const int64_t m = c.input_shape(0).end()[-2], n = c.input_shape(0).back(),
                        k = std::min(m, n);
          const Tensor &gu = c.grad(0), &gs = c.grad(1), &gvh = c.grad(2);
          if (k == 0) return c.give(0, zeros(c.input_shape(0), c.input_dtype(0)));
          if (c.attrs()[0] == kSvdFull && m != n && (m > n ? gu : gvh))
            fail(ErrorKind::unsupported, "linalg.svd: the singular vectors past the first ", k,
                 " have no derivative; use full_matrices=False");
          const Tensor u = corner(c.output(0), m, k), vh = corner(c.output(2), k, n);
          const Tensor s = c.output(1), one_over_s = reciprocal_or_zero(s);
          const Tensor across = reciprocal_differences(square(s));
          Tensor inner = gs ? from_diagonal(gs) : zeros(extended(s.shape(), {k}), s.dtype());
          if (gu) {
            const Tensor part = matmul(adjoint(u), gu);
            const Tensor skew = part - adjoint(part);
            inner = inner + columns_times(skew * across, s);
            if (is_complex(skew.dtype()))  // turned vectors of U, and of V the other way
              inner = inner + from_diagonal(diagonal(skew, 0) * one_over_s * constant(0.5));
          }
          if (gvh) {
            const Tensor part = matmul(vh, adjoint(gvh));
            inner = inner + expand_dims(s, -1) * ((part - adjoint(part)) * across);
          }
          Tensor g = matmul(matmul(u, inner), vh);
          if (gu && m > k) {
            const Tensor outside = gu - matmul(u, matmul(adjoint(u), gu));
            g = g + matmul(columns_times(outside, one_over_s), vh);
          }
          if (gvh && n > k) {
            const Tensor outside = gvh - matmul(matmul(gvh, adjoint(vh)), vh);
            g = g + matmul(columns_times(u, one_over_s), outside);
          }
          c.give(0, g);
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
    .can_fail = true,
};

Tensors svd(const Tensor& x, SvdMode mode) {
  return record_all(kSvd, std::span(&x, 1), {int64_t(mode)});
}

const Primitive kSvdvals = {
    .name = "svdvals",
    .kind = Kind::opaque,
    .infer = infer_singular_values,
    .vjp =
        [](VjpContext& c) {
          const Tensors parts = svd(c.input(0), kSvdReduced);
          c.give(0, matmul(columns_times(parts[0], c.grad()), parts[2]));
        },
    .uses = {kX},
    .batch = batch_in_place,
    .can_fail = true,
};

// x (..., M, N), and the part of the largest singular value that counts as 0, (..., 1, 1) -> the
// pseudo-inverse (..., N, M). Golub and Pereyra 1973, "The differentiation of pseudo-inverses",
// SIAM J. Numer. Anal. 10(2), (4.12).
const Primitive kPinv = {
    .name = "pinv",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const int64_t m = c.shape(0).end()[-2], n = c.shape(0).back();
          out.push_back({c.dtype(0), extended(batch_of(c.shape(0)), {n, m})});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor a = c.input(0), p = c.output(), ph = adjoint(p), gh = adjoint(c.grad());
          Tensor g = -matmul(matmul(ph, c.grad()), ph);
          const Tensor left = matmul(gh, matmul(p, ph)), right = matmul(matmul(ph, p), gh);
          g = g + (left - matmul(a, matmul(p, left))) + (right - matmul(matmul(right, p), a));
          c.give(0, g);
        },
    .uses = {kX | kUsesOutput, kUsesNothing},
    .batch = batch_in_place,
    .can_fail = true,
};

// A tolerance of the caller's, or rounding errors' size, as (..., 1, 1).
Tensor tolerance(const Tensor& given, const Tensor& x) {
  const DType dtype = real_dtype(x.dtype());
  if (given) return expand_dims(expand_dims(astype(given, dtype), -1), -1);
  const double eps = dtype == DType::float64 ? std::numeric_limits<double>::epsilon()
                                             : std::numeric_limits<float>::epsilon();
  const double size = double(std::max(x.shape()[x.rank() - 2], x.shape().back()));
  return full({1, 1}, scalar(size * eps, dtype));
}

Tensor matrix_rank(const Tensor& x, const Tensor& rtol) {
  const Tensor s = svdvals(x);
  if (s.shape().back() == 0) return zeros(batch_of(x.shape()), DType::int64);
  const Tensor least = max(s, {-1}, true) * squeeze(tolerance(rtol, x), {-1});
  return sum(astype(greater(s, least), DType::int64), {-1}, false);
}

Tensors lstsq(const Tensor& a, const Tensor& given, const Tensor& rtol) {
  constexpr const char* op = "linalg.lstsq";
  check_matrix(a, op, "x1");
  const bool vector = given.rank() == 1;
  require(given.rank() > 0, op, ": x2 must have at least 1 dimension");
  const Tensor b = vector ? expand_dims(given, -1) : given;
  require(a.shape()[a.rank() - 2] == b.shape()[b.rank() - 2], op, ": x1 of shape ", a.shape(),
          " and x2 of shape ", given.shape(), " differ in their number of rows");
  const Tensor x = matmul(pinv(a, tolerance(rtol, a)), b);
  const Tensor residuals = sum(squared_size(matmul(a, x) - b), {-2}, false);
  return {vector ? squeeze(x, {-1}) : x, vector ? squeeze(residuals, {-1}) : residuals,
          matrix_rank(a, rtol), svdvals(a)};
}

// clang-format off
const Family kLinalgSingular("Linear algebra: orthogonal factors", {
    {.name = "linalg.qr",
     .parameters = "x: Tensor, /, *, mode: str = 'reduced'",
     .doc = "x = q r for matrices (..., M, N): q with orthonormal columns, r upper triangular. q "
            "is (..., M, K) and r (..., K, N) with K the smaller of M and N, or M with "
            "mode='complete'. Derivative: Walter and Lehmann 2010, arXiv:1001.1654, for full rank "
            "(of the first M columns where there are more).",
     .call =
         [](const Args& a) {
           const std::string& mode = a.text(1);
           require(mode == "reduced" || mode == "complete", "linalg.qr: mode must be 'reduced' or "
                   "'complete', got '", mode, "'");
           return by_lapack("linalg.qr", {a.tensor(0)}, [&](const Tensors& xs) {
             check_matrix(xs[0], "linalg.qr");
             return record_all(kQr, xs, {int64_t(mode == "complete")});
           });
         },
     .samples = "f(4, 3);;f(2, 3, 4);;f(3, 3);;f(3, 3), mode='complete';;"
                "f(2, 4), mode='complete';;f(3, 0);;f(0, 3);;c(4, 3);;c(2, 2, 3)",
     .reference = "lambda x, mode='reduced': numpy.linalg.qr(x, mode)",
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true,
     .result = "QRResult: Q, R"},
    {.name = "linalg.svd",
     .parameters = "x: Tensor, /, *, full_matrices: bool = True",
     .doc = "x = U diag(S) Vh for matrices (..., M, N): S (..., K) in descending order, K the "
            "smaller of M and N, U (..., M, M) and Vh (..., N, N), or with full_matrices=False "
            "(..., M, K) and (..., K, N). The derivative, which vectors past the first K have "
            "none of, is right for functions that do not depend on the vectors' signs, nor, where "
            "singular values are equal, on which of their vectors were chosen. LinAlgError for "
            "NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.svd", {a.tensor(0)}, [&](const Tensors& xs) {
             check_matrix(xs[0], "linalg.svd");
             return svd(xs[0], a.boolean(1) ? kSvdFull : kSvdReduced);
           });
         },
     .samples = "f(4, 3), full_matrices=False;;f(2, 3, 4), full_matrices=False;;f(3, 3);;f(0, 2);;"
                "f(2, 3, 0);;f(0, 3), full_matrices=False",
     .reference = "numpy.linalg.svd",
     .differentiable = true,
     .tolerance = 2e-5,
     .returns_tuple = true,
     .result = "SVDResult: U, S, Vh"},
    {.name = "linalg.svdvals",
     .parameters = "x: Tensor, /",
     .doc = "The singular values (..., K) of matrices (..., M, N) in descending order, K the "
            "smaller of M and N. LinAlgError for NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.svdvals", {a.tensor(0)}, [](const Tensors& xs) {
             check_matrix(xs[0], "linalg.svdvals");
             return Tensors{svdvals(xs[0])};
           });
         },
     .samples = "f(4, 3);;f(2, 3, 4);;f(3, 0);;c(3, 2)",
     .reference = "numpy.linalg.svdvals",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.pinv",
     .parameters = "x: Tensor, /, *, rtol: Tensor? = None",
     .doc = "The pseudo-inverses (..., N, M) of matrices (..., M, N). Singular values that are at "
            "most rtol (...) times the largest count as 0; None is the larger of M and N times "
            "the dtype's eps. Derivative: Golub and Pereyra 1973, for a rank that stays.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.pinv", {a.tensor(0)}, [&](const Tensors& xs) {
             check_matrix(xs[0], "linalg.pinv");
             return Tensors{pinv(xs[0], tolerance(a.optional_tensor(1), xs[0]))};
           });
         },
     .samples = "f(4, 3);;f(2, 3, 4);;f(3, 3), rtol=0.01;;f(0, 3);;f(4, 0);;c(4, 3);;c(2, 2, 3)",
     .reference = "lambda x, rtol=None: numpy.linalg.pinv(x, rtol=rtol)",
     .differentiable = true,
     .tolerance = 2e-5},
    {.name = "linalg.matrix_rank",
     .parameters = "x: Tensor, /, *, rtol: Tensor? = None",
     .doc = "How many singular values of matrices (..., M, N) are above rtol (...) times the "
            "largest, int64; None is the larger of M and N times the dtype's eps.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.matrix_rank", {a.tensor(0)}, [&](const Tensors& xs) {
             check_matrix(xs[0], "linalg.matrix_rank");
             return Tensors{matrix_rank(xs[0], a.optional_tensor(1))};
           });
         },
     .samples = "f(4, 3);;f(2, 3, 1) * f(2, 1, 4);;f(3, 3), rtol=2.0;;f(0, 3);;c(3, 4)",
     .reference = "lambda x, rtol=None: numpy.linalg.matrix_rank(x, rtol=rtol)"},
    {.name = "linalg.lstsq",
     .parameters = "x1: Tensor, x2: Tensor, /, *, rcond: Tensor? = None",
     .doc = "The x of least norm for which the norm of x1 x - x2 is least, of matrices x1 (..., M, "
            "N) and x2 (..., M, K), or one vector (M,); and the squares of those norms (..., K), "
            "the rank of x1 and its singular values. rcond as rtol of pinv.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.lstsq", {a.tensor(0), a.tensor(1)}, [&](const Tensors& xs) {
             return lstsq(xs[0], xs[1], a.optional_tensor(2));
           });
         },
     .samples = "f(5, 3), f(5, 2);;f(5, 3), f(5);;f(2, 4, 3), f(2, 4, 1);;f(0, 3), f(0, 2);;c(4, 3), f(4)",
     .reference = "reference.lstsq",
     .differentiable = true,
     .tolerance = 2e-5,
     .returns_tuple = true,
     .result = "LstsqResult: solution, residuals, rank, singular_values"},
});
// clang-format on

}  // namespace

Tensor svdvals(const Tensor& x) { return record(kSvdvals, {x}, {int64_t(kSvdValues)}); }

Tensor pinv(const Tensor& x, const Tensor& rtol) {
  return record(kPinv, {x, with_batch(rtol, batch_of(x.shape()))});
}

}  // namespace tegula
