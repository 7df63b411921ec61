// The weight gradient of convolution: for each tap and channel of x, and each channel of dy, a sum
// over the results. Results are cut into boxes, and the boxes into a number of chains fixed by the
// shape; each chain sums its boxes in order, inside a box result after result, and the chains are
// added in order at the end.
#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/conv_kernels.h"
#include "backend/cpu/contraction/depthwise.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/contraction/winograd.h"
#include "runtime/profile.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

template <class T>
class WeightGrad {
 public:
  WeightGrad(const Image& x, const Image& dy, const Image& dw, const Steps& steps)
      : x_(x),
        dy_(dy),
        dw_(dw),
        windows_(forward_windows(x, dy.size, dw.size, steps)),
        results_(result_windows(dy)),
        kernels_(conv_kernels<T>()),
        groups_(steps.groups),
        channels_(dw.channels),
        outputs_(dw.images / steps.groups),
        pitch_(outputs_ <= kernels_.panel / 2 ? kernels_.panel / 2 : kernels_.panel),
        width_(ceil_div(outputs_, pitch_) * pitch_),
        taps_(windows_.tap_count()),
        blocks_(ceil_div(channels_, std::max<int64_t>(1, kRows / taps_))),
        boxes_(x.images, windows_, kResults),
        chains_(std::clamp<int64_t>(ceil_div(kTasks, groups_ * blocks_), 1, boxes_.count())) {
    drop_unread(windows_, x_);
    // Rows of dy that share cache sets are copied, like those that are not whole vectors.
    dy_in_place_ = dy.dtype == kNative<T> && dy.channel_stride == 1 && outputs_ % pitch_ == 0 &&
                   dy.stride[2] * int64_t(sizeof(T)) % 2048 != 0;
  }

  void run() {
    const int64_t size = groups_ * channels_ * taps_ * width_;
    const double microseconds = double(size) * double(dy_.images * windows_.results()) / 3e4;
    const Scratch<T> partials(ScratchUse::partials, size_t(size * chains_));
    parallel_for(
        groups_ * blocks_ * chains_,
        [&](int64_t i) {
          sum_chain(i / (blocks_ * chains_), i / chains_ % blocks_, i % chains_,
                    partials.get() + i % chains_ * size);
        },
        microseconds);
    parallel_for(
        groups_ * blocks_, [&](int64_t i) { write(i / blocks_, i % blocks_, partials, size); },
        double(size * chains_) / 1e4);
  }

 private:
  static constexpr int64_t kResults = 224, kRows = 320, kTasks = 12;

  // dy as the source of its own grid.
  static Windows result_windows(const Image& dy) {
    Windows windows;
    for (int axis = 0; axis < kAxes; ++axis) {
      windows.size[axis] = windows.grid[axis] = dy.size[axis];
      windows.step[axis] = 1;
      windows.taps[axis].push_back(0);
    }
    return windows;
  }

  // Rows (tap, channel) of a block of channels begin here in the partial sums; each is width_ long.
  int64_t block_at(int64_t group, int64_t block) const {
    return (group * channels_ + tile_start(channels_, blocks_, block)) * taps_ * width_;
  }
  int64_t block_channels(int64_t block) const {
    return tile_start(channels_, blocks_, block + 1) - tile_start(channels_, blocks_, block);
  }

  void sum_chain(int64_t group, int64_t block, int64_t chain, T* sums) const {
    const int64_t channels = block_channels(block), rows = channels * taps_;
    const int64_t channel = group * channels_ + tile_start(channels_, blocks_, block);
    const Scratch<int64_t> tables(ScratchUse::vector, size_t(2 * rows + 2 * kResults));
    int64_t *const a_rows = tables.get(), *const c_rows = a_rows + rows;
    Segment* const segments = reinterpret_cast<Segment*>(c_rows + rows);
    for (int64_t i = 0; i < rows; ++i) c_rows[i] = i * width_;
    const bool in_place = x_.dtype == kNative<T> && x_.channel_stride == 1 && windows_.inside();
    const int64_t begin = tile_start(boxes_.count(), chains_, chain);
    const int64_t end = tile_start(boxes_.count(), chains_, chain + 1);
    for (int64_t b = begin; b < end; ++b) {
      const Box box = boxes_[b];
      const Region region = region_of(windows_, box), upstream = region_of(results_, box);
      const Scratch<T> source(ScratchUse::planes,
                              in_place ? 0 : size_t(region.pixels() * channels));
      const Scratch<T> right(ScratchUse::right, dy_in_place_ ? 0 : size_t(box.results() * width_));
      TableProduct<T> product{};
      int64_t strides[1 + kAxes];
      if (in_place) {
        strides[0] = x_.image_stride;
        std::copy_n(x_.stride, kAxes, strides + 1);
        int64_t offset = channel + box.begin[0] * strides[0];
        for (int i = 0; i < kAxes; ++i) offset += region.first[i] * strides[1 + i];
        product.a = x_.as<const T>(offset);
      } else {
        strides[3] = channels;
        for (int i = 2; i >= 0; --i) strides[i] = strides[i + 1] * region.extent[i];
        kernels_.fill(x_, region, channel, channels, channels, source.get());
        product.a = source;
      }
      for (int64_t o = 0; o < outputs_ && !dy_in_place_; o += pitch_)
        kernels_.fill(dy_, upstream, group * outputs_ + o, std::min(pitch_, outputs_ - o), pitch_,
                      right.get() + o * box.results());
      int64_t* row = a_rows;
      for (int64_t z : windows_.taps[0])
        for (int64_t y : windows_.taps[1])
          for (int64_t x : windows_.taps[2]) {
            const int64_t offset = (z - windows_.taps[0].front()) * strides[1] +
                                   (y - windows_.taps[1].front()) * strides[2] +
                                   (x - windows_.taps[2].front()) * strides[3];
            for (int64_t c = 0; c < channels; ++c) *row++ = offset + c;
          }
      for (int i = 0; i < kAxes; ++i) strides[1 + i] *= windows_.step[i];
      Segment* segment = segments;
      Box lines = box;
      lines.end[3] = lines.begin[3] + 1;
      for_results(lines, [&](int64_t n, int64_t z, int64_t y, int64_t) {
        *segment = {n * strides[0] + z * strides[1] + y * strides[2],
                    dy_in_place_ ? n * dy_.image_stride + z * dy_.stride[0] + y * dy_.stride[1]
                                 : (segment - segments) * box.extent(3) * pitch_};
        ++segment;
      });
      product.m = rows;
      product.n = width_;
      product.a_rows = a_rows;
      product.a_step = strides[3];
      if (dy_in_place_) {
        int64_t offset = group * outputs_ + box.begin[0] * dy_.image_stride;
        for (int i = 0; i < kAxes; ++i) offset += box.begin[1 + i] * dy_.stride[i];
        product.b = dy_.as<const T>(offset);
        product.b_step = dy_.stride[2];
        product.b_panel = pitch_;
      } else {
        product.b = right;
        product.b_step = pitch_;
        product.b_panel = pitch_ * box.results();
      }
      product.segments = segments;
      product.segment_count = segment - segments;
      product.length = box.extent(3);
      product.c = sums + block_at(group, block);
      product.c_rows = c_rows;
      product.accumulate = b > begin;
      kernels_.multiply(product);
    }
  }

  // Adds the chains and writes the sums, transposed, to dw.
  void write(int64_t group, int64_t block, T* partials, int64_t size) const {
    const int64_t channels = block_channels(block), rows = channels * taps_;
    T* const total = partials + block_at(group, block);
    for (int64_t chain = 1; chain < chains_; ++chain) {
      const T* more = total + chain * size;
      for (int64_t i = 0; i < rows * width_; ++i) total[i] += more[i];
    }
    place_filters(kernels_, total, width_, dw_, group * outputs_, outputs_,
                  tile_start(channels_, blocks_, block), channels);
  }

  Image x_;
  const Image &dy_, &dw_;
  Windows windows_;
  const Windows results_;
  const ConvKernels<T>& kernels_;
  const int64_t groups_, channels_, outputs_, pitch_, width_, taps_, blocks_;
  const Boxes boxes_;
  const int64_t chains_;
  bool dy_in_place_;
};

}  // namespace

ChannelsLast conv_weight_grad_channels_last(const StepSpec& step) {
  return {.inputs = uint32_t(prefers_channels_last(step.inputs[0])) |
                    uint32_t(prefers_channels_last(step.inputs[1])) << 1};
}

void run_conv_weight_grad(const KernelArgs& args) {
  const View& dw = args.outputs[0];
  if (numel(dw.shape) == 0) return;
  const Image x = image_of(args.inputs[0]), dy = image_of(args.inputs[1]), out = image_of(dw);
  const Steps steps = steps_of(args.attrs);
  const bool depthwise = is_depthwise(x, dy, steps.groups);
  if (is_floating(dw.dtype) && dw.dtype != DType::float64 &&
      conv_algorithm() != ConvAlgorithm::direct) {
    const Windows windows = forward_windows(x, dy.size, out.size, steps);
    if (winograd_applies(windows, x, dy, steps.groups)) {
      note_algorithm("Winograd F(2x2)");
      return run_winograd_weight_grad(windows, x, dy, out);
    }
  }
  note_algorithm(depthwise ? "depthwise" : "direct");
  if (dw.dtype == DType::float64) {
    depthwise ? run_depthwise_weight_grad<double>(x, dy, out, steps)
              : WeightGrad<double>(x, dy, out, steps).run();
  } else if (is_floating(dw.dtype)) {
    depthwise ? run_depthwise_weight_grad<float>(x, dy, out, steps)
              : WeightGrad<float>(x, dy, out, steps).run();
  } else {
    fail(ErrorKind::type, "conv_weight_grad: dtype ", dw.dtype, " is not a floating dtype");
  }
}

}  // namespace tegula::cpu
