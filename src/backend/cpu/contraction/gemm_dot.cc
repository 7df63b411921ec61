// Register tiles of dot instructions: bfloat16 by AVX512-BF16 (vdpbf16ps), 8-bit integers by
// AVX512-VNNI (vpdpbusd). Each multiplies a group of neighbours along K, one 32-bit word, and adds
// the products to a 32-bit sum.
//
// vpdpbusd takes unsigned bytes on the left and signed ones on the right. A signed left operand is
// packed with 128 added; a panel of B is followed by what its columns' sums start with, -128 times
// the sum of the column, which takes that back. All is exact modulo 2^32.
#include <cstdlib>

#include "backend/cpu/contraction/gemm.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12's own header (its bug 105593)
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <array>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")

namespace tegula::cpu {
namespace {

constexpr int kTileRows = 14, kTileVectors = 2;
constexpr int64_t kLanes = 16, kPanel = kTileVectors * kLanes, kWordBytes = 4;

// Inline assembly: g++ 12 spills the accumulator of the intrinsics.
void dot(bfloat16, __m512i& sum, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
void dot(int8_t, __m512i& sum, __m512i a, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
void dot(uint8_t, __m512i& sum, __m512i a, __m512i b) { dot(int8_t(), sum, a, b); }

template <class T>
__m512i add(__m512i a, __m512i b) {
  if constexpr (std::is_integral_v<T>) return _mm512_add_epi32(a, b);
  return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

__mmask16 first_lanes(int64_t count) {
  return count >= kLanes ? __mmask16(-1) : __mmask16((1u << std::max<int64_t>(0, count)) - 1);
}

// C(kRows, columns) from a packed tile of A and a packed panel of B.
template <class T, int kRows, int kVectors>
void dot_tile(int64_t words, const uint32_t* a, const uint32_t* b, Sum<T>* c, int64_t c_row,
              int64_t columns, bool accumulate) {
  __m512i sums[kRows][kVectors];
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const __m512i start = std::is_integral_v<T>
                              ? _mm512_loadu_si512(b + words * kPanel + j * kLanes)
                              : _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) sums[i][j] = start;
  }
  for (int64_t k = 0; k < words; ++k, a += kRows, b += kPanel) {
    __m512i right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = _mm512_loadu_si512(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const __m512i left = _mm512_set1_epi32(int(a[i]));
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) dot(T(), sums[i][j], left, right[j]);
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < kVectors; ++j) {
    const __mmask16 mask = first_lanes(columns - j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      Sum<T>* to = c + i * c_row + j * kLanes;
      if (accumulate) sums[i][j] = add<T>(_mm512_maskz_loadu_epi32(mask, to), sums[i][j]);
      _mm512_mask_storeu_epi32(to, mask, sums[i][j]);
    }
  }
}

template <class T>
using DotTile = void (*)(int64_t, const uint32_t*, const uint32_t*, Sum<T>*, int64_t, int64_t,
                         bool);
template <class T, int kVectors, int... kRows>
constexpr std::array<DotTile<T>, kTileRows> dot_tiles(std::integer_sequence<int, kRows...>) {
  return {dot_tile<T, kRows + 1, kVectors>...};
}
template <class T>
constexpr std::array<DotTile<T>, kTileRows> kDotTiles[kTileVectors] = {
    dot_tiles<T, 1>(std::make_integer_sequence<int, kTileRows>()),
    dot_tiles<T, 2>(std::make_integer_sequence<int, kTileRows>())};

template <class T>
void multiply(const Block<T>& block) {
  const int64_t tiles = block.tiles ? block.tiles : row_tiles(block.m, kTileRows);
  const int64_t depth = packed_depth<T>(block.k), words = depth / GemmTraits<T>::kGroup;
  for (int64_t j = 0; j < block.n; j += kPanel) {
    const int64_t columns = std::min(kPanel, block.n - j);
    const auto* b = reinterpret_cast<const uint32_t*>(block.b + j / kPanel * block.b_panel);
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t rows = tile_start(block.m, tiles, t + 1) - i;
      const auto* a = reinterpret_cast<const uint32_t*>(block.a + i * depth);
      kDotTiles<T>[ceil_div(columns, kLanes) - 1][rows - 1](
          words, a, b, block.c + i* block.c_row + j, block.c_row, columns, block.accumulate);
      i += rows;
    }
  }
}

// Rows of words into columns of words.
void transpose_16x16(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Quarter s of r[4 q + p] is now word 4 s + p of rows 4 q to 4 q + 3.
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p) {
    const __m512i low01 = _mm512_shuffle_i32x4(r[p], r[4 + p], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(r[p], r[4 + p], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(r[8 + p], r[12 + p], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(r[8 + p], r[12 + p], 0xee);
    t[p] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    t[4 + p] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    t[8 + p] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    t[12 + p] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// At most 16 lanes, each `bytes` contiguous bytes.
void pack_runs(const std::byte* src, int64_t lane_bytes, int64_t lanes, int64_t width,
               int64_t bytes, uint32_t flip, uint32_t* dst) {
  const __mmask16 stored = first_lanes(lanes);
  constexpr int64_t kStep = 16 * kWordBytes;
  for (int64_t at = 0; at < bytes; at += kStep, dst += 16 * width) {
    const int64_t count = std::min(kStep, bytes - at), words = ceil_div(count, kWordBytes);
    const __mmask64 mask = ~__mmask64(0) >> (kStep - count);
    const __m512i flips = _mm512_maskz_mov_epi8(mask, _mm512_set1_epi32(int(flip)));
    __m512i rows[16];
#pragma GCC unroll 16
    for (int64_t lane = 0; lane < 16; ++lane)
      rows[lane] =
          lane < lanes
              ? _mm512_xor_si512(flips, _mm512_maskz_loadu_epi8(mask, src + lane * lane_bytes + at))
              : _mm512_setzero_si512();
    transpose_16x16(rows);
#pragma GCC unroll 16
    for (int64_t word = 0; word < 16; ++word)
      if (word < words) _mm512_mask_storeu_epi32(dst + word * width, stored, rows[word]);
  }
}

__m512i load_widened(const uint16_t* src, __mmask16 mask) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, src));
}
__m512i load_widened(const uint8_t* src, __mmask16 mask) {
  return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, src));
}

// The word of elements src[0], src[stride], ..., as many as there are up to a group.
template <class E>
uint32_t gather_word(const E* src, int64_t stride, int64_t count, uint32_t flip) {
  uint32_t word = 0;
  for (int64_t g = 0; g < std::min<int64_t>(count, kWordBytes / sizeof(E)); ++g)
    word |= uint32_t(E(src[g * stride] ^ E(flip))) << (g * 8 * sizeof(E));
  return word;
}

// Lanes side by side.
template <class E>
void pack_rows_of_lanes(const E* src, int64_t stride, int64_t lanes, int64_t width, int64_t k,
                        uint32_t flip, uint32_t* dst) {
  constexpr int kGroup = kWordBytes / sizeof(E), kBits = 8 * sizeof(E);
  for (; k >= kGroup; k -= kGroup, src += kGroup * stride, dst += width)
    for (int64_t lane = 0; lane < lanes; lane += kLanes) {
      const __mmask16 mask = first_lanes(lanes - lane);
      __m512i word = _mm512_set1_epi32(int(flip));
#pragma GCC unroll 4
      for (int g = 0; g < kGroup; ++g)
        word = _mm512_xor_si512(
            word, _mm512_slli_epi32(load_widened(src + g * stride + lane, mask), kBits * g));
      _mm512_mask_storeu_epi32(dst + lane, mask, word);
    }
  if (k > 0)
    for (int64_t lane = 0; lane < lanes; ++lane)
      dst[lane] = gather_word(src + lane, stride, k, flip);
}

// As GemmKernels::pack, in words; `flip` is added to every element modulo its size.
template <class E>
void pack_words(const Matrix& src, int64_t lanes, int64_t width, int64_t k, uint32_t flip,
                void* to) {
  constexpr int64_t kSize = sizeof(E), kGroup = kWordBytes / kSize;
  uint32_t* dst = static_cast<uint32_t*>(to);
  const E* from = reinterpret_cast<const E*>(src.data);
  if (lanes < width) std::fill_n(dst, ceil_div(k, kGroup) * width, 0u);
  if (src.column == 1) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes)
      pack_runs(src.at(lane, 0).data, src.row * kSize, std::min(kLanes, lanes - lane), width,
                k * kSize, flip, dst + lane);
  } else if (src.row == 1) {
    pack_rows_of_lanes(from, src.column, lanes, width, k, flip, dst);
  } else {
    for (; k > 0; k -= kGroup, from += kGroup * src.column, dst += width)
      for (int64_t lane = 0; lane < lanes; ++lane)
        dst[lane] = gather_word(from + lane * src.row, src.column, k, flip);
  }
}

constexpr uint32_t kAdd128 = 0x80808080;

template <class T>
void pack_left(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst) {
  if constexpr (std::is_integral_v<T>) {
    pack_words<uint8_t>(src, lanes, width, k, std::is_signed_v<T> ? kAdd128 : 0, dst);
  } else {
    pack_words<uint16_t>(src, lanes, width, k, 0, dst);
  }
}

template <class T>
void pack_panel(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst) {
  if constexpr (!std::is_integral_v<T>) {
    pack_words<uint16_t>(src, lanes, width, k, 0, dst);
  } else {
    pack_words<uint8_t>(src, lanes, width, k, 0, dst);
    const int64_t words = ceil_div(k, kWordBytes);
    uint32_t* const packed = reinterpret_cast<uint32_t*>(dst);
    const __m512i bytes = _mm512_set1_epi8(std::is_signed_v<T> ? -128 : 0);
    for (int64_t j = 0; j < width; j += kLanes) {
      __m512i sums = _mm512_setzero_si512();
      for (int64_t word = 0; word < words; ++word)
        dot(T(), sums, bytes, _mm512_loadu_si512(packed + word * width + j));
      _mm512_storeu_si512(packed + words * width + j,
                          _mm512_sub_epi32(_mm512_setzero_si512(), sums));
    }
  }
}

template <class T>
void round_sums(const Sum<T>* src, int64_t count, DType dtype, std::byte* dst) {
  using Wide = std::conditional_t<std::is_integral_v<T>, int32_t, float>;
  gemm_kernels<Wide>().round(src, count, dtype, dst);
}

template <class T>
constexpr GemmKernels<T> kKernels = {
    .tile_rows = kTileRows,
    .panel = kPanel,
    .panel_tail = std::is_integral_v<T> ? kPanel * kWordBytes : 0,
    .multiply = multiply<T>,
    .pack = pack_left<T>,
    .pack_panel = pack_panel<T>,
    .round = round_sums<T>,
    .matvec = nullptr,
};

}  // namespace

template <>
const GemmKernels<bfloat16>& gemm_kernels<bfloat16>() {
  return kKernels<bfloat16>;
}
template <>
const GemmKernels<int8_t>& gemm_kernels<int8_t>() {
  return kKernels<int8_t>;
}
template <>
const GemmKernels<uint8_t>& gemm_kernels<uint8_t>() {
  return kKernels<uint8_t>;
}

}  // namespace tegula::cpu
#pragma GCC pop_options
#else  // never called: isa_has_dot() is false

namespace tegula::cpu {

template <>
const GemmKernels<bfloat16>& gemm_kernels<bfloat16>() {
  std::abort();
}
template <>
const GemmKernels<int8_t>& gemm_kernels<int8_t>() {
  std::abort();
}
template <>
const GemmKernels<uint8_t>& gemm_kernels<uint8_t>() {
  std::abort();
}

}  // namespace tegula::cpu
#endif
