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

// What is moved about: a key, with its position where that is wanted.
template <class K>
struct Key {
  K word;
  uint64_t key() const { return word; }
  int64_t position() const { return 0; }
  static Key make(K key, int64_t) { return {key}; }
  bool operator<(const Key& other) const { return word < other.word; }
};
struct Packed {  // for keys of up to 32 bits in rows of up to 2^32 elements
  uint64_t word;
  uint64_t key() const { return word >> 32; }
  int64_t position() const { return int64_t(word & 0xffffffffu); }
  static Packed make(uint64_t key, int64_t position) { return {key << 32 | uint64_t(position)}; }
  bool operator<(const Packed& other) const { return word < other.word; }
};
struct Wide {
  uint64_t word;
  int64_t index;
  uint64_t key() const { return word; }
  int64_t position() const { return index; }
  static Wide make(uint64_t key, int64_t position) { return {key, position}; }
  bool operator<(const Wide& other) const {
    return word != other.word ? word < other.word : index < other.index;
  }
};

}  // namespace tegula::cpu
