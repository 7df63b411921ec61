#include "backend/cpu/pooling_lines.h"

#include "backend/cpu/isa.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kElements = 16'384;    // of a piece, about
constexpr double kPerMicrosecond = 5e3;  // bytes
template <class T>
constexpr DType kStored = std::is_same_v<T, double> ? DType::float64 : DType::float32;
constexpr int64_t kFew = 4;              // windows of a row, too few for vectors

// Calls piece(box) for whole rows that cover `image`; the box's images are planes.
template <class F>
void for_planes(const PoolViews& v, const Image& image, int64_t most, F&& piece) {
  Windows cut;
  std::copy_n(image.size, kAxes - 1, cut.grid);
  cut.grid[2] = 1;
  const int64_t planes = image.images * image.channels, width = image.size[2];
  const Boxes boxes(planes, cut, std::max<int64_t>(1, tile_size(most) / width));
  const double bytes = double(planes * int64_t(itemsize(image.dtype))) *
                       double(v.image.size[0] * v.image.size[1] * v.image.size[2]);
  parallel_for(
      boxes.count(),
      [&](int64_t i) {
        Box box = boxes[i];
        box.end[3] = width;
        piece(box);
      },
      bytes / kPerMicrosecond);
}

// Where row (z, y) of a plane begins.
template <class T>
T* row_of(const Image& image, int64_t plane, int64_t z, int64_t y) {
  return image.as<T>(plane / image.channels * image.image_stride +
                     plane % image.channels * image.channel_stride + z * image.stride[0] +
                     y * image.stride[1]);
}

// How many elements of each window of a row an average divides by.
template <class T>
void count_columns(const Pooling& p, T* counts) {
  for (int64_t x = 0; x < p.grid[2]; ++x) counts[x] = T(p.counted(2, x));
}

}  // namespace

template <class T>
bool have_lines(const Pooling& p, const PoolViews& v) {
  for (const Image* image : {&v.image, &v.windows, &v.choices})
    if (image->data &&
        (image->stride[2] != 1 || (image != &v.choices && image->dtype != kStored<T>)))
      return false;
  return !p.adaptive && !p.wide() && p.dilation[2] == 1 && p.stride[2] <= 2 &&
         p.kernel[2] >= p.stride[2] && p.end_alike(2) - p.first_alike(2) >= kFew;
}

template <class T>
void pool_lines(const Pooling& p, const PoolViews& v, bool average) {
  const Scratch<T> counts(ScratchUse::shared, size_t(p.grid[2]));
  if (average) count_columns(p, counts.get());
  const int64_t most = kElements / (p.stride[0] * p.stride[1] * p.stride[2]);
  for_planes(v, v.windows, most, [&](const Box& box) {
    const Scratch<PoolTap> taps(ScratchUse::vector, size_t(p.kernel[0] * p.kernel[1]));
    // Maxima that nobody reads.
    const Scratch<T> unread(ScratchUse::tile, v.windows.data ? 0 : size_t(p.grid[2]));
    for_rows(region_of(box), [&](int64_t plane, int64_t z, int64_t y) {
      PoolTap* tap = taps;
      for (int64_t i = p.first_tap(0, z); i < p.end_tap(0, z); ++i)
        for (int64_t j = p.first_tap(1, y); j < p.end_tap(1, y); ++j)
          *tap++ = {i * p.dilation[0] * v.image.stride[0] + j * p.dilation[1] * v.image.stride[1],
                    (i * p.kernel[1] + j) * p.kernel[2]};
      const PoolLine<T> line{row_of<T>(v.image, plane, p.start(0, z), p.start(1, y)) - p.padding[2],
                             taps,
                             tap - taps.get(),
                             p.kernel[2],
                             p.stride[2],
                             p.padding[2],
                             p.size[2],
                             std::min(p.first_alike(2), p.grid[2]),
                             p.end_alike(2),
                             p.grid[2],
                             v.windows.data ? row_of<T>(v.windows, plane, z, y) : unread.get()};
      if (average) {
        pool_kernels<T>().average_line(line, T(p.counted(0, z) * p.counted(1, y)), counts);
      } else {
        pool_kernels<T>().max_line(
            line, v.choices.data ? row_of<uint8_t>(v.choices, plane, z, y) : nullptr);
      }
    });
  });
}

template <class T>
void pool_lines_gradient(const Pooling& p, const PoolViews& v) {
  const bool average = !v.choices.data;
  const Scratch<T> counts(ScratchUse::shared, size_t(p.grid[2]));
  if (average) count_columns(p, counts.get());
  // Elements that see as many windows as those in the middle.
  const int64_t alike = std::min(p.size[2], std::max<int64_t>(0, p.kernel[2] - 1 - p.padding[2]));
  const int64_t end_alike = std::clamp(p.grid[2] * p.stride[2] - p.padding[2], alike, p.size[2]);
  for_planes(v, v.image, kElements, [&](const Box& box) {
    const Region elements = region_of(box), region = p.windows_of(box);
    const Covers covers(p, elements, region);
    const int64_t most_rows = region.extent[0] * region.extent[1];
    const Scratch<PoolCoverRow> rows(ScratchUse::partials, size_t(most_rows));
    const Scratch<T> shares(ScratchUse::planes, average ? size_t(most_rows * p.grid[2]) : 0);
    for (int64_t plane = elements.image; plane < elements.image + elements.images; ++plane) {
      const T* gradients = average ? shares.get() : row_of<T>(v.windows, plane, 0, 0);
      for (int64_t i = 0; average && i < most_rows; ++i) {
        const int64_t z = region.first[0] + i / region.extent[1];
        const int64_t y = region.first[1] + i % region.extent[1];
        pool_kernels<T>().divide_line(row_of<T>(v.windows, plane, z, y),
                                      T(p.counted(0, z) * p.counted(1, y)), counts, p.grid[2],
                                      shares.get() + i * p.grid[2]);
      }
      Region of_plane = elements;
      of_plane.image = plane;
      of_plane.images = 1;
      for_rows(of_plane, [&](int64_t, int64_t z, int64_t y) {
        PoolCoverRow* row = rows;
        for (const PoolCover& depth : covers.of(0, z))
          for (const PoolCover& height : covers.of(1, y)) {
            const int64_t window = (depth.window - region.first[0]) * region.extent[1] +
                                   height.window - region.first[1];
            *row++ = {
                average ? window * p.grid[2]
                        : depth.window * v.windows.stride[0] + height.window * v.windows.stride[1],
                depth.window * v.choices.stride[0] + height.window * v.choices.stride[1],
                (depth.tap * p.kernel[1] + height.tap) * p.kernel[2]};
          }
        pool_kernels<T>().gather_line(
            {gradients, average ? nullptr : row_of<uint8_t>(v.choices, plane, 0, 0), rows,
             row - rows.get(), covers.covers(), covers.firsts(2), p.stride[2], alike, end_alike,
             p.size[2], row_of<T>(v.image, plane, z, y)});
      });
    }
  });
}

template bool have_lines<float>(const Pooling&, const PoolViews&);
template bool have_lines<double>(const Pooling&, const PoolViews&);
template void pool_lines<float>(const Pooling&, const PoolViews&, bool);
template void pool_lines<double>(const Pooling&, const PoolViews&, bool);
template void pool_lines_gradient<float>(const Pooling&, const PoolViews&);
template void pool_lines_gradient<double>(const Pooling&, const PoolViews&);

}  // namespace tegula::cpu
