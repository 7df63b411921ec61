// Exact arithmetic: IEEE operations for floats, wrapping for integers, bool as 0 and 1.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/arithmetic.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "backend/cpu/tile/functions.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/loops.h"

// Where integers are computed: unsigned and no narrower than int, so that nothing overflows.
template <class T>
using Wide = std::conditional_t<(sizeof(T) < 4), uint32_t, std::make_unsigned_t<T>>;

struct Negative {
  template <class T>
  static T apply(T x) {
    if constexpr (std::is_floating_point_v<T>) return -x;
    else return T(Wide<T>(0) - Wide<T>(x));
  }
};
struct Abs {
  template <class T>
  static T apply(T x) {
    if constexpr (std::is_floating_point_v<T>) return std::abs(x);
    else if constexpr (std::is_signed_v<T>) return x < 0 ? T(Wide<T>(0) - Wide<T>(x)) : x;
    else return x;
  }
};
struct Sign {
  template <class T>
  static T apply(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return x > 0 ? T(1) : x < 0 ? T(-1) : x != x ? x : T(0);
    else if constexpr (std::is_signed_v<T>) return T((x > 0) - (x < 0));
    else return T(x != 0);
  }
};
struct Square {
  template <class T>
  static T apply(T x) {
    if constexpr (std::is_floating_point_v<T>) return x * x;
    else return T(Wide<T>(x) * Wide<T>(x));
  }
};
struct Sqrt {
  template <class T>
  static T apply(T x) {
    return std::sqrt(x);
  }
};
struct Rsqrt {
  template <class T>
  static T apply(T x) {
    return T(1) / std::sqrt(x);
  }
};
struct Reciprocal {
  template <class T>
  static T apply(T x) {
    return T(1) / x;
  }
};
// By way of nearbyint, which compilers vectorise where they do not floor.
struct Floor {
  template <class T>
  static T apply(T x) {
    const T r = std::nearbyint(x);
    return r > x ? r - T(1) : r;
  }
};
struct Ceil {
  template <class T>
  static T apply(T x) {
    const T r = std::nearbyint(x);
    return std::copysign(r < x ? r + T(1) : r, x);
  }
};
struct Trunc {
  template <class T>
  static T apply(T x) {
    return std::copysign(Floor::apply(std::abs(x)), x);
  }
};
struct Round {
  template <class T>
  static T apply(T x) {
    return std::nearbyint(x);
  }
};
struct Same {
  template <class T>
  static T apply(T x) {
    return x;
  }
};

struct Add {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a + b;
    else return T(Wide<T>(a) + Wide<T>(b));
  }
};
struct Subtract {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a - b;
    else return T(Wide<T>(a) - Wide<T>(b));
  }
};
struct Multiply {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a * b;
    else return T(Wide<T>(a) * Wide<T>(b));
  }
};
struct Divide {
  template <class T>
  static T apply(T a, T b) {
    return a / b;
  }
};

// Python's rule: the quotient rounds down, the remainder has the sign of the divisor. For floats as
// in NumPy; for integers a zero divisor gives 0 and the most negative number over -1 wraps.
struct Remainder {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      T r = std::fmod(a, b);
      if (r == 0) return std::copysign(T(0), b);
      return (r < 0) != (b < 0) ? r + b : r;
    } else if constexpr (std::is_signed_v<T>) {
      if (b == 0 || b == -1) return 0;
      const T r = T(a % b);
      return r != 0 && (r < 0) != (b < 0) ? T(r + b) : r;
    } else {
      return b == 0 ? T(0) : T(a % b);
    }
  }
};
struct FloorDivide {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (b == 0 || std::isinf(a) || std::isinf(b)) return a / b;
      T r = std::fmod(a, b);
      T q = (a - r) / b;
      if (r != 0 && (r < 0) != (b < 0)) q -= 1;
      if (q == 0) return std::copysign(T(0), a / b);
      const T whole = std::floor(q);
      return q - whole > T(0.5) ? whole + 1 : whole;
    } else if constexpr (std::is_signed_v<T>) {
      if (b == 0) return 0;
      if (b == -1) return Negative::apply(a);
      const T q = T(a / b);
      return (a % b != 0) && ((a < 0) != (b < 0)) ? T(q - 1) : q;
    } else {
      return b == 0 ? T(0) : T(a / b);
    }
  }
};
// Integers, by squaring. A negative exponent gives the exact result where it is whole, else 0.
struct Pow {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_signed_v<T>)
      if (b < 0) return a == 1 ? T(1) : a == -1 ? (b % 2 ? T(-1) : T(1)) : T(0);
    Wide<T> base = Wide<T>(a), result = 1;
    for (Wide<T> e = Wide<T>(b); e; e >>= 1) {
      if (e & 1) result *= base;
      base *= base;
    }
    return T(result);
  }
};
struct Maximum {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return (a >= b) | (a != a) ? a : b;
    else return a >= b ? a : b;
  }
};
struct Minimum {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return (a <= b) | (a != a) ? a : b;
    else return a <= b ? a : b;
  }
};
struct CopySign {
  template <class T>
  static T apply(T a, T b) {
    return std::copysign(a, b);
  }
};
struct NextAfter {
  template <class T>
  static T apply(T a, T b) {
    return std::nextafter(a, b);
  }
};
// For values of a 16-bit float kept as float32: steps by one in the bits of T.
template <class T>
struct NextAfter16 {
  static float apply(float a, float b) {
    if (a != a || b != b) return a + b;
    if (a == b) return b;
    T x(a);
    if (a == 0) x.bits = uint16_t(b < 0 ? 0x8001 : 1);
    else x.bits = uint16_t((a < b) == (a > 0) ? x.bits + 1 : x.bits - 1);
    return float(x);
  }
};
// Arithmetic on bool: that of 0 and 1, any other result counting as true.
template <class Op>
struct OnBool {
  static uint8_t apply(uint8_t a, uint8_t b) { return Op::apply(int32_t(a), int32_t(b)) != 0; }
};

template <class Op>
TileFunction floating_unary(DType dtype) {
  if (dtype == DType::float32) return Unary<Op, float, float>::run;
  if (dtype == DType::float64) return Unary<Op, double, double>::run;
  return nullptr;
}
template <class Op>
TileFunction floating_binary(DType dtype, Form form) {
  if (dtype == DType::float32) return Binary<Op, float, float>::find(form);
  if (dtype == DType::float64) return Binary<Op, double, double>::find(form);
  return nullptr;
}
template <class Op>
TileFunction unsigned_unary(DType dtype) {
  switch (dtype) {
    case DType::int8:
    case DType::uint8:
      return Unary<Op, uint8_t, uint8_t>::run;
    case DType::int16:
    case DType::uint16:
      return Unary<Op, uint16_t, uint16_t>::run;
    case DType::int32:
    case DType::uint32:
      return Unary<Op, uint32_t, uint32_t>::run;
    case DType::int64:
    case DType::uint64:
      return Unary<Op, uint64_t, uint64_t>::run;
    default:
      return floating_unary<Op>(dtype);
  }
}
template <class Op>
TileFunction unsigned_binary(DType dtype, Form form) {
  switch (dtype) {
    case DType::bool_:
      return Binary<OnBool<Op>, uint8_t, uint8_t>::find(form);
    case DType::int8:
    case DType::uint8:
      return Binary<Op, uint8_t, uint8_t>::find(form);
    case DType::int16:
    case DType::uint16:
      return Binary<Op, uint16_t, uint16_t>::find(form);
    case DType::int32:
    case DType::uint32:
      return Binary<Op, uint32_t, uint32_t>::find(form);
    case DType::int64:
    case DType::uint64:
      return Binary<Op, uint64_t, uint64_t>::find(form);
    default:
      return floating_binary<Op>(dtype, form);
  }
}
template <class Op>
TileFunction signed_unary(DType dtype) {
  switch (dtype) {
    case DType::int8:
      return Unary<Op, int8_t, int8_t>::run;
    case DType::int16:
      return Unary<Op, int16_t, int16_t>::run;
    case DType::int32:
      return Unary<Op, int32_t, int32_t>::run;
    case DType::int64:
      return Unary<Op, int64_t, int64_t>::run;
    default:
      return unsigned_unary<Op>(dtype);
  }
}
template <class Op>
TileFunction integer_binary(DType dtype, Form form) {
  switch (dtype) {
    case DType::bool_:
      return Binary<OnBool<Op>, uint8_t, uint8_t>::find(form);
    case DType::int8:
      return Binary<Op, int8_t, int8_t>::find(form);
    case DType::int16:
      return Binary<Op, int16_t, int16_t>::find(form);
    case DType::int32:
      return Binary<Op, int32_t, int32_t>::find(form);
    case DType::int64:
      return Binary<Op, int64_t, int64_t>::find(form);
    case DType::uint8:
      return Binary<Op, uint8_t, uint8_t>::find(form);
    case DType::uint16:
      return Binary<Op, uint16_t, uint16_t>::find(form);
    case DType::uint32:
      return Binary<Op, uint32_t, uint32_t>::find(form);
    case DType::uint64:
      return Binary<Op, uint64_t, uint64_t>::find(form);
    default:
      return nullptr;
  }
}
template <class Op>
TileFunction any_binary(DType dtype, Form form) {
  return is_floating(dtype) ? floating_binary<Op>(dtype, form) : integer_binary<Op>(dtype, form);
}
TileFunction same(DType dtype) {
  switch (itemsize(dtype)) {
    case 1:
      return Unary<Same, uint8_t, uint8_t>::run;
    case 2:
      return Unary<Same, uint16_t, uint16_t>::run;
    case 4:
      return Unary<Same, uint32_t, uint32_t>::run;
    case 16:
      return Unary<Same, complex128, complex128>::run;
    default:
      return Unary<Same, uint64_t, uint64_t>::run;
  }
}

TileFunction find_arithmetic(TileOp op, DType dtype, Form form) {
  const bool floating = is_floating(dtype), is_bool = dtype == DType::bool_;
  switch (op) {
    case TileOp::negative:
      return is_bool ? same(dtype) : unsigned_unary<Negative>(dtype);
    case TileOp::abs:
      return is_bool ? same(dtype) : signed_unary<Abs>(dtype);
    case TileOp::sign:
      return is_bool ? same(dtype) : signed_unary<Sign>(dtype);
    case TileOp::square:
      return is_bool ? same(dtype) : unsigned_unary<Square>(dtype);
    case TileOp::floor:
      return floating ? floating_unary<Floor>(dtype) : same(dtype);
    case TileOp::ceil:
      return floating ? floating_unary<Ceil>(dtype) : same(dtype);
    case TileOp::trunc:
      return floating ? floating_unary<Trunc>(dtype) : same(dtype);
    case TileOp::round:
      return floating ? floating_unary<Round>(dtype) : same(dtype);
    case TileOp::load:
    case TileOp::store:
      return same(dtype);
    case TileOp::sqrt:
      return floating_unary<Sqrt>(dtype);
    case TileOp::rsqrt:
      return floating_unary<Rsqrt>(dtype);
    case TileOp::reciprocal:
      return floating_unary<Reciprocal>(dtype);
    case TileOp::add:
      return unsigned_binary<Add>(dtype, form);
    case TileOp::subtract:
      return unsigned_binary<Subtract>(dtype, form);
    case TileOp::multiply:
      return unsigned_binary<Multiply>(dtype, form);
    case TileOp::divide:
      return floating_binary<Divide>(dtype, form);
    case TileOp::floor_divide:
      return any_binary<FloorDivide>(dtype, form);
    case TileOp::remainder:
      return any_binary<Remainder>(dtype, form);
    case TileOp::pow:
      return floating ? nullptr : integer_binary<Pow>(dtype, form);
    case TileOp::maximum:
      return any_binary<Maximum>(dtype, form);
    case TileOp::minimum:
      return any_binary<Minimum>(dtype, form);
    case TileOp::copysign:
      return floating_binary<CopySign>(dtype, form);
    case TileOp::nextafter:
      if (dtype == DType::float16) return Binary<NextAfter16<float16>, float, float>::find(form);
      if (dtype == DType::bfloat16) return Binary<NextAfter16<bfloat16>, float, float>::find(form);
      return floating_binary<NextAfter>(dtype, form);
    default:
      return nullptr;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_arithmetic);
TileFunction arithmetic_function(TileOp op, DType dtype, Form form) {
  return HWY_DYNAMIC_DISPATCH(find_arithmetic)(op, dtype, form);
}

TileFunction find_function(TileOp op, DType dtype, Form form) {
  if (is_complex(dtype) || op == TileOp::complex)
    if (TileFunction f = complex_function(op, dtype, form)) return f;
  if (TileFunction f = arithmetic_function(op, dtype, form)) return f;
  if (TileFunction f = logic_function(op, dtype, form)) return f;
  return math_function(op, dtype, form);
}

}  // namespace tegula::cpu
#endif
