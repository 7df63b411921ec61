// sort and nonzero, and the table of the sorting family.
#include "backend/cpu/sorting.h"

#include <bit>
#include <utility>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

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

// An unsigned integer that orders as the value does: zeros of both signs alike, NaN last whatever
// the direction.
template <class T>
KeyOf<T> sort_key(T value, bool descending) {
  using K = KeyOf<T>;
  constexpr K kSign = K(K(1) << (8 * sizeof(K) - 1));
  K key;
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    key = K(value);
  } else if constexpr (std::is_integral_v<T>) {
    key = K(K(value) ^ kSign);
  } else {
    const auto wide = compute_t<T>(value);
    if (wide != wide) return K(~K(0));
    const K bits = wide == 0 ? K(0) : std::bit_cast<K>(value);
    key = (bits & kSign) ? K(~bits) : K(bits | kSign);
  }
  return descending ? K(~key) : key;
}

// A key with its position: equal keys differ by position, so any correct sort is stable.
struct Packed {  // for keys of up to 32 bits in rows of up to 2^32 elements
  uint64_t word;
  uint64_t key() const { return word >> 32; }
  int64_t position() const { return int64_t(word & 0xffffffffu); }
  bool operator<(const Packed& other) const { return word < other.word; }
};
struct Wide {
  uint64_t word;
  int64_t index;
  uint64_t key() const { return word; }
  int64_t position() const { return index; }
  bool operator<(const Wide& other) const {
    return word != other.word ? word < other.word : index < other.index;
  }
};

// Least significant digit first; digits that all keys share are skipped. Returns the buffer that
// holds the result.
template <int kBits, int kDigitBits, class Item>
Item* radix_sort(Item* items, Item* other, int64_t count) {
  constexpr int kDigits = (kBits + kDigitBits - 1) / kDigitBits;
  constexpr uint64_t kMask = (uint64_t(1) << kDigitBits) - 1;
  std::vector<int64_t> starts(size_t(kDigits) << kDigitBits);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = items[i].key();
    for (int d = 0; d < kDigits; ++d)
      ++starts[(size_t(d) << kDigitBits) + ((key >> (d * kDigitBits)) & kMask)];
  }
  for (int d = 0; d < kDigits; ++d) {
    int64_t* start = &starts[size_t(d) << kDigitBits];
    const int shift = d * kDigitBits;
    if (start[(items[0].key() >> shift) & kMask] == count) continue;
    int64_t sum = 0;
    for (uint64_t v = 0; v <= kMask; ++v) sum += std::exchange(start[v], sum);
    for (int64_t i = 0; i < count; ++i)
      other[start[(items[i].key() >> shift) & kMask]++] = items[i];
    std::swap(items, other);
  }
  return items;
}

constexpr int64_t kRadixFrom = 768;  // shorter rows are compared

template <class T, class Item>
void sort_rows(const T* x, T* values, int64_t* indices, int64_t length, bool descending,
               int64_t begin, int64_t end) {
  std::vector<Item> items(length), other(length >= kRadixFrom ? length : 0);
  for (int64_t row = begin; row < end; ++row) {
    const T* from = x + row * length;
    for (int64_t i = 0; i < length; ++i) {
      const auto key = uint64_t(sort_key(from[i], descending));
      if constexpr (std::is_same_v<Item, Packed>) {
        items[i] = {key << 32 | uint64_t(i)};
      } else {
        items[i] = {key, i};
      }
    }
    const Item* sorted = items.data();
    if (length < kRadixFrom) {
      std::sort(items.begin(), items.end());
    } else {
      constexpr int kDigitBits = sizeof(T) >= 4 ? 11 : 8;
      sorted = radix_sort<8 * sizeof(T), kDigitBits>(items.data(), other.data(), length);
    }
    T* to = values + row * length;
    int64_t* at = indices + row * length;
    for (int64_t i = 0; i < length; ++i) {
      at[i] = sorted[i].position();
      to[i] = from[at[i]];
    }
  }
}

void run_sort(const KernelArgs& args) {
  const View& x = args.inputs[0];
  const int64_t total = numel(x.shape);
  if (total == 0) return;
  const int64_t length = x.shape.empty() ? 1 : x.shape.back();
  const bool descending = read_attrs<AxisAttrs>(args.attrs).mode == kDescending;
  const DenseInput dense(x);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* from = dense.as<T>();
    T* values = args.outputs[0].as<T>();
    int64_t* indices = args.outputs[1].as<int64_t>();
    for_pieces(total / length, 8 * length, [&](int64_t begin, int64_t end) {
      if (sizeof(T) <= 4 && length <= int64_t(1) << 32) {
        sort_rows<T, Packed>(from, values, indices, length, descending, begin, end);
      } else {
        sort_rows<T, Wide>(from, values, indices, length, descending, begin, end);
      }
    });
  });
}

void run_nonzero(const KernelArgs& args) {
  const View &mask = args.inputs[0], &out = args.outputs[0];
  const size_t rank = mask.shape.size();
  const int64_t total = numel(mask.shape), found = out.shape.back();
  if (total == 0 || found == 0 || rank == 0) return;
  const DenseInput dense(mask);
  const auto* flags = dense.as<uint8_t>();
  const int64_t chunk = tile_size(kPieceWork);
  const int64_t chunks = (total + chunk - 1) / chunk;
  std::vector<int64_t> first(chunks + 1);
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t n = 0;
      for (int64_t i = c * chunk; i < std::min(total, (c + 1) * chunk); ++i) n += flags[i] != 0;
      first[c + 1] = n;
    }
  });
  for (int64_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t at = first[c];
      for (int64_t i = c * chunk; at < std::min(found, first[c + 1]); ++i) {
        if (!flags[i]) continue;
        int64_t rest = i;
        for (size_t axis = rank; axis-- > 0;) {
          out.as<int64_t>()[int64_t(axis) * found + at] = rest % mask.shape[axis];
          rest /= mask.shape[axis];
        }
        ++at;
      }
    }
  });
}

constexpr KernelEntry kEntries[] = {
    {"sort", {run_sort}},
    {"cumulative", {run_cumulative}},
    {"argreduce", {run_argreduce}},
    {"nonzero", {run_nonzero}},
};

}  // namespace

std::span<const KernelEntry> sorting_kernels() { return kEntries; }

}  // namespace tegula::cpu
