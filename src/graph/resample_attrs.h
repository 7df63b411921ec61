// The attribute words of the primitive "resample", as those of graph/attrs.h.
#pragma once

#include "graph/attrs.h"

namespace tegula {

// resample: how each of the last two axes changes from a size to another. `scale` is how far apart
// in the image neighbours in the result are. Transposed, it takes what the other gives.
struct ResampleAxis {
  int64_t from, to;
  int64_t mode;  // ResampleMode
  int64_t align_corners, antialias;
  double scale;
};
struct ResampleAttrs {
  ResampleAxis rows, columns;
  int64_t transposed;
};
enum ResampleMode : int64_t {
  kResampleNearest = 0,
  kResampleNearestExact = 1,
  kResampleLinear = 2,
  kResampleCubic = 3,
  kResampleArea = 4
};

}  // namespace tegula
