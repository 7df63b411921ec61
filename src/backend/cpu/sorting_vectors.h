// Sorting of bare keys in vectors: a quicksort whose ends are Highway's sorting networks (Blacher
// et al. 2022, arXiv:2205.05982). There is one order of bare keys alone, so nothing depends on how
// the work is cut.
#pragma once

#include <cstdint>

namespace tegula::cpu {

// Fewer keys than this are not worth it.
inline constexpr int64_t kVectorSortFrom = 256;

// With `other` of the same size to work in.
void sort_keys(uint32_t* keys, uint32_t* other, int64_t count);
void sort_keys(uint64_t* keys, uint64_t* other, int64_t count);
// On all threads.
void sort_keys_in_parts(uint32_t* keys, uint32_t* other, int64_t count);
void sort_keys_in_parts(uint64_t* keys, uint64_t* other, int64_t count);

}  // namespace tegula::cpu
