// What the files of tegula.linalg share. Matrices are the last two axes; those before are a batch.
#pragma once

#include <string>

#include "ops/batching.h"
#include "ops/op.h"
#include "ops/ops.h"
#include "runtime/lapack.h"

namespace tegula {

inline Shape batch_of(const Shape& shape) { return Shape(shape.begin(), shape.end() - 2); }
inline Shape extended(Shape shape, std::initializer_list<int64_t> sizes) {
  for (const int64_t size : sizes) shape.push_back(size);
  return shape;
}

// ---- linalg_products.cc ------------------------------------------------------------------------
Tensor diagonal(const Tensor& x, int64_t offset, const char* op = "linalg.diagonal");
// (..., K) -> (..., K, K) with x on the diagonal.
Tensor from_diagonal(const Tensor& x);
Tensor identity(int64_t n, DType dtype);
Tensor lower_triangle(const Tensor& x);  // with the diagonal
Tensor upper_triangle(const Tensor& x);
inline Tensor adjoint(const Tensor& x) { return conj(matrix_transpose(x)); }
// (x + x^H) / 2
inline Tensor hermitian_part(const Tensor& x) { return (x + adjoint(x)) * constant(0.5); }
// The columns of x, each times its factor.
inline Tensor columns_times(const Tensor& x, const Tensor& factors) {
  return x * expand_dims(factors, -2);
}
// 1 / x, and 0 where x is 0.
Tensor reciprocal_or_zero(const Tensor& x);
// 1 / (x_j - x_i) in row i and column j, and 0 where they are equal: what such pairs add depends on
// which of their vectors were chosen, and is nothing for a function that does not.
Tensor reciprocal_differences(const Tensor& x);
// |x|^2, real.
Tensor squared_size(const Tensor& x);
// x without rows and columns past the first ones.
Tensor corner(const Tensor& x, int64_t rows, int64_t columns);

// ---- linalg_checks.cc --------------------------------------------------------------------------
// Throw for what is no matrix, or no square one; `argument` is its name.
void check_matrix(const Tensor& x, const char* op, const char* argument = "x");
void check_square(const Tensor& x, const char* op, const char* argument = "x");
// Throws TypeError unless the dtype is a floating or complex one.
void check_inexact(const Tensor& x, const char* op, const char* argument = "x");
// The batch that a's and b's matrices broadcast to, and x with it.
Shape batch_shape(const Tensor& a, const Tensor& b, const char* op);
Tensor with_batch(const Tensor& x, const Shape& batch);

// f of tensors in one dtype that LAPACK has: 16-bit floats are computed in float32 and rounded.
template <class F>
Tensors by_lapack(const char* op, Tensors xs, F&& f) {
  require_lapack(op);
  DType dtype = xs[0].dtype();
  for (const Tensor& x : xs) {
    check_inexact(x, op);
    dtype = promote(dtype, x.dtype());
  }
  const bool narrow = itemsize(dtype) == 2;
  for (Tensor& x : xs) x = astype(x, narrow ? DType::float32 : dtype);
  Tensors results = f(xs);
  for (Tensor& y : results)
    if (narrow && is_floating(y.dtype())) y = astype(y, dtype);
  return results;
}

// ---- linalg_norms.cc ---------------------------------------------------------------------------
// The norm of floating or complex x over axes, which are in order and not negative.
Tensor vector_norm(const Tensor& x, const Dims& axes, bool keepdims, double order);

// ---- linalg_solve.cc ---------------------------------------------------------------------------
Tensor inv(const Tensor& x);
// Batches of a and b are equal; b is a stack of matrices.
Tensor solve(const Tensor& a, const Tensor& b);
Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool unit_diagonal = false);

// ---- linalg_singular.cc ------------------------------------------------------------------------
Tensor svdvals(const Tensor& x);
Tensor pinv(const Tensor& x, const Tensor& rtol);  // rtol (..., 1, 1)

}  // namespace tegula
