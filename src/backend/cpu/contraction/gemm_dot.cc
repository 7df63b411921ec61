// Register tiles of dot instructions: bfloat16 by AVX512-BF16 (vdpbf16ps), 8-bit integers by
// AVX512-VNNI (vpdpbusd). Each multiplies a group of neighbours along K, one 32-bit word, and adds
// the products to a 32-bit sum.
//
// vpdpbusd takes unsigned bytes on the left and signed ones on the right. A signed left operand is
// packed with 128 added; a panel of B is followed by what its columns' sums start with, -128 times
// the sum of the column, which takes that back. All is exact modulo 2^32.
#include "backend/cpu/contraction/gemm_words.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12's own header (its bug 105593)
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <array>
#include <utility>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")

#include "backend/cpu/contraction/pack_words-inl.h"

namespace tegula::cpu {
namespace {

constexpr int kTileRows = 14, kTileVectors = 2;
constexpr int64_t kPanel = kTileVectors * kLanes;

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
  constexpr int64_t kGroup = GemmTraits<T>::kGroup;
  const int64_t words = ceil_div(block.k, kGroup), depth = words * kGroup;
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
constexpr GemmKernels<T> kDotKernels = {
    .tile_rows = kTileRows,
    .panel = kPanel,
    .panel_tail = std::is_integral_v<T> ? kPanel * kWordBytes : 0,
    .step = GemmTraits<T>::kGroup,
    .depth = kChainDepth<T>,
    .speed = GemmTraits<T>::kGroup,
    .task_rows = 224,
    .task_columns = 256,
    .whole_registers = false,
    .multiply = multiply<T>,
    .pack = pack_left<T>,
    .pack_panel = pack_panel<T>,
    .round = round_sums<T>,
    .matvec = nullptr,
};

}  // namespace

template <>
const GemmKernels<bfloat16>& dot_kernels<bfloat16>() {
  return kDotKernels<bfloat16>;
}
template <>
const GemmKernels<int8_t>& dot_kernels<int8_t>() {
  return kDotKernels<int8_t>;
}
template <>
const GemmKernels<uint8_t>& dot_kernels<uint8_t>() {
  return kDotKernels<uint8_t>;
}

}  // namespace tegula::cpu
#pragma GCC pop_options
#endif
