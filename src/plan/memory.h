// Lays out an arena: values whose lifetimes do not overlap share memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tegula {

struct Lifetime {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;  // steps that write it first and read it last
  int64_t offset = -1;          // the result, a multiple of 64
  int32_t lent = -1;            // the lent memory it is in, or -1: the arena
};

// Memory beside the arena that nobody writes before step `until`.
struct LentMemory {
  int64_t bytes = 0;
  int32_t until = 0;
};

// Assigns places, largest values first, each at the lowest place that is free for its whole life,
// or in lent memory if the arena would have to grow; where there are thousands of them, in the
// order in which they are made, each in the smallest gap of the arena that fits. Returns the
// arena's size.
int64_t lay_out(std::vector<Lifetime>& values, std::span<const LentMemory> lent = {});

}  // namespace tegula
