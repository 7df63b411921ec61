// Convolution and its input gradient.
#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/depthwise.h"
#include "backend/cpu/contraction/pointwise.h"
#include "backend/cpu/contraction/window_product.h"
#include "backend/cpu/contraction/winograd.h"
#include "runtime/profile.h"

namespace tegula::cpu {
namespace {

template <class F>
void with_compute_type(const View& out, const char* op, F&& f) {
  if (out.dtype == DType::float64) {
    f(double{});
  } else if (is_floating(out.dtype)) {
    f(float{});
  } else {
    fail(ErrorKind::type, op, ": dtype ", out.dtype, " is not a floating dtype");
  }
}

// The offsets of the taps used of a kernel whose axes have these strides.
SmallVector<int64_t, 32> tap_offsets(const Dims* used, const int64_t* strides) {
  SmallVector<int64_t, 32> offsets;
  for (int64_t z : used[0])
    for (int64_t y : used[1])
      for (int64_t x : used[2]) offsets.push_back(z * strides[0] + y * strides[1] + x * strides[2]);
  return offsets;
}

// Chooses the algorithm, by shapes and set_conv_algorithm() alone; of the weight gradient
// run_conv_weight_grad() does.
template <class T>
void multiply_windows(const Windows& windows, const Image& source, int64_t groups,
                      const FilterLayout& filters, const Image& out, const Placement& placement) {
  if (is_depthwise(source, out, groups)) {
    note_algorithm("depthwise");
    return run_depthwise<T>(windows, source, filters, out, placement);
  }
  const bool scattered = placement.step[0] != 1 || placement.step[1] != 1 || placement.step[2] != 1;
  if (!scattered)
    if (const auto products = as_pointwise(windows, source, groups, filters, out, placement)) {
      note_algorithm("matrix product");
      return multiply_batch(gemm_kernels<T>(), products->product, products->images);
    }
  if constexpr (std::is_same_v<T, float>) {
    const ConvAlgorithm algorithm = conv_algorithm();
    if (algorithm != ConvAlgorithm::direct && !scattered &&
        winograd_applies(windows, source, out, groups)) {
      note_algorithm(algorithm == ConvAlgorithm::winograd4 ? "Winograd F(4x4)" : "Winograd F(2x2)");
      return run_winograd(algorithm, windows, source, filters, out, placement);
    }
  }
  note_algorithm("direct");
  WindowProduct<T>(windows, source, groups, filters, out, placement).run();
}

template <class T>
void conv(const Image& x, const Image& w, const Image& y, const Steps& steps,
          const Epilogue* epilogue) {
  Dims used[kAxes];
  for (int axis = 0; axis < kAxes; ++axis)
    for (int64_t i = 0; i < w.size[axis]; ++i) used[axis].push_back(i);
  const FilterLayout filters{
      w.data,         w.dtype,          w.images / steps.groups * w.image_stride,
      w.image_stride, w.channel_stride, tap_offsets(used, w.stride),
      w.buffer};
  multiply_windows<T>(forward_windows(x, y.size, w.size, steps), x, steps.groups, filters, y,
                      {{0, 0, 0}, {1, 1, 1}, epilogue});
}

// dx(n, c, r) sums dy(n, o, (r + padding - i * dilation) / stride) w(o, c, i) over the taps i for
// which the division is exact: for the elements of dx with the same remainder by the stride these
// are the same taps, so each remainder is a convolution of dy of its own.
template <class T>
void input_grad(const Image& dy, const Image& w, const Image& dx, const Steps& steps,
                const Epilogue* epilogue) {
  int64_t remainder[kAxes];
  for (remainder[0] = 0; remainder[0] < steps.stride[0]; ++remainder[0])
    for (remainder[1] = 0; remainder[1] < steps.stride[1]; ++remainder[1])
      for (remainder[2] = 0; remainder[2] < steps.stride[2]; ++remainder[2]) {
        Windows windows;
        Placement placement;
        placement.epilogue = epilogue;
        Dims used[kAxes];
        for (int axis = 0; axis < kAxes; ++axis) {
          const int64_t stride = steps.stride[axis], size = dx.size[axis];
          placement.first[axis] = remainder[axis];
          placement.step[axis] = stride;
          windows.size[axis] = dy.size[axis];
          windows.grid[axis] =
              size > remainder[axis] ? ceil_div(size - remainder[axis], stride) : 0;
          windows.step[axis] = 1;
          for (int64_t i = w.size[axis] - 1; i >= 0; --i) {
            const int64_t at = remainder[axis] + steps.padding[axis] - i * steps.dilation[axis];
            if (at % stride != 0) continue;
            windows.taps[axis].push_back(at / stride);
            used[axis].push_back(i);
          }
        }
        if (windows.results() == 0) continue;
        const FilterLayout filters{
            w.data,           w.dtype,        w.images / steps.groups * w.image_stride,
            w.channel_stride, w.image_stride, tap_offsets(used, w.stride),
            w.buffer};
        multiply_windows<T>(windows, dy, steps.groups, filters, dx, placement);
      }
}

}  // namespace

bool conv_takes_epilogue(const StepSpec& step) {
  const View& y = step.outputs[0];
  return numel(y.shape) > 0 && row_length(image_of(y)) >= kEpilogueColumns;
}
// Not where the remainders by a stride are apart.
bool conv_input_grad_takes_epilogue(const StepSpec& step) {
  const Steps steps = steps_of(step.attrs);
  return conv_takes_epilogue(step) &&
         std::all_of(steps.stride, steps.stride + kAxes, [](int64_t s) { return s == 1; });
}
// Packing copies the channels of a pixel at once, and results are written so.
ChannelsLast conv_channels_last(const StepSpec& step) {
  return {.inputs = prefers_channels_last(step.inputs[0]),
          .output = prefers_channels_last(step.outputs[0])};
}
std::shared_ptr<void> prepare_conv(const StepSpec& step) {
  return Epilogue::prepare(step, row_length(image_of(step.outputs[0])));
}

void run_conv(const KernelArgs& args) {
  const View& y = args.outputs[0];
  if (numel(y.shape) == 0) return;
  const Epilogue epilogue(args);
  with_compute_type(y, "conv", [&](auto zero) {
    conv<decltype(zero)>(image_of(args.inputs[0]), image_of(args.inputs[1]), image_of(y),
                         steps_of(args.attrs), epilogue ? &epilogue : nullptr);
  });
}

void run_conv_input_grad(const KernelArgs& args) {
  const View& dx = args.outputs[0];
  if (numel(dx.shape) == 0) return;
  const Epilogue epilogue(args);
  with_compute_type(dx, "conv_input_grad", [&](auto zero) {
    input_grad<decltype(zero)>(image_of(args.inputs[0]), image_of(args.inputs[1]), image_of(dx),
                               steps_of(args.attrs), epilogue ? &epilogue : nullptr);
  });
}

}  // namespace tegula::cpu
