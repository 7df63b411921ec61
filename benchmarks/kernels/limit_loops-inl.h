// The bodies of limit_loops.h for the instruction set this file is compiled for.
#include <algorithm>
#include <utility>

#include "limit_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tegula::bench {
namespace {

#if defined(__AVX512F__)
constexpr size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr size_t kVectorBytes = 32;
#else
constexpr size_t kVectorBytes = 16;
#endif
constexpr int kChains = 14;  // sums that do not wait for each other hide the latency

template <class T>
using Vector [[gnu::vector_size(kVectorBytes), gnu::may_alias]] = T;

// The same value, but the compiler must assume that it is used here, and changed.
template <class V>
V kept(V value) {
  asm volatile("" : "+m"(value));
  return value;
}

template <class V, class Step>
void chains(int64_t rounds, const V& a, const V& b, Step step) {
  V sums[kChains];
#pragma GCC unroll 16
  for (V& sum : sums) sum = kept(b);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (V& sum : sums) step(sum, a, b);
  }
#pragma GCC unroll 16
  for (V& sum : sums) kept(sum);
}

template <class T>
void multiply_add(int64_t rounds) {
  using V = Vector<T>;
  chains(rounds, V{} + T(1.0000001), V{} + T(1e-7),
         [](V& sum, const V& a, const V& b) { sum = sum * a + b; });
}

template <class T>
constexpr ArithmeticLoop kMultiplyAdd = {multiply_add<T>, 2 * kChains * kVectorBytes / sizeof(T)};

#if defined(__AVX512F__)
// Inline assembly: g++ 12 moves the accumulators of the intrinsics through memory.
void dot_bf16(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi16(0x3f80);
  chains(rounds, ones, ones, [](__m512i& sum, const __m512i& a, const __m512i& b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  });
}

void dot_int8(int64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  chains(rounds, ones, ones, [](__m512i& sum, const __m512i& a, const __m512i& b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  });
}
#endif

using Words = Vector<uint32_t>;

[[gnu::always_inline]] inline void stream(std::byte* to, const Words& value) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), __m512i(value));
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), __m256i(value));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), __m128i(value));
#else
  *reinterpret_cast<Words*>(to) = value;
#endif
}

template <int kReads, int kWrites, bool kNonTemporal>
void memory_pass(std::byte* const* in, std::byte* const* out, size_t first, size_t last) {
  constexpr int kParts = kLine / kVectorBytes;
  std::byte *from[kReads + 1], *to[kWrites + 1];  // copies: no store can change them
  std::copy_n(in, kReads, from);
  std::copy_n(out, kWrites, to);
  Words sums[4 * kParts] = {};
  for (size_t line = first; line < last; line += 4) {
#pragma GCC unroll 16
    for (int part = 0; part < 4 * kParts; ++part) {
      const size_t at = line * kLine + size_t(part) * kVectorBytes;
      Words value = sums[0];
      for (int i = 0; i < kReads; ++i) {
        const Words loaded = *reinterpret_cast<const Words*>(from[i] + at);
        value = i ? value + loaded : loaded;
      }
      for (int i = 0; i < kWrites; ++i) {
        if constexpr (kNonTemporal) stream(to[i] + at, value);
        else *reinterpret_cast<Words*>(to[i] + at) = value;
      }
      if constexpr (kWrites == 0) sums[part] += value;
    }
  }
  for (const Words& sum : sums) kept(sum);
}

template <int... kReads>
void fill_passes(LimitLoops& loops, std::integer_sequence<int, kReads...>) {
  const auto fill = [&]<int kCount, int... kWrites>(std::integer_sequence<int, kWrites...>) {
    ((loops.memory[kCount][kWrites][0] = memory_pass<kCount, kWrites, false>,
      loops.memory[kCount][kWrites][1] = memory_pass<kCount, kWrites, true>),
     ...);
  };
  (fill.template operator()<kReads>(std::make_integer_sequence<int, kMostWrites + 1>()), ...);
}

LimitLoops make_loops() {
  LimitLoops loops;
  loops.f32 = kMultiplyAdd<float>;
  loops.f64 = kMultiplyAdd<double>;
#if defined(__AVX512F__)
  if (__builtin_cpu_supports("avx512bf16")) loops.bf16 = {dot_bf16, 2 * kChains * 32};
  if (__builtin_cpu_supports("avx512vnni")) loops.int8 = {dot_int8, 2 * kChains * 64};
#endif
  fill_passes(loops, std::make_integer_sequence<int, kMostReads + 1>());
  return loops;
}

}  // namespace
}  // namespace tegula::bench
