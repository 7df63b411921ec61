#include "backend/cpu/contraction/pointwise.h"

namespace tegula::cpu {
namespace {

// The distance of neighbouring pixels of an image if it is one and the same for all.
std::optional<int64_t> pixel_stride(const Image& image) {
  int64_t stride = 0, count = 1;
  for (int axis = kAxes - 1; axis >= 0; --axis) {
    if (image.size[axis] == 1) continue;
    if (count == 1) {
      stride = image.stride[axis];
    } else if (image.stride[axis] != stride * count) {
      return {};
    }
    count *= image.size[axis];
  }
  return stride;
}

bool one_tap(const Windows& windows) {
  for (int axis = 0; axis < kAxes; ++axis)
    if (windows.taps[axis].size() != 1 || windows.taps[axis][0] != 0 || windows.step[axis] != 1 ||
        windows.grid[axis] != windows.size[axis])
      return false;
  return true;
}

}  // namespace

std::optional<Pointwise> as_pointwise(const Windows& windows, const Image& source, int64_t groups,
                                      const FilterLayout& filters, const Image& out,
                                      const Placement& placement) {
  if (groups != 1 || source.channels == 0 || !one_tap(windows)) return {};
  const auto from = pixel_stride(source), to = pixel_stride(out);
  if (!from || !to) return {};
  const int64_t pixels = windows.results(), outputs = out.channels;
  const Matrix image{source.data, source.dtype, *from, source.channel_stride};
  const std::byte* const taps = filters.data + filters.taps[0] * int64_t(itemsize(filters.dtype));
  const Matrix weights{taps, filters.dtype, filters.lane_stride, filters.channel_stride};
  const bool one_image = out.images == 1;
  const auto spaced = [&](int64_t pixel, int64_t channel) {
    return (*to == pixel || pixels == 1) && (out.channel_stride == channel || outputs == 1) &&
           (one_image || out.image_stride == pixels * outputs);
  };
  Product p;
  p.k = source.channels;
  p.c = out.data;
  p.dtype = out.dtype;
  p.epilogue = placement.epilogue;
  Batch batch{{out.images}, {0}, {0}, out.images};
  if (spaced(outputs, 1)) {
    p.m = pixels;
    p.n = outputs;
    p.a = image;
    p.b = weights.transposed();
    p.b_buffer = filters.buffer;
    batch.a[0] = source.image_stride;
  } else if (spaced(1, pixels)) {
    p.m = outputs;
    p.n = pixels;
    p.a = weights;
    p.b = image.transposed();
    batch.b[0] = source.image_stride;
  } else {
    return {};
  }
  fold_batch_into_rows(p, batch);
  return Pointwise{p, batch};
}

}  // namespace tegula::cpu
