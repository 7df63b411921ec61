// What the files of tegula.linalg share.
#pragma once

#include "ops/ops.h"

namespace tegula {

Tensor diagonal(const Tensor& x, int64_t offset);  // of matrices (..., M, N)

}  // namespace tegula
