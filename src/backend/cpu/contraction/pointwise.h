// Convolution by one tap with stride 1: a product of matrices, pixels by channels.
#pragma once

#include <optional>

#include "backend/cpu/contraction/product.h"
#include "backend/cpu/contraction/window_product.h"

namespace tegula::cpu {

// The products that make `out` of `source` by filters of one tap, for every image.
struct Pointwise {
  Product product;
  Batch images;
};

// None where the taps, the groups or the layouts ask for more than that. `windows` are of a grid
// whose results are written side by side.
std::optional<Pointwise> as_pointwise(const Windows& windows, const Image& source, int64_t groups,
                                      const FilterLayout& filters, const Image& out,
                                      const Placement& placement);

}  // namespace tegula::cpu
