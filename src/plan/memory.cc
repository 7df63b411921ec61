#include "plan/memory.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace tegula {
namespace {

// Of more values than this each would have to be compared with too many others.
constexpr size_t kMaxCompared = 4096;

int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Free ranges of the arena, by offset and by size; neighbours are joined.
class FreeRanges {
 public:
  // In the smallest range that fits, else at the end.
  int64_t take(int64_t size) {
    const auto fit = by_size_.lower_bound({size, 0});
    if (fit == by_size_.end()) return std::exchange(end_, end_ + size);
    const auto [found, offset] = *fit;
    remove(offset, found);
    if (found > size) insert(offset + size, found - size);
    return offset;
  }

  void give_back(int64_t offset, int64_t size) {
    const auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin()) {
      const auto [before, length] = *std::prev(next);
      if (before + length == offset) {
        remove(before, length);
        offset = before;
        size += length;
      }
    }
    if (const auto after = by_offset_.find(offset + size); after != by_offset_.end()) {
      const int64_t length = after->second;
      remove(offset + size, length);
      size += length;
    }
    insert(offset, size);
  }

  int64_t end() const { return end_; }

 private:
  void insert(int64_t offset, int64_t size) {
    by_offset_[offset] = size;
    by_size_.insert({size, offset});
  }
  void remove(int64_t offset, int64_t size) {
    by_offset_.erase(offset);
    by_size_.erase({size, offset});
  }

  std::map<int64_t, int64_t> by_offset_;
  std::set<std::pair<int64_t, int64_t>> by_size_;
  int64_t end_ = 0;
};

// In the order in which they are made, as a heap would serve them.
int64_t lay_out_in_order(std::vector<Lifetime>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a].first < values[b].first; });
  const auto ends_later = [&](size_t a, size_t b) { return values[a].last > values[b].last; };
  std::priority_queue<size_t, std::vector<size_t>, decltype(ends_later)> living(ends_later);
  FreeRanges free;
  for (size_t i : order) {
    for (; !living.empty() && values[living.top()].last < values[i].first; living.pop())
      free.give_back(values[living.top()].offset, rounded(values[living.top()].bytes));
    values[i].offset = 0;
    if (values[i].bytes == 0) continue;
    values[i].offset = free.take(rounded(values[i].bytes));
    living.push(i);
  }
  return free.end();
}

// Memory whose values are known by the place each has in it.
class Region {
 public:
  explicit Region(const std::vector<Lifetime>& values) : values_(values) {}

  // The lowest place that is free for the whole life of `value`.
  int64_t lowest(const Lifetime& value) const {
    const int64_t size = rounded(value.bytes);
    int64_t offset = 0;
    for (size_t p : placed_) {
      const Lifetime& other = values_[p];
      if (other.last < value.first || other.first > value.last) continue;
      if (other.offset >= offset + size) break;
      offset = std::max(offset, other.offset + rounded(other.bytes));
    }
    return offset;
  }

  void add(size_t number) {  // a value that has its place
    const auto position =
        std::lower_bound(placed_.begin(), placed_.end(), values_[number].offset,
                         [&](size_t p, int64_t offset) { return values_[p].offset < offset; });
    placed_.insert(position, number);
  }

 private:
  const std::vector<Lifetime>& values_;
  std::vector<size_t> placed_;  // by offset
};

}  // namespace

int64_t lay_out(std::vector<Lifetime>& values, std::span<const LentMemory> lent) {
  if (values.size() > kMaxCompared) return lay_out_in_order(values);
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a].bytes > values[b].bytes; });
  Region arena(values);
  std::vector<Region> beside(lent.size(), Region(values));
  // Which is wanted soonest is of least use to others.
  std::vector<int32_t> soonest(lent.size());
  std::iota(soonest.begin(), soonest.end(), 0);
  std::stable_sort(soonest.begin(), soonest.end(), [&](int32_t a, int32_t b) {
    return lent[size_t(a)].until < lent[size_t(b)].until;
  });
  int64_t total = 0;
  for (size_t i : order) {
    Lifetime& value = values[i];
    const int64_t size = rounded(value.bytes);
    value.offset = arena.lowest(value);
    if (value.offset + size > total) {
      for (int32_t number : soonest) {
        if (lent[size_t(number)].until <= value.last || lent[size_t(number)].bytes < value.bytes)
          continue;
        const int64_t offset = beside[size_t(number)].lowest(value);
        if (offset + value.bytes > lent[size_t(number)].bytes) continue;
        value.offset = offset;
        value.lent = number;
        break;
      }
    }
    (value.lent < 0 ? arena : beside[size_t(value.lent)]).add(i);
    if (value.lent < 0) total = std::max(total, value.offset + size);
  }
  return total;
}

}  // namespace tegula
