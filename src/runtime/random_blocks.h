// How many 128-bit Philox blocks a random tensor takes, so that a generator can reserve them.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace tegula {

// Four elements of up to 32 bits come from a block, or two of 64 bits, whatever the kind (a
// RandomKind) of random number: normal numbers are made in pairs of as many words.
constexpr int64_t blocks_for(int64_t /*kind*/, DType dtype, int64_t elements) {
  const int64_t per_block = itemsize(dtype) == 8 ? 2 : 4;
  return (elements + per_block - 1) / per_block;
}

}  // namespace tegula
