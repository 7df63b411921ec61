// Arguments of tegula.linalg.
#include "ops/linalg.h"

namespace tegula {

void check_matrix(const Tensor& x, const char* op, const char* argument) {
  require(x.rank() >= 2, op, ": ", argument, " must have at least 2 dimensions, got shape ",
          x.shape());
}

void check_square(const Tensor& x, const char* op, const char* argument) {
  check_matrix(x, op, argument);
  require(x.shape()[x.rank() - 2] == x.shape().back(), op, ": ", argument,
          " must be square matrices, got shape ", x.shape());
}

void check_inexact(const Tensor& x, const char* op, const char* argument) {
  if (!is_inexact(x.dtype()))
    fail(ErrorKind::type, op, ": ", argument, " must have a floating or complex dtype, got ",
         x.dtype(), "; use astype first");
}

Shape batch_shape(const Tensor& a, const Tensor& b, const char* op) {
  return broadcast_shapes(Shape(a.shape().begin(), a.shape().end() - 2),
                          Shape(b.shape().begin(), b.shape().end() - 2), op);
}

Tensor with_batch(const Tensor& x, const Shape& batch) {
  Shape shape = batch;
  shape.append(x.shape().end() - 2, x.shape().end());
  return broadcast_to(x, shape);
}

}  // namespace tegula
