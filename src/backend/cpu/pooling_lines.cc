#include "backend/cpu/pooling_lines.h"

#include "backend/cpu/isa.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kElements = 32'768;    // of a piece, about
constexpr int64_t kPastBytes = int64_t(8) << 20;
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

int64_t plane_offset(const Image& image, int64_t plane) {
  return plane / image.channels * image.image_stride +
         plane % image.channels * image.channel_stride;
}
template <class T>
T* plane_of(const Image& image, int64_t plane) {
  return image.as<T>(plane_offset(image, plane));
}

bool is_dense(const Image& i) {
  const int64_t plane = i.size[0] * i.size[1] * i.size[2];
  return (i.size[1] == 1 || i.stride[1] == i.size[2]) &&
         (i.size[0] == 1 || i.stride[0] == i.size[1] * i.size[2]) && i.channel_stride == plane &&
         i.image_stride == i.channels * plane;
}

// Where the rows of a box go: row (z, y) of a plane is at base() + of_plane() + of_row(). Results
// that no cache can hold are collected and written past the caches; those that nobody reads have no
// memory, and are lost.
template <class T>
class Results {
 public:
  Results(const Image& image, const Region& region)
      : image_(image),
        region_(region),
        past_(image.data && is_dense(image) &&
              image.images * image.image_stride * int64_t(sizeof(T)) >= kPastBytes),
        memory_(ScratchUse::tile, past_        ? size_t(region.pixels())
                                  : image.data ? 0
                                               : size_t(image.size[2])) {}
  T* base() const { return past_ || !image_.data ? memory_.get() : image_.as<T>(0); }
  int64_t of_plane(int64_t plane) const {
    if (!image_.data) return 0;
    if (!past_) return plane_offset(image_, plane);
    return (plane - region_.image) * region_.extent[0] * region_.extent[1] * region_.extent[2];
  }
  int64_t of_row(int64_t z, int64_t y) const {
    if (!image_.data) return 0;
    if (!past_) return z * image_.stride[0] + y * image_.stride[1];
    return ((z - region_.first[0]) * region_.extent[1] + y - region_.first[1]) * region_.extent[2];
  }
  void finish() const {
    if (!past_) return;
    const int64_t first = plane_offset(image_, region_.image) +
                          region_.first[0] * image_.stride[0] + region_.first[1] * image_.stride[1];
    pool_kernels<T>().write_past(memory_, region_.pixels(), image_.as<T>(first));
  }

 private:
  const Image& image_;
  const Region region_;
  const bool past_;
  const Scratch<T> memory_;
};

// The same region of a single plane.
Region rows_of(Region region) {
  region.images = 1;
  return region;
}

Region whole(const int64_t* size) { return {0, 1, {0, 0, 0}, {size[0], size[1], size[2]}}; }

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
  return !p.adaptive && p.taps() <= kPoolLineTaps && p.dilation[2] == 1 && p.stride[2] <= 2 &&
         p.kernel[2] >= p.stride[2] && p.end_alike(2) - p.first_alike(2) >= kFew;
}

template <class T>
void pool_lines(const Pooling& p, const PoolViews& v, bool average) {
  const Scratch<T> counts(ScratchUse::shared, size_t(p.grid[2]));
  if (average) count_columns(p, counts.get());
  const int64_t most = kElements / (p.stride[0] * p.stride[1] * p.stride[2]);
  for_planes(v, v.windows, most, [&](const Box& box) {
    const Scratch<PoolTap> taps(ScratchUse::vector, size_t(p.kernel[0] * p.kernel[1]));
    Results<T> results(v.windows, region_of(box));
    for (int64_t plane = box.begin[0]; plane < box.end[0]; ++plane) {
      const T* const x = plane_of<T>(v.image, plane);
      T* const to = results.base() + results.of_plane(plane);
      uint8_t* const choices = v.choices.data ? plane_of<uint8_t>(v.choices, plane) : nullptr;
      for_rows(rows_of(region_of(box)), [&](int64_t, int64_t z, int64_t y) {
        PoolTap* tap = taps;
        for (int64_t i = p.first_tap(0, z); i < p.end_tap(0, z); ++i)
          for (int64_t j = p.first_tap(1, y); j < p.end_tap(1, y); ++j) {
            *tap++ = {(p.start(0, z) + i * p.dilation[0]) * v.image.stride[0] +
                          (p.start(1, y) + j * p.dilation[1]) * v.image.stride[1],
                      (i * p.kernel[1] + j) * p.kernel[2]};
            few_turns();
          }
        const PoolLine<T> line{x - p.padding[2],
                               taps,
                               tap - taps.get(),
                               p.kernel[2],
                               p.stride[2],
                               p.padding[2],
                               p.size[2],
                               std::min(p.first_alike(2), p.grid[2]),
                               p.end_alike(2),
                               p.grid[2],
                               to + results.of_row(z, y)};
        if (average)
          return pool_kernels<T>().average_line(line, T(p.counted(0, z) * p.counted(1, y)), counts);
        pool_kernels<T>().max_line(
            line, choices ? choices + z * v.choices.stride[0] + y * v.choices.stride[1] : nullptr);
      });
    }
    results.finish();
  });
}

template <class T>
void pool_lines_gradient(const Pooling& p, const PoolViews& v) {
  const bool average = !v.choices.data;
  const Scratch<T> counts(ScratchUse::shared, size_t(p.grid[2]));
  if (average) count_columns(p, counts.get());
  // Before and behind these elements, windows are missing.
  const int64_t step = p.stride[2];
  const int64_t alike = std::clamp<int64_t>(p.kernel[2] - step - p.padding[2], 0, p.size[2]);
  const int64_t runs =
      (std::clamp(p.grid[2] * step - p.padding[2], alike, p.size[2]) - alike) / step;
  const Covers covers(p, whole(p.size), whole(p.grid));
  for_planes(v, v.image, kElements, [&](const Box& box) {
    const Region elements = region_of(box), region = p.windows_of(box);
    const int64_t most_rows = region.extent[0] * region.extent[1];
    const Scratch<PoolCoverRow> rows(ScratchUse::partials, size_t(most_rows));
    const Scratch<PoolPlane> planes(ScratchUse::right, size_t(elements.images));
    const Scratch<T> shares(ScratchUse::planes,
                            average ? size_t(elements.images * most_rows * p.grid[2]) : 0);
    const Results<T> results(v.image, elements);
    for (int64_t i = 0; i < elements.images; ++i) {
      const int64_t plane = elements.image + i, share = i * most_rows * p.grid[2];
      planes.get()[i] = {average ? share : plane_offset(v.windows, plane),
                         average ? 0 : plane_offset(v.choices, plane), results.of_plane(plane)};
      T* to = shares.get() + share;
      if (average)
        for_rows(rows_of(region), [&](int64_t, int64_t z, int64_t y) {
          pool_kernels<T>().divide_line(
              plane_of<T>(v.windows, plane) + z * v.windows.stride[0] + y * v.windows.stride[1],
              T(p.counted(0, z) * p.counted(1, y)), counts, p.grid[2], to);
          to += p.grid[2];
        });
    }
    for_rows(rows_of(elements), [&](int64_t, int64_t z, int64_t y) {
      PoolCoverRow* row = rows;
      for (const PoolCover& depth : covers.of(0, z))
        for (const PoolCover& height : covers.of(1, y)) {
          const int64_t i = depth.window, j = height.window;
          const int64_t number = (i - region.first[0]) * region.extent[1] + j - region.first[1];
          *row++ = {
              average ? number * p.grid[2] : i * v.windows.stride[0] + j * v.windows.stride[1],
              i * v.choices.stride[0] + j * v.choices.stride[1],
              (depth.tap * p.kernel[1] + height.tap) * p.kernel[2]};
          few_turns();
        }
      pool_kernels<T>().gather_line({average ? shares.get() : v.windows.as<T>(0),
                                     average ? nullptr : v.choices.as<uint8_t>(0), planes,
                                     elements.images, rows, row - rows.get(), covers.covers(),
                                     covers.firsts(2), step, alike, runs, p.size[2],
                                     results.base() + results.of_row(z, y)});
    });
    results.finish();
  });
}

template bool have_lines<float>(const Pooling&, const PoolViews&);
template bool have_lines<double>(const Pooling&, const PoolViews&);
template void pool_lines<float>(const Pooling&, const PoolViews&, bool);
template void pool_lines<double>(const Pooling&, const PoolViews&, bool);
template void pool_lines_gradient<float>(const Pooling&, const PoolViews&);
template void pool_lines_gradient<double>(const Pooling&, const PoolViews&);

}  // namespace tegula::cpu
