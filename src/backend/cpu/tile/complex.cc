// Complex numbers: arithmetic in their own precision, functions by way of complex128.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/complex.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <complex>
#include <cstring>
#include <type_traits>

#include "backend/cpu/tile/functions.h"
#include "base/complex_math.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/loops.h"

struct Negative {
  template <class C>
  static C apply(C z) {
    return -z;
  }
};
struct Reciprocal {
  template <class C>
  static C apply(C z) {
    return complex_quotient(C(1), z);
  }
};
struct Conjugate {
  template <class C>
  static C apply(C z) {
    return {z.re, -z.im};
  }
};
struct RealPart {
  template <class F>
  static F apply(Complex<F> z) {
    return z.re;
  }
};
struct ImaginaryPart {
  template <class F>
  static F apply(Complex<F> z) {
    return z.im;
  }
};
struct Join {
  template <class F>
  static Complex<F> apply(F re, F im) {
    return {re, im};
  }
};
struct Add {
  template <class C>
  static C apply(C a, C b) {
    return a + b;
  }
};
struct Subtract {
  template <class C>
  static C apply(C a, C b) {
    return a - b;
  }
};
// Products, in vectors of our own: GCC 12 makes fused multiply-adds of this pattern whatever
// -ffp-contract says.
#if HWY_TARGET == HWY_SCALAR
template <class F, Form kForm>
void multiply(void* out, const void* a, const void* b, const void*, int64_t n) {
  const auto* x = static_cast<const Complex<F>*>(a);
  const auto* y = static_cast<const Complex<F>*>(b);
  const Complex<F> x0 = *x, y0 = *y;
  for (int64_t i = 0; i < n; ++i)
    static_cast<Complex<F>*>(out)[i] =
        (kForm == Form::scalar_left ? x0 : x[i]) * (kForm == Form::scalar_right ? y0 : y[i]);
}
#else
namespace hn = hwy::HWY_NAMESPACE;
template <class F, Form kForm>
void multiply(void* out, const void* a, const void* b, const void*, int64_t n) {
  const hn::ScalableTag<F> d;
  const int64_t lanes = int64_t(hn::Lanes(d));  // two for each number
  const F* x = static_cast<const F*>(a);
  const F* y = static_cast<const F*>(b);
  F* z = static_cast<F*>(out);
  const auto repeated = [&](const F* number) HWY_ATTR {
    return hn::OddEven(hn::Set(d, number[1]), hn::Set(d, number[0]));
  };
  const auto x0 = repeated(x), y0 = repeated(y);
  const auto product = [&](const F* from_x, const F* from_y) HWY_ATTR {
    const auto l = kForm == Form::scalar_left ? x0 : hn::LoadU(d, from_x);
    const auto r = kForm == Form::scalar_right ? y0 : hn::LoadU(d, from_y);
    const auto straight = hn::Mul(hn::DupEven(l), r);
    const auto crossed = hn::Mul(hn::DupOdd(l), hn::Reverse2(d, r));
    return hn::OddEven(hn::Add(straight, crossed), hn::Sub(straight, crossed));
  };
  int64_t i = 0;
  for (; i + lanes <= 2 * n; i += lanes) hn::StoreU(product(x + i, y + i), d, z + i);
  if (i == 2 * n) return;
  alignas(64) F p[64 / sizeof(F)] = {}, q[64 / sizeof(F)] = {};
  const size_t bytes = size_t(2 * n - i) * sizeof(F);
  if (kForm != Form::scalar_left) std::memcpy(p, x + i, bytes);
  if (kForm != Form::scalar_right) std::memcpy(q, y + i, bytes);
  hn::StoreU(product(p, q), d, p);
  std::memcpy(z + i, p, bytes);
}
#endif
template <class F>
TileFunction find_multiply(Form form) {
  return form == Form::vectors        ? multiply<F, Form::vectors>
         : form == Form::scalar_right ? multiply<F, Form::scalar_right>
                                      : multiply<F, Form::scalar_left>;
}
template <class F>
void square(void* out, const void* a, const void*, const void*, int64_t n) {
  multiply<F, Form::vectors>(out, a, a, nullptr, n);
}
struct Divide {
  template <class C>
  static C apply(C a, C b) {
    return complex_quotient(a, b);
  }
};
struct Equal {
  template <class C>
  static uint8_t apply(C a, C b) {
    return a == b;
  }
};
struct NotEqual {
  template <class C>
  static uint8_t apply(C a, C b) {
    return !(a == b);
  }
};

using Wide = std::complex<double>;
template <Wide (*kFunction)(Wide)>
struct Function {
  template <class C>
  static C apply(C z) {
    return C(kFunction(Wide(z)));
  }
};
struct Power {
  template <class C>
  static C apply(C a, C b) {
    return C(complex_pow(Wide(a), Wide(b)));
  }
};
Wide sqrt(Wide z) { return std::sqrt(z); }
Wide rsqrt(Wide z) { return Wide(complex_quotient(complex128(1), complex128(std::sqrt(z)))); }
Wide exp(Wide z) { return std::exp(z); }
Wide log(Wide z) { return std::log(z); }
Wide sin(Wide z) { return std::sin(z); }
Wide cos(Wide z) { return std::cos(z); }
Wide tan(Wide z) { return std::tan(z); }
Wide asin(Wide z) { return std::asin(z); }
Wide acos(Wide z) { return std::acos(z); }
Wide atan(Wide z) { return std::atan(z); }
Wide sinh(Wide z) { return std::sinh(z); }
Wide cosh(Wide z) { return std::cosh(z); }
Wide tanh(Wide z) { return std::tanh(z); }
Wide asinh(Wide z) { return std::asinh(z); }
Wide acosh(Wide z) { return std::acosh(z); }
Wide atanh(Wide z) { return std::atanh(z); }

template <class Op>
TileFunction unary(bool wide) {
  return wide ? Unary<Op, complex128, complex128>::run : Unary<Op, complex64, complex64>::run;
}
template <Wide (*kFunction)(Wide)>
TileFunction function(bool wide) {
  return unary<Function<kFunction>>(wide);
}
template <class Op>
TileFunction part(bool wide) {
  return wide ? Unary<Op, complex128, double>::run : Unary<Op, complex64, float>::run;
}
template <class Op>
TileFunction binary(bool wide, Form form) {
  return wide ? Binary<Op, complex128, complex128>::find(form)
              : Binary<Op, complex64, complex64>::find(form);
}
template <class Op>
TileFunction comparison(bool wide, Form form) {
  return wide ? Binary<Op, complex128, uint8_t>::find(form)
              : Binary<Op, complex64, uint8_t>::find(form);
}

TileFunction find_complex(TileOp op, DType dtype, Form form) {
  const bool wide = real_dtype(dtype) == DType::float64;
  switch (op) {
    case TileOp::complex:
      return wide ? Binary<Join, double, complex128>::find(form)
                  : Binary<Join, float, complex64>::find(form);
    case TileOp::real:
      return part<RealPart>(wide);
    case TileOp::imag:
      return part<ImaginaryPart>(wide);
    case TileOp::conj:
      return unary<Conjugate>(wide);
    case TileOp::negative:
      return unary<Negative>(wide);
    case TileOp::square:
      return wide ? square<double> : square<float>;
    case TileOp::reciprocal:
      return unary<Reciprocal>(wide);
    case TileOp::sqrt:
      return function<sqrt>(wide);
    case TileOp::rsqrt:
      return function<rsqrt>(wide);
    case TileOp::exp:
      return function<exp>(wide);
    case TileOp::exp2:
      return function<complex_exp2>(wide);
    case TileOp::expm1:
      return function<complex_expm1>(wide);
    case TileOp::log:
      return function<log>(wide);
    case TileOp::log1p:
      return function<complex_log1p>(wide);
    case TileOp::log2:
      return function<complex_log2>(wide);
    case TileOp::log10:
      return function<complex_log10>(wide);
    case TileOp::sin:
      return function<sin>(wide);
    case TileOp::cos:
      return function<cos>(wide);
    case TileOp::tan:
      return function<tan>(wide);
    case TileOp::asin:
      return function<asin>(wide);
    case TileOp::acos:
      return function<acos>(wide);
    case TileOp::atan:
      return function<atan>(wide);
    case TileOp::sinh:
      return function<sinh>(wide);
    case TileOp::cosh:
      return function<cosh>(wide);
    case TileOp::tanh:
      return function<tanh>(wide);
    case TileOp::asinh:
      return function<asinh>(wide);
    case TileOp::acosh:
      return function<acosh>(wide);
    case TileOp::atanh:
      return function<atanh>(wide);
    case TileOp::sigmoid:
      return function<complex_sigmoid>(wide);
    case TileOp::add:
      return binary<Add>(wide, form);
    case TileOp::subtract:
      return binary<Subtract>(wide, form);
    case TileOp::multiply:
      return wide ? find_multiply<double>(form) : find_multiply<float>(form);
    case TileOp::divide:
      return binary<Divide>(wide, form);
    case TileOp::pow:
      return binary<Power>(wide, form);
    case TileOp::equal:
      return comparison<Equal>(wide, form);
    case TileOp::not_equal:
      return comparison<NotEqual>(wide, form);
    default:
      return nullptr;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_complex);
TileFunction complex_function(TileOp op, DType dtype, Form form) {
  return HWY_DYNAMIC_DISPATCH(find_complex)(op, dtype, form);
}

}  // namespace tegula::cpu
#endif
