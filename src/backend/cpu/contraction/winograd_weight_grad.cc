// The weight gradient by Winograd's minimal filtering. Tiles of 2 x 2 upstream gradients and the
// 4 x 4 pixels they were computed from are transformed, as transposing the forward algorithm says;
// for each of 16 points a product of matrices sums over the tiles, and the sums are transformed to
// the 3 x 3 taps: 2.25 times fewer multiplications.
//
// Tiles are cut into boxes, and the boxes into a number of chains fixed by the shape; each chain
// adds its boxes in order, inside a box tile after tile, and the chains are added in order at the
// end.
#include "backend/cpu/contraction/conv_kernels.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/contraction/winograd.h"
#include "backend/cpu/contraction/winograd_pixels.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kTile = 2, kPoints = 16, kTaps = 9;

class WinogradWeightGrad {
 public:
  WinogradWeightGrad(const Windows& windows, const Image& x, const Image& dy, const Image& dw)
      : kernels_(winograd_grad_kernels()),
        source_(winograd_kernels(ConvAlgorithm::winograd2)),
        gemm_(gemm_kernels<float>()),
        conv_(conv_kernels<float>()),
        x_(x),
        dy_(dy),
        dw_(dw),
        tiles_(tile_windows(windows, kTile)),
        width_(round_up(dy.channels, gemm_.panel)),
        row_blocks_(ceil_div(x.channels, kChannels)),
        panels_(width_ / gemm_.panel),
        column_blocks_(ceil_div(width_, kChannels)),
        boxes_(x.images, tiles_, kTilesInBox),
        chains_(std::clamp<int64_t>(ceil_div(kTasks, row_blocks_ * column_blocks_), 1,
                                    boxes_.count())) {}

  void run() const {
    const double us =
        2e-5 * double(dy_.images * tiles_.results() * kPoints) * double(x_.channels * dy_.channels);
    const int64_t size = kPoints * x_.channels * width_, blocks = row_blocks_ * column_blocks_;
    const Scratch<float> sums(ScratchUse::partials, size_t(size * chains_));
    parallel_for(
        blocks * chains_,
        [&](int64_t i) {
          sum_chain(i / chains_ % row_blocks_, i / chains_ / row_blocks_, i % chains_,
                    sums.get() + i % chains_ * size);
        },
        us);
    // The taps of neighbouring channels lie side by side in dw.
    const int64_t parts =
        ceil_div(x_.channels, std::clamp(x_.channels / kTasks, int64_t(1), kFinished));
    parallel_for(
        parts,
        [&](int64_t part) {
          const int64_t channel = tile_start(x_.channels, parts, part);
          finish(channel, tile_start(x_.channels, parts, part + 1) - channel, sums, size);
        },
        double(size * chains_) / 1e4);
  }

 private:
  // Boxes fix the order of sums: TEGULA_TILE leaves them alone.
  static constexpr int64_t kTilesInBox = 96, kChannels = 128, kTasks = 8;
  static constexpr int64_t kFinished = 16;  // channels at once

  // One block of the sums, (point, channel of x, channel of dy), over the boxes of a chain.
  void sum_chain(int64_t row_block, int64_t column_block, int64_t chain, float* sums) const {
    const int64_t row = tile_start(x_.channels, row_blocks_, row_block);
    const int64_t rows = tile_start(x_.channels, row_blocks_, row_block + 1) - row;
    const int64_t column = tile_start(panels_, column_blocks_, column_block) * gemm_.panel;
    const int64_t end = tile_start(panels_, column_blocks_, column_block + 1) * gemm_.panel;
    const int64_t last = tile_start(boxes_.count(), chains_, chain + 1);
    bool accumulate = false;
    for (int64_t b = tile_start(boxes_.count(), chains_, chain); b < last; ++b) {
      const Box box = boxes_[b];
      const int64_t count = box.results();
      if (count == 0) continue;
      const int64_t a_row = round_up(rows, kWinogradApart) + kWinogradApart,
                    b_row = end - column + kWinogradApart;
      const Scratch<float> left(ScratchUse::left, size_t(kPoints * count * a_row));
      const Scratch<float> right(ScratchUse::right, size_t(kPoints * count * b_row));
      transform(x_, region_of(tiles_, box), box, row, rows, round_up(rows, kWinogradApart), 1, left,
                a_row);
      transform(dy_, upstream_region(box), box, column, std::min(end, dy_.channels) - column,
                end - column, 0, right, b_row);
      for (int64_t p = 0; p < kPoints; ++p) {
        Block<float> block;
        block.m = rows;
        block.n = end - column;
        block.k = count;
        block.a = left + p * count * a_row;
        block.a_row = 1;
        block.a_depth = a_row;
        block.a_packed = false;
        block.b = right + p * count * b_row;
        block.b_depth = b_row;
        block.b_panel = gemm_.panel;
        block.b_padded = true;
        block.c = sums + (p * x_.channels + row) * width_ + column;
        block.c_row = width_;
        block.accumulate = accumulate;
        gemm_.multiply(block);
      }
      accumulate = true;
    }
  }

  // The elements of dy in a box of tiles.
  static Region upstream_region(const Box& box) {
    Region region{box.begin[0], box.extent(0), {box.begin[1], 0, 0}, {box.extent(1), 0, 0}};
    for (int axis : {1, 2}) {
      region.first[axis] = kTile * box.begin[1 + axis];
      region.extent[axis] = kTile * box.extent(1 + axis);
    }
    return region;
  }

  // The points of a box's tiles, point after point, `to_row` elements for each tile: of x where
  // `halo`, else of dy.
  void transform(const Image& image, const Region& region, const Box& box, int64_t channel,
                 int64_t channels, int64_t width, bool halo, float* to, int64_t to_row) const {
    const Scratch<float> space(ScratchUse::planes,
                               SourcePixels::elements(image, region, channels, width));
    const SourcePixels source(conv_, image, region, channel, channels, width, space);
    const auto points = halo ? source_.transform_source : kernels_.transform_upstream;
    const int64_t side = halo ? source_.side() : kTile, point = box.results() * to_row;
    const float* pixels[kMostPixels];
    for_results(box, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
      source.find(n, z, y * kTile, x * kTile, side, pixels);
      points(pixels, width, source.ahead(kTile), to, point);
      to += to_row;
    });
  }

  // Adds the chains for some channels of x, and writes their taps.
  void finish(int64_t channel, int64_t channels, float* sums, int64_t size) const {
    const int64_t point = x_.channels * width_, count = channels * width_;
    float* const total = sums + channel * width_;
    for (int64_t chain = 1; chain < chains_; ++chain)
      for (int64_t p = 0; p < kPoints; ++p) {
        const float* more = total + chain * size + p * point;
        for (int64_t i = 0; i < count; ++i) total[p * point + i] += more[i];
      }
    const Scratch<float> taps(ScratchUse::tile, size_t(kTaps * count));
    kernels_.transform_sums(total, point, count, taps, count);
    place_filters(conv_, taps.get(), width_, dw_, 0, dy_.channels, channel, channels);
  }

  const WinogradGradKernels& kernels_;
  const WinogradKernels& source_;
  const GemmKernels<float>& gemm_;
  const ConvKernels<float>& conv_;
  const Image &x_, &dy_, &dw_;
  const Windows tiles_;
  const int64_t width_, row_blocks_, panels_, column_blocks_;
  const Boxes boxes_;
  const int64_t chains_;
};

}  // namespace

void run_winograd_weight_grad(const Windows& windows, const Image& x, const Image& dy,
                              const Image& dw) {
  WinogradWeightGrad(windows, x, dy, dw).run();
}

}  // namespace tegula::cpu
