#include "base/dtype.h"

#include <algorithm>
#include <array>
#include <ostream>

namespace tegula {
namespace {

constexpr std::array<std::string_view, kDTypeCount> kNames = {
    "bool",   "int8",    "int16",    "int32",   "int64",   "uint8",     "uint16",    "uint32",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};

DType promote_integers(DType a, DType b) {
  if (is_signed_integer(a) == is_signed_integer(b)) return itemsize(a) >= itemsize(b) ? a : b;
  const DType s = is_signed_integer(a) ? a : b;
  const DType u = is_signed_integer(a) ? b : a;
  if (itemsize(s) > itemsize(u)) return s;
  switch (u) {
    case DType::uint8:
      return DType::int16;
    case DType::uint16:
      return DType::int32;
    case DType::uint32:
      return DType::int64;
    default:
      return DType::float64;
  }
}

}  // namespace

std::string_view name(DType dtype) { return kNames[int(dtype)]; }

DType dtype_named(std::string_view wanted) {
  const auto found = std::find(kNames.begin(), kNames.end(), wanted);
  if (found == kNames.end()) fail(ErrorKind::type, "no dtype is called '", wanted, "'");
  return DType(found - kNames.begin());
}

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name(dtype); }

DType promote(DType a, DType b) {
  if (a == b || b == DType::bool_) return a;
  if (a == DType::bool_) return b;
  if (is_complex(a) || is_complex(b))
    return itemsize(complex_dtype(a)) >= itemsize(complex_dtype(b)) ? complex_dtype(a)
                                                                    : complex_dtype(b);
  if (is_floating(a) && is_floating(b)) {
    if (itemsize(a) == itemsize(b)) return DType::float32;  // float16 with bfloat16
    return itemsize(a) > itemsize(b) ? a : b;
  }
  if (is_floating(a)) return a;
  if (is_floating(b)) return b;
  return promote_integers(a, b);
}

}  // namespace tegula
