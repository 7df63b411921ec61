// Convolution with 3 x 3 filters by Winograd's minimal filtering: A. Lavin, S. Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2016. The result is cut into tiles of m x m. A
// tile, the m + 2 squared elements it reads and the filters are transformed so that (m + 2)^2
// products of matrices over the channels take the place of 9 m^2: 2.25 times fewer for m = 2, 4
// times for m = 4.
//
// The error grows with m: docs/numerics.md. A NaN or infinity reaches all of its tile.
#pragma once

#include "backend/cpu/contraction/conv_shapes.h"
#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/contraction/window_product.h"
#include "backend/cpu/conv_algorithm.h"

namespace tegula::cpu {

// Rows of operands and products lie so many elements apart from powers of two, which would share
// cache sets.
constexpr int64_t kWinogradApart = 16;

// Whether a convolution is of that kind and gains by it: a matter of shapes alone.
bool winograd_applies(const Windows& windows, const Image& source, const Image& out,
                      int64_t groups);
// Sums of the windows of `source`, which reach it for every combination of three neighbouring taps
// on the last two axes, times filters.
void run_winograd(ConvAlgorithm algorithm, const Windows& windows, const Image& source,
                  const FilterLayout& filters, const Image& out, const Placement& placement);

// Each m x m results of `windows` as one that reads (m + 2)^2 neighbouring pixels.
Windows tile_windows(const Windows& windows, int64_t tile);
// The weight gradient of such a convolution of x to dy's shape, by tiles of 2 x 2.
void run_winograd_weight_grad(const Windows& windows, const Image& x, const Image& dy,
                              const Image& dw);

// The transforms for tiles of m x m; `count` elements, whole vectors, of each pixel.
struct WinogradKernels {
  int64_t tile;  // m
  int64_t side() const { return tile + 2; }
  int64_t points() const { return side() * side(); }
  // to[p * point + c] = point p of the tile of these (m + 2)^2 pixels, for c < count. What lies
  // `ahead` elements after the pixels is fetched meanwhile.
  void (*transform_source)(const float* const* pixels, int64_t count, int64_t ahead, float* to,
                           int64_t point);
  // taps: 9 rows of `count` elements, `tap` apart; to: points() rows, `point` apart.
  void (*transform_filters)(const float* taps, int64_t tap, int64_t count, float* to,
                            int64_t point);
  // m x m pixels from points().
  void (*transform_result)(const float* from, int64_t point, int64_t count, float* const* pixels);
};
const WinogradKernels& winograd_kernels(ConvAlgorithm algorithm);

// The transforms of the weight gradient for tiles of 2 x 2.
struct WinogradGradKernels {
  // 16 points of 2 x 2 pixels; as transform_source.
  void (*transform_upstream)(const float* const* pixels, int64_t count, int64_t ahead, float* to,
                             int64_t point);
  // 9 rows of `count` elements, `tap` apart, from 16 rows of sums.
  void (*transform_sums)(const float* from, int64_t point, int64_t count, float* to, int64_t tap);
};
const WinogradGradKernels& winograd_grad_kernels();

}  // namespace tegula::cpu
