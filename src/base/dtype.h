// Element types. Names and promotion follow the Python array API standard, which leaves the
// 16-bit floats to us: float16 with bfloat16 promotes to float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/complex.h"
#include "base/error.h"
#include "base/half.h"

namespace tegula {

enum class DType : uint8_t {
  bool_,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
  complex128,
};
inline constexpr int kDTypeCount = 15;

std::string_view name(DType dtype);
// The dtype called `name`; throws TypeError for any other word.
DType dtype_named(std::string_view name);
std::ostream& operator<<(std::ostream& out, DType dtype);

constexpr size_t itemsize(DType dtype) {
  constexpr uint8_t sizes[kDTypeCount] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return sizes[int(dtype)];
}
constexpr bool is_floating(DType d) { return d >= DType::float16 && d <= DType::float64; }
constexpr bool is_complex(DType d) { return d >= DType::complex64; }
// What has derivatives.
constexpr bool is_inexact(DType d) { return d >= DType::float16; }
// The dtype of a complex dtype's parts; any other is its own.
constexpr DType real_dtype(DType d) {
  return d == DType::complex64 ? DType::float32 : d == DType::complex128 ? DType::float64 : d;
}
// The complex dtype that holds a dtype's numbers: complex64 but for float64 and complex128.
constexpr DType complex_dtype(DType d) {
  return real_dtype(d) == DType::float64 ? DType::complex128 : DType::complex64;
}
constexpr bool is_signed_integer(DType d) { return d >= DType::int8 && d <= DType::int64; }
constexpr bool is_unsigned_integer(DType d) { return d >= DType::uint8 && d <= DType::uint64; }
constexpr bool is_integer(DType d) { return d >= DType::int8 && d <= DType::uint64; }

// The smallest dtype both convert to. Integers with floats give the float (as NumPy users write
// `counts * 0.5`); int64 with uint64, which no integer type holds, gives float64. A complex dtype
// with any other gives the complex one whose parts hold both.
DType promote(DType a, DType b);

// Calls f(T{}) with the C++ type of a real `dtype`; bool_ is passed as bool.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::bool_:
      return f(bool{});
    case DType::int8:
      return f(int8_t{});
    case DType::int16:
      return f(int16_t{});
    case DType::int32:
      return f(int32_t{});
    case DType::int64:
      return f(int64_t{});
    case DType::uint8:
      return f(uint8_t{});
    case DType::uint16:
      return f(uint16_t{});
    case DType::uint32:
      return f(uint32_t{});
    case DType::uint64:
      return f(uint64_t{});
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::complex64:
    case DType::complex128:
      fail(ErrorKind::type, "needs a real dtype, got ", name(dtype));
  }
  fail(ErrorKind::type, "unknown dtype code ", int(dtype));
}

// The same for the floating-point types; any other dtype is the caller's mistake.
template <class F>
decltype(auto) dispatch_floating(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float16:
      return f(float16{});
    case DType::bfloat16:
      return f(bfloat16{});
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    default:
      fail(ErrorKind::type, "needs a floating-point dtype, got ", name(dtype));
  }
}

// The same for all dtypes, complex ones too.
template <class F>
decltype(auto) dispatch_all(DType dtype, F&& f) {
  if (dtype == DType::complex64) return f(complex64{});
  if (dtype == DType::complex128) return f(complex128{});
  return dispatch(dtype, std::forward<F>(f));
}

// The type in which elements of T are computed: float for the 16-bit floats, T otherwise.
template <class T>
using compute_t =
    std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;

}  // namespace tegula
