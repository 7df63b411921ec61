// The lines along an axis that passes in its order go over: cumulative, argreduce.
#pragma once

#include "backend/cpu/sorting.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {

// The lines of a pass: first operand the output, second the input.
struct Lines {
  StridedLoop<2> loop;
  int64_t length, out_stride, in_stride;  // along the axis
};

// Neighbours in memory that advance together, for the vector units.
inline constexpr int64_t kNear = 256;

}  // namespace tegula::cpu
