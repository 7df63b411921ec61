#include "backend/cpu/conv_algorithm.h"

#include <atomic>
#include <cstdlib>

#include "base/error.h"

namespace tegula::cpu {
namespace {

constexpr std::string_view kNames[] = {"direct", "winograd2", "winograd4"};

std::atomic<ConvAlgorithm>& chosen() {
  static std::atomic<ConvAlgorithm> algorithm = [] {
    const char* text = std::getenv("TEGULA_CONV");
    return text && *text ? parse_conv_algorithm(text, "TEGULA_CONV") : ConvAlgorithm::winograd2;
  }();
  return algorithm;
}

}  // namespace

ConvAlgorithm conv_algorithm() { return chosen(); }
void set_conv_algorithm(ConvAlgorithm algorithm) { chosen() = algorithm; }

std::string_view name(ConvAlgorithm algorithm) { return kNames[int(algorithm)]; }

ConvAlgorithm parse_conv_algorithm(std::string_view text, std::string_view where) {
  for (int i = 0; i < 3; ++i)
    if (text == kNames[i]) return ConvAlgorithm(i);
  fail(ErrorKind::value, where, ": must be 'direct', 'winograd2' or 'winograd4', got '", text, "'");
}

}  // namespace tegula::cpu
