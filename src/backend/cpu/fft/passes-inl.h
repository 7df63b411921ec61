// Transforms of rows, pass by pass. Included once per
// instruction set.
#if defined(TEGULA_FFT_PASSES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_PASSES_INL_H_
#undef TEGULA_FFT_PASSES_INL_H_
#else
#define TEGULA_FFT_PASSES_INL_H_
#endif

#include <utility>

#include "backend/cpu/fft/blocks.h"
#include "backend/cpu/fft/butterflies-inl.h"
#include "backend/cpu/fft/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kCached = 32768;  // bytes worked on pass after pass

// Where a butterfly takes number `row` from and puts it. `v` is the part of the row.
template <class T>
struct Rows {
  T* rows;
  HWY_INLINE Complex<T> get(int64_t row, int64_t v) const { return load(rows + row * kRow<T>, v); }
  HWY_INLINE void put(int64_t row, int64_t v, Complex<T> x) const {
    store(x, rows + row * kRow<T>, v);
  }
};
template <class T, bool kSwap>
struct Interleaved {
  T* data;
  int64_t step;
  Vector<T> scale;
  HWY_INLINE Complex<T> get(int64_t row, int64_t v) const {
    const Complex<T> x = load_interleaved(data + row * step, v);
    return kSwap ? swapped(x) : x;
  }
  HWY_INLINE void put(int64_t row, int64_t v, Complex<T> x) const {
    x = {hn::Mul(x.re, scale), hn::Mul(x.im, scale)};
    store_interleaved(kSwap ? swapped(x) : x, data + row * step, v);
  }
};
template <class T>
struct Turned {
  T* rows;
  const T *twiddles, *factors;  // factors may be null
  HWY_INLINE void put(int64_t row, int64_t v, Complex<T> x) const {
    Complex<T> w = load(twiddles + row * kRow<T>, v);
    if (factors) {
      const Tag<T> d;
      w = w * Complex<T>{hn::Set(d, factors[2 * row]), hn::Set(d, factors[2 * row + 1])};
    }
    store(x * w, rows + row * kRow<T>, v);
  }
};

template <class T>
HWY_INLINE Complex<T> spread(const T* number) {
  const Tag<T> d;
  return {hn::Set(d, number[0]), hn::Set(d, number[1])};
}

// One pass over `count` rows at `first`, which level.length divides. Results go to
// row_of(block, j) + p, for butterfly p of the block and result j.
template <int R, class T, class From, class To, class RowOf>
HWY_INLINE void pass_of(const Level<T>& level, int64_t first, int64_t count, const From& from,
                        const To& to, const RowOf& row_of) {
  const int64_t length = level.length, step = length / R;
  const auto each = [&](int64_t p, auto turned) HWY_ATTR {
    const T* twiddles = level.twiddles.data() + p * 2 * (R - 1);
    for (int64_t at = first; at < first + count; at += length)
      for (int64_t v = 0; v < kVectors<T>; ++v) {
        Complex<T> x[R];
#pragma GCC unroll 16
        for (int j = 0; j < R; ++j) x[j] = from.get(at + j * step + p, v);
        butterfly<R>(x);
#pragma GCC unroll 16
        for (int j = 0; j < R; ++j) {
          if constexpr (turned)
            if (j > 0) x[j] = x[j] * spread(twiddles + 2 * (j - 1));
          to.put(row_of(at, j) + p, v, x[j]);
        }
      }
  };
  each(0, std::false_type());
  for (int64_t p = 1; p < step; ++p) each(p, std::true_type());
}

template <class T, class From, class To, class RowOf>
HWY_INLINE void pass_of_prime(const Level<T>& level, int64_t first, int64_t count, const From& from,
                              const To& to, const RowOf& row_of) {
  const int64_t radix = level.radix, length = level.length, step = length / radix;
  Complex<T> x[kMaxPrime], y[kMaxPrime];
  for (int64_t p = 0; p < step; ++p)
    for (int64_t at = first; at < first + count; at += length)
      for (int64_t v = 0; v < kVectors<T>; ++v) {
        const T* twiddles = level.twiddles.data() + p * 2 * (radix - 1);
        for (int64_t j = 0; j < radix; ++j) x[j] = from.get(at + j * step + p, v);
        any_prime(radix, level.roots.data(), x, y);
        for (int64_t j = 0; j < radix; ++j) {
          if (p > 0 && j > 0) y[j] = y[j] * spread(twiddles + 2 * (j - 1));
          to.put(row_of(at, j) + p, v, y[j]);
        }
      }
}

template <class T, class From, class To, class RowOf>
void pass(const Level<T>& level, int64_t first, int64_t count, const From& from, const To& to,
          const RowOf& row_of) {
  switch (level.radix) {
    case 1:
      return pass_of<1>(level, first, count, from, to, row_of);
    case 2:
      return pass_of<2>(level, first, count, from, to, row_of);
    case 3:
      return pass_of<3>(level, first, count, from, to, row_of);
    case 4:
      return pass_of<4>(level, first, count, from, to, row_of);
    case 5:
      return pass_of<5>(level, first, count, from, to, row_of);
    case 7:
      return pass_of<7>(level, first, count, from, to, row_of);
    case 8:
      return pass_of<8>(level, first, count, from, to, row_of);
    case 11:
      return pass_of<11>(level, first, count, from, to, row_of);
    default:
      return pass_of_prime(level, first, count, from, to, row_of);
  }
}

// A pass whose results stay in their block.
template <class T, class From>
HWY_INLINE void pass_inside(const Level<T>& level, int64_t first, int64_t count, const From& from,
                            T* rows) {
  const int64_t step = level.length / level.radix;
  pass(level, first, count, from, Rows<T>{rows},
       [step](int64_t at, int64_t j) { return at + j * step; });
}

// Passes [from, end) over `count` rows at `first`: over as much as stays in the cache, one after
// the other.
template <class T, class To>
void passes(const ColumnPlan<T>& plan, size_t from, int64_t first, int64_t count, T* rows,
            const To& to) {
  const size_t last = plan.levels.size() - 1;
  for (; from < last; ++from) {
    const Level<T>& level = plan.levels[from];
    pass_inside(level, first, count, Rows<T>{rows}, rows);
    if (count * kRow<T> * int64_t(sizeof(T)) > kCached) {
      const int64_t part = level.length / level.radix;
      for (int64_t at = first; at < first + count; at += part)
        passes(plan, from + 1, at, part, rows, to);
      return;
    }
  }
  const Level<T>& level = plan.levels[last];
  const int64_t radix = level.radix, apart = plan.n / radix;
  const int64_t* order = plan.order.data();
  pass(level, first, count, Rows<T>{rows}, to,
       [=](int64_t at, int64_t j) { return order[at / radix] + j * apart; });
}

// Rows `a`, or the lines that `from` reads, to `to`; the working memory is a.
template <class T, class To>
void transform(const ColumnPlan<T>& plan, const Block<T>* in, T* a, const To& to) {
  if (!in) return passes(plan, 0, 0, plan.n, a, to);
  const Level<T>& level = plan.levels[0];
  T* data = in->in.data + in->in.lane[0];
  const auto one = hn::Set(Tag<T>(), T(1));
  if (in->inverse) pass_inside(level, 0, plan.n, Interleaved<T, true>{data, in->in.step, one}, a);
  else pass_inside(level, 0, plan.n, Interleaved<T, false>{data, in->in.step, one}, a);
  const int64_t part = level.length / level.radix;
  if (plan.n * kRow<T> * int64_t(sizeof(T)) <= kCached) return passes(plan, 1, 0, plan.n, a, to);
  for (int64_t at = 0; at < plan.n; at += part) passes(plan, 1, at, part, a, to);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
