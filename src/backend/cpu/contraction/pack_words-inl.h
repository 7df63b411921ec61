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

// Words of 32 lanes side by side, from the rows of a group.
void pack_word_row(const uint16_t* src, int64_t stride, __m512i flip, uint32_t* dst) {
  const __m512i even = _mm512_loadu_si512(src), odd = _mm512_loadu_si512(src + stride);
  const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  _mm512_storeu_si512(dst, _mm512_xor_si512(flip, _mm512_permutex2var_epi64(low, first, high)));
  _mm512_storeu_si512(dst + kLanes,
                      _mm512_xor_si512(flip, _mm512_permutex2var_epi64(low, second, high)));
}
void pack_word_row(const uint8_t* src, int64_t stride, __m512i flip, uint32_t* dst) {
  const auto row = [&](int64_t g) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + g * stride));
  };
  const __m256i r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const __m256i low01 = _mm256_unpacklo_epi8(r0, r1), high01 = _mm256_unpackhi_epi8(r0, r1);
  const __m256i low23 = _mm256_unpacklo_epi8(r2, r3), high23 = _mm256_unpackhi_epi8(r2, r3);
  // Words 4 i to 4 i + 3, and those 16 further.
  const __m256i w0 = _mm256_unpacklo_epi16(low01, low23), w1 = _mm256_unpackhi_epi16(low01, low23);
  const __m256i w2 = _mm256_unpacklo_epi16(high01, high23);
  const __m256i w3 = _mm256_unpackhi_epi16(high01, high23);
  const auto store = [&](__m256i a, __m256i b, uint32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm256_xor_si256(_mm512_castsi512_si256(flip), a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8),
                        _mm256_xor_si256(_mm512_castsi512_si256(flip), b));
  };
  store(_mm256_permute2x128_si256(w0, w1, 0x20), _mm256_permute2x128_si256(w2, w3, 0x20), dst);
  store(_mm256_permute2x128_si256(w0, w1, 0x31), _mm256_permute2x128_si256(w2, w3, 0x31),
        dst + kLanes);
}

// Lanes side by side.
template <class E>
void pack_rows_of_lanes(const E* src, int64_t stride, int64_t lanes, int64_t width, int64_t k,
                        uint32_t flip, uint32_t* dst) {
  constexpr int kGroup = kWordBytes / sizeof(E), kBits = 8 * sizeof(E);
  const __m512i flips = _mm512_set1_epi32(int(flip));
  for (; k >= kGroup; k -= kGroup, src += kGroup * stride, dst += width) {
    int64_t lane = 0;
    for (; lane + 2 * kLanes <= lanes; lane += 2 * kLanes)
      pack_word_row(src + lane, stride, flips, dst + lane);
    for (; lane < lanes; lane += kLanes) {
      const __mmask16 mask = first_lanes(lanes - lane);
      __m512i word = flips;
#pragma GCC unroll 4
      for (int g = 0; g < kGroup; ++g)
        word = _mm512_xor_si512(
            word, _mm512_slli_epi32(load_widened(src + g * stride + lane, mask), kBits * g));
      _mm512_mask_storeu_epi32(dst + lane, mask, word);
    }
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
