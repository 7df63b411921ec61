#include "backend/cpu/contraction/depthwise.h"

#include <algorithm>

#include "backend/cpu/isa.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kSlice = 128;     // channels that a task takes at most
constexpr int64_t kResults = 512;   // of a box, about
constexpr int64_t kChains = 8;      // of a weight's gradient
constexpr double kPerMicrosecond = 5e3;  // multiply-adds of a thread, about

// The windows of a box, for some of the channels, as neighbouring vectors.
template <class T>
class Pixels {
 public:
  Pixels(const Windows& windows, const Image& source, const Box& box, int64_t channel,
         int64_t channels)
      : windows_(windows),
        region_(region_of(windows, box)),
        pitch_(round_up(channels, DepthwiseRow<T>::kPitch)),
        pixels_(ScratchUse::planes, size_t(region_.pixels() * pitch_)),
        taps_(ScratchUse::vector, size_t(windows.tap_count())) {
    conv_kernels<T>().fill(source, region_, channel, channels, pitch_, pixels_.get());
    int64_t* tap = taps_.get();
    for (int64_t z : windows.taps[0])
      for (int64_t y : windows.taps[1])
        for (int64_t x : windows.taps[2])
          *tap++ = offset(z - windows.taps[0].front(), y - windows.taps[1].front(),
                          x - windows.taps[2].front());
  }
  int64_t pitch() const { return pitch_; }
  // Results (n, z, y) of the box, `count` of them.
  DepthwiseRow<T> row(int64_t n, int64_t z, int64_t y, int64_t count) const {
    const auto& step = windows_.step;
    const int64_t image = n * region_.extent[0] * region_.extent[1] * region_.extent[2] * pitch_;
    return {pixels_.get() + image + offset(z * step[0], y * step[1], 0),
            step[2] * pitch_,
            count,
            taps_.get(),
            windows_.tap_count(),
            pitch_};
  }

 private:
  int64_t offset(int64_t z, int64_t y, int64_t x) const {
    return ((z * region_.extent[1] + y) * region_.extent[2] + x) * pitch_;
  }

  const Windows& windows_;
  const Region region_;
  const int64_t pitch_;
  const Scratch<T> pixels_;
  const Scratch<int64_t> taps_;
};

// Calls task(box, channel, channels) for every box and slice of the channels.
template <class F>
void for_slices(const Boxes& boxes, int64_t channels, double work, F&& task) {
  const int64_t slices = ceil_div(channels, kSlice);
  parallel_for(
      boxes.count() * slices,
      [&](int64_t i) {
        const int64_t channel = i % slices * kSlice;
        task(boxes[i / slices], channel, std::min(kSlice, channels - channel));
      },
      work / kPerMicrosecond);
}

double work_of(const Windows& windows, const Image& image) {
  return double(image.images * windows.results()) * double(windows.tap_count() * image.channels);
}

}  // namespace

template <class T>
void run_depthwise(const Windows& windows, const Image& source, const FilterLayout& filters,
                   const Image& out, const Placement& placement) {
  const int64_t taps = windows.tap_count();
  const Scratch<T> weights(ScratchUse::shared, size_t(taps * out.channels));
  dispatch_floating(filters.dtype, [&](auto zero) {
    const auto* from = reinterpret_cast<const decltype(zero)*>(filters.data);
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < out.channels; ++c)
        weights.get()[t * out.channels + c] = T(from[c * filters.group_stride + filters.taps[t]]);
  });
  const Boxes boxes(out.images, windows, tile_size(kResults));
  for_slices(boxes, out.channels, work_of(windows, out),
             [&](const Box& box, int64_t channel, int64_t channels) {
               const Pixels<T> pixels(windows, source, box, channel, channels);
               const int64_t pitch = pixels.pitch(), width = box.extent(3);
               const Scratch<T> slice(ScratchUse::right, size_t(taps * pitch));
               for (int64_t t = 0; t < taps; ++t) {
                 T* to = std::copy_n(weights.get() + t * out.channels + channel, channels,
                                     slice.get() + t * pitch);
                 std::fill(to, slice.get() + (t + 1) * pitch, T(0));
               }
               const Scratch<T> results(ScratchUse::tile, size_t(width * pitch));
               const Scratch<int64_t> rows(ScratchUse::columns, size_t(width));
               for (int64_t x = 0; x < width; ++x) rows.get()[x] = x * pitch;
               const auto place_at = [&](int axis, int64_t r) {
                 return ((box.begin[1 + axis] + r) * placement.step[axis] + placement.first[axis]) *
                        out.stride[axis];
               };
               for (int64_t n = 0; n < box.extent(0); ++n)
                 for (int64_t z = 0; z < box.extent(1); ++z)
                   for (int64_t y = 0; y < box.extent(2); ++y) {
                     depthwise_kernels<T>().forward(pixels.row(n, z, y, width), slice.get(),
                                                    results.get());
                     const int64_t at = (box.begin[0] + n) * out.image_stride +
                                        channel * out.channel_stride + place_at(0, z) +
                                        place_at(1, y) + place_at(2, 0);
                     conv_kernels<T>().place(results.get(), rows.get(), width, channels, out.at(at),
                                             out.dtype, placement.step[2] * out.stride[2],
                                             out.channel_stride);
                   }
             });
}

template <class T>
void run_depthwise_weight_grad(const Image& x, const Image& dy, const Image& dw,
                               const Steps& steps) {
  const Windows windows = forward_windows(x, dy.size, dw.size, steps);
  Windows upstream = windows;  // dy as the source of its own grid
  for (int axis = 0; axis < kAxes; ++axis) {
    upstream.size[axis] = dy.size[axis];
    upstream.step[axis] = 1;
    upstream.taps[axis] = {0};
  }
  const Boxes boxes(x.images, windows, kResults);  // chains are cut between boxes
  const int64_t taps = windows.tap_count(), slices = ceil_div(dy.channels, kSlice);
  const int64_t chains = std::clamp<int64_t>(boxes.count(), 1, kChains);
  const int64_t size = taps * round_up(kSlice, DepthwiseRow<T>::kPitch);
  const Scratch<T> sums(ScratchUse::partials, size_t(chains * slices * size));
  std::fill_n(sums.get(), chains * slices * size, T(0));
  parallel_for(
      chains * slices,
      [&](int64_t i) {
        const int64_t channel = i % slices * kSlice;
        const int64_t channels = std::min(kSlice, dy.channels - channel);
        const int64_t chain = i / slices;
        for (int64_t b = tile_start(boxes.count(), chains, chain);
             b < tile_start(boxes.count(), chains, chain + 1); ++b) {
          const Box box = boxes[b];
          const Pixels<T> pixels(windows, x, box, channel, channels);
          const Scratch<T> grad(ScratchUse::right, size_t(box.results() * pixels.pitch()));
          conv_kernels<T>().fill(dy, region_of(upstream, box), channel, channels, pixels.pitch(),
                                 grad.get());
          const T* from = grad.get();
          for (int64_t n = 0; n < box.extent(0); ++n)
            for (int64_t z = 0; z < box.extent(1); ++z)
              for (int64_t y = 0; y < box.extent(2); ++y, from += box.extent(3) * pixels.pitch())
                depthwise_kernels<T>().weight_grad(pixels.row(n, z, y, box.extent(3)), from,
                                                   sums.get() + i * size);
        }
      },
      work_of(windows, dy) / kPerMicrosecond);
  dispatch_floating(dw.dtype, [&](auto zero) {
    using S = decltype(zero);
    for (int64_t c = 0; c < dy.channels; ++c) {
      const int64_t pitch =
          round_up(std::min(kSlice, dy.channels - c / kSlice * kSlice), DepthwiseRow<T>::kPitch);
      int64_t t = 0;
      for (int64_t z = 0; z < dw.size[0]; ++z)
        for (int64_t y = 0; y < dw.size[1]; ++y)
          for (int64_t q = 0; q < dw.size[2]; ++q, ++t) {
            T total = 0;
            for (int64_t chain = 0; chain < chains; ++chain)
              total += sums.get()[(chain * slices + c / kSlice) * size + t * pitch + c % kSlice];
            *dw.as<S>(c * dw.image_stride + z * dw.stride[0] + y * dw.stride[1] +
                      q * dw.stride[2]) = S(total);
          }
    }
  });
}

template void run_depthwise<float>(const Windows&, const Image&, const FilterLayout&, const Image&,
                                   const Placement&);
template void run_depthwise<double>(const Windows&, const Image&, const FilterLayout&, const Image&,
                                    const Placement&);
template void run_depthwise_weight_grad<float>(const Image&, const Image&, const Image&,
                                               const Steps&);
template void run_depthwise_weight_grad<double>(const Image&, const Image&, const Image&,
                                                const Steps&);

}  // namespace tegula::cpu
