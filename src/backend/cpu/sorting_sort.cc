// sort: values alone are sorted in vectors. With their indices, rows are sorted by radix, least
// significant digit first; a long row is first dealt into buckets by its most significant digit,
// which threads then sort apart. A stable order is unique, so how the work is cut changes nothing.
#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/sorting.h"
#include "backend/cpu/sorting_keys.h"
#include "backend/cpu/sorting_vectors.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

constexpr int kDigitBits = 11;
constexpr int64_t kDigits = int64_t(1) << kDigitBits;
constexpr int64_t kRadixFrom = 768;           // fewer are compared
constexpr int64_t kDealFrom = 1 << 17;  // so many are dealt into buckets first
constexpr int64_t kBlock = 1 << 16;     // elements that one piece deals

// Digit d covers kDigitBits from bit d * kDigitBits; keys differ in their lowest `bits` bits only.
// Returns which of the two buffers holds the result.
template <class Item>
Item* radix_sort(Item* items, Item* other, int64_t count, int bits) {
  const int digits = (bits + kDigitBits - 1) / kDigitBits;
  int64_t start[kDigits];
  for (int d = 0; d < digits; ++d) {
    const int shift = d * kDigitBits;
    const auto digit = [shift](const Item& item) { return item.key() >> shift & (kDigits - 1); };
    std::fill_n(start, kDigits, 0);
    for (int64_t i = 0; i < count; ++i) ++start[digit(items[i])];
    if (start[digit(items[0])] == count) continue;
    int64_t sum = 0;
    for (int64_t& s : start) sum += std::exchange(s, sum);
    for (int64_t i = 0; i < count; ++i) other[start[digit(items[i])]++] = items[i];
    std::swap(items, other);
  }
  return items;
}

// Bare keys that vectors hold.
template <class Item>
inline constexpr bool kInVectors =
    std::is_same_v<Item, Key<uint32_t>> || std::is_same_v<Item, Key<uint64_t>>;

template <class Item>
Item* sort_items(Item* items, Item* other, int64_t count, int bits) {
  if constexpr (kInVectors<Item>) {
    if (count >= kVectorSortFrom) {
      sort_keys(&items->word, &other->word, count);
      return items;
    }
  }
  if (count >= kRadixFrom) return radix_sort(items, other, count, bits);
  std::sort(items, items + count);
  return items;
}

// The keys of one row, sorted in pieces of memory that the caller lends.
template <class T, class Item>
class RowSort {
 public:
  RowSort(int64_t length, bool descending, T* values, int64_t* indices)
      : length_(length), descending_(descending), values_(values), indices_(indices) {}

  // Sorts x, with `items` and `other` of the row's length to work in.
  void sort(const T* x, Item* items, Item* other) const {
    for (int64_t i = 0; i < length_; ++i) items[i] = item(x, i);
    write(sort_items(items, other, length_, 8 * sizeof(T)), 0, length_);
    restore_zeros(x);
  }
  void sort_long(const T* x, Item* items, Item* other) const {
    if constexpr (kInVectors<Item>)
      return sort_keys_alone(x, reinterpret_cast<Item*>(values_), other);
    deal(length_, 8 * sizeof(T), 0, items, other, FromRow{this, x});
    restore_zeros(x);
  }

 private:
  // `items` may be the values' own memory.
  void sort_keys_alone(const T* x, Item* items, Item* other) const {
    const auto by_blocks = [&](auto&& f) {
      parallel_for((length_ + kBlock - 1) / kBlock,
                   [&](int64_t b) { f(b * kBlock, std::min(length_, (b + 1) * kBlock)); });
    };
    by_blocks([&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) items[i] = item(x, i);
    });
    if constexpr (kInVectors<Item>) sort_keys_in_parts(&items->word, &other->word, length_);
    by_blocks([&](int64_t begin, int64_t end) { write(items + begin, begin, end - begin); });
    restore_zeros(x);
  }
  struct FromRow {
    const RowSort* sort;
    const T* x;
    Item operator()(int64_t i) const { return sort->item(x, i); }
  };
  struct FromBucket {
    const Item* items;
    Item operator()(int64_t i) const { return items[i]; }
  };
  Item item(const T* x, int64_t i) const { return Item::make(sort_key(x[i], descending_), i); }

  // Sorts `count` items, at(i) giving them, whose place in the row begins at `first` and whose keys
  // differ in their lowest `bits` bits only.
  template <class F>
  void deal(int64_t count, int bits, int64_t first, Item* items, Item* other, F&& at) const {
    const int64_t blocks = (count + kBlock - 1) / kBlock;
    std::atomic<uint64_t> differing{0};
    const uint64_t reference = at(0).key();
    parallel_for(blocks, [&](int64_t b) {
      uint64_t bits_here = 0;
      for (int64_t i = b * kBlock; i < std::min(count, (b + 1) * kBlock); ++i)
        bits_here |= at(i).key() ^ reference;
      differing.fetch_or(bits_here, std::memory_order_relaxed);
    });
    bits = std::min(bits, int(std::bit_width(differing.load())));
    const int shift = std::max(0, bits - kDigitBits);
    const auto digit = [shift](const Item& item) { return item.key() >> shift & (kDigits - 1); };

    std::vector<int64_t> starts(size_t(blocks * kDigits));  // by block and digit
    parallel_for(blocks, [&](int64_t b) {
      int64_t* const counts = &starts[size_t(b * kDigits)];
      for (int64_t i = b * kBlock; i < std::min(count, (b + 1) * kBlock); ++i)
        ++counts[digit(at(i))];
    });
    std::vector<int64_t> bucket(kDigits + 1);
    int64_t sum = 0;
    for (int64_t d = 0; d < kDigits; ++d) {
      bucket[size_t(d)] = sum;
      for (int64_t b = 0; b < blocks; ++b)
        sum += std::exchange(starts[size_t(b * kDigits + d)], sum);
    }
    bucket[kDigits] = sum;
    parallel_for(blocks, [&](int64_t b) {
      int64_t* const start = &starts[size_t(b * kDigits)];
      for (int64_t i = b * kBlock; i < std::min(count, (b + 1) * kBlock); ++i) {
        const Item it = at(i);
        items[start[digit(it)]++] = it;
      }
    });
    if (shift == 0) {
      parallel_for(blocks, [&](int64_t b) {
        const int64_t begin = b * kBlock, end = std::min(count, begin + kBlock);
        write(items + begin, first + begin, end - begin);
      });
      return;
    }
    const auto size = [&](int64_t d) { return bucket[size_t(d) + 1] - bucket[size_t(d)]; };
    const auto is_long = [&](int64_t d) { return size(d) >= kDealFrom && size(d) > count / 8; };
    parallel_for(kDigits, [&](int64_t d) {
      if (size(d) == 0 || is_long(d)) return;
      const int64_t begin = bucket[size_t(d)];
      write(sort_items(items + begin, other + begin, size(d), shift), first + begin, size(d));
    });
    for (int64_t d = 0; d < kDigits; ++d)
      if (is_long(d)) {
        const int64_t begin = bucket[size_t(d)];
        deal(size(d), shift, first + begin, other + begin, items + begin,
             FromBucket{items + begin});
      }
  }

  // Places sorted items in the row from `first` on.
  void write(const Item* items, int64_t first, int64_t count) const {
    if (values_)
      for (int64_t i = 0; i < count; ++i)
        values_[first + i] = value_of_key<T>(KeyOf<T>(items[i].key()), descending_);
    if (indices_)
      for (int64_t i = 0; i < count; ++i) indices_[first + i] = items[i].position();
  }

  // The keys of zeros do not tell their signs: they come in the order of the row.
  void restore_zeros(const T* x) const {
    if constexpr (kIsFloat<T>) {
      if (!values_) return;
      using K = KeyOf<T>;
      const T* end = x + length_;
      const auto is_negative_zero = [](T v) { return std::bit_cast<K>(v) == kSignBit<K>; };
      if (std::find_if(x, end, is_negative_zero) == end) return;
      const K zero = sort_key(T(compute_t<T>(0)), descending_);
      T* to = std::partition_point(values_, values_ + length_,
                                   [&](T v) { return sort_key(v, descending_) < zero; });
      for (; x != end; ++x)
        if (compute_t<T>(*x) == 0) *to++ = *x;
    }
  }

  int64_t length_;
  bool descending_;
  T* values_;         // null where not wanted, as are
  int64_t* indices_;
};

template <class T, class Item>
void sort_rows(const T* x, T* values, int64_t* indices, int64_t length, bool descending,
               int64_t rows) {
  const auto row_sort = [&](int64_t row) {
    return RowSort<T, Item>(length, descending, values ? values + row * length : nullptr,
                            indices ? indices + row * length : nullptr);
  };
  const auto sort_them = [&](int64_t begin, int64_t end, bool is_long) {
    const bool in_place = is_long && kInVectors<Item>;
    const Scratch<Item> items(ScratchUse::left, in_place ? 0 : size_t(length)),
        other(ScratchUse::right, size_t(length));
    for (int64_t row = begin; row < end; ++row) {
      if (is_long) row_sort(row).sort_long(x + row * length, items, other);
      else row_sort(row).sort(x + row * length, items, other);
    }
  };
  if (length >= kDealFrom) return sort_them(0, rows, true);
  for_pieces(rows, 16 * length, [&](int64_t begin, int64_t end) { sort_them(begin, end, false); });
}

}  // namespace

void run_sort(const KernelArgs& args) {
  const View& x = args.inputs[0];
  const int64_t total = numel(x.shape);
  if (total == 0) return;
  const int64_t length = x.shape.empty() ? 1 : x.shape.back();
  const bool descending = read_attrs<AxisAttrs>(args.attrs).mode == kDescending;
  const DenseInput dense(x);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto sort = [&](auto item) {
      sort_rows<T, decltype(item)>(dense.as<T>(), args.outputs[0].as<T>(),
                                   args.outputs[1].as<int64_t>(), length, descending,
                                   total / length);
    };
    if (!args.outputs[1].data) return sort(Key<KeyOf<T>>{});
    if (sizeof(T) <= 4 && length <= int64_t(1) << 32) return sort(Packed{});
    sort(Wide{});
  });
}

}  // namespace tegula::cpu
