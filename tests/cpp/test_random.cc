#include <cmath>

#include "backend/cpu/philox.h"
#include "kernel_harness.h"
#include "runtime/random_blocks.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

void draw(Array& out, int64_t kind, uint64_t key, uint64_t offset) {
  run_kernel(cpu::random_kernels(), "random", {}, {out.view()}, {kind},
             {int64_t(key), int64_t(offset)});
}

constexpr uint64_t kKey = 0x299f31d0a4093822u;

uint32_t word(uint64_t offset, int64_t i) {
  const uint64_t block = offset + uint64_t(i / 4);
  return cpu::philox4x32({uint32_t(block), uint32_t(block >> 32), 0, 0},
                         {uint32_t(kKey), uint32_t(kKey >> 32)})[i % 4];
}
uint64_t wide_word(uint64_t offset, int64_t i) {
  return word(offset, 2 * i) | uint64_t(word(offset, 2 * i + 1)) << 32;
}

}  // namespace

TEST_CASE("philox4x32-10 known answers (Random123 kat_vectors)") {
  using Words = std::array<uint32_t, 4>;
  CHECK(cpu::philox4x32({0, 0, 0, 0}, {0, 0}) ==
        Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(cpu::philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(
      cpu::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
      Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  Array first(DType::uint32, {4});
  draw(first, kRandomBits, 0, 0);
  CHECK(first.at<uint32_t>(0) == 0x6627e8d5);
  CHECK(first.at<uint32_t>(3) == 0x9b00dbd8);
}

TEST_CASE("elements are what their definition says, at every offset and length") {
  for (uint64_t offset : {uint64_t(0), uint64_t(0xfffffff3u), ~uint64_t(0) - 7})
    for (int64_t n : {0, 1, 3, 63, 1027, 5000}) {
      Array bits(DType::uint32, {n}), wide(DType::uint64, {n}), f32(DType::float32, {n}),
          f64(DType::float64, {n}), f16(DType::float16, {n}), bf16(DType::bfloat16, {n});
      draw(bits, kRandomBits, kKey, offset);
      draw(wide, kRandomBits, kKey, offset);
      for (Array* out : {&f32, &f64, &f16, &bf16}) draw(*out, kRandomUniform, kKey, offset);
      bool same = true;
      for (int64_t i = 0; i < n; ++i) {
        const uint32_t w = word(offset, i);
        const uint64_t v = wide_word(offset, i);
        same &= bits.at<uint32_t>(i) == w && wide.at<uint64_t>(i) == v;
        same &= f32.get(i) == double(w >> 8) * 0x1p-24;
        same &= f64.get(i) == double(v >> 11) * 0x1p-53;
        same &= f16.get(i) == double(w >> 21) * 0x1p-11;
        same &= bf16.get(i) == double(w >> 24) * 0x1p-8;
      }
      CHECK(same);
    }
}

TEST_CASE("normal numbers follow Box and Muller") {
  const int64_t n = 40001;
  const double turn = 2 * std::acos(-1.0);
  Array f32(DType::float32, {n}), f64(DType::float64, {n}), f16(DType::float16, {n}),
      bf16(DType::bfloat16, {n});
  for (Array* out : {&f32, &f64, &f16, &bf16}) draw(*out, kRandomNormal, kKey, 5);
  double sum = 0, squares = 0, worst32 = 0, worst64 = 0;
  bool rounded = true;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t first = i - i % 2;
    const auto pick = [&](double u, double angle) {
      const double r = std::sqrt(-2 * std::log(u));
      return i % 2 ? r * std::sin(turn * angle) : r * std::cos(turn * angle);
    };
    const double expected32 = pick(float(word(5, first)) * 0x1p-32f + 0x1p-33f,
                                   double(word(5, first + 1) >> 8) * 0x1p-24);
    const double expected64 = pick(double(wide_word(5, first) >> 11) * 0x1p-53 + 0x1p-54,
                                   double(wide_word(5, first + 1) >> 11) * 0x1p-53);
    worst32 = std::max(worst32, std::abs(f32.get(i) - expected32));
    worst64 = std::max(worst64, std::abs(f64.get(i) - expected64));
    rounded &= f16.at<float16>(i).bits == float16(f32.at<float>(i)).bits;
    rounded &= bf16.at<bfloat16>(i).bits == bfloat16(f32.at<float>(i)).bits;
    sum += f32.get(i);
    squares += f32.get(i) * f32.get(i);
  }
  CHECK(worst32 < 2e-6);
  CHECK(worst64 < 1e-14);
  CHECK(rounded);
  CHECK(std::abs(sum / double(n)) < 0.02);
  CHECK(std::abs(squares / double(n) - 1) < 0.03);
}

TEST_CASE("random numbers do not depend on threads or on where a tensor ends") {
  for (DType dtype : {DType::float32, DType::float64, DType::float16})
    for (int64_t kind : {kRandomUniform, kRandomNormal}) {
      Array whole(dtype, {300001}), head(dtype, {1234}), tail(dtype, {299001});
      check_threads(whole, [&] { draw(whole, kind, kKey, 77); });
      draw(head, kind, kKey, 77);
      draw(tail, kind, kKey, 77 + uint64_t(blocks_for(kind, dtype, 1000)));
      const size_t size = itemsize(dtype);
      CHECK(std::memcmp(head.memory.data(), whole.memory.data(), 1234 * size) == 0);
      CHECK(std::memcmp(tail.memory.data(), whole.memory.data() + 1000 * size, 299001 * size) == 0);
    }
}

TEST_CASE("blocks_for covers every element") {
  CHECK(blocks_for(kRandomUniform, DType::float32, 0) == 0);
  CHECK(blocks_for(kRandomUniform, DType::float32, 5) == 2);
  CHECK(blocks_for(kRandomNormal, DType::float16, 4) == 1);
  CHECK(blocks_for(kRandomBits, DType::uint64, 5) == 3);
  Array wrong(DType::int32, {3});
  CHECK_THROWS_AS(draw(wrong, kRandomBits, 0, 0), Error);
}

TEST_CASE("normal numbers have the same bits on every instruction set") {
  const auto checksum = [](DType dtype) {
    Array out(dtype, {10000});
    draw(out, kRandomNormal, kKey, 1);
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (size_t i = 0; i < 10000 * itemsize(dtype); ++i)
      hash = (hash ^ uint64_t(out.memory[i])) * 0x100000001b3u;
    return hash;
  };
  CHECK(checksum(DType::float32) == 4046493183038646837u);
  CHECK(checksum(DType::float64) == 9617589654734629837u);
}
