#include "backend/cpu/fft/blocks.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/fft/blocks.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <utility>

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

// From the transform z of the pairs to that of the numbers themselves: rows of z, to x.
template <class T>
void untangle_rows(const T* z, const T* twiddles, int64_t half, T* x) {
  const Tag<T> d;
  const auto point = hn::Set(d, T(0.5));
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const Complex<T> first = load(z, v);
    const auto zero = hn::Zero(d);
    store(Complex<T>{hn::Add(first.re, first.im), zero}, x, v);
    store(Complex<T>{hn::Sub(first.re, first.im), zero}, x + half * kRow<T>, v);
  }
  for (int64_t k = 1; k <= half - k; ++k)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      const Complex<T> p = load(z + k * kRow<T>, v), q = load(z + (half - k) * kRow<T>, v);
      const Complex<T> even{hn::Mul(point, hn::Add(p.re, q.re)),
                            hn::Mul(point, hn::Sub(p.im, q.im))};
      const Complex<T> odd{hn::Mul(point, hn::Add(p.im, q.im)),
                           hn::Mul(point, hn::Sub(q.re, p.re))};
      const Complex<T> turned = odd * spread(twiddles + 2 * k);
      store(even + turned, x + k * kRow<T>, v);
      store(Complex<T>{hn::Sub(even.re, turned.re), hn::Sub(turned.im, even.im)},
            x + (half - k) * kRow<T>, v);
    }
}

// The reverse, with parts exchanged, for the inverse transform: rows of x, to z.
template <class T>
void tangle_rows(const T* x, const T* twiddles, int64_t half, T* z) {
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const Complex<T> first = load(x, v), last = load(x + half * kRow<T>, v);
    store(Complex<T>{hn::Sub(first.re, last.re), hn::Add(first.re, last.re)}, z, v);
  }
  for (int64_t k = 1; k <= half - k; ++k)
    for (int64_t v = 0; v < kVectors<T>; ++v) {
      const Complex<T> p = load(x + k * kRow<T>, v), q = load(x + (half - k) * kRow<T>, v);
      const Complex<T> w = spread(twiddles + 2 * k);
      const Complex<T> even{hn::Add(p.re, q.re), hn::Sub(p.im, q.im)};
      const Complex<T> odd =
          Complex<T>{hn::Sub(p.re, q.re), hn::Add(p.im, q.im)} * Complex<T>{w.re, hn::Neg(w.im)};
      const Complex<T> a = plus_i(even, odd), b = minus_i(even, odd);
      store(swapped(a), z + k * kRow<T>, v);
      store(Complex<T>{hn::Neg(b.im), b.re}, z + (half - k) * kRow<T>, v);
    }
}

// All numbers of a real result's transform, of which the first half is in x; parts exchanged.
template <class T>
void complete_rows(int64_t n, T* x) {
  const Tag<T> d;
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    store(Complex<T>{hn::Zero(d), load(x, v).re}, x, v);
    for (int64_t k = 1; k <= n / 2; ++k) {
      const Complex<T> p = load(x + k * kRow<T>, v);
      store(Complex<T>{hn::Neg(p.im), p.re}, x + (n - k) * kRow<T>, v);
      store(swapped(p), x + k * kRow<T>, v);
    }
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
void untangle(T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end) {
  const Tag<T> d;
  int64_t k = begin;
  if (k == 0) {
    const T re = z[0], im = z[1];
    z[0] = re + im;
    z[2 * half] = re - im;
    z[1] = z[2 * half + 1] = 0;
    k = 1;
  }
  // Vectors from both ends must not meet.
  const auto point = hn::Set(d, T(0.5));
  for (; k + kVector<T> <= end && 2 * (k + kVector<T>) <= half; k += kVector<T>) {
    T* other = z + 2 * (half - k - kVector<T> + 1);
    const Complex<T> p = load_interleaved(z + 2 * k, 0);
    Complex<T> q = load_interleaved(other, 0);
    q = {hn::Reverse(d, q.re), hn::Reverse(d, q.im)};
    const Complex<T> even{hn::Mul(point, hn::Add(p.re, q.re)), hn::Mul(point, hn::Sub(p.im, q.im))};
    const Complex<T> odd{hn::Mul(point, hn::Add(p.im, q.im)), hn::Mul(point, hn::Sub(q.re, p.re))};
    const Complex<T> turned = odd * load_interleaved(twiddles + 2 * k, 0);
    store_interleaved(even + turned, z + 2 * k, 0);
    store_interleaved(Complex<T>{hn::Reverse(d, hn::Sub(even.re, turned.re)),
                                 hn::Reverse(d, hn::Sub(turned.im, even.im))},
                      other, 0);
  }
  for (; k < end; ++k) {
    T *p = z + 2 * k, *q = z + 2 * (half - k);
    const T even_re = T(0.5) * (p[0] + q[0]), even_im = T(0.5) * (p[1] - q[1]);
    const T odd_re = T(0.5) * (p[1] + q[1]), odd_im = T(0.5) * (q[0] - p[0]);
    const T re = odd_re * twiddles[2 * k] - odd_im * twiddles[2 * k + 1];
    const T im = odd_re * twiddles[2 * k + 1] + odd_im * twiddles[2 * k];
    p[0] = even_re + re;
    p[1] = even_im + im;
    q[0] = even_re - re;
    q[1] = im - even_im;
  }
}

template <class T>
void tangle(const T* x, T* z, const T* twiddles, int64_t half, int64_t begin, int64_t end) {
  const Tag<T> d;
  int64_t k = begin;
  if (k == 0) {
    z[0] = x[0] + x[2 * half];
    z[1] = x[0] - x[2 * half];
    k = 1;
  }
  for (; k + kVector<T> <= end && 2 * (k + kVector<T>) <= half; k += kVector<T>) {
    const int64_t other = 2 * (half - k - kVector<T> + 1);
    const Complex<T> p = load_interleaved(x + 2 * k, 0), w = load_interleaved(twiddles + 2 * k, 0);
    Complex<T> q = load_interleaved(x + other, 0);
    q = {hn::Reverse(d, q.re), hn::Reverse(d, q.im)};
    const Complex<T> even{hn::Add(p.re, q.re), hn::Sub(p.im, q.im)};
    const Complex<T> odd =
        Complex<T>{hn::Sub(p.re, q.re), hn::Add(p.im, q.im)} * Complex<T>{w.re, hn::Neg(w.im)};
    store_interleaved(plus_i(even, odd), z + 2 * k, 0);
    const Complex<T> b = minus_i(even, odd);
    store_interleaved(Complex<T>{hn::Reverse(d, b.re), hn::Reverse(d, hn::Neg(b.im))}, z + other,
                      0);
  }
  for (; k < end; ++k) {
    const T *p = x + 2 * k, *q = x + 2 * (half - k);
    const T even_re = p[0] + q[0], even_im = p[1] - q[1];
    const T re = p[0] - q[0], im = p[1] + q[1];
    const T odd_re = re * twiddles[2 * k] + im * twiddles[2 * k + 1];
    const T odd_im = im * twiddles[2 * k] - re * twiddles[2 * k + 1];
    T *a = z + 2 * k, *b = z + 2 * (half - k);
    a[0] = even_re - odd_im;
    a[1] = even_im + odd_re;
    b[0] = even_re + odd_im;
    b[1] = odd_re - even_im;
  }
}

template <class T>
constexpr BlockKernels<T> kKernels = {run_block<T>, multiply<T>, untangle<T>, tangle<T>};
const BlockKernels<float>& blocks_f32() { return kKernels<float>; }
const BlockKernels<double>& blocks_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu::fft {
namespace {

HWY_EXPORT(blocks_f32);
HWY_EXPORT(blocks_f64);

}  // namespace

template <>
const BlockKernels<float>& block_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(blocks_f32)();
}
template <>
const BlockKernels<double>& block_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(blocks_f64)();
}

}  // namespace tegula::cpu::fft
#endif
