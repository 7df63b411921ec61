// The few functions Highway keeps in its library instead of its headers: which instruction sets
// this processor has, how it gives up, and what its sort
// chooses pivots by. Debian ships that library only as a shared object;
// defining them here lets the extension run where Highway is not installed.
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend/cpu/targets.h"
// targets.h must come before any Highway header.
#include <hwy/contrib/sort/vqsort.h>
#include <hwy/targets.h>

namespace hwy {
namespace {

std::atomic<int64_t> allowed_targets{~int64_t{0}};
std::atomic<int64_t> forced_targets{0};

int64_t detect_targets() {
  int64_t targets = HWY_STATIC_TARGET;
#if HWY_ARCH_X86
  // The sets targets.h keeps. __builtin_cpu_supports also asks whether the operating system saves
  // the wide registers.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (avx2) targets |= HWY_AVX2;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw");
  if (avx2 && avx512) targets |= HWY_AVX3;
#endif
  return targets;
}

}  // namespace

int64_t SupportedTargets() {
  static const int64_t detected = detect_targets();
  const int64_t forced = forced_targets.load();
  const int64_t targets = (forced != 0 ? forced : detected) & allowed_targets.load();
  return targets != 0 ? targets : HWY_STATIC_TARGET;
}

void DisableTargets(int64_t disabled_targets) {
  allowed_targets = ~disabled_targets;
  GetChosenTarget().DeInit();
}

void SetSupportedTargetsForTest(int64_t targets) {
  forced_targets = targets;
  GetChosenTarget().DeInit();
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

// Numbers for the choice of pivots, the same whenever as many keys are sorted: patterns that make
// that choice bad only make it slower, and not quadratic, since vqsort ends in heap sort.
void Sorter::Fill24Bytes(const void*, size_t seed_num, void* bytes) {
  uint64_t words[3], state = seed_num;
  for (uint64_t& word : words) {  // SplitMix64 (Steele et al. 2014)
    state += 0x9e3779b97f4a7c15u;
    word = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    word ^= word >> 31;
  }
  std::memcpy(bytes, words, sizeof(words));
}

void Abort(const char* file, int line, const char* format, ...) {
  std::fprintf(stderr, "Highway: abort at %s:%d: ", file, line);
  va_list args;
  va_start(args, format);
  std::vfprintf(stderr, format, args);
  va_end(args);
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace hwy
