// Conversions. A float becomes an integer towards zero, kept in range, NaN as 0; integers wrap;
// anything but zero is true. What becomes a 16-bit float is rounded to float32 first.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/cast.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "backend/cpu/tile/functions.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/loops.h"

template <class From, class To>
struct Cast {
  static To apply(From x) {
    if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
      // 2^digits and the float before it bound what can be converted.
      using Whole = std::conditional_t<(sizeof(To) < 4), int32_t, To>;
      constexpr int kBits = std::numeric_limits<To>::digits;
      constexpr From kEnd = From(uint64_t(1) << (kBits - 1)) * 2;
      constexpr From kLast =
          kBits > std::numeric_limits<From>::digits
              ? kEnd - kEnd / From(uint64_t(1) << std::numeric_limits<From>::digits)
              : kEnd - 1;
      constexpr From kBegin = std::is_signed_v<To> ? -kEnd : From(0);
      From inside = x > kBegin ? x : kBegin;  // NaN becomes kBegin
      inside = inside < kLast ? inside : kLast;
      const Whole whole = Whole(inside);
      const Whole kept = x >= kEnd ? Whole(std::numeric_limits<To>::max()) : whole;
      return To(x == x ? kept : Whole(0));
    } else {
      return To(x);
    }
  }
};
// A complex number without an imaginary part.
template <class From, class C>
struct Join {
  static C apply(From x) { return C(decltype(C::re)(x)); }
};
template <class From>
struct ToBool {
  static uint8_t apply(From x) { return x != From(0); }
};
// To float32 and back, or there and back again.
template <class T>
struct Widen {
  static float apply(T x) { return float(x); }
};
template <class T>
struct Narrow {
  static T apply(float x) { return T(x); }
};
template <class T>
struct Through {
  static float apply(float x) { return float(T(x)); }
};

template <class F>
TileFunction by_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
      return f(uint8_t{});
    case DType::uint16:
      return f(uint16_t{});
    case DType::uint32:
      return f(uint32_t{});
    case DType::uint64:
      return f(uint64_t{});
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
      return nullptr;
  }
}
DType as_unsigned(DType dtype) {
  switch (dtype) {
    case DType::int8:
      return DType::uint8;
    case DType::int16:
      return DType::uint16;
    case DType::int32:
      return DType::uint32;
    case DType::int64:
      return DType::uint64;
    default:
      return dtype;
  }
}

#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
// The processor's own conversions of float16, which give the bits of float16's.
namespace hn = hwy::HWY_NAMESPACE;
template <class F>
void by_vectors(const void* a, size_t a_size, void* out, size_t out_size, int64_t n, F&& f) {
  const int64_t lanes = int64_t(hn::Lanes(hn::ScalableTag<float>()));
  const std::byte* from = static_cast<const std::byte*>(a);
  std::byte* to = static_cast<std::byte*>(out);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(from + size_t(i) * a_size, to + size_t(i) * out_size);
  if (i == n) return;
  alignas(64) std::byte in[64] = {}, result[64];
  std::memcpy(in, from + size_t(i) * a_size, size_t(n - i) * a_size);
  f(in, result);
  std::memcpy(to + size_t(i) * out_size, result, size_t(n - i) * out_size);
}
using HalfTag = hn::Rebind<hwy::float16_t, hn::ScalableTag<float>>;
void widen_half(void* out, const void* a, const void*, const void*, int64_t n) {
  by_vectors(a, 2, out, 4, n, [](const std::byte* from, std::byte* to) HWY_ATTR {
    const hn::ScalableTag<float> d;
    const auto half = hn::LoadU(HalfTag(), reinterpret_cast<const hwy::float16_t*>(from));
    hn::StoreU(hn::PromoteTo(d, half), d, reinterpret_cast<float*>(to));
  });
}
void narrow_half(void* out, const void* a, const void*, const void*, int64_t n) {
  by_vectors(a, 4, out, 2, n, [](const std::byte* from, std::byte* to) HWY_ATTR {
    const auto x = hn::LoadU(hn::ScalableTag<float>(), reinterpret_cast<const float*>(from));
    hn::StoreU(hn::DemoteTo(HalfTag(), x), HalfTag(), reinterpret_cast<hwy::float16_t*>(to));
  });
}
void through_half(void* out, const void* a, const void*, const void*, int64_t n) {
  by_vectors(a, 4, out, 4, n, [](const std::byte* from, std::byte* to) HWY_ATTR {
    const hn::ScalableTag<float> d;
    const auto x = hn::LoadU(d, reinterpret_cast<const float*>(from));
    hn::StoreU(hn::PromoteTo(d, hn::DemoteTo(HalfTag(), x)), d, reinterpret_cast<float*>(to));
  });
}
#else
constexpr TileFunction widen_half = Unary<Widen<float16>, float16, float>::run;
constexpr TileFunction narrow_half = Unary<Narrow<float16>, float, float16>::run;
constexpr TileFunction through_half = Unary<Through<float16>, float, float>::run;
#endif

template <class C>
TileFunction to_complex(DType from) {
  if (is_complex(from))
    return from == DType::complex64 ? Unary<Cast<complex64, C>, complex64, C>::run
                                    : Unary<Cast<complex128, C>, complex128, C>::run;
  return by_type(from, [](auto zero) -> TileFunction {
    using From = decltype(zero);
    return Unary<Join<From, C>, From, C>::run;
  });
}

TileFunction find_cast(DType from, DType to) {
  if (to == DType::complex64) return to_complex<complex64>(from);
  if (to == DType::complex128) return to_complex<complex128>(from);
  if (to == DType::float16 && from == DType::float32) return narrow_half;
  if (to == DType::bfloat16 && from == DType::float32)
    return Unary<Narrow<bfloat16>, float, bfloat16>::run;
  if (from == DType::float16 && to == DType::float32) return widen_half;
  if (from == DType::bfloat16 && to == DType::float32)
    return Unary<Widen<bfloat16>, bfloat16, float>::run;
  if (to == DType::bool_)
    return by_type(from, [](auto zero) -> TileFunction {
      using From = decltype(zero);
      return Unary<ToBool<From>, From, uint8_t>::run;
    });
  if (!is_floating(from) && !is_floating(to)) {
    to = as_unsigned(to);  // the same bits
    if (itemsize(to) <= itemsize(from)) from = as_unsigned(from);
  }
  return by_type(from, [&](auto zero) {
    using From = decltype(zero);
    return by_type(to, [](auto one) -> TileFunction {
      using To = decltype(one);
      return Unary<Cast<From, To>, From, To>::run;
    });
  });
}

TileFunction find_rounding(DType dtype) {
  return dtype == DType::float16 ? through_half : Unary<Through<bfloat16>, float, float>::run;
}

template <class T>
void fill(void* out, const void* a, const void*, const void*, int64_t n) {
  const T x = *static_cast<const T*>(a);
  T* y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = x;
}

template <class T>
void strided(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride,
             int64_t count) {
  constexpr int64_t kSize = sizeof(T);
  if (to_stride == kSize && from_stride == kSize) {
    std::memcpy(to, from, size_t(count * kSize));
  } else if (to_stride == kSize && from_stride == 0) {
    fill<T>(to, from, nullptr, nullptr, count);
  } else if (to_stride == kSize) {
    T* y = reinterpret_cast<T*>(to);
    for (int64_t i = 0; i < count; ++i) y[i] = *reinterpret_cast<const T*>(from + i * from_stride);
  } else {
    for (int64_t i = 0; i < count; ++i)
      *reinterpret_cast<T*>(to + i * to_stride) =
          *reinterpret_cast<const T*>(from + i * from_stride);
  }
}

TileFunction find_fill(size_t size) {
  return size == 1   ? fill<uint8_t>
         : size == 2 ? fill<uint16_t>
         : size == 4 ? fill<uint32_t>
         : size == 8 ? fill<uint64_t>
                     : fill<complex128>;
}
StridedCopy find_strided_copy(size_t size) {
  return size == 1   ? strided<uint8_t>
         : size == 2 ? strided<uint16_t>
         : size == 4 ? strided<uint32_t>
         : size == 8 ? strided<uint64_t>
                     : strided<complex128>;
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_cast);
HWY_EXPORT(find_rounding);
HWY_EXPORT(find_fill);
HWY_EXPORT(find_strided_copy);

TileFunction cast_function(DType from, DType to) {
  return HWY_DYNAMIC_DISPATCH(find_cast)(from, to);
}
TileFunction rounding_function(DType dtype) { return HWY_DYNAMIC_DISPATCH(find_rounding)(dtype); }
TileFunction fill_function(size_t size) { return HWY_DYNAMIC_DISPATCH(find_fill)(size); }
StridedCopy strided_copy_function(size_t size) {
  return HWY_DYNAMIC_DISPATCH(find_strided_copy)(size);
}

}  // namespace tegula::cpu
#endif
