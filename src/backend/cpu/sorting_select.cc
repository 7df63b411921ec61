// topk: the first k elements of each row in sorted order, found in one pass. A row's candidates are
// gathered in a small pool; whenever it is full all but the best k are dropped, and from then on
// only what comes before the worst of those is let in. The order is total, so how rows are cut
// changes nothing.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/sorting_select.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/sorting.h"
#include "backend/cpu/sorting_keys.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

#ifndef TEGULA_BACKEND_CPU_SORTING_SELECT_CC_
#define TEGULA_BACKEND_CPU_SORTING_SELECT_CC_
namespace tegula::cpu {

// The candidates of a stretch of a row.
template <class T, class Item>
class Pool {
 public:
  // `items` has room for capacity(k).
  Pool(Item* items, int64_t k, bool descending) : items_(items), k_(k), descending_(descending) {}
  static int64_t capacity(int64_t k) { return std::max<int64_t>(2 * k, k + 256); }

  bool full() const { return count_ == capacity(k_); }
  void add(T value, int64_t position) { add(Item::make(sort_key(value, descending_), position)); }
  void add(Item item) { items_[count_++] = item; }
  // Keeps the best k in any order, the worst of them last.
  void drop() {
    if (count_ <= k_) return;
    std::nth_element(items_, items_ + k_ - 1, items_ + count_);
    count_ = k_;
  }
  // After drop() of more than k: whether an element further on in the row gets in.
  bool admits(T value) const {
    return sort_key(value, descending_) < KeyOf<T>(items_[k_ - 1].key());
  }
  int64_t worst() const { return items_[k_ - 1].position(); }

  int64_t count() const { return count_; }
  Item* begin() const { return items_; }
  Item* end() const { return items_ + count_; }

 private:
  Item* items_;
  int64_t k_;
  bool descending_;
  int64_t count_ = 0;
};

}  // namespace tegula::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Signed integers in the order of the elements' bits. That is the sorted order but for zeros and
// NaN, which may seem to come too early.
template <class T, class D>
class BitOrder {
 public:
  using S = std::make_signed_t<KeyOf<T>>;
  using V = hn::Vec<D>;
  explicit BitOrder(bool descending) : flip_(hn::Set(D(), S(descending ? -1 : 0))) {}

  V load(const T* x) const {
    const D d;
    V v = hn::LoadU(d, reinterpret_cast<const S*>(x));
    if constexpr (kIsFloat<T>) {
      v = hn::Xor(v, hn::And(hn::BroadcastSignBit(v), hn::Set(d, hwy::LimitsMax<S>())));
    } else if constexpr (std::is_unsigned_v<T>) {
      v = hn::Xor(v, hn::Set(d, hwy::LimitsMin<S>()));
    }
    return hn::Xor(v, flip_);
  }
  // What everything that may get in comes before.
  V bound(T worst) const {
    const D d;
    if constexpr (kIsFloat<T>)
      if (compute_t<T>(worst) != compute_t<T>(worst)) return hn::Set(d, hwy::LimitsMax<S>());
    T all[hn::MaxLanes(d)];
    std::fill_n(all, hn::Lanes(d), worst);
    return load(all);
  }

 private:
  V flip_;
};

// Puts the best k of x[begin, end) into the pool, or all if they are fewer.
template <class T, class Item>
void select(Pool<T, Item>& pool, const T* x, int64_t begin, int64_t end, bool descending) {
  using S = std::make_signed_t<KeyOf<T>>;
  using D = hn::ScalableTag<S>;
  const D d;
  const int64_t lanes = int64_t(hn::Lanes(d)), step = 8 * lanes;
  const BitOrder<T, D> order(descending);
  int64_t i = begin;
  for (; i < end && !pool.full(); ++i) pool.add(x[i], i);
  pool.drop();
  if (i == end) return;
  auto bound = order.bound(x[pool.worst()]);
  const auto offer = [&](int64_t at) {
    if (!pool.admits(x[at])) return;
    pool.add(x[at], at);
    if (!pool.full()) return;
    pool.drop();
    bound = order.bound(x[pool.worst()]);
  };
  for (; i + step <= end; i += step) {
    auto any = hn::Lt(order.load(x + i), bound);
    for (int64_t j = lanes; j < step; j += lanes)
      any = hn::Or(any, hn::Lt(order.load(x + i + j), bound));
    if (hn::AllFalse(d, any)) continue;
    for (int64_t j = i; j < i + step; j += lanes) {
      uint8_t bytes[8] = {};
      hn::StoreMaskBits(d, hn::Lt(order.load(x + j), bound), bytes);
      uint64_t bits;
      std::memcpy(&bits, bytes, sizeof(bits));
      for (; bits; bits &= bits - 1) offer(j + std::countr_zero(bits));
    }
  }
  for (; i < end; ++i) offer(i);
  pool.drop();
}

template <class T, class Item>
void write_sorted(Item* items, int64_t k, const T* x, T* values, int64_t* indices) {
  std::sort(items, items + k);
  for (int64_t i = 0; values && i < k; ++i) values[i] = x[items[i].position()];
  for (int64_t i = 0; indices && i < k; ++i) indices[i] = items[i].position();
}

constexpr int64_t kStretch = 1 << 16;  // of a long row, at least

template <class T, class Item>
void topk_rows(const T* x, T* values, int64_t* indices, int64_t rows, int64_t length, int64_t k,
               bool descending) {
  using RowPool = Pool<T, Item>;
  const auto finish = [&](RowPool& pool, int64_t row) {
    write_sorted(pool.begin(), k, x + row * length, values ? values + row * k : nullptr,
                 indices ? indices + row * k : nullptr);
  };
  const int64_t room = RowPool::capacity(k);
  const int64_t stretch = std::max(tile_size(kStretch), 8 * k);
  if (rows >= 8 || length < 2 * stretch) {
    for_pieces(rows, length / 4 + 32 * k, [&](int64_t begin, int64_t end) {
      const Scratch<Item> items(ScratchUse::left, size_t(room));
      for (int64_t row = begin; row < end; ++row) {
        RowPool pool(items, k, descending);
        select<T>(pool, x + row * length, 0, length, descending);
        finish(pool, row);
      }
    });
    return;
  }
  const int64_t stretches = (length + stretch - 1) / stretch;
  const Scratch<Item> found(ScratchUse::shared, size_t(stretches * k));
  for (int64_t row = 0; row < rows; ++row) {
    parallel_for(
        stretches,
        [&](int64_t s) {
          const Scratch<Item> items(ScratchUse::left, size_t(room));
          RowPool pool(items, k, descending);
          const int64_t begin = s * stretch, end = std::min(length, begin + stretch);
          select<T>(pool, x + row * length, begin, end, descending);
          std::copy(pool.begin(), pool.end(), found.get() + s * k);
        },
        double(length) / (4 * kWorkPerMicrosecond));
    // All stretches but the last are longer than k.
    const int64_t last = std::min(k, length - (stretches - 1) * stretch);
    Item *const begin = found, *const end = begin + (stretches - 1) * k + last;
    std::nth_element(begin, begin + k - 1, end);
    RowPool pool(begin, k, descending);
    finish(pool, row);
  }
}

void topk(const View& in, const std::byte* data, const View& values, const View& indices,
          bool descending) {
  const int64_t length = in.shape.back(), k = values.shape.back();
  dispatch(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto run = [&](auto item) {
      topk_rows<T, decltype(item)>(reinterpret_cast<const T*>(data), values.as<T>(),
                                   indices.as<int64_t>(), numel(in.shape) / length, length, k,
                                   descending);
    };
    if (sizeof(T) <= 4 && length <= int64_t(1) << 32) return run(Packed{});
    run(Wide{});
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(topk);

void run_topk(const KernelArgs& args) {
  const View &in = args.inputs[0], &values = args.outputs[0];
  if (numel(values.shape) == 0) return;
  const bool descending = read_attrs<TopKAttrs>(args.attrs).mode == kDescending;
  const DenseInput dense(in);
  HWY_DYNAMIC_DISPATCH(topk)(in, dense.data(), values, args.outputs[1], descending);
}

}  // namespace tegula::cpu
#endif
