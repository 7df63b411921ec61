// Sorting by unsigned integers that order as the values do.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/dtype.h"

namespace tegula::cpu {

template <size_t kSize>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using type = uint8_t;
};
template <>
struct UnsignedOf<2> {
  using type = uint16_t;
};
template <>
struct UnsignedOf<4> {
  using type = uint32_t;
};
template <>
struct UnsignedOf<8> {
  using type = uint64_t;
};
template <class T>
using KeyOf = typename UnsignedOf<sizeof(T)>::type;

template <class T>
inline constexpr bool kIsFloat = !std::is_integral_v<T>;
template <class K>
inline constexpr K kSignBit = K(K(1) << (8 * sizeof(K) - 1));

// Zeros of both signs are alike, and NaN comes last whatever the direction.
template <class T>
KeyOf<T> sort_key(T value, bool descending) {
  using K = KeyOf<T>;
  K key;
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    key = K(value);
  } else if constexpr (std::is_integral_v<T>) {
    key = K(K(value) ^ kSignBit<K>);
  } else {
    const auto wide = compute_t<T>(value);
    if (wide != wide) return K(~K(0));
    const K bits = wide == 0 ? K(0) : std::bit_cast<K>(value);
    key = (bits & kSignBit<K>) ? K(~bits) : K(bits | kSignBit<K>);
  }
  return descending ? K(~key) : key;
}

// A value that has this key: zero is positive, NaN is one of them.
template <class T>
T value_of_key(KeyOf<T> key, bool descending) {
  using K = KeyOf<T>;
  if constexpr (kIsFloat<T>) {
    if (key == K(~K(0))) return std::bit_cast<T>(key);
  }
  if (descending) key = K(~key);
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    return T(key);
  } else if constexpr (std::is_integral_v<T>) {
    return T(K(key ^ kSignBit<K>));
  } else {
    return std::bit_cast<T>((key & kSignBit<K>) ? K(key ^ kSignBit<K>) : K(~key));
  }
}

}  // namespace tegula::cpu
