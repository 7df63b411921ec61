#include "backend/cpu/fft/fft.h"

#include <algorithm>

#include "backend/cpu/fft/lines.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

constexpr size_t kHeader = sizeof(FftAttrs) / sizeof(int64_t);

Dims scaled(const Dims& strides, int64_t by) {
  Dims out = strides;
  for (int64_t& stride : out) stride *= by;
  return out;
}

// One axis: `shape` is of both but along `axis`, strides count T's.
template <class T>
void along(FftAxis axis, fft::AxisTransform<T> t, const Shape& shape, const Dims& in_strides,
           const Dims& out_strides) {
  const size_t at = size_t(axis.axis);
  t.n = axis.n;
  t.shape = without_axis(shape, at);
  t.in_strides = without_axis(in_strides, at);
  t.out_strides = without_axis(out_strides, at);
  t.in_step = in_strides[at];
  t.out_step = out_strides[at];
  t.last = product(shape, at + 1, shape.size()) == 1;
  fft::transform_axis(t);
}

template <class T>
void run_one(const KernelArgs& args, fft::Numbers numbers) {
  const View &in = args.inputs[0], &out = args.outputs[0];
  const FftAxis axis = read_attrs<FftAxis>(args.attrs.subspan(kHeader));
  const bool to_complex = numbers == fft::Numbers::to_complex;
  fft::AxisTransform<T> t;
  t.in = in.as<T>();
  t.out = out.as<T>();
  t.count = in.shape[size_t(axis.axis)];
  t.numbers = numbers;
  t.scale = read_attrs<FftAttrs>(args.attrs).scale;
  along(axis, t, out.shape, scaled(in.strides, to_complex ? 1 : 2),
        scaled(contiguous_strides(out.shape), to_complex ? 2 : 1));
}

// The first axis from the input to the output, the others within the output. An axis not yet
// transformed has what both the input and the result have of it.
template <class T>
void run_all(const KernelArgs& args) {
  const View &in = args.inputs[0], &out = args.outputs[0];
  const FftAttrs attrs = read_attrs<FftAttrs>(args.attrs);
  const Dims out_strides = scaled(contiguous_strides(out.shape), 2);
  Shape shape = out.shape;
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = std::min(shape[i], in.shape[i]);
  fft::AxisTransform<T> t;
  t.in = in.as<T>();
  t.out = out.as<T>();
  t.inverse = attrs.inverse;
  Dims in_strides = scaled(in.strides, 2);
  for (size_t i = (args.attrs.size() - kHeader) / 2; i-- > 0;) {
    const FftAxis axis = read_attrs<FftAxis>(args.attrs.subspan(kHeader + 2 * i));
    t.count = shape[size_t(axis.axis)];
    t.scale = i == 0 ? attrs.scale : 1;
    along(axis, t, shape, in_strides, out_strides);
    shape[size_t(axis.axis)] = axis.n;
    t.in = t.out;
    in_strides = out_strides;
  }
}

template <class F>
void with_real(DType dtype, F&& f) {
  if (real_dtype(dtype) == DType::float64) f(double{});
  else f(float{});
}

}  // namespace

void run_fft_c2c(const KernelArgs& args) {
  with_real(args.outputs[0].dtype, [&](auto zero) { run_all<decltype(zero)>(args); });
}
void run_fft_r2c(const KernelArgs& args) {
  with_real(args.outputs[0].dtype,
            [&](auto zero) { run_one<decltype(zero)>(args, fft::Numbers::to_complex); });
}
void run_fft_c2r(const KernelArgs& args) {
  with_real(args.outputs[0].dtype,
            [&](auto zero) { run_one<decltype(zero)>(args, fft::Numbers::to_real); });
}

namespace {

constexpr KernelEntry kEntries[] = {
    {"fft_c2c", {run_fft_c2c}}, {"fft_r2c", {run_fft_r2c}}, {"fft_c2r", {run_fft_c2r}}};

}  // namespace

std::span<const KernelEntry> fft_kernels() { return kEntries; }

}  // namespace tegula::cpu
