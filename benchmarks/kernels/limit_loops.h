// The loops behind machine_limits.h, compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tegula::bench {

inline constexpr size_t kLine = 64;  // memory passes go in whole lines of the cache
inline constexpr int kMostReads = 5, kMostWrites = 3;

// Runs so many rounds of multiply-adds; `operations` says how many operations a round has.
struct ArithmeticLoop {
  void (*run)(int64_t rounds) = nullptr;  // null where the set has no such instruction
  int64_t operations = 0;
};

// Reads lines [first, last) of every input and writes those of every output.
using MemoryPass = void (*)(std::byte* const* in, std::byte* const* out, size_t first, size_t last);

struct LimitLoops {
  ArithmeticLoop f32, f64, bf16, int8;
  // By number of arrays read, number written, and whether stores are non-temporal.
  MemoryPass memory[kMostReads + 1][kMostWrites + 1][2];
};

// Null where this build, or this processor, has no such set.
const LimitLoops* baseline_limit_loops();
const LimitLoops* avx2_limit_loops();
const LimitLoops* avx512_limit_loops();
const LimitLoops* amx_limit_loops();

}  // namespace tegula::bench
