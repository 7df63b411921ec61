// Convolution and its two gradients: each is linear in both of its operands, so the three are one
// another's derivatives.
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

constexpr uint32_t kA = 1u << 0;
constexpr uint32_t kB = 1u << 1;

// ConvAttrs, then the two sizes that the operands do not tell.
Attrs with_sizes(std::span<const int64_t> conv, int64_t height, int64_t width) {
  constexpr size_t kWords = sizeof(ConvAttrs) / sizeof(int64_t);
  Attrs words(conv.begin(), conv.begin() + kWords);
  words.push_back(height);
  words.push_back(width);
  return words;
}
int64_t size_word(std::span<const int64_t> attrs, int axis) {
  return attrs[sizeof(ConvAttrs) / sizeof(int64_t) + size_t(axis)];
}

Tensor convolve(const Tensor& x, const Tensor& weight, std::span<const int64_t> attrs);
Tensor input_grad(const Tensor& dy, const Tensor& weight, std::span<const int64_t> attrs,
                  int64_t height, int64_t width);
Tensor weight_grad(const Tensor& x, const Tensor& dy, std::span<const int64_t> attrs,
                   int64_t height, int64_t width);

// x (N, C, H, W), weight (O, C / groups, kh, kw) -> (N, O, OH, OW).
const Primitive kConv2d = {
    .name = "conv2d",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const ConvAttrs conv = read_attrs<ConvAttrs>(c.attrs);
          const Shape &x = c.shape(0), &w = c.shape(1);
          Shape shape{x[0], w[0], 0, 0};
          for (size_t i = 0; i < 2; ++i) {
            const int64_t reach = conv.dilation[i] * (w[2 + i] - 1) + 1;
            shape[2 + i] = (x[2 + i] + 2 * conv.padding[i] - reach) / conv.stride[i] + 1;
          }
          checked_numel(shape, "conv2d");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const Shape &x = c.input_shape(0), &w = c.input_shape(1);
          if (c.needs(0)) c.give(0, input_grad(c.grad(), c.input(1), c.attrs(), x[2], x[3]));
          if (c.needs(1)) c.give(1, weight_grad(c.input(0), c.grad(), c.attrs(), w[2], w[3]));
        },
    .uses = {kB, kA},
};

// dy, weight -> dx; attrs end in {H, W}.
const Primitive kInputGrad = {
    .name = "conv2d_input_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const int64_t channels = c.shape(1)[1] * read_attrs<ConvAttrs>(c.attrs).groups;
          out.push_back({c.dtype(0),
                         {c.shape(0)[0], channels, size_word(c.attrs, 0), size_word(c.attrs, 1)}});
        },
    .vjp =
        [](VjpContext& c) {
          const Shape& w = c.input_shape(1);
          if (c.needs(0)) c.give(0, convolve(c.grad(), c.input(1), c.attrs()));
          if (c.needs(1)) c.give(1, weight_grad(c.grad(), c.input(0), c.attrs(), w[2], w[3]));
        },
    .uses = {kB, kA},
};

// x, dy -> dw; attrs end in {kh, kw}.
const Primitive kWeightGrad = {
    .name = "conv2d_weight_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const int64_t channels = c.shape(0)[1] / read_attrs<ConvAttrs>(c.attrs).groups;
          out.push_back({c.dtype(0),
                         {c.shape(1)[1], channels, size_word(c.attrs, 0), size_word(c.attrs, 1)}});
        },
    .vjp =
        [](VjpContext& c) {
          const Shape& x = c.input_shape(0);
          if (c.needs(0)) c.give(0, input_grad(c.input(1), c.grad(), c.attrs(), x[2], x[3]));
          if (c.needs(1)) c.give(1, convolve(c.input(0), c.grad(), c.attrs()));
        },
    .uses = {kB, kA},
};

Tensor convolve(const Tensor& x, const Tensor& weight, std::span<const int64_t> attrs) {
  return record(kConv2d, {x, weight}, write_attrs(read_attrs<ConvAttrs>(attrs)));
}
Tensor input_grad(const Tensor& dy, const Tensor& weight, std::span<const int64_t> attrs,
                  int64_t height, int64_t width) {
  return record(kInputGrad, {dy, weight}, with_sizes(attrs, height, width));
}
Tensor weight_grad(const Tensor& x, const Tensor& dy, std::span<const int64_t> attrs,
                   int64_t height, int64_t width) {
  return record(kWeightGrad, {x, dy}, with_sizes(attrs, height, width));
}

constexpr int64_t kMaxStep = int64_t(1) << 30;  // of strides, paddings and dilations

void check_conv(const Tensor& x, const Tensor& w, const ConvAttrs& conv) {
  require(x.rank() == 4, "conv2d: x must be (N, C, H, W) or (C, H, W), got shape ", x.shape());
  require(w.rank() == 4, "conv2d: weight must be (O, C / groups, kh, kw), got shape ", w.shape());
  require(conv.groups > 0, "conv2d: groups must be positive, got ", conv.groups);
  require(x.shape()[1] % conv.groups == 0 && w.shape()[0] % conv.groups == 0, "conv2d: the ",
          x.shape()[1], " input and ", w.shape()[0], " output channels do not divide into ",
          conv.groups, " groups");
  require(x.shape()[1] == w.shape()[1] * conv.groups, "conv2d: x of shape ", x.shape(), " has ",
          x.shape()[1], " channels, weight of shape ", w.shape(), " with ", conv.groups,
          " groups takes ", w.shape()[1] * conv.groups);
  for (size_t i = 0; i < 2; ++i) {
    require(conv.stride[i] > 0 && conv.dilation[i] > 0 && conv.padding[i] >= 0,
            "conv2d: stride and dilation must be positive and padding not negative, got ",
            conv.stride[i], ", ", conv.dilation[i], ", ", conv.padding[i]);
    require(conv.stride[i] < kMaxStep && conv.dilation[i] < kMaxStep && conv.padding[i] < kMaxStep,
            "conv2d: stride ", conv.stride[i], ", dilation ", conv.dilation[i], " or padding ",
            conv.padding[i], " is too large");
    const int64_t kernel = w.shape()[2 + i], size = x.shape()[2 + i] + 2 * conv.padding[i];
    require(kernel > 0 && kernel < kMaxStep && conv.dilation[i] * (kernel - 1) + 1 <= size,
            "conv2d: the kernel of shape ", w.shape(), " with dilation ", conv.dilation[i],
            " does not fit into x of shape ", x.shape(), " with padding ", conv.padding[i]);
  }
}

Tensors call_conv2d(const Args& a) {
  const Dims stride = a.pair(3, "conv2d stride"), padding = a.pair(4, "conv2d padding"),
             dilation = a.pair(5, "conv2d dilation");
  const ConvAttrs conv{
      {stride[0], stride[1]}, {padding[0], padding[1]}, {dilation[0], dilation[1]}, a.integer(6)};
  const Tensor& x = a.tensor(0);
  Tensor y = conv2d(x.rank() == 3 ? expand_dims(x, 0) : x, a.tensor(1), conv);
  if (a.has(2)) {
    const Tensor& bias = a.tensor(2);
    require(bias.shape() == Shape{y.shape()[1]}, "conv2d: bias of shape ", bias.shape(),
            " does not fit ", y.shape()[1], " output channels");
    y = y + reshape(bias, {y.shape()[1], 1, 1});
  }
  return {x.rank() == 3 ? squeeze(y, {0}) : y};
}

// clang-format off
const Family kConvolutions("Convolutions", {
    {.name = "conv2d",
     .parameters = "x: Tensor, weight: Tensor, bias: Tensor? = None, stride: ints = 1, "
                   "padding: ints = 0, dilation: ints = 1, groups: int = 1",
     .doc = "Cross-correlation of images x (N, C, H, W) or (C, H, W) with weight (O, C / groups, "
            "kh, kw), plus bias (O,): zeros padded on both sides, windows stride apart, dilation "
            "between taps. A pair is (height, width).",
     .call = call_conv2d,
     .samples = "f(2, 3, 5, 6), f(4, 3, 3, 2);;f(2, 3, 5, 6), f(4, 3, 3, 3), f(4), 2, 1;;"
                "f(2, 4, 7, 6), f(6, 2, 3, 2), None, (2, 1), (1, 2), (2, 1), 2;;"
                "f(3, 5, 6), f(4, 3, 1, 1);;f(1, 4, 5, 5), f(4, 1, 3, 3), f(4), 1, 1, 1, 4;;"
                "f(2, 1, 28, 28), f(8, 1, 3, 3), f(8), 1, 1;;f(0, 3, 5, 6), f(4, 3, 3, 2)",
     .reference = "reference.conv2d",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const ConvAttrs& conv) {
  check_conv(x, weight, conv);
  const DType dtype = promote(x.dtype(), weight.dtype());
  if (!is_floating(dtype))
    fail(ErrorKind::type, "conv2d: needs floating-point tensors, got ", x.dtype(), " and ",
         weight.dtype());
  return record(kConv2d, {astype(x, dtype), astype(weight, dtype)}, write_attrs(conv));
}

}  // namespace tegula
