// Pooling over windows of images.
#include <limits>

#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr uint32_t kX = 1u << 0;
constexpr uint32_t kGrad = 1u << 1;
constexpr size_t kWords = sizeof(PoolAttrs) / sizeof(int64_t);

Shape pooled_shape(const Shape& x, std::span<const int64_t> attrs) {
  const PoolAttrs pool = read_attrs<PoolAttrs>(attrs);
  Shape shape = x;
  for (size_t i = 0; i < 2; ++i)
    shape[2 + i] = (x[2 + i] + 2 * pool.padding[i] - pool.kernel[i]) / pool.stride[i] + 1;
  checked_numel(shape, "pooling");
  return shape;
}

void infer_pool(const InferContext& c, OutputSpecs& out) {
  out.push_back({c.dtype(0), pooled_shape(c.shape(0), c.attrs)});
}

Tensor max_pool_grad(const Tensor& x, const Tensor& dy, const PoolAttrs& attrs);
Tensor avg_pool_grad(const Tensor& dy, const PoolAttrs& attrs, const Shape& image);

const Primitive kMaxPool = {
    .name = "max_pool2d",
    .kind = Kind::opaque,
    .infer = infer_pool,
    .vjp =
        [](VjpContext& c) {
          c.give(0, max_pool_grad(c.input(0), c.grad(), read_attrs<PoolAttrs>(c.attrs())));
        },
    .uses = {kX},
};

// The elements of x that window position (row, column) sees, one for every window; `fill` where it
// sees padding.
Tensor window_element(const Tensor& padded, const PoolAttrs& pool, const Shape& windows,
                      int64_t row, int64_t column) {
  return slice(padded, {0, 0, row, column}, windows, {1, 1, pool.stride[0], pool.stride[1]});
}

// What each window takes of g: the element where x has its maximum. Only for second derivatives.
Tensor pick_maxima(const Tensor& x, const Tensor& g, const PoolAttrs& pool) {
  const Shape windows = pooled_shape(x.shape(), write_attrs(pool));
  const Dims edge{0, 0, pool.padding[0], pool.padding[1]};
  const Tensor padded_x = pad(x, edge, edge, constant(-std::numeric_limits<double>::infinity()));
  const Tensor padded_g = pad(g, edge, edge, constant(0));
  Tensors seen_x, seen_g;
  for (int64_t row = 0; row < pool.kernel[0]; ++row) {
    for (int64_t column = 0; column < pool.kernel[1]; ++column) {
      seen_x.push_back(window_element(padded_x, pool, windows, row, column));
      seen_g.push_back(window_element(padded_g, pool, windows, row, column));
    }
  }
  const Tensor where_max = arg_reduce(stack(seen_x, 0), 0, kArgMax, true);
  return squeeze(take_along_axis(stack(seen_g, 0), where_max, 0), {0});
}

// x, dy -> dx. Piecewise constant in x, linear in dy.
const Primitive kMaxPoolGrad = {
    .name = "max_pool2d_grad",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(1))
            c.give(1, pick_maxima(c.input(0), c.grad(), read_attrs<PoolAttrs>(c.attrs())));
        },
    .uses = {kUsesNothing, kX},
};

const Primitive kAvgPool = {
    .name = "avg_pool2d",
    .kind = Kind::opaque,
    .infer = infer_pool,
    .vjp =
        [](VjpContext& c) {
          c.give(0, avg_pool_grad(c.grad(), read_attrs<PoolAttrs>(c.attrs()), c.input_shape(0)));
        },
};

// dy -> dx; attrs end in {H, W}.
const Primitive kAvgPoolGrad = {
    .name = "avg_pool2d_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const Shape& dy = c.shape(0);
          out.push_back({c.dtype(0), {dy[0], dy[1], c.attrs[kWords], c.attrs[kWords + 1]}});
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs pool = write_attrs(read_attrs<PoolAttrs>(c.attrs()));
          c.give(0, record(kAvgPool, {c.grad()}, pool));
        },
};

Tensor max_pool_grad(const Tensor& x, const Tensor& dy, const PoolAttrs& attrs) {
  return record(kMaxPoolGrad, {x, dy}, write_attrs(attrs));
}
Tensor avg_pool_grad(const Tensor& dy, const PoolAttrs& attrs, const Shape& image) {
  Attrs words = write_attrs(attrs);
  words.push_back(image[2]);
  words.push_back(image[3]);
  return record(kAvgPoolGrad, {dy}, std::move(words));
}

void check_pool(const Tensor& x, const PoolAttrs& pool, const char* op) {
  require(x.rank() == 4, op, ": x must be (N, C, H, W) or (C, H, W), got shape ", x.shape());
  if (!is_floating(x.dtype()))
    fail(ErrorKind::type, op, ": needs a floating-point tensor, got ", x.dtype());
  for (size_t i = 0; i < 2; ++i) {
    const int64_t kernel = pool.kernel[i], stride = pool.stride[i], padding = pool.padding[i];
    constexpr int64_t kMax = int64_t(1) << 30;
    require(kernel > 0 && kernel < kMax && stride > 0 && stride < kMax, op,
            ": kernel_size and stride must be positive, got ", kernel, " and ", stride);
    require(padding >= 0 && padding <= kernel / 2, op,
            ": padding must be between 0 and half of kernel_size ", kernel, ", got ", padding);
    require(x.shape()[2 + i] + 2 * padding >= kernel, op, ": the window of ", kernel,
            " does not fit into x of shape ", x.shape(), " with padding ", padding);
  }
}

Tensors call_pool(const Args& a, const char* op, bool count_padding,
                  Tensor (*pool)(const Tensor&, const PoolAttrs&)) {
  const Dims kernel = a.pair(1, op), padding = a.pair(3, op);
  const Dims stride = a.has(2) ? a.pair(2, op) : kernel;
  const PoolAttrs attrs{
      {kernel[0], kernel[1]}, {stride[0], stride[1]}, {padding[0], padding[1]}, count_padding};
  const Tensor& x = a.tensor(0);
  if (x.rank() != 3) return {pool(x, attrs)};
  return {squeeze(pool(expand_dims(x, 0), attrs), {0})};
}

// clang-format off
const Family kPooling("Pooling", {
    {.name = "max_pool2d",
     .parameters =
         "x: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0",
     .doc = "The largest element of every window of images x (N, C, H, W) or (C, H, W), NaN if "
            "there is one; windows are stride (by default kernel_size) apart. Padding never wins. "
            "The gradient goes to the first largest.",
     .call = [](const Args& a) { return call_pool(a, "max_pool2d", false, max_pool2d); },
     .samples = "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1;;f(3, 5, 5), 3, 1;;"
                "f(2, 3, 7, 7), 3, 2, (1, 0);;f(0, 3, 4, 4), 2",
     .reference = "reference.max_pool2d",
     .method = false,
     .differentiable = true},
    {.name = "avg_pool2d",
     .parameters = "x: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0, "
                   "count_include_pad: bool = True",
     .doc = "The mean of every window of images x (N, C, H, W) or (C, H, W); windows are stride "
            "(by default kernel_size) apart. Padded zeros count as elements if count_include_pad.",
     .call = [](const Args& a) { return call_pool(a, "avg_pool2d", a.boolean(4), avg_pool2d); },
     .samples = "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1;;f(3, 5, 5), 3, 1;;"
                "f(2, 3, 7, 7), 3, 2, 1, False;;f(0, 3, 4, 4), 2",
     .reference = "reference.avg_pool2d",
     .method = false,
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor max_pool2d(const Tensor& x, const PoolAttrs& attrs) {
  check_pool(x, attrs, "max_pool2d");
  return record(kMaxPool, {x}, write_attrs(attrs));
}

Tensor avg_pool2d(const Tensor& x, const PoolAttrs& attrs) {
  check_pool(x, attrs, "avg_pool2d");
  return record(kAvgPool, {x}, write_attrs(attrs));
}

}  // namespace tegula
