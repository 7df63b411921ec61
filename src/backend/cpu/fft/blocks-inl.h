// Blocks of lines, and loops over long lines. Included once per
// instruction set.
#if defined(TEGULA_FFT_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_BLOCKS_INL_H_
#undef TEGULA_FFT_BLOCKS_INL_H_
#else
#define TEGULA_FFT_BLOCKS_INL_H_
#endif

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

template <class T>
void run_block(const Block<T>& block) {
  const ColumnPlan<T>& plan = *block.plan;
  const int64_t n = plan.n;
  T *a = block.scratch, *b = a + (plan.rows() + 1) * kRow<T>;
  const bool plain = block.real == Real::none;
  const bool fused_in = plain && !plan.inner && !block.tiles && plan.levels.size() > 1 &&
                        block.in.reals == n && block.in.imaginaries == n && block.in.interleaved();
  if (block.tiles) {
    load_tiles(block.tiles, block.tile_step, n, a);
  } else if (block.real == Real::backward) {
    load_rows(block.in, false, n + 1, b);
    tangle_rows(b, block.real_twiddles, n, a);
  } else if (block.real == Real::backward_odd) {
    load_rows(block.in, false, n / 2 + 1, a);
    complete_rows(n, a);
  } else if (!fused_in) {
    load_rows(block.in, block.inverse, n, a);
  }
  const bool swap_out = block.inverse && !block.tile;
  const T scale = T(block.scale);
  const T* result = b;
  if (plan.inner) {
    convolve(plan, a, b);
    result = a;
  } else {
    const Block<T>* in = fused_in ? &block : nullptr;
    if (block.tile)
      return transform(plan, in, a, Turned<T>{block.tile, block.twiddles, block.factors});
    if (plain && block.out.interleaved() && block.out.reals == n && block.out.imaginaries == n) {
      T* data = block.out.data + block.out.lane[0];
      const auto s = hn::Set(Tag<T>(), scale);
      if (swap_out) return transform(plan, in, a, Interleaved<T, true>{data, block.out.step, s});
      return transform(plan, in, a, Interleaved<T, false>{data, block.out.step, s});
    }
    transform(plan, in, a, Rows<T>{b});
  }
  if (block.tile) {
    const Turned<T> to{block.tile, block.twiddles, block.factors};
    for (int64_t i = 0; i < n; ++i)
      for (int64_t v = 0; v < kVectors<T>; ++v) to.put(i, v, load(result + i * kRow<T>, v));
    return;
  }
  int64_t rows = n;
  if (block.real == Real::forward) {
    T* other = result == a ? b : a;
    untangle_rows(result, block.real_twiddles, n, other);
    result = other;
    rows = n + 1;
  }
  store_rows(result, swap_out, scale, rows, block.out);
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
constexpr BlockKernels<T> kKernels = {run_block<T>, multiply<T>, untangle<T>, tangle<T>};

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
