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

// Whether a slice of an image can be read or written as vectors of channels where it is.
template <class T>
bool vectors_in_place(const Image& image, int64_t channels) {
  return image.dtype == kNative<T> && image.channel_stride == 1 &&
         channels % DepthwiseRow<T>::kPitch == 0;
}

// The windows of a box, for some of the channels: in the image where it has them as neighbouring
// vectors and all taps lie inside, else in a copy with zeros around it.
template <class T>
class Pixels {
 public:
  Pixels(const Windows& windows, const Image& source, const Box& box, int64_t channel,
         int64_t channels, bool inside, ScratchUse use = ScratchUse::planes)
      : windows_(windows),
        region_(region_of(windows, box)),
        pitch_(round_up(channels, DepthwiseRow<T>::kPitch)),
        in_place_(inside && vectors_in_place<T>(source, channels)),
        copy_(use, in_place_ ? 0 : size_t(region_.pixels() * pitch_)),
        taps_(windows.tap_count()) {
    if (in_place_) {
      int64_t offset = region_.image * source.image_stride + channel;
      for (int i = 0; i < kAxes; ++i) offset += region_.first[i] * source.stride[i];
      from_ = source.as<const T>(offset);
      image_stride_ = source.image_stride;
      std::copy_n(source.stride, kAxes, stride_);
    } else {
      from_ = copy_.get();
      stride_[2] = pitch_;
      stride_[1] = stride_[2] * region_.extent[2];
      stride_[0] = stride_[1] * region_.extent[1];
      image_stride_ = stride_[0] * region_.extent[0];
      conv_kernels<T>().fill(source, region_, channel, channels, pitch_, copy_.get());
    }
    int64_t* tap = taps_.data();
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
    return {from_ + n * image_stride_ + offset(z * step[0], y * step[1], 0),
            step[2] * stride_[2],
            count,
            taps_.data(),
            windows_.tap_count(),
            pitch_};
  }

 private:
  int64_t offset(int64_t z, int64_t y, int64_t x) const {
    return z * stride_[0] + y * stride_[1] + x * stride_[2];
  }

  const Windows& windows_;
  const Region region_;
  const int64_t pitch_;
  const bool in_place_;
  const Scratch<T> copy_;
  SmallVector<int64_t, 32> taps_;
  const T* from_;
  int64_t image_stride_, stride_[kAxes];
};

// Cuts a box into parts at the borders and one that reads nothing outside of the image, and calls
// run(part, whether it is the inner one) for each that is not empty.
template <class F>
void for_parts(const Windows& windows, Box box, F&& run) {
  for (int axis = 0; axis < kAxes; ++axis) {
    const Dims& taps = windows.taps[axis];
    const int64_t step = windows.step[axis];
    int64_t &begin = box.begin[1 + axis], &end = box.end[1 + axis];
    const int64_t low = std::clamp(ceil_div(std::max<int64_t>(0, -taps.front()), step), begin, end);
    const int64_t last = windows.size[axis] - 1 - taps.back();  // where the last window begins
    const int64_t high = std::clamp(last < 0 ? 0 : last / step + 1, low, end);
    Box below = box, above = box;
    below.end[1 + axis] = low;
    above.begin[1 + axis] = high;
    if (below.results() > 0) run(below, false);
    if (above.results() > 0) run(above, false);
    begin = low;
    end = high;
  }
  if (box.results() > 0) run(box, true);
}

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
  const auto run_part = [&](const Box& box, bool inside, int64_t channel, int64_t channels,
                            const T* slice) {
    const Pixels<T> pixels(windows, source, box, channel, channels, inside);
    const int64_t pitch = pixels.pitch(), width = box.extent(3);
    const bool direct = vectors_in_place<T>(out, channels);
    const Scratch<T> results(ScratchUse::tile, direct ? 0 : size_t(width * pitch));
    const Scratch<int64_t> rows(ScratchUse::columns, direct ? 0 : size_t(width));
    for (int64_t x = 0; x < width && !direct; ++x) rows.get()[x] = x * pitch;
    const auto place_at = [&](int axis, int64_t r) {
      return ((box.begin[1 + axis] + r) * placement.step[axis] + placement.first[axis]) *
             out.stride[axis];
    };
    const int64_t step = placement.step[2] * out.stride[2];
    for (int64_t n = 0; n < box.extent(0); ++n)
      for (int64_t z = 0; z < box.extent(1); ++z)
        for (int64_t y = 0; y < box.extent(2); ++y) {
          const int64_t at = (box.begin[0] + n) * out.image_stride + channel * out.channel_stride +
                             place_at(0, z) + place_at(1, y) + place_at(2, 0);
          const DepthwiseRow<T> row = pixels.row(n, z, y, width);
          if (direct) {
            depthwise_kernels<T>().forward(row, slice, out.as<T>(at), step);
            continue;
          }
          depthwise_kernels<T>().forward(row, slice, results.get(), pitch);
          conv_kernels<T>().place(results.get(), rows.get(), width, channels, out.at(at), out.dtype,
                                  step, out.channel_stride);
        }
  };
  const Boxes boxes(out.images, windows, tile_size(kResults));
  for_slices(boxes, out.channels, work_of(windows, out),
             [&](const Box& box, int64_t channel, int64_t channels) {
               const int64_t pitch = round_up(channels, DepthwiseRow<T>::kPitch);
               const Scratch<T> slice(ScratchUse::right, size_t(taps * pitch));
               for (int64_t t = 0; t < taps; ++t) {
                 T* to = std::copy_n(weights.get() + t * out.channels + channel, channels,
                                     slice.get() + t * pitch);
                 std::fill(to, slice.get() + (t + 1) * pitch, T(0));
               }
               for_parts(windows, box, [&](const Box& part, bool inside) {
                 run_part(part, inside, channel, channels, slice.get());
               });
               placement.finish(out, box, channel, channels);
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
          for_parts(windows, boxes[b], [&](const Box& box, bool inside) {
            const Pixels<T> pixels(windows, x, box, channel, channels, inside);
            const Pixels<T> grad(upstream, dy, box, channel, channels, true, ScratchUse::right);
            for (int64_t n = 0; n < box.extent(0); ++n)
              for (int64_t z = 0; z < box.extent(1); ++z)
                for (int64_t y = 0; y < box.extent(2); ++y) {
                  const DepthwiseRow<T> from = grad.row(n, z, y, box.extent(3));
                  depthwise_kernels<T>().weight_grad(pixels.row(n, z, y, box.extent(3)), from.from,
                                                     from.step, sums.get() + i * size);
                }
          });
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
