// Loops over operands that share a shape but not their strides, and the cutting of work.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "backend/cpu/isa.h"
#include "base/shape.h"
#include "runtime/kernel.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {

// Element-operations in one piece of work; twice as many run without the thread pool.
inline constexpr int64_t kPieceWork = 16384;
// Element-operations that a thread gets done, about.
inline constexpr double kWorkPerMicrosecond = 1500;

// Cuts [0, count) into ranges worth about kPieceWork, each item costing `work_each` and no range
// shorter than `at_least` (save the last), and runs body(begin, end) for every range.
template <class F>
void for_pieces(int64_t count, int64_t work_each, F&& body, int64_t at_least = 1) {
  if (count <= 0) return;
  const int64_t piece = tile_size(kPieceWork);
  const int64_t cost = std::max<int64_t>(work_each, 1);
  if (count <= std::max(2 * piece / cost, at_least)) return body(int64_t(0), count);
  const int64_t each = std::max({int64_t(1), at_least, piece / cost});
  parallel_for((count + each - 1) / each,
               [&](int64_t i) { body(i * each, std::min(count, (i + 1) * each)); },
               double(count) * double(cost) / kWorkPerMicrosecond);
}

// A common iteration space: axes of size 1 dropped, axes that every operand walks as one merged.
template <size_t K>
struct StridedLoop {
  Dims shape;  // never empty
  std::array<Dims, K> strides;
  int64_t count = 1;  // elements in all
};

template <size_t K>
StridedLoop<K> merge_axes(const Dims& shape, const std::array<const Dims*, K>& strides) {
  StridedLoop<K> loop;
  const size_t most = std::max<size_t>(shape.size(), 1);
  loop.shape.resize(most, 1);
  for (size_t k = 0; k < K; ++k) loop.strides[k].resize(most);
  size_t used = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    loop.count *= shape[axis];
    if (shape[axis] == 1) continue;
    bool merges = used > 0;
    for (size_t k = 0; k < K && merges; ++k)
      merges = loop.strides[k][used - 1] == (*strides[k])[axis] * shape[axis];
    if (!merges) loop.shape[used++] = 1;
    loop.shape[used - 1] *= shape[axis];
    for (size_t k = 0; k < K; ++k) loop.strides[k][used - 1] = (*strides[k])[axis];
  }
  used = std::max<size_t>(used, 1);
  loop.shape.resize(used);
  for (size_t k = 0; k < K; ++k) loop.strides[k].resize(used);
  return loop;
}

// Visits elements [begin, end) in row-major order as runs along the last axis:
// run(offsets, length), with the element offset of each operand at the start of the run.
template <size_t K, class F>
void for_each_run(const StridedLoop<K>& loop, int64_t begin, int64_t end, F&& run) {
  if (begin >= end) return;
  const size_t last = loop.shape.size() - 1;
  std::array<int64_t, K> offset{};
  Dims index(loop.shape.size());
  int64_t rest = begin;
  for (size_t axis = last + 1; axis-- > 0;) {
    index[axis] = rest % loop.shape[axis];
    rest /= loop.shape[axis];
    for (size_t k = 0; k < K; ++k) offset[k] += index[axis] * loop.strides[k][axis];
  }
  while (true) {
    const int64_t length = std::min(end - begin, loop.shape[last] - index[last]);
    run(offset, length);
    begin += length;
    if (begin >= end) return;
    for (size_t k = 0; k < K; ++k) offset[k] -= index[last] * loop.strides[k][last];
    index[last] = 0;
    for (size_t axis = last; axis-- > 0;) {
      for (size_t k = 0; k < K; ++k) offset[k] += loop.strides[k][axis];
      if (++index[axis] < loop.shape[axis]) break;
      index[axis] = 0;
      for (size_t k = 0; k < K; ++k) offset[k] -= loop.shape[axis] * loop.strides[k][axis];
    }
  }
}

// The stride of axes [first, last) walked as one, or nothing where no single stride does.
inline std::optional<int64_t> merged_stride(const View& view, size_t first, size_t last) {
  int64_t stride = 0, next = 0;
  bool any = false;
  for (size_t axis = last; axis-- > first;) {
    if (view.shape[axis] == 1) continue;
    if (any && view.strides[axis] != next) return std::nullopt;
    if (!any) stride = view.strides[axis];
    any = true;
    next = view.strides[axis] * view.shape[axis];
  }
  return stride;
}

inline int64_t product(const Dims& shape, size_t first, size_t last) {
  int64_t n = 1;
  for (size_t axis = first; axis < last; ++axis) n *= shape[axis];
  return n;
}

inline Dims without_axis(const Dims& dims, size_t axis) {
  Dims out = dims;
  out.erase(axis);
  return out;
}

// Calls f(U{}) with a type of `size` bytes, unsigned up to 8: moving elements needs no other
// knowledge.
template <class F>
void dispatch_size(size_t size, F&& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      return f(complex128{});
  }
}

}  // namespace tegula::cpu
