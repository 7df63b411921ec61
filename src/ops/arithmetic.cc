// Arithmetic made of other operations.
#include <algorithm>

#include "ops/arrays.h"
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {

// log(exp(a) + exp(b)). Equal operands, infinities among them, differ by nothing, so that neither
// value nor slope becomes NaN.
Tensor logaddexp(const Tensor& x1, const Tensor& x2) {
  const DType dtype = float_dtype(common_dtype(x1, x2));
  const Tensor a = astype(x1, dtype), b = astype(x2, dtype);
  const Tensor apart = where(equal(a, b), constant(0), a - b);
  return maximum(a, b) + log1p(exp(-abs(apart)));
}

namespace {

Tensor positive(const Tensor& x) {
  if (x.dtype() == DType::bool_) fail(ErrorKind::type, "positive: not defined for bool");
  return x;
}

// Elements [begin, end) of an axis, none where that is no range.
Tensor part(const Tensor& x, size_t axis, int64_t begin, int64_t end) {
  return end > begin ? part_of(x, axis, begin, end) : part_of(x, axis, 0, 0);
}

Tensor diff(const Tensor& x, int64_t given, int64_t n, const Tensor& prepend,
            const Tensor& append) {
  require(n >= 0, "diff: n must not be negative, got ", n);
  const size_t axis = size_t(normalize_axis(given, x.rank(), "diff"));
  const auto widened = [&](const Tensor& end) {  // a 0-d one stands for a slice
    if (end.rank() > 0) return end;
    Shape shape = x.shape();
    shape[axis] = 1;
    return broadcast_to(end.node().weak_scalar ? astype(end, common_dtype(x, end)) : end, shape);
  };
  Tensors parts{x};
  if (prepend) parts.insert(parts.begin(), widened(prepend));
  if (append) parts.push_back(widened(append));
  Tensor result = parts.size() > 1 ? concat(parts, int64_t(axis)) : x;
  for (int64_t i = 0; i < n && result.shape()[axis] > 0; ++i) {
    const int64_t size = result.shape()[axis];
    const Tensor later = part(result, axis, 1, size), earlier = part(result, axis, 0, size - 1);
    result = result.dtype() == DType::bool_ ? not_equal(later, earlier) : later - earlier;
  }
  return result;
}

// clang-format off
const Family kArithmetic("Arithmetic", {
    {.name = "positive",
     .parameters = "x: Tensor",
     .doc = "+x: the same numbers. TypeError for bool.",
     .call = [](const Args& a) { return Tensors{positive(a.tensor(0))}; },
     .samples = "f(3, 4)",
     .reference = "numpy.positive",
     .differentiable = true},
    {.name = "logaddexp",
     .parameters = "x1: Tensor, x2: Tensor",
     .doc = "log(exp(x1) + exp(x2)), without overflow; integers become float32.",
     .call = [](const Args& a) { return Tensors{logaddexp(a.tensor(0), a.tensor(1))}; },
     .samples = "f(3, 4), f(4);;f(3), 2.5;;100 * f(5), 100 * f(5)",
     .reference = "numpy.logaddexp",
     .differentiable = true},
    {.name = "diff",
     .parameters = "x: Tensor, n: int = 1, axis: int = -1, prepend: Tensor? = None, "
                   "append: Tensor? = None",
     .doc = "The difference of each element and the one before it along axis, n times over; for "
            "bool whether they differ. prepend and append are joined to x along axis first.",
     .call =
         [](const Args& a) {
           return Tensors{diff(a.tensor(0), a.integer(2), a.integer(1), a.optional_tensor(3),
                               a.optional_tensor(4))};
         },
     .samples = "f(3, 4);;f(3, 4), 1, 0;;f(3, 5), n=2;;f(3, 4), prepend=f(3, 1), append=f(3, 2);;"
                "f(3, 2), n=4;;mask(7);;f(4), prepend=0.5",
     .reference = "numpy.diff",
     .differentiable = true},
});
// clang-format on

}  // namespace
}  // namespace tegula
