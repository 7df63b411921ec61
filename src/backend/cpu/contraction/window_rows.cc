// Windows with few channels, or few results, for each position: vectors of neighbouring results of
// a row. The source is copied with each channel a plane of its own.
#include "backend/cpu/contraction/window_product.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kSlack = 64;  // elements that whole vectors may read past a row

}  // namespace

// (image, channel, z, y, x) from the channels of a region. Channels that lie side by side are
// transposed line by line.
template <class T>
void WindowProduct<T>::fill_planes(const Region& region, int64_t first, int64_t channels,
                                   T* planes) const {
  const int64_t plane = region.pixels() / std::max<int64_t>(1, region.images);
  Region one = region;
  one.images = 1;
  if (source_.channel_stride != 1 || channels < 8) {
    Image channel = source_;
    channel.channel_stride = 1;
    for (int64_t n = 0; n < region.images; ++n)
      for (int64_t c = 0; c < channels; ++c, planes += plane) {
        one.image = region.image + n;
        channel.data = source_.at((first + c) * source_.channel_stride);
        kernels_.fill(channel, one, 0, 1, 1, planes);
      }
    return;
  }
  const int64_t width = region.extent[2];
  const Scratch<T> line(ScratchUse::right, size_t(width * channels));
  const Scratch<int64_t> pixels(ScratchUse::columns, size_t(width));
  for (int64_t x = 0; x < width; ++x) pixels.get()[x] = x * channels;
  one.extent[0] = one.extent[1] = 1;
  for (int64_t n = 0; n < region.images; ++n, planes += (channels - 1) * plane)
    for (int64_t z = 0; z < region.extent[0]; ++z)
      for (int64_t y = 0; y < region.extent[1]; ++y, planes += width) {
        one.image = region.image + n;
        one.first[0] = region.first[0] + z;
        one.first[1] = region.first[1] + y;
        kernels_.fill(source_, one, first, channels, channels, line.get());
        kernels_.place(line, pixels, width, channels, reinterpret_cast<std::byte*>(planes),
                       kNative<T>, 1, plane);
      }
}

template <class T>
void WindowProduct<T>::multiply_rows(int64_t group, const Box& box, int64_t part) const {
  const int64_t panel = tile_start(panels_, parts_, part);
  const int64_t first = panel * kernels_.panel;
  const int64_t outputs =
      std::min(tile_start(panels_, parts_, part + 1) * kernels_.panel, outputs_) - first;
  const int64_t width = box.extent(3);
  const bool direct = out_.dtype == kNative<T> && out_.stride[2] * placement_.step[2] == 1;
  int64_t out_stride[1 + kAxes];
  const int64_t corner = place_box(box, group * outputs_ + first, out_stride);

  const Scratch<int64_t> tables(ScratchUse::vector, size_t(2 * outputs + 2 * taps_));
  int64_t *const a_rows = tables.get(), *const c_rows = a_rows + outputs;
  Segment* const segments = reinterpret_cast<Segment*>(c_rows + outputs);
  const int64_t tile_width = ceil_div(width, kernels_.panel) * kernels_.panel;
  const int64_t lines = box.results() / width;
  const Scratch<T> tile(ScratchUse::tile, direct ? 0 : size_t(outputs * lines * tile_width));
  const int64_t line_step = direct ? 0 : outputs * tile_width;
  for (int64_t i = 0; i < outputs; ++i)
    c_rows[i] = direct ? i * out_.channel_stride : i * tile_width;

  const Region region = blocks_ > 0 ? region_of(windows_, box) : Region{};
  const int64_t plane = region.pixels() / std::max<int64_t>(1, region.images);
  const Scratch<T> planes(ScratchUse::planes, size_t(region.pixels() * block_ + kSlack));
  TableProduct<T> product{};
  product.m = outputs;
  product.n = direct ? width : tile_width;
  product.a_rows = a_rows;
  product.segments = segments;
  product.c_rows = c_rows;
  product.b_panel = kernels_.panel;
  product.a_step = kernels_.panel;
  Box line_box = box;
  line_box.end[3] = line_box.begin[3] + 1;
  for (int64_t block = 0; block < std::max<int64_t>(1, blocks_); ++block) {
    const int64_t channels = block_channels(block), depth = channels * taps_;
    int64_t strides[1 + kAxes] = {};
    if (blocks_ > 0) {
      product.a = filters_packed_ + packed(group, block, panel);
      for (int64_t i = 0; i < outputs; ++i)
        a_rows[i] = i / kernels_.panel * kernels_.panel * depth + i % kernels_.panel;
      // Planes of a block: (image, channel, z, y, x).
      strides[3] = 1;
      strides[2] = region.extent[2];
      strides[1] = strides[2] * region.extent[1];
      strides[0] = plane * channels;
      const int64_t tap_strides[1 + kAxes] = {0, strides[1], strides[2], 1};
      fill_planes(region, group * channels_ + block * block_, channels, planes.get());
      set_segments(tap_strides, channels, segments, product);
      product.b_step = channels > 1 ? plane : 1;
      for (int i = 0; i < kAxes; ++i) strides[1 + i] *= windows_.step[i];
    } else {
      std::fill_n(a_rows, outputs, 0);
    }
    // A segment's place in the source and among the filters: here the filters are the rows.
    for (int64_t s = 0; s < product.segment_count; ++s) std::swap(segments[s].a, segments[s].b);
    product.accumulate = block > 0;
    int64_t line = 0;
    for_results(line_box, [&](int64_t n, int64_t z, int64_t y, int64_t) {
      product.b = planes.get() + n * strides[0] + z * strides[1] + y * strides[2];
      product.c =
          direct ? out_.as<T>(corner + n * out_stride[0] + z * out_stride[1] + y * out_stride[2])
                 : tile.get() + line * line_step;
      kernels_.multiply(product);
      ++line;
    });
  }
  const T* from = tile;
  if (!direct)
    for_results(line_box, [&](int64_t n, int64_t z, int64_t y, int64_t) {
      const int64_t at = corner + n * out_stride[0] + z * out_stride[1] + y * out_stride[2];
      kernels_.place(from, c_rows, outputs, width, out_.at(at), out_.dtype, out_.channel_stride,
                     out_stride[3]);
      from += line_step;
    });
  placement_.finish(out_, box, group * outputs_ + first, outputs);
}

template void WindowProduct<float>::fill_planes(const Region&, int64_t, int64_t, float*) const;
template void WindowProduct<double>::fill_planes(const Region&, int64_t, int64_t, double*) const;
template void WindowProduct<float>::multiply_rows(int64_t, const Box&, int64_t) const;
template void WindowProduct<double>::multiply_rows(int64_t, const Box&, int64_t) const;

}  // namespace tegula::cpu
