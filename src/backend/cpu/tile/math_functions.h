// Vector forms of the transcendental functions: include inside HWY_NAMESPACE, after Highway's
// contrib/math. Each is defined for every input. Errors in ulp are in docs/tile-format.md.

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
inline constexpr bool is_float = std::is_same_v<hn::TFromD<D>, float>;
template <class D, class V>
V splat(D d, V, double x) {
  return hn::Set(d, hn::TFromD<D>(x));
}
template <class D>
auto infinity(D d) {
  return hn::Set(d, std::numeric_limits<hn::TFromD<D>>::infinity());
}
template <class D>
auto not_a_number(D d) {
  return hn::Set(d, std::numeric_limits<hn::TFromD<D>>::quiet_NaN());
}
template <class D, class V>
V keep_nan(D, V x, V y) {
  return hn::IfThenElse(hn::Eq(x, x), y, x);
}

// x = q ln 2 + r: exp(x) = (1 + p) 2^q, where p = exp(r) - 1.
template <class D>
struct ExpParts {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  using Impl = hn::impl::ExpImpl<T>;
  hn::Vec<hn::Rebind<int32_t, D>> q;
  V p;

  static V from_int(D d, hn::Vec<hn::Rebind<int32_t, D>> q) {
    if constexpr (sizeof(T) == 4) return hn::ConvertTo(d, q);
    else return hn::PromoteTo(d, q);
  }
  static ExpParts of(D d, V x) {
    const V half = hn::CopySign(hn::Set(d, T(0.5)), x);
    Impl impl;
    const auto q = impl.ToInt32(d, hn::Add(hn::Mul(x, hn::Set(d, T(1.442695040888963407))), half));
    return {q, impl.ExpPoly(d, impl.ExpReduce(d, x, q))};
  }
  static ExpParts of_power_of_two(D d, V x) {
    const V half = hn::CopySign(hn::Set(d, T(0.5)), x);
    Impl impl;
    const auto q = impl.ToInt32(d, hn::Add(x, half));
    const V r = hn::Sub(x, from_int(d, q));
    return {q, impl.ExpPoly(d, hn::Mul(r, hn::Set(d, T(0.693147180559945309))))};
  }
  V scaled(D d, V y, int32_t less = 0) const {
    const hn::Rebind<int32_t, D> di;
    Impl impl;
    return impl.LoadExpShortRange(d, y, hn::Sub(q, hn::Set(di, less)));
  }
};

struct Exp {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) {
      return exp_float(d, x);
    } else {
      const V inside = hn::Min(hn::Max(x, hn::Set(d, -746.0)), hn::Set(d, 710.0));
      const auto parts = ExpParts<D>::of(d, inside);
      return keep_nan(d, x, parts.scaled(d, hn::Add(parts.p, hn::Set(d, 1.0))));
    }
  }
};
struct Exp2 {
  template <class D, class V>
  static V apply(D d, V x) {
    constexpr bool f32 = sizeof(hn::TFromD<D>) == 4;
    const V inside =
        hn::Min(hn::Max(x, splat(d, x, f32 ? -151.0 : -1076.0)), splat(d, x, f32 ? 129.0 : 1025.0));
    const auto parts = ExpParts<D>::of_power_of_two(d, inside);
    return keep_nan(d, x, parts.scaled(d, hn::Add(parts.p, splat(d, x, 1.0))));
  }
};
struct Expm1 {
  template <class D, class V>
  static V apply(D d, V x) {
    constexpr bool f32 = sizeof(hn::TFromD<D>) == 4;
    const V one = splat(d, x, 1.0);
    const V inside = hn::Min(hn::Max(x, splat(d, x, -50.0)), splat(d, x, f32 ? 89.0 : 710.0));
    const auto parts = ExpParts<D>::of(d, inside);
    // 2^q (1 + p) - 1, apart where 2^q overflows or hides the 1.
    const V near = hn::Add(parts.scaled(d, parts.p), hn::Sub(parts.scaled(d, one), one));
    const V far = parts.scaled(d, hn::Add(parts.p, one));
    const V y = hn::IfThenElse(hn::Gt(x, splat(d, x, 60.0)), far, near);
    return keep_nan(d, x, hn::CopySign(y, x));
  }
};

// Completes a logarithm that is right for positive finite x.
template <class D, class V>
V finish_log(D d, V x, V y) {
  const V edge = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity(d)), not_a_number(d));
  y = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), y, edge);
  return hn::IfThenElse(hn::Eq(x, infinity(d)), x, y);
}
struct Log {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return log_float(d, x);
    else return finish_log(d, x, hn::Log(d, x));
  }
};
// x = m 2^e with m in [sqrt(1/2), sqrt(2)); float64, x positive and finite.
template <class D, class V>
void split_exponent(D d, V x, V& m, V& e) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto tiny = hn::Lt(x, hn::Set(d, 0x1p-1022));
  x = hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 0x1p54)), x);
  const auto bits = hn::BitCast(du, x);
  const auto shifted = hn::Add(bits, hn::Set(du, 0x3ff0000000000000ull - 0x3fe6a09e00000000ull));
  const auto power = hn::Sub(hn::BitCast(di, hn::ShiftRight<52>(shifted)), hn::Set(di, 0x3ff));
  m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<52>(hn::BitCast(du, power))));
  e = hn::Sub(hn::ConvertTo(d, power), hn::IfThenElseZero(tiny, hn::Set(d, 54.0)));
}
struct Log2 {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    V m, e;
    split_exponent(d, x, m, e);
    const V y = hn::impl::Log<D, V, false>(d, m);
    return finish_log(d, x, hn::MulAdd(y, splat(d, x, 1.44269504088896340736), e));
  }
};
struct Log10 {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    V m, e;
    split_exponent(d, x, m, e);
    V y = hn::Mul(hn::impl::Log<D, V, false>(d, m), splat(d, x, 0.43429448190325182765));
    y = hn::MulAdd(e, splat(d, x, 3.69423907715893078616e-13), y);
    return finish_log(d, x, hn::MulAdd(e, splat(d, x, 3.01029995663611771306e-01), y));
  }
};
struct Log1p {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return log1p_float(d, x);
    else return log1p_double(d, x);
  }
  template <class D, class V>
  static V log1p_double(D d, V x) {
    const V one = hn::Set(d, 1.0);
    V y = hn::Log1p(d, x);
    const V edge = hn::IfThenElse(hn::Eq(x, hn::Neg(one)), hn::Neg(infinity(d)), not_a_number(d));
    y = hn::IfThenElse(hn::Gt(x, hn::Neg(one)), y, edge);
    return hn::IfThenElse(hn::Eq(x, infinity(d)), x, y);
  }
};

struct Tanh {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return tanh_float(d, x);
    else return tanh_double(d, x);
  }
  // t / (t + 2), where t = expm1(2 |x|)
  template <class D, class V>
  static V tanh_double(D d, V x) {
    const V one = hn::Set(d, 1.0), limit = hn::Set(d, 19.07);
    const V a = hn::Abs(x), inside = hn::Min(a, limit);
    const auto parts = ExpParts<D>::of(d, hn::Add(inside, inside));
    typename ExpParts<D>::Impl impl;
    const V power = impl.Pow2I(d, parts.q);
    const V t = hn::Add(hn::Mul(parts.p, power), hn::Sub(power, one));
    const V y = hn::Div(t, hn::Add(t, hn::Set(d, 2.0)));
    return keep_nan(d, x, hn::CopySign(hn::IfThenElse(hn::Lt(a, limit), y, one), x));
  }
};
struct Sigmoid {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return sigmoid_float(d, x);
    else return sigmoid_double(d, x);
  }
  template <class D, class V>
  static V sigmoid_double(D d, V x) {
    const V one = hn::Set(d, 1.0);
    const V e = Exp::apply(d, hn::Neg(hn::Abs(x)));
    return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(e, one));
  }
};
struct Sinh {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    const V a = hn::Abs(x);
    const V t = Expm1::apply(d, a);
    const V near = hn::Mul(hn::Add(t, hn::Div(t, hn::Add(t, splat(d, x, 1.0)))), splat(d, x, 0.5));
    const auto parts = ExpParts<D>::of(d, hn::Min(a, splat(d, x, 712.0)));
    const V far = parts.scaled(d, hn::Add(parts.p, splat(d, x, 1.0)), 1);
    const V y = hn::IfThenElse(hn::Gt(a, splat(d, x, 22.0)), far, near);
    return keep_nan(d, x, hn::CopySign(y, x));
  }
};
struct Cosh {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    const auto parts = ExpParts<D>::of(d, hn::Min(hn::Abs(x), splat(d, x, 712.0)));
    const V half = parts.scaled(d, hn::Add(parts.p, splat(d, x, 1.0)), 1);
    return keep_nan(d, x, hn::Add(half, hn::Div(splat(d, x, 0.25), half)));
  }
};
struct Asinh {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    const V a = hn::Abs(x);
    const auto large = hn::Gt(a, splat(d, x, 0x1p54));
    const V square = hn::Mul(a, a);
    const V root = hn::Sqrt(hn::Add(square, splat(d, x, 1.0)));
    const V near = hn::Add(a, hn::Div(square, hn::Add(root, splat(d, x, 1.0))));
    const V y = Log1p::apply(d, hn::IfThenElse(large, a, near));
    const V far = hn::Add(y, hn::IfThenElseZero(large, splat(d, x, 0.69314718055994530942)));
    return keep_nan(d, x, hn::CopySign(far, x));
  }
};
struct Acosh {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    const V one = splat(d, x, 1.0);
    const auto large = hn::Gt(x, splat(d, x, 0x1p54));
    const V t = hn::Sub(x, one);
    const V near = hn::Add(t, hn::Sqrt(hn::Mul(t, hn::Add(x, one))));
    const V y = Log1p::apply(d, hn::IfThenElse(large, x, near));
    const V far = hn::Add(y, hn::IfThenElseZero(large, splat(d, x, 0.69314718055994530942)));
    return hn::IfThenElse(hn::Ge(x, one), far, not_a_number(d));
  }
};
struct Atanh {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    const V a = hn::Abs(x);
    const V y = Log1p::apply(d, hn::Div(hn::Add(a, a), hn::Sub(splat(d, x, 1.0), a)));
    return hn::CopySign(hn::Mul(y, splat(d, x, 0.5)), x);
  }
};
struct Asin {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    return hn::Asin(d, x);
  }
};
struct Acos {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    return hn::Acos(d, x);
  }
};
struct Atan {  // float64
  template <class D, class V>
  static V apply(D d, V x) {
    return keep_nan(d, x, hn::Atan(d, x));
  }
};

// Highway's reduction by pi is good for these; the C library takes the others, lane by lane.
inline constexpr double kCircleLimit = 30000;
template <class D, class V>
V with_library(D d, V x, V y, double (*function)(double)) {
  const V limit = hn::Set(d, kCircleLimit);
  if (HWY_LIKELY(hn::AllTrue(d, hn::Lt(hn::Abs(x), limit)))) return y;
  alignas(64) double in[hn::MaxLanes(D())], out[hn::MaxLanes(D())];
  hn::Store(x, d, in);
  hn::Store(y, d, out);
  for (size_t i = 0; i < hn::Lanes(d); ++i)
    if (!(std::abs(in[i]) < kCircleLimit)) out[i] = function(in[i]);
  return hn::Load(d, out);
}
template <class D, class V>
V bounded(D d, V x) {
  return hn::IfThenElseZero(hn::Lt(hn::Abs(x), hn::Set(d, kCircleLimit)), x);
}
struct Sin {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) {
      return sin_float(d, x);
    } else {
      const V y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), x, hn::Sin(d, bounded(d, x)));
      return with_library(d, x, y, std::sin);
    }
  }
};
struct Cos {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return cos_float(d, x);
    else return with_library(d, x, hn::Cos(d, bounded(d, x)), std::cos);
  }
};
struct Tan {  // in float64, good enough for float32 alone
  template <class D, class V>
  static V apply(D d, V x) {
    const V z = bounded(d, x);
    const V y = hn::Div(hn::Sin(d, z), hn::Cos(d, z));
    return with_library(d, x, hn::IfThenElse(hn::Eq(x, hn::Zero(d)), x, y), std::tan);
  }
};

// In float64, good enough for float32 alone: 2^(y log2 |x|), with the sign and the special cases
// of the C standard.
struct PowFloat {
  template <class D, class V>
  static V apply(D d, V x, V y) {
    const V zero = hn::Zero(d), one = hn::Set(d, 1.0), a = hn::Abs(x);
    V r = Exp2::apply(d, hn::Mul(y, Log2::apply(d, a)));
    const V half = hn::Mul(y, hn::Set(d, 0.5));
    const auto whole = hn::Eq(hn::Floor(y), y);
    const auto odd = hn::And(whole, hn::Ne(hn::Floor(half), half));
    const V sign = hn::And(hn::SignBit(d), x);
    r = hn::IfThenElse(hn::Eq(a, one), one, r);
    r = hn::Xor(r, hn::IfThenElseZero(odd, sign));
    const auto broken = hn::And(hn::And(hn::Lt(x, zero), hn::Lt(a, infinity(d))), hn::Not(whole));
    r = hn::IfThenElse(broken, not_a_number(d), r);
    r = hn::IfThenElse(hn::Or(hn::Ne(x, x), hn::Ne(y, y)), not_a_number(d), r);
    return hn::IfThenElse(hn::Or(hn::Eq(x, one), hn::Eq(y, zero)), one, r);
  }
};
