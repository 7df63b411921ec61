// Mean and variance in one reading.
#include "ops/batching.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;

Dims axes_of(std::span<const int64_t> attrs) { return Dims(attrs.begin(), attrs.end()); }

// x -> mean, variance, in at least float32; attrs are the axes, kept as size 1.
const Primitive kMoments = {
    .name = "moments",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          for (int64_t axis : c.attrs) shape[size_t(axis)] = 1;
          const DType dtype = c.dtype(0) == DType::float64 ? DType::float64 : DType::float32;
          out.push_back({dtype, shape});
          out.push_back({dtype, std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor x = astype(c.input(0), c.output(0).dtype());
          const double count = double(x.size()) / double(c.output(0).size());
          Tensor dx;
          if (c.grad(1)) dx = (x - c.output(0)) * (c.grad(1) * constant(2 / count));
          if (c.grad(0)) {
            const Tensor even = c.grad(0) * constant(1 / count);
            dx = dx ? dx + even : broadcast_to(even, x.shape());
          }
          c.give(0, astype(dx, c.input_dtype(0)));
        },
    .uses = {kX | kUsesOutput},
    .batch =
        [](BatchContext& c) {
          Attrs axes = c.attrs();
          for (int64_t& axis : axes) ++axis;
          return c.again({&c.input(0), 1}, axes);
        },
    .expand =
        [](std::span<const Tensor> inputs, std::span<const int64_t> attrs) {
          const Dims axes = axes_of(attrs);
          const Tensor x = widened(inputs[0]);
          const Tensor center = mean(x, axes, true);
          return Tensors{center, mean(square(x - center), axes, true)};
        },
};

}  // namespace

Tensors moments(const Tensor& x, const Dims& axes) {
  return record_all(kMoments, {&x, 1}, Attrs(axes.begin(), axes.end()));
}

}  // namespace tegula
