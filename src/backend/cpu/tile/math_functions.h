// Vector forms of the transcendental functions, by the type of the elements: include inside
// HWY_NAMESPACE. Each is defined for every input. Errors in ulp are in docs/tile-format.md.

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
inline constexpr bool is_float = std::is_same_v<hn::TFromD<D>, float>;

struct Exp {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return exp_float(d, x);
    else return exp_double(d, x);
  }
};
struct Exp2 {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return exp2_float(d, x);
    else return exp2_double(d, x);
  }
};
struct Expm1 {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return expm1_float(d, x);
    else return expm1_double(d, x);
  }
};
struct Log {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return log_float(d, x);
    else return log_double(d, x);
  }
};
struct Log1p {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return log1p_float(d, x);
    else return log1p_double(d, x);
  }
};
struct Tanh {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return tanh_float(d, x);
    else return tanh_double(d, x);
  }
};
struct Sigmoid {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return sigmoid_float(d, x);
    else return sigmoid_double(d, x);
  }
};
struct Sin {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return sin_float(d, x);
    else return sin_double(d, x);
  }
};
struct Cos {
  template <class D, class V>
  static V apply(D d, V x) {
    if constexpr (is_float<D>) return cos_float(d, x);
    else return cos_double(d, x);
  }
};

// float64 alone.
struct Log2 {
  template <class D, class V>
  static V apply(D d, V x) {
    return log2_double(d, x);
  }
};
struct Log10 {
  template <class D, class V>
  static V apply(D d, V x) {
    return log10_double(d, x);
  }
};
struct Tan {
  template <class D, class V>
  static V apply(D d, V x) {
    return tan_double(d, x);
  }
};
struct Sinh {
  template <class D, class V>
  static V apply(D d, V x) {
    return sinh_double(d, x);
  }
};
struct Cosh {
  template <class D, class V>
  static V apply(D d, V x) {
    return cosh_double(d, x);
  }
};
struct Asinh {
  template <class D, class V>
  static V apply(D d, V x) {
    return asinh_double(d, x);
  }
};
struct Acosh {
  template <class D, class V>
  static V apply(D d, V x) {
    return acosh_double(d, x);
  }
};
struct Atanh {
  template <class D, class V>
  static V apply(D d, V x) {
    return atanh_double(d, x);
  }
};
struct Asin {
  template <class D, class V>
  static V apply(D d, V x) {
    return asin_double(d, x);
  }
};
struct Acos {
  template <class D, class V>
  static V apply(D d, V x) {
    return hn::Acos(d, x);
  }
};
struct Atan {
  template <class D, class V>
  static V apply(D d, V x) {
    return atan_double(d, x);
  }
};
