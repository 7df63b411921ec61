// How operations that have no kernels for complex numbers are made of those on the parts.
#pragma once

#include <string_view>

#include "ops/ops.h"

namespace tegula {

// Whether the unary elementwise operation `name` is such a one, and its result for a complex x.
bool made_of_parts(std::string_view name);
Tensor by_parts(std::string_view name, const Tensor& x);

// TypeError for complex x.
void require_order(const Tensor& x, const char* op);

// f(real(x)) and f(imag(x)) as real and imaginary part, for linear f.
template <class F>
Tensor by_parts(const Tensor& x, F&& f) {
  return complex(f(real(x)), f(imag(x)));
}
// x with parts as those of `dtype`: a real x stays real.
inline Tensor with_parts_of(const Tensor& x, DType dtype) {
  return astype(x, is_complex(x.dtype()) ? dtype : real_dtype(dtype));
}
// A bilinear f of two operands, either of which may be complex.
template <class F>
Tensor bilinear_by_parts(const Tensor& a, const Tensor& b, F&& f) {
  if (!is_complex(a.dtype()) && !is_complex(b.dtype())) return f(a, b);
  if (!is_complex(a.dtype())) return complex(f(a, real(b)), f(a, imag(b)));
  if (!is_complex(b.dtype())) return complex(f(real(a), b), f(imag(a), b));
  const Tensor ar = real(a), ai = imag(a), br = real(b), bi = imag(b);
  return complex(f(ar, br) - f(ai, bi), f(ar, bi) + f(ai, br));
}

}  // namespace tegula
