// AMX's matrix instructions; all else is as with AVX-512.
#include <algorithm>
#include <random>

#include "backend/cpu/isa.h"
#include "limit_loops.h"

namespace tegula::bench {

#if defined(__x86_64__)
namespace {

constexpr int64_t kRows = 16, kRowBytes = 64;
constexpr int64_t kChains = 4;  // sums that do not wait for each other hide the latency

struct alignas(64) Tiles {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Runs body() with two operands of random numbers in registers 4 to 7. With constants, or zeros,
// the processor takes less power and may clock higher than any product can.
template <class Body>
void with_tiles(bool bfloat16, Body body) {
  Tiles tiles;
  std::fill_n(tiles.rows, 8, uint8_t(kRows));
  std::fill_n(tiles.row_bytes, 8, uint16_t(kRowBytes));
  alignas(64) uint16_t numbers[4 * kRows * kRowBytes / 2];
  std::minstd_rand random;
  for (uint16_t& number : numbers) {
    number = uint16_t(random() >> 8);
    // In bfloat16 a sign, an exponent of 2^-1 or 2^0, and any mantissa.
    if (bfloat16) number = uint16_t((number & 0x80ff) | 0x3f00);
  }
  const auto* from = reinterpret_cast<const std::byte*>(numbers);
  asm volatile(
      "ldtilecfg %0\n\t"
      "tileloadd (%1,%2,1), %%tmm4\n\ttileloadd 1024(%1,%2,1), %%tmm5\n\t"
      "tileloadd 2048(%1,%2,1), %%tmm6\n\ttileloadd 3072(%1,%2,1), %%tmm7" ::"m"(tiles),
      "r"(from), "r"(kRowBytes)
      : "memory");
  body();
  asm volatile("tilerelease");
}

void matrix_bf16(int64_t rounds) {
  with_tiles(true, [&] {
    for (int64_t round = 0; round < rounds; round += kChains)
      asm volatile(
          "tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm7, %tmm4, %tmm1\n\t"
          "tdpbf16ps %tmm6, %tmm5, %tmm2\n\ttdpbf16ps %tmm7, %tmm5, %tmm3");
  });
}

void matrix_int8(int64_t rounds) {
  with_tiles(false, [&] {
    for (int64_t round = 0; round < rounds; round += kChains)
      asm volatile(
          "tdpbssd %tmm6, %tmm4, %tmm0\n\ttdpbssd %tmm7, %tmm4, %tmm1\n\t"
          "tdpbssd %tmm6, %tmm5, %tmm2\n\ttdpbssd %tmm7, %tmm5, %tmm3");
  });
}

bool usable() {
  const auto isas = cpu::supported_isas();  // asks the system for leave
  return std::find(isas.begin(), isas.end(), "amx") != isas.end();
}

LimitLoops make_loops() {
  LimitLoops loops = *avx512_limit_loops();
  loops.bf16 = {matrix_bf16, 2 * kRows * kRows * kRowBytes / 2};
  loops.int8 = {matrix_int8, 2 * kRows * kRows * kRowBytes};
  return loops;
}

}  // namespace

const LimitLoops* amx_limit_loops() {
  static const bool has = usable() && avx512_limit_loops();
  if (!has) return nullptr;
  static const LimitLoops loops = make_loops();
  return &loops;
}
#else
const LimitLoops* amx_limit_loops() { return nullptr; }
#endif

}  // namespace tegula::bench
