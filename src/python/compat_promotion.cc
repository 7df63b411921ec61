// PyTorch's promotion of dtypes, done before an operation is called.
#include <array>

#include "graph/node.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"

namespace tegula::python {
namespace {

DType default_dtype = DType::float32;

// bool, integer, floating, complex.
int category(DType d) {
  if (d == DType::bool_) return 0;
  if (!is_inexact(d)) return 1;
  return is_complex(d) ? 3 : 2;
}

// Of two tensors of one rank: as the engine promotes, but integers do not widen a float.
DType joined(DType a, DType b) {
  const int ca = category(a), cb = category(b);
  if (ca == cb || ca == 3 || cb == 3) {
    if (ca < 2) return promote(b, a);
    if (cb < 2) return promote(a, b);
    return promote(a, b);
  }
  return ca > cb ? a : b;
}

// A Python number by itself.
DType number_dtype(DType d) {
  if (category(d) == 2) return default_dtype;
  return category(d) == 3 ? complex_dtype(default_dtype) : d;
}

struct Ranked {
  std::optional<DType> dtype;
  void add(DType d) { dtype = dtype ? joined(*dtype, d) : d; }
};

// The higher rank unless the lower one has a higher category.
std::optional<DType> over(std::optional<DType> high, std::optional<DType> low) {
  if (!high) return low;
  if (!low || category(*high) >= category(*low)) return high;
  return joined(*high, *low);
}

Tensor cast(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : astype(x, dtype); }

}  // namespace

Promotion promotion_named(const std::string& name) {
  if (name == "none") return Promotion::none;
  if (name == "common") return Promotion::common;
  if (name == "quotient") return Promotion::quotient;
  fail(ErrorKind::value, "no promotion is called ", name);
}

DType compat_result_type(std::span<const Tensor> operands) {
  Ranked with_axes, without, numbers;
  for (const Tensor& x : operands) {
    if (x.node().weak_scalar) numbers.add(number_dtype(x.dtype()));
    else if (x.rank()) with_axes.add(x.dtype());
    else without.add(x.dtype());
  }
  // A float number beside a complex64 or float64 tensor has its category already.
  return over(over(with_axes.dtype, without.dtype), numbers.dtype).value_or(default_dtype);
}

void promote_operands(std::span<Tensor* const> operands, Promotion how) {
  const auto is_plain = [&](const Tensor* x) {
    return *x && !x->node().weak_scalar && x->dtype() == operands[0]->dtype();
  };
  bool same = *operands[0] && !operands[0]->node().weak_scalar;
  for (const Tensor* x : operands) same = same && is_plain(x);
  DType dtype{};
  if (same) {
    if (how != Promotion::quotient || is_inexact(operands[0]->dtype())) return;
    dtype = operands[0]->dtype();
  } else {
    Tensors given;
    for (const Tensor* x : operands)
      if (*x) given.push_back(*x);
    dtype = compat_result_type(given);
  }
  if (how == Promotion::quotient && !is_inexact(dtype)) dtype = default_dtype;
  bool any_tensor = false;
  for (Tensor* x : operands) {
    if (!*x || x->node().weak_scalar) continue;
    any_tensor = true;
    *x = cast(*x, dtype);
  }
  if (any_tensor) return;  // numbers take the dtype of the tensors
  for (Tensor* x : operands)
    if (*x) *x = cast(*x, dtype);
}

DType compat_default_dtype() { return default_dtype; }
void set_compat_default_dtype(DType dtype) { default_dtype = dtype; }

bool compat_can_cast(DType from, DType to) { return category(from) <= category(to); }

}  // namespace tegula::python
