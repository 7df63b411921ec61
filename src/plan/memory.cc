#include "plan/memory.h"

#include <algorithm>
#include <numeric>

namespace tegula {

int64_t lay_out(std::vector<Lifetime>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a].bytes > values[b].bytes; });
  std::vector<size_t> placed;  // by offset
  int64_t total = 0;
  for (size_t i : order) {
    Lifetime& value = values[i];
    const int64_t size = (value.bytes + 63) / 64 * 64;
    int64_t offset = 0;
    for (size_t p : placed) {
      const Lifetime& other = values[p];
      if (other.last < value.first || other.first > value.last) continue;
      if (other.offset >= offset + size) break;
      offset = std::max(offset, other.offset + (other.bytes + 63) / 64 * 64);
    }
    value.offset = offset;
    total = std::max(total, offset + size);
    const auto position =
        std::lower_bound(placed.begin(), placed.end(), offset,
                         [&](size_t p, int64_t o) { return values[p].offset < o; });
    placed.insert(position, i);
  }
  return total;
}

}  // namespace tegula
