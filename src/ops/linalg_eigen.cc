// tegula.linalg: eigenvalues and eigenvectors.
#include "ops/linalg.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

// ---- symmetric matrices ------------------------------------------------------------------------
void infer_eigenvalues(const InferContext& c, OutputSpecs& out) {
  out.push_back({real_dtype(c.dtype(0)), extended(batch_of(c.shape(0)), {c.shape(0).back()})});
}

// (x + x^H) / 2 -> its eigenvalues in ascending order and its eigenvectors.
const Primitive kEigh = {
    .name = "eigh",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          infer_eigenvalues(c, out);
          out.push_back({c.dtype(0), c.shape(0)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor w = c.output(0), v = c.output(1), &gw = c.grad(0), &gv = c.grad(1);
          const Tensor vh = adjoint(v);
          Tensor inner = gw ? from_diagonal(gw) : Tensor();
          if (gv) {
            const Tensor part = matmul(vh, gv) * reciprocal_differences(w);
            inner = inner ? inner + part : part;
          }
          c.give(0, hermitian_part(matmul(matmul(v, inner), vh)));
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
    .can_fail = true,
};

const Primitive kEigvalsh = {
    .name = "eigvalsh",
    .kind = Kind::opaque,
    .infer = infer_eigenvalues,
    .vjp =
        [](VjpContext& c) {
          const Tensor x = c.input(0);
          const Tensor v = record_all(kEigh, std::span(&x, 1))[1];
          c.give(0, matmul(columns_times(v, c.grad()), adjoint(v)));
        },
    .uses = {kX},
    .batch = batch_in_place,
    .can_fail = true,
};

// ---- any square matrices -----------------------------------------------------------------------
void infer_complex_eigenvalues(const InferContext& c, OutputSpecs& out) {
  const int64_t n = c.shape(0).back();
  out.push_back({complex_dtype(c.dtype(0)), extended(batch_of(c.shape(0)), {n})});
}

// Gives what flows from eigenvalues, times inner where there is more, to x = v diag(w) v^-1.
void give_eigen_gradient(VjpContext& c, const Tensor& v, const Tensor& inner) {
  const Tensor vh = adjoint(v);
  const Tensor g = solve(vh, matmul(inner, vh));
  c.give(0, is_complex(c.input_dtype(0)) ? g : real(g));
}

// x -> its eigenvalues and its eigenvectors, of length 1. Boeddeker et al. 2017, "On the
// computation of complex-valued gradients", arXiv:1701.00392, (4.77).
const Primitive kEig = {
    .name = "eig",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          infer_complex_eigenvalues(c, out);
          out.push_back({out[0].dtype, c.shape(0)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor w = c.output(0), v = c.output(1), &gw = c.grad(0), &gv = c.grad(1);
          Tensor inner = gw ? from_diagonal(gw) : Tensor();
          if (gv) {
            const Tensor vh = adjoint(v), part = matmul(vh, gv);
            const Tensor lengths = real(diagonal(part, 0));
            const Tensor across = part - columns_times(matmul(vh, v), lengths);
            const Tensor between = across * conj(reciprocal_differences(w));
            inner = inner ? inner + between : between;
          }
          give_eigen_gradient(c, v, inner);
        },
    .uses = {kUsesOutput},
    .batch = batch_in_place,
    .can_fail = true,
};

const Primitive kEigvals = {
    .name = "eigvals",
    .kind = Kind::opaque,
    .infer = infer_complex_eigenvalues,
    .vjp =
        [](VjpContext& c) {
          const Tensor x = c.input(0);
          give_eigen_gradient(c, record_all(kEig, std::span(&x, 1))[1], from_diagonal(c.grad()));
        },
    .uses = {kX},
    .batch = batch_in_place,
    .can_fail = true,
};

// clang-format off
const Family kLinalgEigen("Linear algebra: eigenvalues", {
    {.name = "linalg.eigh",
     .parameters = "x: Tensor, /",
     .doc = "The eigenvalues (..., N), in ascending order, and eigenvectors (..., N, N), as "
            "columns, of symmetric matrices (..., N, N); of (x + x^H) / 2, to be exact. The "
            "derivative is right for functions that do not depend on the vectors' signs, nor, "
            "where eigenvalues are equal, on which of their vectors were chosen. LinAlgError for "
            "NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.eigh", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.eigh");
             return record_all(kEigh, xs);
           });
         },
     .samples = "spd(3);;spd(2, 4);;spd(1);;spd(0);;spd(0, 2)",
     .reference = "numpy.linalg.eigh",
     .differentiable = true,
     .tolerance = 2e-5,
     .returns_tuple = true,
     .result = "EighResult: eigenvalues, eigenvectors"},
    {.name = "linalg.eigvalsh",
     .parameters = "x: Tensor, /",
     .doc = "The eigenvalues (..., N) of symmetric matrices (..., N, N), in ascending order; of "
            "(x + x^H) / 2, to be exact. LinAlgError for NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.eigvalsh", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.eigvalsh");
             return record_all(kEigvalsh, xs);
           });
         },
     .samples = "spd(3);;spd(2, 4);;spd(0);;spd(0, 2);;hpd(2, 3)",
     .reference = "numpy.linalg.eigvalsh",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "linalg.eig",
     .parameters = "x: Tensor, /",
     .doc = "The eigenvalues (..., N), in no order, and eigenvectors (..., N, N), as columns of "
            "length 1, of matrices (..., N, N); always complex. The derivative is for different "
            "eigenvalues, and right for functions that do not depend on the vectors' phases. "
            "LinAlgError for NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.eig", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.eig");
             return record_all(kEig, xs);
           });
         },
     .samples = "square(3);;c(2, 3, 3);;square(0)",
     .reference = "reference.eig",
     .tolerance = 1e-5,
     .returns_tuple = true,
     .result = "EigResult: eigenvalues, eigenvectors"},
    {.name = "linalg.eigvals",
     .parameters = "x: Tensor, /",
     .doc = "The eigenvalues (..., N), in no order, of matrices (..., N, N); always complex. The "
            "derivative is for different ones. LinAlgError for NaN and infinity.",
     .call =
         [](const Args& a) {
           return by_lapack("linalg.eigvals", {a.tensor(0)}, [](const Tensors& xs) {
             check_square(xs[0], "linalg.eigvals");
             return Tensors{record(kEigvals, {xs[0]})};
           });
         },
     .samples = "square(3);;c(2, 3, 3);;square(0)",
     .reference = "reference.eigvals",
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace
}  // namespace tegula
