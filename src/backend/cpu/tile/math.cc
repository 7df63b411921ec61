// Transcendental functions. A tail shorter than a vector goes through the same vector code, so an
// element's bits do not depend on where it falls.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/math.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/tile/circle_double-inl.h"
#include "backend/cpu/tile/circle_float-inl.h"
#include "backend/cpu/tile/exp_double-inl.h"
#include "backend/cpu/tile/exp_float-inl.h"
#include "backend/cpu/tile/functions.h"
#include "backend/cpu/tile/log_double-inl.h"
#include "backend/cpu/tile/log_float-inl.h"
#include "backend/cpu/tile/wide_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/loops.h"
#include "backend/cpu/tile/math_functions.h"

// Computes in vectors of C elements of type T, which are C or float with C double.
template <class C>
struct Wide {
  hn::ScalableTag<C> d = {};

  int64_t lanes() const { return int64_t(hn::Lanes(d)); }
  auto load(const C* p) const { return hn::LoadU(d, p); }
  auto load(const float* p) const
    requires(!std::is_same_v<C, float>)
  {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, decltype(d)>(), p));
  }
  void store(hn::Vec<hn::ScalableTag<C>> v, C* p) const { hn::StoreU(v, d, p); }
  void store(hn::Vec<hn::ScalableTag<C>> v, float* p) const
    requires(!std::is_same_v<C, float>)
  {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
    alignas(16) C part[2] = {};  // DemoteTo would turn infinity into the largest number
    hn::Store(v, d, part);
    for (int64_t i = 0; i < lanes(); ++i) p[i] = float(part[i]);
#else
    const hn::Rebind<float, decltype(d)> narrow;
    hn::StoreU(hn::DemoteTo(narrow, v), narrow, p);
#endif
  }
};

template <class F, class T, class C>
void unary_math(void* out, const void* a, const void*, const void*, int64_t n) {
  const Wide<C> wide;
  const T* x = static_cast<const T*>(a);
  T* y = static_cast<T*>(out);
  int64_t i = 0;
  for (; i + wide.lanes() <= n; i += wide.lanes())
    wide.store(F::apply(wide.d, wide.load(x + i)), y + i);
  if (i == n) return;
  alignas(64) T part[64 / sizeof(C)] = {};
  std::memcpy(part, x + i, size_t(n - i) * sizeof(T));
  wide.store(F::apply(wide.d, wide.load(part)), part);
  std::memcpy(y + i, part, size_t(n - i) * sizeof(T));
}

template <class F, Form kForm>
void binary_float(void* out, const void* a, const void* b, const void*, int64_t n) {
  constexpr bool left = kForm == Form::scalar_left, right = kForm == Form::scalar_right;
  const Wide<double> wide;
  const float* x = static_cast<const float*>(a);
  const float* y = static_cast<const float*>(b);
  float* z = static_cast<float*>(out);
  const auto x0 = hn::Set(wide.d, double(*x)), y0 = hn::Set(wide.d, double(*y));
  int64_t i = 0;
  for (; i + wide.lanes() <= n; i += wide.lanes())
    wide.store(F::apply(wide.d, left ? x0 : wide.load(x + i), right ? y0 : wide.load(y + i)),
               z + i);
  if (i == n) return;
  alignas(64) float p[8] = {}, q[8] = {};
  if (!left) std::memcpy(p, x + i, size_t(n - i) * sizeof(float));
  if (!right) std::memcpy(q, y + i, size_t(n - i) * sizeof(float));
  wide.store(F::apply(wide.d, left ? x0 : wide.load(p), right ? y0 : wide.load(q)), p);
  std::memcpy(z + i, p, size_t(n - i) * sizeof(float));
}

struct ErfFloat {
  template <class D, class V>
  static V apply(D d, V x) {
    return erf_float(d, x);
  }
};
struct LibraryErf {
  static double apply(double x) { return std::erf(x); }
};
struct LibraryPow {
  static double apply(double x, double y) { return std::pow(x, y); }
};
struct LibraryAtan2 {
  static double apply(double y, double x) { return std::atan2(y, x); }
};
struct LibraryHypot {
  static double apply(double x, double y) { return std::hypot(x, y); }
};

// float32 in its own vectors, or by way of float64.
template <class F>
TileFunction native(DType dtype) {
  return dtype == DType::float32   ? unary_math<F, float, float>
         : dtype == DType::float64 ? unary_math<F, double, double>
                                   : nullptr;
}
template <class F>
TileFunction by_double(DType dtype) {
  return dtype == DType::float32   ? unary_math<F, float, double>
         : dtype == DType::float64 ? unary_math<F, double, double>
                                   : nullptr;
}

// float32 by a function of its own in float64 vectors.
template <class Narrow, class F>
TileFunction apart(DType dtype) {
  return dtype == DType::float32   ? unary_math<Narrow, float, double>
         : dtype == DType::float64 ? unary_math<F, double, double>
                                   : nullptr;
}
template <class Narrow, class F>
TileFunction apart_binary(DType dtype, Form form) {
  if (dtype == DType::float64) return Binary<F, double, double>::find(form);
  if (dtype != DType::float32) return nullptr;
  return form == Form::vectors        ? binary_float<Narrow, Form::vectors>
         : form == Form::scalar_right ? binary_float<Narrow, Form::scalar_right>
                                      : binary_float<Narrow, Form::scalar_left>;
}

TileFunction find_math(TileOp op, DType dtype, Form form) {
  const bool f32 = dtype == DType::float32;
  switch (op) {
    case TileOp::exp:
      return native<Exp>(dtype);
    case TileOp::exp2:
      return native<Exp2>(dtype);
    case TileOp::expm1:
      return native<Expm1>(dtype);
    case TileOp::log:
      return native<Log>(dtype);
    case TileOp::log1p:
      return native<Log1p>(dtype);
    case TileOp::tanh:
      return native<Tanh>(dtype);
    case TileOp::sigmoid:
      return native<Sigmoid>(dtype);
    case TileOp::log2:
      return apart<WideLog2, Log2>(dtype);
    case TileOp::log10:
      return apart<WideLog10, Log10>(dtype);
    case TileOp::sin:
      return native<Sin>(dtype);
    case TileOp::cos:
      return native<Cos>(dtype);
    case TileOp::sinh:
      return by_double<Sinh>(dtype);
    case TileOp::cosh:
      return by_double<Cosh>(dtype);
    case TileOp::asinh:
      return by_double<Asinh>(dtype);
    case TileOp::acosh:
      return by_double<Acosh>(dtype);
    case TileOp::atanh:
      return by_double<Atanh>(dtype);
    case TileOp::asin:
      return by_double<Asin>(dtype);
    case TileOp::acos:
      return by_double<Acos>(dtype);
    case TileOp::atan:
      return apart<WideAtan, Atan>(dtype);
    case TileOp::erf:
      return f32 ? unary_math<ErfFloat, float, float> : Unary<LibraryErf, double, double>::run;
    case TileOp::tan:
      return apart<WideTan, Tan>(dtype);
    case TileOp::pow:
      return apart_binary<WidePow, LibraryPow>(dtype, form);
    case TileOp::atan2:
      return apart_binary<WideAtan2, LibraryAtan2>(dtype, form);
    case TileOp::hypot:
      return apart_binary<WideHypot, LibraryHypot>(dtype, form);
    default:
      return nullptr;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_math);
TileFunction math_function(TileOp op, DType dtype, Form form) {
  return HWY_DYNAMIC_DISPATCH(find_math)(op, dtype, form);
}

}  // namespace tegula::cpu
#endif
