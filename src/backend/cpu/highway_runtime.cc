// The few functions Highway keeps in its library instead of its headers: which instruction sets
// this processor has, and how it gives up. Debian ships that library only as a shared object;
// defining them here lets the extension run where Highway is not installed.
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "backend/cpu/targets.h"
// targets.h must come before any Highway header.
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
