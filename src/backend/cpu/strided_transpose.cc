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

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kLine = 64;

#if HWY_TARGET == HWY_SCALAR
template <class T>
void transpose_block(T* to, int64_t, const T* from, int64_t) {
  *to = *from;
}
#else
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
// As many rows as 16 bytes hold elements.
template <class T>
HWY_INLINE void transpose_block(T* to, int64_t to_step, const T* from, int64_t from_step) {
  constexpr size_t kN = 16 / sizeof(T);
  constexpr size_t kRounds = kN == 16 ? 4 : kN == 8 ? 3 : kN == 4 ? 2 : 1;
  const hn::FixedTag<T, kN> d;
  hn::Vec<hn::FixedTag<T, kN>> rows[kN];
#pragma GCC unroll 16
  for (size_t i = 0; i < kN; ++i) rows[i] = hn::LoadU(d, from + int64_t(i) * from_step);
  interleave<kRounds>(d, rows);
#pragma GCC unroll 16
  for (size_t i = 0; i < kN; ++i) hn::StoreU(rows[i], d, to + int64_t(i) * to_step);
}
#endif

void stream_line(std::byte* to, const std::byte* from) {
  const hn::CappedTag<uint8_t, kLine> d;
  for (int64_t i = 0; i < kLine; i += int64_t(hn::Lanes(d)))
    hn::Stream(hn::LoadU(d, reinterpret_cast<const uint8_t*>(from) + i), d,
               reinterpret_cast<uint8_t*>(to) + i);
}

template <class T>
constexpr int64_t kSide = kLine / sizeof(T);

// Both keep a copy of the square: the one that cannot be written past the caches in whole lines
// reads it in whole lines, since steps that are powers of two leave few places in the first cache.
template <class T>
void transpose_square(T* to, int64_t to_step, const T* from, int64_t from_step, bool stream) {
  constexpr int64_t kBlock = HWY_TARGET == HWY_SCALAR ? 1 : 16 / sizeof(T);
  alignas(kLine) T square[kSide<T> * kSide<T>];
  if (!stream)
    for (int64_t j = 0; j < kSide<T>; ++j)
      std::memcpy(square + j * kSide<T>, from + j * from_step, kLine);
  for (int64_t i = 0; i < kSide<T>; i += kBlock)
    for (int64_t j = 0; j < kSide<T>; j += kBlock) {
      if (stream)
        transpose_block(square + i * kSide<T> + j, kSide<T>, from + i + j * from_step, from_step);
      else transpose_block(to + i * to_step + j, to_step, square + i + j * kSide<T>, kSide<T>);
    }
  if (stream)
    for (int64_t i = 0; i < kSide<T>; ++i)
      stream_line(reinterpret_cast<std::byte*>(to + i * to_step),
                  reinterpret_cast<const std::byte*>(square + i * kSide<T>));
}

template <class T>
void transpose(std::byte* out, int64_t out_step, const std::byte* in, int64_t in_step, int64_t rows,
               int64_t cols, bool stream) {
  T* const dst = reinterpret_cast<T*>(out);
  const T* const src = reinterpret_cast<const T*>(in);
  stream = stream && uintptr_t(out) % kLine == 0 && out_step * int64_t(sizeof(T)) % kLine == 0;
  if (rows < kSide<T> || cols < kSide<T>) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) dst[r * out_step + c] = src[r + c * in_step];
    return;
  }
  for (int64_t c = 0; c < cols; c += kSide<T>)
    for (int64_t r = 0; r < rows; r += kSide<T>) {
      // The last squares overlap those before.
      const int64_t row = std::min(r, rows - kSide<T>), col = std::min(c, cols - kSide<T>);
      transpose_square(dst + row * out_step + col, out_step, src + row + col * in_step, in_step,
                       stream && col == c);
    }
  if (stream) hwy::FlushStream();
}

Transpose find_transpose(size_t size) {
  return size == 1   ? transpose<uint8_t>
         : size == 2 ? transpose<uint16_t>
         : size == 4 ? transpose<uint32_t>
                     : transpose<uint64_t>;
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
