// Which instruction set the kernels use: the best the processor has, or the one TEGULA_ISA names.
#pragma once

#include <string>
#include <vector>

namespace tegula::cpu {

// Applies TEGULA_ISA (baseline, avx2, avx512, neon). Throws ValueError for another word or for a
// set this processor lacks. Called once when the cpu backend starts, before any kernel.
void choose_isa();
// The set in use and every set that could be used here, best first.
std::string isa_name();
std::vector<std::string> supported_isas();

// The value of TEGULA_TILE, or `otherwise`: how many elements a cache-sized piece of work has.
int64_t tile_size(int64_t otherwise);

}  // namespace tegula::cpu
