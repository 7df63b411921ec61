// The operations as C++ functions on tensors, for composites, derivatives and C++ programs. Each
// checks its arguments and records; nothing is computed until somebody looks.
#pragma once

#include <optional>
#include <string_view>

#include "graph/attrs.h"
#include "graph/generator.h"
#include "graph/primitive.h"
#include "graph/tensor.h"

namespace tegula {

// ---- elementwise.cc: operands broadcast and promote ------------------------------------------
Tensor negative(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor sign(const Tensor& x);
Tensor square(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor expm1(const Tensor& x);
Tensor log(const Tensor& x);
Tensor log1p(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor sinh(const Tensor& x);
Tensor cosh(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor round(const Tensor& x);
Tensor floor(const Tensor& x);
Tensor trunc(const Tensor& x);
Tensor tan(const Tensor& x);
Tensor exp2(const Tensor& x);
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor isfinite(const Tensor& x);
Tensor logical_not(const Tensor& x);
Tensor bitwise_invert(const Tensor& x);

Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);
Tensor floor_divide(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& a, const Tensor& b);
Tensor atan2(const Tensor& a, const Tensor& b);
Tensor hypot(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor bitwise_and(const Tensor& a, const Tensor& b);
Tensor bitwise_or(const Tensor& a, const Tensor& b);
Tensor bitwise_xor(const Tensor& a, const Tensor& b);
Tensor bitwise_left_shift(const Tensor& a, const Tensor& b);
Tensor bitwise_right_shift(const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor astype(const Tensor& x, DType dtype);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return subtract(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return multiply(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return divide(a, b); }
inline Tensor operator-(const Tensor& x) { return negative(x); }
// A weak constant: takes the dtype of the other operand.
inline Tensor constant(double value) { return scalar(value, DType::float32, true); }

// The dtype in which a and b meet; a Python number takes that of the tensor it meets.
DType common_dtype(const Tensor& a, const Tensor& b);
// The dtype of a result in floating point: of x if it is floating or complex, else float32.
DType float_dtype(DType dtype);

// ---- special.cc, numeric.cc ------------------------------------------------------------------
// A function of single elements with a kernel of its own, such as "lgamma", by the kernel's name.
Tensor special(std::string_view name, const Tensors& operands);
Tensor xlogy(const Tensor& x, const Tensor& y);    // x log y, 0 where x is 0 and y no NaN
Tensor xlog1py(const Tensor& x, const Tensor& y);  // x log(1 + y), likewise

// ---- complex.cc: a real x is its own real part and conjugate ---------------------------------
Tensor real(const Tensor& x);
Tensor imag(const Tensor& x);
Tensor conj(const Tensor& x);
Tensor complex(const Tensor& real, const Tensor& imag);

// ---- reduction.cc: axes may be negative; an empty list reduces nothing ---------------------
Tensor sum(const Tensor& x, const Dims& axes, bool keepdims, std::optional<DType> dtype = {});
Tensor prod(const Tensor& x, const Dims& axes, bool keepdims, std::optional<DType> dtype = {});
Tensor max(const Tensor& x, const Dims& axes, bool keepdims);
Tensor min(const Tensor& x, const Dims& axes, bool keepdims);
Tensor any(const Tensor& x, const Dims& axes, bool keepdims);
Tensor all(const Tensor& x, const Dims& axes, bool keepdims);
Tensor mean(const Tensor& x, const Dims& axes, bool keepdims);
Tensor var(const Tensor& x, const Dims& axes, double correction, bool keepdims);
Dims all_axes(const Tensor& x);
// Sums x over the axes along which `shape` was broadcast to x's shape.
Tensor reduce_to(const Tensor& x, const Shape& shape);

// ---- movement.cc ---------------------------------------------------------------------------
const Primitive& reshape_primitive();    // attrs: the new shape
const Primitive& slice_primitive();      // attrs: size and step of each axis; dynamic: starts
Tensor reshape(const Tensor& x, const Shape& shape);  // one size may be -1
Tensor permute_dims(const Tensor& x, const Dims& axes);
Tensor matrix_transpose(const Tensor& x);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor expand_dims(const Tensor& x, const Dims& axes);  // in the result
Tensor expand_dims(const Tensor& x, int64_t axis);
Tensor squeeze(const Tensor& x, const Dims& axes);
// Element i of result axis k is element starts[k] + i * steps[k] of x's; all must be inside.
Tensor slice(const Tensor& x, const Dims& starts, const Dims& sizes, const Dims& steps);
// x's elements [begin, end) of an axis.
Tensor part_of(const Tensor& x, size_t axis, int64_t begin, int64_t end);
// x with x[start + i * step] = v[i]; v has x's rank and dtype.
Tensor slice_update(const Tensor& x, const Tensor& v, const Dims& starts, const Dims& steps);
Tensor flip(const Tensor& x, const Dims& axes);
Tensor concat(const Tensors& xs, int64_t axis);
Tensor stack(const Tensors& xs, int64_t axis);
Tensor pad(const Tensor& x, const Dims& before, const Dims& after, const Tensor& value);

// ---- creation.cc ---------------------------------------------------------------------------
Tensor full(const Shape& shape, const Tensor& value);  // value: 0-d
Tensor zeros(const Shape& shape, DType dtype);
Tensor ones(const Shape& shape, DType dtype);
Tensor iota(int64_t count);  // int64 0, 1, ..., count - 1

// ---- contraction.cc ------------------------------------------------------------------------
Tensor matmul(const Tensor& a, const Tensor& b);
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);  // bias may be empty

// ---- moments.cc ----------------------------------------------------------------------------
Tensors moments(const Tensor& x, const Dims& axes);  // mean and variance, axes kept as size 1

// ---- attention.cc --------------------------------------------------------------------------
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& mask, bool is_causal, double scale);

// ---- indexing.cc ---------------------------------------------------------------------------
// Python indexing, one item per subscript, already parsed by the front end.
struct IndexItem {
  enum Kind : uint8_t { integer, slice, new_axis, ellipsis, array } kind;
  // integer: start. slice: start/stop/step as Python has them, with the flags telling which
  // were given.
  int64_t start = 0, stop = 0, step = 1;
  bool has_start = false, has_stop = false;
  Tensor array_value;  // integer or boolean tensor
};
Tensor index(const Tensor& x, std::span<const IndexItem> items);
// x with x[items] = v (v broadcasts to the selection and is cast to x's dtype).
Tensor index_update(const Tensor& x, std::span<const IndexItem> items, const Tensor& v);
Tensor take(const Tensor& x, const Tensor& indices, int64_t axis);
Tensor take_along_axis(const Tensor& x, const Tensor& indices, int64_t axis);
Tensor scatter(const Tensor& x, const Tensor& indices, const Tensor& source, int64_t axis,
               ScatterMode mode);
Tensor scatter_along_axis(const Tensor& x, const Tensor& indices, const Tensor& source,
                          int64_t axis, ScatterMode mode);
Tensors nonzero(const Tensor& x);  // evaluates x

// ---- counting.cc ---------------------------------------------------------------------------
// Where elements of x2 belong in x1, which is 1-d and in order: before equal ones, or after them.
Tensor searchsorted(const Tensor& x1, const Tensor& x2, bool right);

// ---- sorting.cc ----------------------------------------------------------------------------
Tensors sort_with_indices(const Tensor& x, int64_t axis, bool descending);
Tensor cumulative(const Tensor& x, int64_t axis, CumulativeMode mode);
Tensor arg_reduce(const Tensor& x, std::optional<int64_t> axis, ArgMode mode, bool keepdims);

// ---- random.cc -----------------------------------------------------------------------------
Tensor random_tensor(Generator& generator, RandomKind kind, const Shape& shape, DType dtype);
// The same numbers drawn once more, where x is known to be drawn by this thread's trace, or by none
// where there is none; else x itself.
Tensor drawn_again(const Tensor& x);

// ---- neural.cc: composites -----------------------------------------------------------------
Tensor widened(const Tensor& x);  // in at least float32
Tensor relu(const Tensor& x);
Tensor softmax(const Tensor& x, int64_t axis);
Tensor log_softmax(const Tensor& x, int64_t axis);
Tensor logsumexp(const Tensor& x, const Dims& axes, bool keepdims);

// ---- optimizer.cc --------------------------------------------------------------------------
// One node over all parameters; outputs as the step kinds of src/backend/cpu/optimizer.cc.
Tensors sgd_update(const Tensors& hyper, const Tensors& params, const Tensors& grads,
                   const Tensors& velocities, int64_t flags);
Tensors adam_update(const Tensors& hyper, const Tensors& params, const Tensors& grads,
                    const Tensors& m, const Tensors& v, int64_t flags);

}  // namespace tegula
