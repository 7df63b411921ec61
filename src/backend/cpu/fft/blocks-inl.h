// Blocks of lines, and loops over long lines. Included once per
// instruction set.
#if defined(TEGULA_FFT_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_BLOCKS_INL_H_
#undef TEGULA_FFT_BLOCKS_INL_H_
#else
#define TEGULA_FFT_BLOCKS_INL_H_
#endif

#include <algorithm>
#include <utility>

#include "backend/cpu/fft/passes-inl.h"
#include "backend/cpu/fft/real-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows [begin, end) times numbers; exchanged parts if `swap`.
template <class T>
void multiply_rows(const T* from, const T* numbers, int64_t count, bool swap, T* to) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      const Complex<T> x = load(from + i * kRow<T>, v) * spread(numbers + 2 * i);
      store(swap ? swapped(x) : x, to + i * kRow<T>, v);
    }
}

// Bluestein's convolution of the rows in a, to a; b is working memory.
template <class T>
void convolve(const ColumnPlan<T>& plan, T* a, T* b) {
  const int64_t n = plan.n, m = plan.inner->n;
  multiply_rows(a, plan.chirp.data(), n, false, a);
  std::fill(a + n * kRow<T>, a + m * kRow<T>, T(0));
  transform<T>(*plan.inner, nullptr, a, Rows<T>{b});
  multiply_rows(b, plan.spectrum.data(), m, true, b);
  transform<T>(*plan.inner, nullptr, b, Rows<T>{a});
  for (int64_t i = 0; i < n; ++i)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      T* row = a + i * kRow<T>;
      store(swapped(load(row, v)) * spread(plan.chirp.data() + 2 * i), row, v);
    }
}

// Of the lines that come in: how many rows there are, and where `transformed` expects them.
template <class T>
int64_t rows_in(const Block<T>& block) {
  const int64_t n = block.plan->n;
  return block.real == Real::backward ? n + 1 : block.real == Real::backward_odd ? n / 2 + 1 : n;
}
template <class T>
T* first_rows(const Block<T>& block) {
  return block.real == Real::backward ? block.scratch + (block.plan->rows() + 1) * kRow<T>
                                      : block.scratch;
}
template <class T>
void load_block(const Block<T>& block, int64_t begin, int64_t end) {
  const bool swap = block.inverse && block.real == Real::none;
  load_rows(block.in.from(begin), swap, end - begin, first_rows(block) + begin * kRow<T>);
}
// Rows [begin, end) of a result to the lines that go out.
template <class T>
void store_block(const Block<T>& block, const T* result, int64_t begin, int64_t end) {
  store_rows(result + begin * kRow<T>, block.inverse, T(block.scale), end - begin,
             block.out.from(begin));
}

// The rows that loaded ones become; null where they have gone to block.tile. With `straight` the
// first pass takes them from the lines themselves.
template <class T>
const T* transformed(const Block<T>& block, bool straight) {
  const ColumnPlan<T>& plan = *block.plan;
  const int64_t n = plan.n;
  T *a = block.scratch, *b = a + (plan.rows() + 1) * kRow<T>;
  if (block.real == Real::backward) tangle_rows(b, block.real_twiddles, n, a);
  if (block.real == Real::backward_odd) complete_rows(n, a);
  const Turned<T> turned{block.tile, block.twiddles, block.factors};
  if (plan.inner) {
    convolve(plan, a, b);
    if (block.tile) {
      for (int64_t i = 0; i < n; ++i)
        for (int64_t v = 0; v < kVectors<T>; ++v) turned.put(i, v, load(a + i * kRow<T>, v));
      return nullptr;
    }
    std::swap(a, b);
  } else if (block.tile) {
    transform(plan, straight ? &block : nullptr, a, turned);
    return nullptr;
  } else {
    transform(plan, straight ? &block : nullptr, a, Rows<T>{b});
  }
  if (block.real != Real::forward) return b;
  untangle_rows(b, block.real_twiddles, n, a);
  return a;
}

template <class T>
bool whole(const Lines<T>& lines, int64_t n) {
  return lines.reals == n && lines.imaginaries == n && lines.interleaved();
}

// Alone, a block has its first and last pass work on the lines themselves where they are side by
// side.
template <class T>
void run_block(const Block<T>& block) {
  const ColumnPlan<T>& plan = *block.plan;
  const int64_t n = plan.n;
  const bool plain = block.real == Real::none && !plan.inner;
  const bool straight = plain && !block.tiles && plan.levels.size() > 1 && whole(block.in, n);
  if (block.tiles) load_tiles(block.tiles, block.tile_step, n, block.scratch);
  else if (!straight) load_block(block, 0, rows_in(block));
  if (plain && !block.tile && whole(block.out, n)) {
    T* const data = block.out.data + block.out.lane[0];
    const Block<T>* from = straight ? &block : nullptr;
    const auto scale = hn::Set(Tag<T>(), T(block.scale));
    const int64_t step = block.out.step;
    if (block.inverse)
      return transform(plan, from, block.scratch, Interleaved<T, true>{data, step, scale});
    return transform(plan, from, block.scratch, Interleaved<T, false>{data, step, scale});
  }
  const T* result = transformed(block, straight);
  if (result) store_block(block, result, 0, block.real == Real::forward ? n + 1 : n);
}

// Blocks side by side read and write a few rows each in turn, so that long strides meet a page of
// memory once for all of them.
template <class T>
void run_blocks(const Block<T>* blocks, int64_t count) {
  if (count == 1) return run_block(blocks[0]);
  const auto in_turn = [&](int64_t rows, const auto& f) {
    constexpr int64_t kRows = 16;
    for (int64_t begin = 0; begin < rows; begin += kRows)
      for (int64_t g = 0; g < count; ++g) f(g, begin, std::min(rows, begin + kRows));
  };
  if (blocks[0].tiles) {
    for (int64_t g = 0; g < count; ++g)
      load_tiles(blocks[g].tiles, blocks[g].tile_step, blocks[g].plan->n, blocks[g].scratch);
  } else {
    in_turn(rows_in(blocks[0]),
            [&](int64_t g, int64_t begin, int64_t end) { load_block(blocks[g], begin, end); });
  }
  const T* results[kMostBlocks];
  for (int64_t g = 0; g < count; ++g) results[g] = transformed(blocks[g], false);
  if (!results[0]) return;
  in_turn(blocks[0].plan->n + (blocks[0].real == Real::forward),
          [&](int64_t g, int64_t begin, int64_t end) {
            store_block(blocks[g], results[g], begin, end);
          });
}

template <class T>
void copy(const Lines<T>& from, const Lines<T>& to, int64_t begin, int64_t end) {
  constexpr int64_t kRows = 32;
  alignas(64) T rows[kRows * kRow<T>];
  for (; begin < end; begin += kRows) {
    const int64_t count = std::min(kRows, end - begin);
    load_rows(from.from(begin), false, count, rows);
    store_rows(rows, false, T(1), count, to.from(begin));
  }
}

template <class T>
void multiply(T* z, const T* w, int64_t begin, int64_t end) {
  int64_t k = begin;
  for (; k + kVector<T> <= end; k += kVector<T>)
    store_interleaved(load_interleaved(z + 2 * k, 0) * load_interleaved(w + 2 * k, 0), z + 2 * k,
                      0);
  for (; k < end; ++k) {
    const T a = z[2 * k], b = z[2 * k + 1], c = w[2 * k], e = w[2 * k + 1];
    z[2 * k] = a * c - b * e;
    z[2 * k + 1] = a * e + b * c;
  }
}

template <class T>
constexpr BlockKernels<T> kKernels = {run_blocks<T>, copy<T>, multiply<T>, untangle<T>, tangle<T>};

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
