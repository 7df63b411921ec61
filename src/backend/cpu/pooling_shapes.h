// Which elements of an image the windows of a pooling see, on each of three axes.
#pragma once

#include <algorithm>

#include "backend/cpu/contraction/conv_shapes.h"
#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/pooling.h"

namespace tegula::cpu {

struct Pooling : PoolAttrs {
  int64_t reach(int axis) const { return dilation[axis] * (kernel[axis] - 1) + 1; }
  // The place of window i's first tap, and its number of taps.
  int64_t start(int axis, int64_t i) const {
    return adaptive ? i * size[axis] / grid[axis] : i * stride[axis] - padding[axis];
  }
  int64_t taps_of(int axis, int64_t i) const {
    return adaptive ? ceil_div((i + 1) * size[axis], grid[axis]) - start(axis, i) : kernel[axis];
  }
  // Those taps of window i that lie inside the image.
  int64_t first_tap(int axis, int64_t i) const {
    const int64_t at = start(axis, i);
    return at < 0 ? ceil_div(-at, dilation[axis]) : 0;
  }
  int64_t end_tap(int axis, int64_t i) const {
    const int64_t at = start(axis, i), taps = taps_of(axis, i);
    const bool inside = at + dilation[axis] * (taps - 1) < size[axis];
    return inside ? taps : ceil_div(size[axis] - at, dilation[axis]);
  }
  // The first element that window i might see.
  int64_t begin(int axis, int64_t i) const { return std::max<int64_t>(0, start(axis, i)); }
  // How many elements of window i an average divides by.
  int64_t counted(int axis, int64_t i) const {
    if (!count_padding) return end_tap(axis, i) - first_tap(axis, i);
    return std::min(taps_of(axis, i), size[axis] + padding[axis] - start(axis, i));
  }
  // The run of windows that see the same taps, none of them in the padding.
  int64_t first_alike(int axis) const { return ceil_div(padding[axis], stride[axis]); }
  int64_t end_alike(int axis) const {
    const int64_t last = size[axis] + padding[axis] - reach(axis);
    return adaptive || last < 0 ? 0 : std::min(grid[axis], last / stride[axis] + 1);
  }
  // Windows outside [first_near, end_near) do not see an element.
  int64_t first_near(int axis, int64_t element) const {
    if (adaptive) return element * grid[axis] / size[axis];
    const int64_t before = element + padding[axis] - reach(axis);
    return before < 0 ? 0 : before / stride[axis] + 1;
  }
  int64_t end_near(int axis, int64_t element) const {
    if (adaptive) return ceil_div((element + 1) * grid[axis], size[axis]);
    return std::min(grid[axis], (element + padding[axis]) / stride[axis] + 1);
  }
  // What the windows of a box see, and the windows that see its elements.
  Region seen_by(const Box& box) const {
    Region region{box.begin[0], box.extent(0), {}, {}};
    for (int axis = 0; axis < kAxes; ++axis) {
      const int64_t last = box.end[1 + axis] - 1;
      const int64_t end = start(axis, last) + dilation[axis] * (taps_of(axis, last) - 1) + 1;
      region.first[axis] = begin(axis, box.begin[1 + axis]);
      region.extent[axis] = std::min(size[axis], end) - region.first[axis];
    }
    return region;
  }
  Region windows_of(const Box& box) const {
    Region region{box.begin[0], box.extent(0), {}, {}};
    for (int axis = 0; axis < kAxes; ++axis) {
      region.first[axis] = std::min(grid[axis] - 1, first_near(axis, box.begin[1 + axis]));
      region.extent[axis] =
          std::max<int64_t>(0, end_near(axis, box.end[1 + axis] - 1) - region.first[axis]);
    }
    return region;
  }
};

inline Region region_of(const Box& box) {
  Region region{box.begin[0], box.extent(0), {}, {}};
  for (int axis = 0; axis < kAxes; ++axis) {
    region.first[axis] = box.begin[1 + axis];
    region.extent[axis] = box.extent(1 + axis);
  }
  return region;
}

// Calls f(n, z, y) for every row of the region, in order.
template <class F>
void for_rows(const Region& region, F&& f) {
  for (int64_t n = region.image; n < region.image + region.images; ++n)
    for (int64_t z = region.first[0]; z < region.first[0] + region.extent[0]; ++z)
      for (int64_t y = region.first[1]; y < region.first[1] + region.extent[1]; ++y) f(n, z, y);
}

// The windows that see each element of a box, axis by axis, in order.
class Covers {
 public:
  Covers(const Pooling& p, const Region& elements, const Region& windows)
      : elements_(elements),
        covers_(ScratchUse::left, size_t(most(p, windows))),
        firsts_(ScratchUse::vector,
                size_t(elements.extent[0] + elements.extent[1] + elements.extent[2] + kAxes)) {
    PoolCover* cover = covers_;
    int64_t* first = firsts_;
    for (int axis = 0; axis < kAxes; ++axis) {
      axes_[axis] = first;
      for (int64_t e = elements.first[axis]; e < elements.first[axis] + elements.extent[axis];
           ++e) {
        *first++ = cover - covers_.get();
        for (int64_t i = p.first_near(axis, e); i < p.end_near(axis, e); ++i)
          if (const int64_t at = e - p.start(axis, i); at % p.dilation[axis] == 0)
            *cover++ = {i, at / p.dilation[axis]};
      }
      *first++ = cover - covers_.get();
    }
  }
  std::span<const PoolCover> of(int axis, int64_t element) const {
    const int64_t* first = axes_[axis] + element - elements_.first[axis];
    return {covers_.get() + first[0], covers_.get() + first[1]};
  }
  // covers() from firsts(axis)[i] to firsts(axis)[i + 1] belong to the element after i others.
  const PoolCover* covers() const { return covers_; }
  const int64_t* firsts(int axis) const { return axes_[axis]; }

 private:
  static int64_t most(const Pooling& p, const Region& windows) {
    int64_t count = 0;
    for (int axis = 0; axis < kAxes; ++axis) count += windows.extent[axis] * p.kernel[axis];
    return count;
  }

  const Region elements_;
  const Scratch<PoolCover> covers_;
  const Scratch<int64_t> firsts_;
  const int64_t* axes_[kAxes];
};

}  // namespace tegula::cpu
