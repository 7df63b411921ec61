// What the machine can do at most, measured with the threads of this process.
#pragma once

#include <string>

#include "workbench.h"

namespace tegula::bench {

// Kinds, each with what it measures and the unit of the answer's median, low and high:
//   fma avx512.f32      multiply-adds of independent sums, 10^9 operations (2 each) a second.
//                       Sets: avx512, avx2, baseline; types: f32, f64. `fma f32` takes the
//                       set the kernels use.
//   dot avx512.bf16     the same for the dot instructions of bf16 and int8 (`dot bf16`); dot
//                       amx.bf16 for the matrix instructions, of random numbers
//   memory 1,1,4096,nt  passes that read so many arrays and write so many, each of so many
//                       bytes: 10^9 bytes a second, those the program reads and writes.
//                       Last, how it writes: plain stores (the default; memory not in the cache
//                       is then fetched before it is written: traffic that is not counted), nt
//                       (non-temporal stores), or inplace (over the first arrays read).
// Throws ErrorKind::unsupported for what this processor lacks.
Timing measure_limit(const std::string& kind, const std::string& what, double seconds);

}  // namespace tegula::bench
