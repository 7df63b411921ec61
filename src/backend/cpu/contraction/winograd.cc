#include "backend/cpu/contraction/winograd.h"

#include "backend/cpu/contraction/winograd_pixels.h"
#include "backend/cpu/isa.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

class Winograd {
 public:
  Winograd(const WinogradKernels& kernels, const Windows& windows, const Image& source,
           const FilterLayout& filters, const Image& out, const Placement& placement)
      : k_(kernels),
        gemm_(gemm_kernels<float>()),
        conv_(conv_kernels<float>()),
        source_(source),
        filters_(filters),
        out_(out),
        placement_(placement),
        tiles_(tile_windows(windows, kernels.tile)),
        depth_(depth_block<float>(source.channels)),
        pitch_(round_up(source.channels, kWinogradApart)),
        panels_(ceil_div(out.channels, gemm_.panel)),
        boxes_(out.images, tiles_, tiles_in_box()),
        kept_(
            kept_filters(filters, &kernels, {source.channels, out.channels},
                         out.images * tiles_.results() * kernels.tile * kernels.tile,
                         sizeof(float) * point_elements(),
                         [&](std::byte* to) { transform_all(reinterpret_cast<float*>(to), 1e9); })),
        own_(ScratchUse::shared, kept_ ? 0 : point_elements()),
        points_(kept_ ? reinterpret_cast<const float*>(kept_.get()) : own_.get()) {}

  void run() {
    const double us = 2e-5 * double(out_.images * tiles_.results() * k_.points()) *
                      double(source_.channels * out_.channels);
    if (!kept_) transform_all(own_.get(), us);
    // Few boxes: several tasks share one, each with some of the columns.
    constexpr int64_t kTasks = 8;
    const int64_t parts = std::clamp<int64_t>(kTasks / std::max<int64_t>(boxes_.count(), 1), 1,
                                              ceil_div(panels_ * gemm_.panel, column_block()));
    parallel_for(
        boxes_.count() * parts,
        [&](int64_t task) {
          multiply(boxes_[task % boxes_.count()], task / boxes_.count(), parts);
        },
        us);
  }

 private:
  // About as many as keep their points in the second-level cache, and use the filters enough; few
  // boxes are a multiple of kEven.
  int64_t tiles_in_box() const {
    constexpr int64_t kEven = 4, kLeast = 56;
    const int64_t elements = k_.points() * (source_.channels + column_block());
    const int64_t most = std::clamp<int64_t>(kCacheElements / elements, 112, 168);
    const int64_t tiles = out_.images * tiles_.results();
    const int64_t even = ceil_div(tiles, round_up(ceil_div(tiles, most), kEven));
    return tile_size(even >= kLeast ? even : most);
  }
  static constexpr int64_t kCacheElements = 160 << 10;
  // Columns of the products computed at once.
  int64_t column_block() const { return std::min<int64_t>(panels_, 4) * gemm_.panel; }

  // The transformed filters, by point, panel and depth block: rows of a panel.
  int64_t panel_elements() const { return source_.channels * gemm_.panel; }
  size_t point_elements() const { return size_t(k_.points() * panels_ * panel_elements()); }
  const float* panel(int64_t point, int64_t p) const {
    return points_ + (point * panels_ + p) * panel_elements();
  }

  void transform_all(float* to, double microseconds) const {
    parallel_for(
        panels_, [&](int64_t p) { transform_panel(p, to + p * panel_elements()); }, microseconds);
  }
  void transform_panel(int64_t p, float* to) const {
    constexpr int64_t kChannels = 32;
    const int64_t width = gemm_.panel, lanes = std::min(width, out_.channels - p * width);
    const Scratch<float> taps(ScratchUse::left, size_t(9 * kChannels * width));
    const int64_t item = int64_t(itemsize(filters_.dtype));
    for (int64_t c = 0; c < source_.channels; c += kChannels) {
      const int64_t channels = std::min(kChannels, source_.channels - c);
      const int64_t at = p * width * filters_.lane_stride + c * filters_.channel_stride;
      conv_.pack_filters({filters_.data + at * item, filters_.dtype, filters_.lane_stride,
                          filters_.channel_stride, filters_.taps.data(), 9},
                         lanes, channels, taps);
      k_.transform_filters(taps, channels * width, channels * width, to + c * width,
                           panels_ * panel_elements());
    }
  }

  // Part `part` of the columns of a box's results.
  void multiply(const Box& box, int64_t part, int64_t parts) const {
    const int64_t count = box.results(), points = k_.points();
    if (count == 0) return;
    const Region region = region_of(tiles_, box);
    const Scratch<float> space(ScratchUse::planes,
                               SourcePixels::elements(source_, region, source_.channels, pitch_));
    const SourcePixels source(conv_, source_, region, 0, source_.channels, pitch_, space);
    const int64_t a_row = pitch_ + kWinogradApart, a_point = count * a_row;
    const Scratch<float> left(ScratchUse::left, size_t(points * a_point));
    const float* pixels[kMostPixels];
    int64_t tile = 0;
    for_results(box, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
      source.find(n, z, y * k_.tile, x * k_.tile, k_.side(), pixels);
      k_.transform_source(pixels, pitch_, source.ahead(k_.tile), left + tile++ * a_row, a_point);
    });
    const int64_t end = std::min(out_.channels, tile_start(panels_, parts, part + 1) * gemm_.panel);
    const int64_t width = column_block();
    for (int64_t column = tile_start(panels_, parts, part) * gemm_.panel; column < end;
         column += width)
      multiply_columns(box, count, left, a_row, column, std::min(width, end - column));
  }

  // Columns [column, column + columns) of the products for the tiles of a box, and their results.
  void multiply_columns(const Box& box, int64_t count, const float* left, int64_t a_row,
                        int64_t column, int64_t columns) const {
    const int64_t points = k_.points(), width = round_up(columns, gemm_.panel);
    const int64_t c_row = width + kWinogradApart, c_point = count * c_row;
    const Scratch<float> products(ScratchUse::tile, size_t(points * c_point));
    for (int64_t p = 0; p < points; ++p)
      for (int64_t k = 0; k < source_.channels; k += depth_) {
        Block<float> block;
        block.m = count;
        block.n = width;
        block.k = std::min(depth_, source_.channels - k);
        block.a = left + p * count * a_row + k;
        block.a_row = a_row;
        block.a_depth = 1;
        block.a_packed = false;
        block.b = panel(p, column / gemm_.panel) + k * gemm_.panel;
        block.b_depth = gemm_.panel;
        block.b_panel = panel_elements();
        block.b_padded = true;
        block.c = products + p * c_point;
        block.c_row = c_row;
        block.accumulate = k > 0;
        gemm_.multiply(block);
      }
    place(box, products, c_row, c_point, column, columns, width);
    Box done = box;
    for (int axis : {1, 2}) {
      done.begin[1 + axis] *= k_.tile;
      done.end[1 + axis] = std::min(box.end[1 + axis] * k_.tile, out_.size[axis]);
    }
    placement_.finish(out_, done, column, columns);
  }

  // The results of a box, of which a row of tiles gives m rows of pixels that may reach over the
  // edge: written where they belong, or first to rows of their own.
  void place(const Box& box, const float* products, int64_t c_row, int64_t c_point, int64_t column,
             int64_t columns, int64_t width) const {
    const bool in_place = has_whole_pixels(out_, columns, width);
    const int64_t tile = k_.tile, line = box.extent(3) * tile;
    const Scratch<float> lines(ScratchUse::partials, size_t((in_place ? 1 : tile * line) * width));
    const Scratch<int64_t> offsets(ScratchUse::vector, size_t(in_place ? 0 : line));
    if (!in_place)
      for (int64_t x = 0; x < line; ++x) offsets.get()[x] = x * width;
    for_results(box, [&](int64_t n, int64_t z, int64_t y, int64_t x) {
      float* pixels[kMostPixels];
      const int64_t first_y = (box.begin[2] + y) * tile, first_x = (box.begin[3] + x) * tile;
      const int64_t corner = (box.begin[0] + n) * out_.image_stride + column * out_.channel_stride +
                             (box.begin[1] + z) * out_.stride[0];
      for (int64_t i = 0; i < tile; ++i)
        for (int64_t j = 0; j < tile; ++j) {
          const bool inside = first_y + i < out_.size[1] && first_x + j < out_.size[2];
          pixels[i * tile + j] = !in_place ? lines + (i * line + x * tile + j) * width
                                 : inside ? out_.as<float>(corner + (first_y + i) * out_.stride[1] +
                                                           (first_x + j) * out_.stride[2])
                                          : lines.get();
        }
      k_.transform_result(products, c_point, width, pixels);
      products += c_row;
      if (in_place || x + 1 < box.extent(3)) return;
      const int64_t begin = box.begin[3] * tile, count = std::min(line, out_.size[2] - begin);
      for (int64_t i = 0; i < std::min(tile, out_.size[1] - first_y); ++i)
        conv_.place(lines + i * line * width, offsets, count, columns,
                    out_.at(corner + (first_y + i) * out_.stride[1] + begin * out_.stride[2]),
                    out_.dtype, out_.stride[2], out_.channel_stride);
    });
  }

  const WinogradKernels& k_;
  const GemmKernels<float>& gemm_;
  const ConvKernels<float>& conv_;
  const Image& source_;
  const FilterLayout& filters_;
  const Image& out_;
  const Placement& placement_;
  const Windows tiles_;
  const int64_t depth_, pitch_, panels_;
  const Boxes boxes_;
  const std::shared_ptr<const std::byte> kept_;
  const Scratch<float> own_;
  const float* const points_;
};

}  // namespace

Windows tile_windows(const Windows& windows, int64_t tile) {
  Windows tiles = windows;
  for (int axis : {1, 2}) {
    tiles.grid[axis] = ceil_div(windows.grid[axis], tile);
    tiles.step[axis] = tile;
    while (int64_t(tiles.taps[axis].size()) < tile + 2)
      tiles.taps[axis].push_back(tiles.taps[axis].back() + 1);
  }
  return tiles;
}

bool winograd_applies(const Windows& windows, const Image& source, const Image& out,
                      int64_t groups) {
  constexpr int64_t kChannels = 32, kTiles = 64, kTile = 2;
  const auto neighbours = [&](int axis) {
    const Dims& taps = windows.taps[axis];
    return windows.step[axis] == 1 && taps.size() == 3 && taps[1] == taps[0] + 1 &&
           taps[2] == taps[1] + 1;
  };
  if (groups != 1 || windows.taps[0].size() != 1 || windows.step[0] != 1 || !neighbours(1) ||
      !neighbours(2) || source.channels < kChannels || out.channels < kChannels)
    return false;
  const int64_t tiles = ceil_div(windows.grid[1], kTile) * ceil_div(windows.grid[2], kTile);
  const int64_t covered = tiles * kTile * kTile, wanted = windows.grid[1] * windows.grid[2];
  return out.images * windows.grid[0] * tiles >= kTiles && 2 * covered <= 3 * wanted;
}

void run_winograd(ConvAlgorithm algorithm, const Windows& windows, const Image& source,
                  const FilterLayout& filters, const Image& out, const Placement& placement) {
  Winograd(winograd_kernels(algorithm), windows, source, filters, out, placement).run();
}

}  // namespace tegula::cpu
