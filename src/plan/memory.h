// Lays out an arena: values whose lifetimes do not overlap share memory.
#pragma once

#include <cstdint>
#include <vector>

namespace tegula {

struct Lifetime {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;  // steps that write it first and read it last
  int64_t offset = -1;          // the result, a multiple of 64
};

// Assigns offsets, largest values first, each at the lowest place that is free for its whole
// life; where there are thousands of them, in the order in which they are made, each in the
// smallest gap that fits. Returns the arena's size.
int64_t lay_out(std::vector<Lifetime>& values);

}  // namespace tegula
