// Comparisons, logic, bits and selection.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/logic.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <type_traits>

#include "backend/cpu/tile/functions.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/loops.h"

struct Equal {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <class T>
  static uint8_t apply(T a, T b) {
    return a >= b;
  }
};

// Questions about floats, asked of their bits.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
template <class T>
constexpr Bits<T> kInfinity = sizeof(T) == 4 ? Bits<T>(0x7f800000u) : Bits<T>(0x7ffull << 52);
template <class T>
Bits<T> magnitude(T x) {
  return std::bit_cast<Bits<T>>(x) << 1 >> 1;
}

struct IsNan {
  template <class T>
  static uint8_t apply(T x) {
    return magnitude(x) > kInfinity<T>;
  }
};
struct IsInf {
  template <class T>
  static uint8_t apply(T x) {
    return magnitude(x) == kInfinity<T>;
  }
};
struct IsFinite {
  template <class T>
  static uint8_t apply(T x) {
    return magnitude(x) < kInfinity<T>;
  }
};
struct SignBit {
  template <class T>
  static uint8_t apply(T x) {
    if constexpr (std::is_floating_point_v<T>)
      return uint8_t(std::bit_cast<Bits<T>>(x) >> (8 * sizeof(T) - 1));
    else if constexpr (std::is_signed_v<T>) return x < 0;
    else return 0;
  }
};
template <bool kValue>
struct Always {
  template <class T>
  static uint8_t apply(T) {
    return kValue;
  }
};

struct Not {
  static uint8_t apply(uint8_t x) { return x == 0; }
};
struct Invert {
  template <class T>
  static T apply(T x) {
    return T(~x);
  }
};
struct And {
  template <class T>
  static T apply(T a, T b) {
    return T(a & b);
  }
};
struct Or {
  template <class T>
  static T apply(T a, T b) {
    return T(a | b);
  }
};
struct Xor {
  template <class T>
  static T apply(T a, T b) {
    return T(a ^ b);
  }
};
// A count outside [0, bits) shifts everything out.
struct LeftShift {
  template <class T>
  static T apply(T a, T b) {
    constexpr T kBits = 8 * sizeof(T);
    return b < kBits ? T(a << (b & (kBits - 1))) : T(0);
  }
};
struct RightShift {
  template <class T>
  static T apply(T a, T b) {
    using U = std::make_unsigned_t<T>;
    constexpr U kBits = 8 * sizeof(T);
    const U count = U(b);
    if constexpr (std::is_signed_v<T>) return T(a >> (count < kBits ? count : U(kBits - 1)));
    else return count < kBits ? T(a >> (count & (kBits - 1))) : T(0);
  }
};
struct ShiftBool {
  static uint8_t apply(uint8_t a, uint8_t b) { return a & (b ^ 1); }
};

template <class T>
struct Where {
  static void vectors(void* out, const void* c, const void* a, const void* b, int64_t n) {
    const uint8_t* condition = static_cast<const uint8_t*>(c);
    const T* x = static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
    T* z = static_cast<T*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const T yes = x[i], no = y[i];
      z[i] = condition[i] ? yes : no;
    }
  }
  static void scalar_right(void* out, const void* c, const void* a, const void* b, int64_t n) {
    const uint8_t* condition = static_cast<const uint8_t*>(c);
    const T* x = static_cast<const T*>(a);
    const T no = *static_cast<const T*>(b);
    T* z = static_cast<T*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const T yes = x[i];
      z[i] = condition[i] ? yes : no;
    }
  }
  static void scalar_left(void* out, const void* c, const void* a, const void* b, int64_t n) {
    const uint8_t* condition = static_cast<const uint8_t*>(c);
    const T yes = *static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
    T* z = static_cast<T*>(out);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const T no = y[i];
      z[i] = condition[i] ? yes : no;
    }
  }
  static TileFunction find(Form form) {
    return form == Form::vectors        ? vectors
           : form == Form::scalar_right ? scalar_right
                                        : scalar_left;
  }
};

// Calls f with the unsigned type of the same size.
template <class F>
TileFunction by_size(DType dtype, F&& f) {
  switch (itemsize(dtype)) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}
template <class F>
TileFunction by_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::int8:
      return f(int8_t{});
    case DType::int16:
      return f(int16_t{});
    case DType::int32:
      return f(int32_t{});
    case DType::int64:
      return f(int64_t{});
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    default:
      return by_size(dtype, f);
  }
}
template <class Op>
TileFunction compare(DType dtype, Form form) {
  return by_type(dtype, [&](auto zero) { return Binary<Op, decltype(zero), uint8_t>::find(form); });
}
template <class Op>
TileFunction equality(DType dtype, Form form) {
  if (is_floating(dtype)) return compare<Op>(dtype, form);
  return by_size(dtype, [&](auto zero) { return Binary<Op, decltype(zero), uint8_t>::find(form); });
}
template <class Op>
TileFunction bits(DType dtype, Form form) {
  return by_size(dtype,
                 [&](auto zero) { return Binary<Op, decltype(zero), decltype(zero)>::find(form); });
}
template <class Op, bool kOtherwise>
TileFunction question(DType dtype) {
  if (dtype == DType::float32) return Unary<Op, float, uint8_t>::run;
  if (dtype == DType::float64) return Unary<Op, double, uint8_t>::run;
  return by_size(dtype, [](auto zero) -> TileFunction {
    return Unary<Always<kOtherwise>, decltype(zero), uint8_t>::run;
  });
}
TileFunction sign_bit(DType dtype) {
  return by_type(dtype, [](auto zero) -> TileFunction {
    using T = decltype(zero);
    return Unary<SignBit, T, uint8_t>::run;
  });
}

TileFunction find_logic(TileOp op, DType dtype, Form form) {
  const bool is_bool = dtype == DType::bool_;
  switch (op) {
    case TileOp::isnan:
      return question<IsNan, false>(dtype);
    case TileOp::isinf:
      return question<IsInf, false>(dtype);
    case TileOp::isfinite:
      return question<IsFinite, true>(dtype);
    case TileOp::signbit:
      return sign_bit(dtype);
    case TileOp::logical_not:
      return Unary<Not, uint8_t, uint8_t>::run;
    case TileOp::bitwise_invert:
      if (is_bool) return Unary<Not, uint8_t, uint8_t>::run;
      return by_size(dtype, [](auto zero) -> TileFunction {
        return Unary<Invert, decltype(zero), decltype(zero)>::run;
      });
    case TileOp::equal:
      return equality<Equal>(dtype, form);
    case TileOp::not_equal:
      return equality<NotEqual>(dtype, form);
    case TileOp::less:
      return compare<Less>(dtype, form);
    case TileOp::less_equal:
      return compare<LessEqual>(dtype, form);
    case TileOp::greater:
      return compare<Greater>(dtype, form);
    case TileOp::greater_equal:
      return compare<GreaterEqual>(dtype, form);
    case TileOp::logical_and:
    case TileOp::bitwise_and:
      return bits<And>(dtype, form);
    case TileOp::logical_or:
    case TileOp::bitwise_or:
      return bits<Or>(dtype, form);
    case TileOp::logical_xor:
    case TileOp::bitwise_xor:
      return bits<Xor>(dtype, form);
    case TileOp::bitwise_left_shift:
      if (is_bool) return Binary<ShiftBool, uint8_t, uint8_t>::find(form);
      return bits<LeftShift>(dtype, form);
    case TileOp::bitwise_right_shift:
      if (is_bool) return Binary<ShiftBool, uint8_t, uint8_t>::find(form);
      if (is_floating(dtype)) return nullptr;
      return by_type(dtype, [&](auto zero) -> TileFunction {
        using T = decltype(zero);
        if constexpr (std::is_integral_v<T>) return Binary<RightShift, T, T>::find(form);
        else return nullptr;
      });
    case TileOp::where:
      if (itemsize(dtype) == sizeof(complex128)) return Where<complex128>::find(form);
      return by_size(dtype, [&](auto zero) { return Where<decltype(zero)>::find(form); });
    default:
      return nullptr;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_logic);
TileFunction logic_function(TileOp op, DType dtype, Form form) {
  return HWY_DYNAMIC_DISPATCH(find_logic)(op, dtype, form);
}

}  // namespace tegula::cpu
#endif
