// linear(a, x): h[t] = a[t] * h[t - 1] + x[t] along the last axis, h[-1] = 0; or from the end.
#include <tegula/custom_op.h>

#include <cstdint>

namespace {

int32_t shape(const tegula_call* call, tegula_result* results) {
  const tegula_tensor &a = call->inputs[0], &x = call->inputs[1];
  if (x.dtype != TEGULA_FLOAT32 && x.dtype != TEGULA_FLOAT64)
    return tegula_fail(call, TEGULA_TYPE_ERROR, "x must be float32 or float64");
  if (a.dtype != x.dtype)
    return tegula_fail(call, TEGULA_TYPE_ERROR, "a and x must have the same dtype");
  if (x.rank == 0) return tegula_fail(call, TEGULA_VALUE_ERROR, "x needs at least one axis");
  bool same = a.rank == x.rank;
  for (int32_t i = 0; same && i < x.rank; ++i) same = a.shape[i] == x.shape[i];
  if (!same)
    return tegula_fail(call, TEGULA_VALUE_ERROR,
                       "a and x must have the same shape; tg.broadcast_to gives it one");
  return tegula_like(&x, &results[0]);
}

// Where row number `row` begins: the other axes, counted row-major.
int64_t begin_of(const tegula_tensor& x, int64_t row) {
  int64_t offset = 0;
  for (int32_t axis = x.rank - 2; axis >= 0; --axis) {
    offset += row % x.shape[axis] * x.strides[axis];
    row /= x.shape[axis];
  }
  return offset;
}

template <class T>
int32_t run(const tegula_call* call) {
  const tegula_tensor &a = call->inputs[0], &x = call->inputs[1];
  const bool reverse = call->attributes[0].integer;
  const int64_t steps = x.shape[x.rank - 1], size = tegula_size(&x);
  if (size == 0) return 0;
  const int64_t rows = size / steps;
  const int64_t rows_a_piece = steps < 8192 ? 8192 / steps : 1;
  const int64_t pieces = (rows + rows_a_piece - 1) / rows_a_piece;
  return tegula_parallel_for(call, pieces, 2e-3 * double(size), [&](int64_t piece) {
    const int64_t end = (piece + 1) * rows_a_piece < rows ? (piece + 1) * rows_a_piece : rows;
    for (int64_t row = piece * rows_a_piece; row < end; ++row) {
      const T* from_a = static_cast<const T*>(a.data) + begin_of(a, row);
      const T* from_x = static_cast<const T*>(x.data) + begin_of(x, row);
      T* to = static_cast<T*>(call->outputs[0].data) + row * steps;
      T h = 0;
      for (int64_t i = 0; i < steps; ++i) {
        const int64_t t = reverse ? steps - 1 - i : i;
        h = from_a[t * a.strides[a.rank - 1]] * h + from_x[t * x.strides[x.rank - 1]];
        to[t] = h;
      }
    }
  });
}

int32_t kernel(const tegula_call* call) {
  return call->inputs[1].dtype == TEGULA_FLOAT32 ? run<float>(call) : run<double>(call);
}

const tegula_operation kOperations[] = {
    {"linear", "a: Tensor, x: Tensor, reverse: bool = False",
     "h[t] = a[t] * h[t - 1] + x[t] along the last axis, from the end if reverse.", 1, TEGULA_PURE,
     shape, kernel},
};

}  // namespace

TEGULA_CUSTOM_OPS("recurrence", kOperations)
