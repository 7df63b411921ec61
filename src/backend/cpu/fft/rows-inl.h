// From lines to rows and back, with the transposition where lines are contiguous. Included once per
// instruction set.
#if defined(TEGULA_FFT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_FFT_ROWS_INL_H_
#undef TEGULA_FFT_ROWS_INL_H_
#else
#define TEGULA_FFT_ROWS_INL_H_
#endif

#include <algorithm>

#include "backend/cpu/fft/blocks.h"
#include "backend/cpu/fft/butterflies-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Numbers in 16 bytes.
template <class T>
inline constexpr int64_t kPart = 16 / int64_t(sizeof(T));

#if HWY_TARGET != HWY_SCALAR
// The 16 bytes at from(l) + k for l = first, first + apart, ..., one after the other.
template <class D, class From>
HWY_INLINE hn::Vec<D> gather_parts(D d, const From& from, int64_t first, int64_t apart, int64_t k) {
  constexpr int64_t kN = int64_t(hn::MaxLanes(D()));
  if constexpr (kN <= kPart<hn::TFromD<D>>) {
    return hn::LoadU(d, from(first) + k);
  } else {
    const hn::Half<D> half;
    constexpr int64_t kParts = kN / kPart<hn::TFromD<D>>;
    return hn::Combine(d, gather_parts(half, from, first + kParts / 2 * apart, apart, k),
                       gather_parts(half, from, first, apart, k));
  }
}

#endif

// Calls to(k, v) for k in [0, kPart): lane l of v is from(first + l)[k].
template <class T, class From, class To>
HWY_INLINE void transpose_part(const From& from, int64_t first, const To& to) {
  const Tag<T> d;
#if HWY_TARGET == HWY_SCALAR
  for (int64_t k = 0; k < kPart<T>; ++k) to(k, hn::LoadU(d, from(first) + k));
#else
  if constexpr (sizeof(T) == 8) {
    const auto a = gather_parts(d, from, first, 2, 0), b = gather_parts(d, from, first + 1, 2, 0);
    to(0, hn::InterleaveLower(d, a, b));
    to(1, hn::InterleaveUpper(d, a, b));
  } else {
    const hn::RepartitionToWide<hn::RebindToUnsigned<Tag<T>>> pairs;
    const auto r0 = gather_parts(d, from, first, 4, 0), r1 = gather_parts(d, from, first + 1, 4, 0);
    const auto r2 = gather_parts(d, from, first + 2, 4, 0),
               r3 = gather_parts(d, from, first + 3, 4, 0);
    const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
    const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
    const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
    const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
    to(0, hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)));
    to(1, hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)));
    to(2, hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)));
    to(3, hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)));
  }
#endif
}

template <class T>
HWY_INLINE Complex<T> load(const T* row, int64_t v) {
  const Tag<T> d;
  return {hn::LoadU(d, row + v * kVector<T>), hn::LoadU(d, row + kLanes<T> + v * kVector<T>)};
}
template <class T>
HWY_INLINE void store(Complex<T> x, T* row, int64_t v) {
  const Tag<T> d;
  hn::StoreU(x.re, d, row + v * kVector<T>);
  hn::StoreU(x.im, d, row + kLanes<T> + v * kVector<T>);
}
template <class T>
inline constexpr int64_t kVectors = kLanes<T> / kVector<T>;

template <class T>
HWY_INLINE Complex<T> swapped(Complex<T> x) {
  return {x.im, x.re};
}

template <class T>
HWY_INLINE Complex<T> load_interleaved(const T* from, int64_t v) {
  Complex<T> x;
  hn::LoadInterleaved2(Tag<T>(), from + 2 * v * kVector<T>, x.re, x.im);
  return x;
}
template <class T>
HWY_INLINE void store_interleaved(Complex<T> x, T* to, int64_t v) {
  hn::StoreInterleaved2(x.re, x.im, Tag<T>(), to + 2 * v * kVector<T>);
}

// Numbers [begin, end) of contiguous lines, kPart / 2 (or 1) at a time, to rows.
template <class T>
void load_lines(const Lines<T>& in, bool swap, int64_t count, T* rows) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  {
    const Tag<T> d;
    const auto put = [&](int64_t at, int64_t v, Complex<T> x) {
      store(swap ? swapped(x) : x, rows + at * kRow<T>, v);
    };
    constexpr int64_t kStep = kPart<T> / 2;
    for (; i + kStep <= count; i += kStep) {
      const auto from = [&](int64_t l) { return in.data + in.lane[l] + 2 * i; };
      for (int64_t v = 0; v < kVectors<T>; ++v) {
        const int64_t first = v * kVector<T>;
        if constexpr (sizeof(T) == 8) {
          const auto a = gather_parts(d, from, first, 1, 0);
          const auto b = gather_parts(d, from, first + kVector<T> / 2, 1, 0);
          put(i, v, {hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a)});
        } else {
          const hn::RepartitionToWide<hn::RebindToUnsigned<Tag<T>>> pairs;
          constexpr int64_t kHalf = kVector<T> / 2;
          const auto p = hn::BitCast(pairs, gather_parts(d, from, first, 2, 0));
          const auto q = hn::BitCast(pairs, gather_parts(d, from, first + 1, 2, 0));
          const auto r = hn::BitCast(pairs, gather_parts(d, from, first + kHalf, 2, 0));
          const auto s = hn::BitCast(pairs, gather_parts(d, from, first + kHalf + 1, 2, 0));
          const auto a = hn::BitCast(d, hn::InterleaveLower(pairs, p, q));
          const auto b = hn::BitCast(d, hn::InterleaveLower(pairs, r, s));
          put(i, v, {hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a)});
          const auto e = hn::BitCast(d, hn::InterleaveUpper(pairs, p, q));
          const auto f = hn::BitCast(d, hn::InterleaveUpper(pairs, r, s));
          put(i + 1, v, {hn::ConcatEven(d, f, e), hn::ConcatOdd(d, f, e)});
        }
      }
    }
  }
#endif
  for (; i < count; ++i) {
    T* row = rows + i * kRow<T>;
    for (int64_t l = 0; l < kLanes<T>; ++l) {
      row[l] = in.data[in.lane[l] + 2 * i + swap];
      row[kLanes<T> + l] = in.data[in.lane[l] + 2 * i + 1 - swap];
    }
  }
}

// Rows [0, count) from lines, whatever their layout; what a line lacks is 0.
template <class T>
void load_rows(const Lines<T>& in, bool swap, int64_t count, T* rows) {
  const Tag<T> d;
  const int64_t both = std::clamp<int64_t>(std::min(in.reals, in.imaginaries), 0, count);
  int64_t i = 0;
  if (in.lanes == kLanes<T> && in.step == 2 && in.imaginary == 1) {
    load_lines(in, swap, both, rows);
    i = both;
  } else if (in.interleaved()) {
    for (; i < both; ++i)
      for (int64_t v = 0; v < kVectors<T>; ++v) {
        const Complex<T> x = load_interleaved(in.data + in.lane[0] + i * in.step, v);
        store(swap ? swapped(x) : x, rows + i * kRow<T>, v);
      }
  }
  const int64_t re = swap ? kLanes<T> : 0, im = kLanes<T> - re;
  const bool planes = in.adjacent(1);
  for (; i < count; ++i) {
    T* row = rows + i * kRow<T>;
    for (int part = 0; part < 2; ++part) {
      T* to = row + (part ? im : re);
      const int64_t given = i < (part ? in.imaginaries : in.reals) ? in.lanes : 0;
      const T* from = in.data + i * in.step + (part ? in.imaginary : 0);
      if (planes && given > 0) {
        for (int64_t v = 0; v < kVectors<T>; ++v)
          hn::StoreU(hn::LoadU(d, from + in.lane[0] + v * kVector<T>), d, to + v * kVector<T>);
        continue;
      }
      for (int64_t l = 0; l < given; ++l) to[l] = from[in.lane[l]];
      for (int64_t l = given; l < kLanes<T>; ++l) to[l] = 0;
    }
  }
}

// Rows [0, count) from the transposed tiles of the first pass over a line.
template <class T>
void load_tiles(const T* tiles, int64_t tile_step, int64_t count, T* rows) {
  for (int64_t tile = 0; tile * kLanes<T> < count; ++tile) {
    const T* at = tiles + tile * tile_step;
    T* to = rows + tile * kLanes<T> * kRow<T>;
    const int64_t wide = std::min(kLanes<T>, count - tile * kLanes<T>);
    for (int64_t k = 0; k < 2 * kLanes<T>; k += kPart<T>) {
      const int64_t im = k < kLanes<T> ? 0 : kLanes<T>, column = k - im;
      if (column >= wide) continue;
      for (int64_t v = 0; v < kVectors<T>; ++v)
        transpose_part<T>([&](int64_t l) { return at + l * kRow<T> + k; }, v * kVector<T>,
                          [&](int64_t j, auto x) {
                            if (column + j < wide)
                              hn::StoreU(x, Tag<T>(),
                                         to + (column + j) * kRow<T> + im + v * kVector<T>);
                          });
    }
  }
}

// Rows to contiguous lines.
template <class T>
int64_t store_lines(const T* rows, bool swap, T scale, int64_t count, const Lines<T>& out) {
  int64_t i = 0;
  if constexpr (kVector<T> > 1) {
    const Tag<T> d;
    const auto s = hn::Set(d, scale);
    Vector<T> real[kPart<T>];
    for (; i + kVector<T> <= count; i += kVector<T>)
      for (int64_t l = 0; l < kLanes<T>; l += kPart<T>) {
        const auto re = [&](int64_t k) { return rows + (i + k) * kRow<T> + l; };
        const auto im = [&](int64_t k) { return rows + (i + k) * kRow<T> + kLanes<T> + l; };
        transpose_part<T>(re, 0, [&](int64_t k, auto x) HWY_ATTR { real[k] = hn::Mul(x, s); });
        transpose_part<T>(im, 0, [&](int64_t k, auto x) HWY_ATTR {
          const Complex<T> z{real[k], hn::Mul(x, s)};
          store_interleaved(swap ? swapped(z) : z, out.data + out.lane[l + k] + 2 * i, 0);
        });
      }
  }
  return i;
}

template <class T>
void store_rows(const T* rows, bool swap, T scale, int64_t count, const Lines<T>& out) {
  const Tag<T> d;
  const auto s = hn::Set(d, scale);
  const int64_t both = std::max<int64_t>(0, std::min({count, out.reals, out.imaginaries}));
  int64_t i = 0;
  if (out.lanes == kLanes<T> && out.step == 2 && out.imaginary == 1) {
    i = store_lines(rows, swap, scale, both, out);
  } else if (out.interleaved()) {
    for (; i < both; ++i)
      for (int64_t v = 0; v < kVectors<T>; ++v) {
        const Complex<T> x = load(rows + i * kRow<T>, v);
        const Complex<T> y{hn::Mul(x.re, s), hn::Mul(x.im, s)};
        store_interleaved(swap ? swapped(y) : y, out.data + out.lane[0] + i * out.step, v);
      }
  }
  const int64_t re = swap ? kLanes<T> : 0, im = kLanes<T> - re;
  const bool planes = out.adjacent(1);
  for (; i < count; ++i) {
    const T* row = rows + i * kRow<T>;
    for (int part = 0; part < 2; ++part) {
      if (i >= (part ? out.imaginaries : out.reals)) continue;
      const T* from = row + (part ? im : re);
      T* to = out.data + i * out.step + (part ? out.imaginary : 0);
      if (planes) {
        for (int64_t v = 0; v < kVectors<T>; ++v)
          hn::StoreU(hn::Mul(hn::LoadU(d, from + v * kVector<T>), s), d,
                     to + out.lane[0] + v * kVector<T>);
      } else {
        for (int64_t l = 0; l < out.lanes; ++l) to[out.lane[l]] = from[l] * scale;
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();
#endif
