// Which instruction set the kernels use: the best the processor has, or the one TEGULA_ISA names.
#pragma once

#include <string>
#include <vector>

namespace tegula::cpu {

// Applies TEGULA_ISA (baseline, avx2, avx512, avx512_dot, amx, neon). Throws ValueError for another
// word or for a set this processor lacks, or the system keeps from it. Called once when the cpu
// backend starts, before any kernel.
void choose_isa();
// The set in use and every set that could be used here, best first.
std::string isa_name();
std::vector<std::string> supported_isas();
// Whether that set has the dot instructions of AVX512-BF16 and VNNI (avx512_dot and amx), which sum
// products of 16-bit floats with other roundings than a chain of float32 multiply-adds.
bool isa_has_dot();
// Whether it has AMX's matrix instructions, whose roundings are others again.
bool isa_has_amx();

// The value of TEGULA_TILE, or `otherwise`: how many elements a cache-sized piece of work has.
int64_t tile_size(int64_t otherwise);

}  // namespace tegula::cpu
