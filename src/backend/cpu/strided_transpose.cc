// Transposition of a rectangle in squares as wide as a cache line: whole lines are read and whole
// lines written, so strides that are powers of two do not evict what is still needed.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/strided_transpose.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/strided_transpose.h"
#include "base/complex.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kLine = 64;
template <class T>
constexpr int64_t kSide = kLine / sizeof(T);

#if HWY_TARGET != HWY_SCALAR
// Every round of interleaving the halves doubles the runs of elements from neighbouring rows.
template <size_t kRounds, class D, class V, size_t kN>
HWY_INLINE void interleave(D d, V (&rows)[kN]) {
  if constexpr (kRounds > 0) {
    V next[kN];
#pragma GCC unroll 8
    for (size_t i = 0; i < kN / 2; ++i) {
      next[2 * i] = hn::InterleaveLower(d, rows[i], rows[i + kN / 2]);
      next[2 * i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + kN / 2]);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < kN; ++i) rows[i] = next[i];
    interleave<kRounds - 1>(d, rows);
  }
}
// A vector whose 128-bit block b is the one at from + b * step.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_blocks(D d, const T* from, int64_t step) {
  constexpr int64_t kBlocks = int64_t(hn::MaxLanes(D()) * sizeof(T)) / 16;
  if constexpr (kBlocks == 1) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, from + kBlocks / 2 * step, step),
                       load_blocks(half, from, step));
  }
}
#endif

// The columns of a square become lines, written past the caches if `kStream`.
template <bool kStream, class T>
HWY_INLINE void columns_to_lines(T* to, int64_t to_step, const T* square) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < kSide<T>; ++i)
    for (int64_t j = 0; j < kSide<T>; ++j) to[i * to_step + j] = square[i + j * kSide<T>];
#else
  // As many rows in a 128-bit block as it holds elements, as many blocks as a vector holds.
  constexpr int64_t kN = 16 / sizeof(T);
  constexpr size_t kRounds = kN == 16 ? 4 : kN == 8 ? 3 : kN == 4 ? 2 : 1;
  const hn::CappedTag<T, size_t(kSide<T>)> d;
  constexpr int64_t kLanes = int64_t(hn::MaxLanes(d));
  for (int64_t i = 0; i < kSide<T>; i += kN)
    for (int64_t j = 0; j < kSide<T>; j += kLanes) {
      hn::Vec<decltype(d)> rows[size_t(kN)];
#pragma GCC unroll 16
      for (int64_t k = 0; k < kN; ++k)
        rows[k] = load_blocks(d, square + i + (j + k) * kSide<T>, kN * kSide<T>);
      interleave<kRounds>(d, rows);
#pragma GCC unroll 16
      for (int64_t k = 0; k < kN; ++k) {
        T* const at = to + (i + k) * to_step + j;
        if constexpr (kStream) hn::Stream(rows[k], d, at);
        else hn::StoreU(rows[k], d, at);
      }
    }
#endif
}

// Lines are read whole, into a copy of the square: steps that are powers of two leave them few
// places in the first cache.
template <bool kStream, class T>
void transpose_square(T* to, int64_t to_step, const T* from, int64_t from_step) {
  alignas(kLine) T square[kSide<T> * kSide<T>];
  for (int64_t j = 0; j < kSide<T>; ++j)
    std::memcpy(square + j * kSide<T>, from + j * from_step, kLine);
  columns_to_lines<kStream>(to, to_step, square);
}

// A square of which some rows or columns are not there.
template <class T>
void transpose_part(T* to, int64_t to_step, const T* from, int64_t from_step, int64_t height,
                    int64_t width) {
  if (height * width <= kSide<T> * kSide<T> / 4) {
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) to[i * to_step + j] = from[i + j * from_step];
    return;
  }
  alignas(kLine) T square[kSide<T> * kSide<T>] = {}, turned[kSide<T> * kSide<T>];
  for (int64_t j = 0; j < width; ++j)
    std::copy_n(from + j * from_step, height, square + j * kSide<T>);
  columns_to_lines<false>(turned, kSide<T>, square);
  for (int64_t i = 0; i < height; ++i) std::copy_n(turned + i * kSide<T>, width, to + i * to_step);
}

template <class T>
void transpose(std::byte* out, int64_t out_step, const std::byte* in, int64_t in_step, int64_t rows,
               int64_t cols, bool stream) {
  T* const dst = reinterpret_cast<T*>(out);
  const T* const src = reinterpret_cast<const T*>(in);
  stream = stream && uintptr_t(out) % kLine == 0 && out_step * int64_t(sizeof(T)) % kLine == 0;
  if (rows < kSide<T> || cols < kSide<T>) {
    for (int64_t r = 0; r < rows; r += kSide<T>)
      for (int64_t c = 0; c < cols; c += kSide<T>)
        transpose_part(dst + r * out_step + c, out_step, src + r + c * in_step, in_step,
                       std::min(kSide<T>, rows - r), std::min(kSide<T>, cols - c));
    return;
  }
  for (int64_t r = 0; r < rows; r += kSide<T>)
    for (int64_t c = 0; c < cols; c += kSide<T>) {
      // The last squares overlap those before.
      const int64_t row = std::min(r, rows - kSide<T>), col = std::min(c, cols - kSide<T>);
      const T* from = src + row + col * in_step;
      T* to = dst + row * out_step + col;
      if (stream && col == c) transpose_square<true>(to, out_step, from, in_step);
      else transpose_square<false>(to, out_step, from, in_step);
    }
  if (stream) hwy::FlushStream();
}

// Elements as wide as a 128-bit block need no interleaving.
void transpose_blocks(std::byte* out, int64_t out_step, const std::byte* in, int64_t in_step,
                      int64_t rows, int64_t cols, bool) {
  constexpr int64_t kSquare = 8;
  auto* const dst = reinterpret_cast<complex128*>(out);
  const auto* const src = reinterpret_cast<const complex128*>(in);
  for (int64_t r = 0; r < rows; r += kSquare)
    for (int64_t c = 0; c < cols; c += kSquare)
      for (int64_t i = r; i < std::min(r + kSquare, rows); ++i)
        for (int64_t j = c; j < std::min(c + kSquare, cols); ++j)
          dst[i * out_step + j] = src[i + j * in_step];
}

Transpose find_transpose(size_t size) {
  return size == 1   ? transpose<uint8_t>
         : size == 2 ? transpose<uint16_t>
         : size == 4 ? transpose<uint32_t>
         : size == 8 ? transpose<uint64_t>
                     : transpose_blocks;
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_transpose);
Transpose transpose_function(size_t size) { return HWY_DYNAMIC_DISPATCH(find_transpose)(size); }

}  // namespace tegula::cpu
#endif
