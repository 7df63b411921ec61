#include "backend/cpu/isa.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "backend/cpu/targets.h"
#include <hwy/highway.h>

namespace tegula::cpu {
namespace {

struct Isa {
  const char* name;
  int64_t target;
  bool dot = false, amx = false;
};

// Best first. In Highway's masks a better set has a lower bit.
constexpr Isa kIsas[] = {
    {"amx", HWY_AVX3, true, true},
    {"avx512_dot", HWY_AVX3, true},
    {"avx512", HWY_AVX3},
    {"avx2", HWY_AVX2},
    {"neon", HWY_NEON},
    {"baseline", HWY_STATIC_TARGET},
};

// What both this processor and this build have.
int64_t usable_targets() {
  static const int64_t targets = (hwy::SupportedTargets() & HWY_TARGETS) | HWY_STATIC_TARGET;
  return targets;
}

bool processor_has_dot() {
#if HWY_ARCH_X86
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// The kernel lets a process use tile registers, some 8 KiB of state a thread, when it asks.
bool may_use_amx() {
#if HWY_ARCH_X86_64 && defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  __builtin_cpu_init();
  static const bool granted = __builtin_cpu_supports("amx-tile") &&
                              __builtin_cpu_supports("amx-bf16") &&
                              __builtin_cpu_supports("amx-int8") &&
                              syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

bool usable(const Isa& isa) {
  return (usable_targets() & isa.target) && (!isa.dot || processor_has_dot()) &&
         (!isa.amx || may_use_amx());
}

const Isa*& chosen_isa() {
  static const Isa* chosen = nullptr;
  return chosen;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

int64_t forced_tile_size() {
  const char* text = std::getenv("TEGULA_TILE");
  if (!text || !*text) return 0;
  int64_t size = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, size);
  require(error == std::errc() && stop == end && size >= 1 && size <= (int64_t(1) << 30),
          "TEGULA_TILE must be a positive whole number of elements, got '", text, "'");
  return size;
}

}  // namespace

void choose_isa() {
  const char* wanted = std::getenv("TEGULA_ISA");
  const bool forced = wanted && *wanted;
  const Isa* chosen = nullptr;
  for (const Isa& isa : kIsas)
    if ((!forced || isa.name == std::string_view(wanted)) && usable(isa)) {
      chosen = &isa;
      break;
    }
  require(chosen, "TEGULA_ISA: '", forced ? wanted : "",
          "' is not an instruction set of this "
          "processor; there are: ",
          joined(supported_isas()));
  // The chosen set and those below it; bits below the chosen one are better sets.
  if (forced) hwy::SetSupportedTargetsForTest(usable_targets() & ~(chosen->target - 1));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  chosen_isa() = chosen;
}

std::string isa_name() {
  if (!chosen_isa()) choose_isa();
  return chosen_isa()->name;
}

bool isa_has_dot() {
  if (!chosen_isa()) choose_isa();
  return chosen_isa()->dot;
}

bool isa_has_amx() {
  if (!chosen_isa()) choose_isa();
  return chosen_isa()->amx;
}

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  int64_t listed = 0;  // the baseline may be one of the others
  for (const Isa& isa : kIsas) {
    if (usable(isa) && !(listed & isa.target)) names.push_back(isa.name);
    if (!isa.dot) listed |= isa.target;
  }
  return names;
}

int64_t tile_size(int64_t otherwise) {
  static const int64_t forced = forced_tile_size();
  return forced > 0 ? forced : otherwise;
}

}  // namespace tegula::cpu
