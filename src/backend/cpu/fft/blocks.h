// Transforms of kLanes lines side by side: the loops that are compiled once per instruction set.
#pragma once

#include <cstdint>

#include "backend/cpu/fft/plan.h"

namespace tegula::cpu::fft {

// Where the numbers of up to kLanes lines are, all distances in T's. Number i of lane l has its
// real part at data + lane[l] + i * step and its imaginary part `imaginary` further.
template <class T>
struct Lines {
  T* data = nullptr;
  int64_t step = 0, imaginary = 1;
  int64_t lanes = 0;
  int64_t lane[kLanes<T>];
  // Numbers that have a real and an imaginary part; the others are read as 0 and not written.
  int64_t reals = 0, imaginaries = 0;

  // Lane after lane in memory: interleaved complex numbers, or two planes.
  bool adjacent(int64_t distance) const {
    if (lanes != kLanes<T>) return false;
    for (int64_t l = 1; l < lanes; ++l)
      if (lane[l] != lane[0] + l * distance) return false;
    return true;
  }
  bool interleaved() const { return imaginary == 1 && adjacent(2); }

  // Without the numbers before number `begin`.
  Lines from(int64_t begin) const {
    Lines rest = *this;
    rest.data += begin * step;
    rest.reals -= begin;
    rest.imaginaries -= begin;
    return rest;
  }
};

enum class Real : uint8_t { none, forward, backward, backward_odd };

template <class T>
struct Block {
  const ColumnPlan<T>* plan = nullptr;
  bool inverse = false;
  double scale = 1;
  Lines<T> in;
  const T* tiles = nullptr;  // instead of `in`: the tiles of other blocks, from lane 0's row on
  int64_t tile_step = 0;
  Lines<T> out;
  T* tile = nullptr;  // instead of `out`: rows, times the factors below
  const T *twiddles = nullptr, *factors = nullptr;
  // forward: `plan` is of n / 2 pairs of numbers and the result has n / 2 + 1 rows; backward: the
  // reverse; backward_odd: `plan` is of n numbers, of which (n + 1) / 2 are given.
  Real real = Real::none;
  const T* real_twiddles = nullptr;
  T* scratch = nullptr;  // 2 * (plan->rows() + 1) rows
};

inline constexpr int64_t kMostBlocks = 4;

template <class T>
struct BlockKernels {
  // At most kMostBlocks, alike but for where their lines are.
  void (*run)(const Block<T>* blocks, int64_t count);
  // Numbers [begin, end) from some lines to as many others.
  void (*copy)(const Lines<T>& from, const Lines<T>& to, int64_t begin, int64_t end);
  // z[k] *= w[k] for k in [begin, end).
  void (*multiply)(T* z, const T* w, int64_t begin, int64_t end);
  // The transform of n real numbers from z, that of n / 2 pairs, in place: numbers k and
  // n / 2 - k for k in [begin, end). And the reverse, from x to z.
  void (*untangle)(T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end);
  void (*tangle)(const T* x, T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end);
};

template <class T>
const BlockKernels<T>& block_kernels();

}  // namespace tegula::cpu::fft
