// How lines of one length are transformed: factors, twiddle factors, and the cache of both.
//
// Every transform is done on "rows": row i holds number i of kLanes lines side by side, the real
// parts first, then the imaginary ones, 64 bytes each. A butterfly then works on whole vectors.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace tegula::cpu::fft {

template <class T>
inline constexpr int64_t kLanes = 64 / int64_t(sizeof(T));
template <class T>
inline constexpr int64_t kRow = 2 * kLanes<T>;
// The largest prime with a butterfly; lengths with larger ones are convolved.
inline constexpr int64_t kMaxPrime = 61;

// One pass of decimation in frequency: blocks of `length` rows become `radix` blocks each.
template <class T>
struct Level {
  int64_t radix, length;
  // (radix - 1) factors for each of the length / radix butterflies of a block.
  std::vector<T> twiddles;
  std::vector<T> roots;  // e^(-2 pi i k / radix), for radices without a butterfly of their own
};

// Rows of one length, in place; or, where that has a large prime, by Bluestein's convolution.
template <class T>
struct ColumnPlan {
  int64_t n = 0;
  std::vector<Level<T>> levels;
  std::vector<int64_t> order;  // by block of the last level: where its first row goes
  // Bluestein: chirp e^(-pi i k^2 / n), and the transform of its conjugate divided by the length.
  std::shared_ptr<const ColumnPlan> inner;
  std::vector<T> chirp, spectrum;

  // Rows that each of the two halves of the working memory needs.
  int64_t rows() const { return inner ? inner->n : n; }
};

// A line alone, as a matrix of n1 rows and n2 columns: columns, twiddle factors, then rows.
template <class T>
struct LinePlan {
  int64_t n = 0, n1 = 0, n2 = 0;
  std::shared_ptr<const ColumnPlan<T>> first, second;  // of n1 and of n2
  // Factors e^(-2 pi i k c / n) as rows, for block of columns and k; or, when `blocks` is not
  // empty, those of the first block, to be multiplied by blocks[block][k].
  std::vector<T> twiddles, blocks;
  // Bluestein, as above.
  std::shared_ptr<const LinePlan> inner;
  std::vector<T> chirp, spectrum;
};

template <class T>
std::shared_ptr<const ColumnPlan<T>> column_plan(int64_t n);
template <class T>
std::shared_ptr<const LinePlan<T>> line_plan(int64_t n);
// e^(-2 pi i k / n) for k <= n / 4, what a real transform of n numbers needs.
template <class T>
std::shared_ptr<const std::vector<T>> real_twiddles(int64_t n);

// About how long kLanes lines take side by side, and a line alone, in ns.
struct Costs {
  double column, line;
};
template <class T>
Costs plan_costs(int64_t n);

// Bytes and entries of the cache, for tests.
struct CacheStats {
  size_t entries, bytes;
};
CacheStats plan_cache();

}  // namespace tegula::cpu::fft
