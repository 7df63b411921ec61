// Pooling in one to three dimensions, and its gradients. Where the elements of a row are neighbours
// in memory, and windows are one or two apart, vectors go over windows. Elsewhere they go over
// channels: images whose channels are neighbours are read and written in place, others are brought
// into that order a cache-sized piece at a time. Every way has the same order, so the same bits.
#pragma once

#include <span>

#include "backend/cpu/contraction/conv_shapes.h"

namespace tegula::cpu {

// In a loop: it has so few turns that the compiler shall make no vectors of it.
inline void few_turns() { asm volatile("" ::: "memory"); }

// The place of an element in a window: its offset from the window's first one in memory, and its
// number in the whole window, in row-major order.
struct PoolTap {
  int64_t offset, number;
};

// Which tap each window chose: elements of 1 or, for windows of more than 256 taps, 4 bytes.
struct PoolChoices {
  std::byte* data;
  int64_t step;  // between neighbouring windows, in elements
  bool wide;

  template <class C>
  C* as(int64_t offset) const {
    return reinterpret_cast<C*>(data) + offset;
  }
};

// Neighbouring windows that see the same taps. Lanes are neighbours in memory; there are at least
// kPoolLanes of them.
constexpr int64_t kPoolLanes = 16;
template <class T>
struct PoolWindows {
  const T* from;
  int64_t step;
  const PoolTap* taps;
  int64_t tap_count, count, lanes;
  T* to;
  int64_t to_step;
};

// A window that sees an element, on one axis, and the tap where it does.
struct PoolCover {
  int64_t window, tap;
};
// A row of windows that see elements of a row: where its window 0 is among the gradients and the
// choices, and the number of the first tap that they see it with.
struct PoolCoverRow {
  int64_t gradient, choice, tap;
};
// A row of the image's gradient, gathered from the windows that hold its elements.
template <class T>
struct PoolGather {
  const T* gradients;
  int64_t gradient_step;
  PoolChoices choices;
  const PoolCoverRow* rows;
  int64_t row_count;
  const PoolCover* covers;  // of column i from firsts[i] to firsts[i + 1]
  const int64_t* firsts;
  int64_t count, lanes;
  T* to;
  int64_t to_step;
  bool past;  // written past the caches
};

// The windows of a row of the grid, whose elements and results are neighbours in memory. They have
// at most kPoolLineTaps taps.
constexpr int64_t kPoolLineTaps = 256;
template <class T>
struct PoolLine {
  const T* from;  // of the first row's tap 0 in window 0, which may lie in the padding
  const PoolTap* rows;  // that windows see: where its tap 0 is from there, and its number
  int64_t row_count;
  int64_t taps;  // of a row
  int64_t step, padding, size;  // columns: between windows, 1 or 2, at the edge, in all
  int64_t alike, end_alike, end;  // [alike, end_alike) see nothing of the padding
  T* to;  // of window 0
};
// Where a plane begins.
struct PoolPlane {
  int64_t gradient, choice, to;
};
// Elements [0, count) of the same row of the image's gradient in some planes. From `alike` on there
// are `runs` of `step` neighbours that see the same windows as the run before, moved by one.
template <class T>
struct PoolGatherLine {
  const T* gradients;
  const uint8_t* choices;
  const PoolPlane* planes;
  int64_t plane_count;
  const PoolCoverRow* rows;
  int64_t row_count;
  const PoolCover* covers;
  const int64_t* firsts;
  int64_t step, alike, runs, count;
  T* to;
};

template <class T>
struct PoolKernels {
  // The first largest element, and its tap unless there is no memory for choices. NaN is largest.
  void (*max)(const PoolWindows<T>& windows, const PoolChoices& choices);
  // The sum in the order of the taps, divided.
  void (*average)(const PoolWindows<T>& windows, T divisor);
  // Divides window i by divisors[i]; windows are `pitch` lanes, a multiple of kPoolLanes.
  void (*divide)(T* windows, int64_t pitch, const T* divisors, int64_t count);
  // Sums, in the order of the windows, the gradients of those that chose an element; of all
  // windows that see it if there are no choices.
  void (*gather)(const PoolGather<T>& row);
  // The same of lines. An average divides by rows * counts[window].
  void (*max_line)(const PoolLine<T>& line, uint8_t* choices);
  void (*average_line)(const PoolLine<T>& line, T rows, const T* counts);
  void (*divide_line)(const T* from, T rows, const T* counts, int64_t count, T* to);
  void (*gather_line)(const PoolGatherLine<T>& line);
  // Copies past the caches.
  void (*write_past)(const T* from, int64_t count, T* to);
};
template <class T>
const PoolKernels<T>& pool_kernels();

}  // namespace tegula::cpu
