#include "backend/cpu/contraction/conv_shapes.h"

#include <algorithm>

#include "backend/cpu/contraction/gemm.h"

namespace tegula::cpu {

Image image_of(const View& view) {
  Image image{view.data,       view.dtype,      view.shape[0], view.shape[1], {1, 1, 1},
              view.strides[0], view.strides[1], {0, 0, 0},     view.buffer};
  const int missing = kAxes + 2 - int(view.shape.size());
  for (int axis = missing; axis < kAxes; ++axis) {
    image.size[axis] = view.shape[size_t(2 + axis - missing)];
    image.stride[axis] = view.strides[size_t(2 + axis - missing)];
  }
  return image;
}

Steps steps_of(std::span<const int64_t> words) {
  const ConvAttrs attrs = read_attrs<ConvAttrs>(words);
  Steps steps{{}, {}, {}, attrs.groups};
  for (int axis = 0; axis < kAxes; ++axis) {
    steps.stride[axis] = attrs.stride[axis];
    steps.padding[axis] = attrs.padding[axis];
    steps.dilation[axis] = attrs.dilation[axis];
  }
  return steps;
}

bool Windows::inside() const {
  for (int axis = 0; axis < kAxes; ++axis)
    if (taps[axis].front() < 0 || (grid[axis] - 1) * step[axis] + taps[axis].back() >= size[axis])
      return false;
  return true;
}

Windows forward_windows(const Image& x, const int64_t* grid, const int64_t* kernel,
                        const Steps& steps) {
  Windows windows;
  for (int axis = 0; axis < kAxes; ++axis) {
    windows.size[axis] = x.size[axis];
    windows.grid[axis] = grid[axis];
    windows.step[axis] = steps.stride[axis];
    for (int64_t i = 0; i < kernel[axis]; ++i)
      windows.taps[axis].push_back(i * steps.dilation[axis] - steps.padding[axis]);
  }
  return windows;
}

void drop_unread(Windows& windows, Image& source) {
  for (int axis = 0; axis < kAxes; ++axis) {
    const int64_t step = windows.step[axis];
    if (windows.taps[axis].size() != 1 || windows.taps[axis][0] != 0 || step == 1) continue;
    if ((windows.grid[axis] - 1) * step >= source.size[axis]) continue;
    windows.step[axis] = 1;
    windows.size[axis] = source.size[axis] = windows.grid[axis];
    source.stride[axis] *= step;
  }
}

Boxes::Boxes(int64_t images, const Windows& windows, int64_t most)
    : sizes_{images, windows.grid[0], windows.grid[1], windows.grid[2]}, cuts_{1, 1, 1, 1} {
  int64_t inner = images * windows.results();
  for (int i = 0; i <= kAxes && inner > most; ++i) {
    inner /= sizes_[i];
    cuts_[i] = inner >= most ? sizes_[i] : ceil_div(sizes_[i], std::max<int64_t>(1, most / inner));
  }
}

Box Boxes::operator[](int64_t index) const {
  Box box;
  for (int i = kAxes; i >= 0; --i) {
    const int64_t cut = index % cuts_[i];
    index /= cuts_[i];
    box.begin[i] = tile_start(sizes_[i], cuts_[i], cut);
    box.end[i] = tile_start(sizes_[i], cuts_[i], cut + 1);
  }
  return box;
}

Region region_of(const Windows& windows, const Box& box) {
  Region region{box.begin[0], box.extent(0), {}, {}};
  for (int axis = 0; axis < kAxes; ++axis) {
    const Dims& taps = windows.taps[axis];
    region.first[axis] = box.begin[1 + axis] * windows.step[axis] + taps.front();
    region.extent[axis] =
        (box.extent(1 + axis) - 1) * windows.step[axis] + taps.back() - taps.front() + 1;
  }
  return region;
}

}  // namespace tegula::cpu
