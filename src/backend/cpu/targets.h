// The instruction sets the CPU kernels are compiled for. Include before any Highway header.
// x86-64: the baseline (SSE2), AVX2 with FMA, AVX-512. The sets between add size, not speed.
#pragma once

#include <hwy/detect_targets.h>

#ifndef TEGULA_DISABLED_TARGETS
#define TEGULA_DISABLED_TARGETS 0
#endif

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS                                                              \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | \
   TEGULA_DISABLED_TARGETS)
