// Packing in words of 32 bits, each a group of neighbours along K. For files that are compiled for
// AVX-512, which include this where they are.
#pragma once

namespace tegula::cpu {
namespace {

constexpr int64_t kLanes = 16, kWordBytes = 4;

__mmask16 first_lanes(int64_t count) {
  return count >= kLanes ? __mmask16(-1) : __mmask16((1u << std::max<int64_t>(0, count)) - 1);
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

}  // namespace
}  // namespace tegula::cpu
