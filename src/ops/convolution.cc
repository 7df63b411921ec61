// Convolution and its two gradients: each is linear in both of its operands, so the three are one
// another's derivatives.
#include <algorithm>

#include "ops/batching.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kA = 1u << 0;
constexpr uint32_t kB = 1u << 1;

constexpr size_t kWords = sizeof(ConvAttrs) / sizeof(int64_t);
constexpr size_t kAxes = 3;

// The first of the words for the axes of x (N, C, axes...).
size_t first_axis(const Shape& x) { return kAxes + 2 - x.size(); }

// ConvAttrs, then the sizes that the operands do not tell: those of the axes of `like`.
Attrs with_sizes(std::span<const int64_t> conv, const Shape& like) {
  Attrs words(conv.begin(), conv.begin() + kWords);
  for (size_t i = 0; i < first_axis(like); ++i) words.push_back(1);
  for (size_t i = 2; i < like.size(); ++i) words.push_back(like[i]);
  return words;
}
Shape with_axes(int64_t outer, int64_t inner, const InferContext& c) {
  Shape shape{outer, inner};
  for (size_t i = first_axis(c.shape(0)); i < kAxes; ++i) shape.push_back(c.attrs[kWords + i]);
  return shape;
}

Tensor convolve(const Tensor& x, const Tensor& weight, std::span<const int64_t> attrs);
// The shapes are of x and of weight.
Tensor input_grad(const Tensor& dy, const Tensor& weight, std::span<const int64_t> attrs,
                  const Shape& x);
Tensor weight_grad(const Tensor& x, const Tensor& dy, std::span<const int64_t> attrs,
                   const Shape& weight);

// Every call's channels as groups of their own: operands of the calls are joined along the channels
// of images, and along the outputs of filters.
Attrs with_groups(BatchContext& c) {
  ConvAttrs conv = read_attrs<ConvAttrs>(c.attrs());
  conv.groups *= c.size();
  Attrs attrs = write_attrs(conv);
  attrs.append(c.node().attrs.begin() + kWords, c.node().attrs.end());
  return attrs;
}

// Of images and filters, for images.
Tensors batch_conv(BatchContext& c) {
  if (!c.has_batch(1)) {
    const Tensor inputs[] = {c.merged(0), c.input(1)};
    return {c.split(c.again(inputs)[0])};
  }
  const Tensor inputs[] = {batch_into_second(c.batched(0)), c.merged(1)};
  return {batch_from_second(c.again(inputs, with_groups(c))[0], c.size())};
}

// x (N, C, axes...), weight (O, C / groups, taps...) -> (N, O, axes...).
const Primitive kConv = {
    .name = "conv",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const ConvAttrs conv = read_attrs<ConvAttrs>(c.attrs);
          const Shape &x = c.shape(0), &w = c.shape(1);
          Shape shape{x[0], w[0]};
          for (size_t i = 2, a = first_axis(x); a < kAxes; ++i, ++a) {
            const int64_t padded = x[i] + conv.padding[a] + conv.padding_after[a];
            const int64_t reach = conv.dilation[a] * (w[i] - 1) + 1;
            shape.push_back((padded - reach) / conv.stride[a] + 1);
          }
          checked_numel(shape, "convolution");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.give(0, input_grad(c.grad(), c.input(1), c.attrs(), c.input_shape(0)));
          if (c.needs(1)) c.give(1, weight_grad(c.input(0), c.grad(), c.attrs(), c.input_shape(1)));
        },
    .uses = {kB, kA},
    .batch = batch_conv,
};

// dy, weight -> dx; attrs end in the sizes of x.
const Primitive kInputGrad = {
    .name = "conv_input_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const int64_t channels = c.shape(1)[1] * read_attrs<ConvAttrs>(c.attrs).groups;
          Shape shape = with_axes(c.shape(0)[0], channels, c);
          checked_numel(shape, "convolution");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.give(0, convolve(c.grad(), c.input(1), c.attrs()));
          if (c.needs(1)) c.give(1, weight_grad(c.grad(), c.input(0), c.attrs(), c.input_shape(1)));
        },
    .uses = {kB, kA},
    .batch = batch_conv,
};

// x, dy -> dw; attrs end in the sizes of the kernel.
const Primitive kWeightGrad = {
    .name = "conv_weight_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const int64_t channels = c.shape(0)[1] / read_attrs<ConvAttrs>(c.attrs).groups;
          out.push_back({c.dtype(0), with_axes(c.shape(1)[1], channels, c)});
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.give(0, input_grad(c.input(1), c.grad(), c.attrs(), c.input_shape(0)));
          if (c.needs(1)) c.give(1, convolve(c.input(0), c.grad(), c.attrs()));
        },
    .uses = {kB, kA},
    .batch =
        [](BatchContext& c) {
          const Tensor inputs[] = {batch_into_second(c.batched(0)),
                                   batch_into_second(c.batched(1))};
          return Tensors{c.split(c.again(inputs, with_groups(c))[0])};
        },
};

Tensor convolve(const Tensor& x, const Tensor& weight, std::span<const int64_t> attrs) {
  return record(kConv, {x, weight}, write_attrs(read_attrs<ConvAttrs>(attrs)));
}
Tensor input_grad(const Tensor& dy, const Tensor& weight, std::span<const int64_t> attrs,
                  const Shape& x) {
  return record(kInputGrad, {dy, weight}, with_sizes(attrs, x));
}
Tensor weight_grad(const Tensor& x, const Tensor& dy, std::span<const int64_t> attrs,
                   const Shape& weight) {
  return record(kWeightGrad, {x, dy}, with_sizes(attrs, weight));
}

constexpr int64_t kMaxStep = int64_t(1) << 30;  // of strides, paddings and dilations

// A call of conv1d, ..., conv_transpose3d.
struct Call {
  const Args& args;
  size_t axes;
  const char* op;
  size_t groups_at, dilation_at;  // which arguments

  // The axes in a message: "(N, C, D, H, W)".
  std::string layout(const char* batch, const char* channels) const {
    const char* const names[] = {"L", "H, W", "D, H, W"};
    return cat("(", batch, channels, ", ", names[axes - 1], ")");
  }
  Dims per_axis(size_t i, const char* what) const {
    return args.per_axis(i, axes, cat(op, ": ", what));
  }

  // x with a batch axis, and both operands in the dtype of the result.
  std::pair<Tensor, Tensor> operands() const {
    Tensor x = args.tensor(0), w = args.tensor(1);
    const bool batched = x.rank() == axes + 2;
    require(batched || x.rank() == axes + 1, op, ": x must be ", layout("N, ", "C"), " or ",
            layout("", "C"), ", got shape ", x.shape());
    require(w.rank() == axes + 2, op, ": weight needs ", axes + 2, " axes, got shape ", w.shape());
    for (size_t i = 2; i < w.rank(); ++i)
      require(w.shape()[i] > 0 && w.shape()[i] < kMaxStep, op, ": weight of shape ", w.shape(),
              " has no taps, or too many");
    const DType dtype = promote(x.dtype(), w.dtype());
    if (!is_inexact(dtype))
      fail(ErrorKind::type, op, ": needs floating-point or complex tensors, got ", x.dtype(),
           " and ", w.dtype());
    if (!batched) x = expand_dims(x, 0);
    return {with_parts_of(x, dtype), with_parts_of(w, dtype)};
  }

  ConvAttrs attrs() const {
    ConvAttrs conv{{1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, args.integer(groups_at)};
    require(conv.groups > 0, op, ": groups must be positive, got ", conv.groups);
    const Dims stride = per_axis(3, "stride"), dilation = per_axis(dilation_at, "dilation");
    Dims padding = args.ints(4);
    if (padding.size() != 2 * axes) {
      padding = per_axis(4, "padding");
      for (size_t i = 0; i < axes; ++i) padding.push_back(padding[i]);
    }
    for (size_t i = 0; i < axes; ++i) {
      const size_t a = kAxes - axes + i;
      conv.stride[a] = stride[i];
      conv.dilation[a] = dilation[i];
      conv.padding[a] = padding[i];
      conv.padding_after[a] = padding[axes + i];
      for (int64_t step : {stride[i], dilation[i]})
        require(step > 0 && step < kMaxStep, op, ": stride and dilation must be positive",
                step > 0 ? ", and are too large" : "", ", got ", stride[i], " and ", dilation[i]);
      for (int64_t border : {padding[i], padding[axes + i]})
        require(border >= 0 && border < kMaxStep, op, ": padding must not be negative",
                border > 0 ? ", and is too large" : "", ", got ", border);
    }
    return conv;
  }

  // The result with the bias, without a batch axis that x did not have.
  Tensors finished(Tensor y) const {
    if (args.has(2)) {
      const Tensor& bias = args.tensor(2);
      const int64_t channels = y.shape()[1];
      require(bias.shape() == Shape{channels}, op, ": bias of shape ", bias.shape(),
              " does not fit ", channels, " output channels");
      Shape along(axes + 1, 1);
      along[0] = channels;
      y = y + reshape(bias, along);
    }
    return {args.tensor(0).rank() == axes + 1 ? squeeze(y, {0}) : y};
  }
};

template <size_t kRank>
Tensors call_conv(const Args& a) {
  static const char* const kNames[] = {"conv1d", "conv2d", "conv3d"};
  const Call call{a, kRank, kNames[kRank - 1], 6, 5};
  const auto [x, w] = call.operands();
  const ConvAttrs conv = call.attrs();
  require(w.shape()[0] % conv.groups == 0 && x.shape()[1] == w.shape()[1] * conv.groups, call.op,
          ": weight of shape ", w.shape(), " with groups ", conv.groups, " takes ",
          w.shape()[1] * conv.groups, " input channels and gives whole groups of its ",
          w.shape()[0], ", got x of shape ", x.shape());
  for (size_t i = 2, axis = first_axis(x.shape()); axis < kAxes; ++i, ++axis)
    require(conv.dilation[axis] * (w.shape()[i] - 1) + 1 <=
                x.shape()[i] + conv.padding[axis] + conv.padding_after[axis],
            call.op, ": the kernel of shape ", w.shape(), " with dilation ", conv.dilation[axis],
            " does not fit into x of shape ", x.shape(), " with padding ", conv.padding[axis]);
  const auto convolved = [&](const Tensor& l, const Tensor& r) {
    return record(kConv, {l, r}, write_attrs(conv));
  };
  return call.finished(bilinear_by_parts(x, w, convolved));
}

// The convolution that it transposes takes its result to x, however large output_padding makes
// the result: that much of the padding after it is missing.
template <size_t kRank>
Tensors call_conv_transpose(const Args& a) {
  static const char* const kNames[] = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"};
  const Call call{a, kRank, kNames[kRank - 1], 6, 7};
  const auto [x, w] = call.operands();
  ConvAttrs conv = call.attrs();
  const Dims more = call.per_axis(5, "output_padding");
  require(x.shape()[1] == w.shape()[0] && w.shape()[0] % conv.groups == 0, call.op,
          ": weight of shape ", w.shape(), " takes ", w.shape()[0], " input channels in ",
          conv.groups, " groups, got x of shape ", x.shape());
  Shape y{x.shape()[0], w.shape()[1] * conv.groups};
  for (size_t i = 2, axis = first_axis(x.shape()); axis < kAxes; ++i, ++axis) {
    const int64_t extra = more[i - 2], most = std::max(conv.stride[axis], conv.dilation[axis]);
    require(extra >= 0 && extra < most, call.op, ": output_padding must be below stride or ",
            "dilation and not negative, got ", extra);
    require(x.shape()[i] > 0 && x.shape()[i] < kMaxStep, call.op, ": x of shape ", x.shape(),
            " is empty or too large");
    conv.padding_after[axis] -= extra;
    y.push_back((x.shape()[i] - 1) * conv.stride[axis] + conv.dilation[axis] * (w.shape()[i] - 1) +
                1 - conv.padding[axis] - conv.padding_after[axis]);
    require(y.back() > 0, call.op, ": padding leaves nothing of the result of x of shape ",
            x.shape());
  }
  const auto spread = [&](const Tensor& l, const Tensor& r) {
    return input_grad(l, r, write_attrs(conv), y);
  };
  return call.finished(bilinear_by_parts(x, w, spread));
}

constexpr std::string_view kConvParameters =
    "x: Tensor, weight: Tensor, bias: Tensor? = None, stride: ints = 1, padding: ints = 0, "
    "dilation: ints = 1, groups: int = 1";
constexpr std::string_view kTransposeParameters =
    "x: Tensor, weight: Tensor, bias: Tensor? = None, stride: ints = 1, padding: ints = 0, "
    "output_padding: ints = 0, groups: int = 1, dilation: ints = 1";

Op conv_row(std::string_view name, std::string_view doc, Tensors (*call)(const Args&),
            std::string_view samples) {
  const bool transposed = name.starts_with("conv_transpose");
  return {.name = name,
          .parameters = transposed ? kTransposeParameters : kConvParameters,
          .doc = doc,
          .call = call,
          .samples = samples,
          .reference = transposed ? "reference.conv_transpose" : "reference.conv",
          .method = false,
          .differentiable = true,
          .tolerance = 1e-5};
}

// clang-format off
const Family kConvolutions("Convolutions", {
    conv_row("conv1d",
             "Cross-correlation of sequences x (N, C, L) or (C, L) with weight (O, C / groups, k); "
             "the arguments are those of conv2d.",
             call_conv<1>,
             "f(2, 3, 9), f(4, 3, 3);;f(2, 4, 12), f(6, 2, 4), f(6), 2, (1, 2), 2, 2;;"
             "f(3, 7), f(4, 3, 1);;f(2, 1, 40), f(1, 1, 5), None, 1, 2"),
    conv_row("conv2d",
             "Cross-correlation of images x (N, C, H, W) or (C, H, W) with weight (O, C / groups, "
             "kh, kw), plus bias (O,): zeros padded on both sides, windows stride apart, dilation "
             "between taps. Each is one int, or one for every axis (height, width); padding may "
             "also be those before each axis and then those after each.",
             call_conv<2>,
             "f(2, 3, 5, 6), f(4, 3, 3, 2);;f(2, 3, 5, 6), f(4, 3, 3, 3), f(4), 2, 1;;"
             "f(2, 4, 7, 6), f(6, 2, 3, 2), None, (2, 1), (1, 2), (2, 1), 2;;"
             "f(3, 5, 6), f(4, 3, 1, 1);;f(1, 4, 5, 5), f(4, 1, 3, 3), f(4), 1, 1, 1, 4;;"
             "f(2, 1, 28, 28), f(8, 1, 3, 3), f(8), 1, 1;;f(0, 3, 5, 6), f(4, 3, 3, 2);;"
             "f(1, 2, 5, 6), f(3, 2, 2, 4), None, 1, (0, 1, 1, 2)"),
    conv_row("conv3d",
             "Cross-correlation of volumes x (N, C, D, H, W) or (C, D, H, W) with weight "
             "(O, C / groups, kd, kh, kw); the arguments are those of conv2d.",
             call_conv<3>,
             "f(2, 3, 4, 5, 4), f(4, 3, 3, 2, 3);;"
             "f(1, 4, 5, 4, 6), f(4, 2, 2, 3, 1), f(4), (1, 2, 2), (1, 0, 2), (2, 1, 1), 2"),
    conv_row("conv_transpose1d",
             "The transpose of conv1d, see conv_transpose2d: x (N, C, L) or (C, L), weight "
             "(C, O / groups, k).",
             call_conv_transpose<1>,
             "f(2, 3, 5), f(3, 4, 3);;f(2, 4, 5), f(4, 3, 4), f(6), 3, 1, 2, 2;;"
             "f(3, 5), f(3, 2, 2), None, 2"),
    conv_row("conv_transpose2d",
             "The transpose of conv2d: images x (N, C, H, W) or (C, H, W) whose elements each "
             "spread over a window, by weight (C, O / groups, kh, kw); windows are stride apart, "
             "padding is cut off the result, which output_padding makes larger at its end: "
             "H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1. Sizes are "
             "one int, or one for every axis.",
             call_conv_transpose<2>,
             "f(2, 3, 4, 5), f(3, 4, 3, 2);;"
             "f(2, 4, 3, 4), f(4, 3, 3, 2), f(6), (2, 3), (1, 0), (1, 2), 2, (2, 1);;"
             "f(3, 4, 4), f(3, 2, 2, 2), None, 2;;f(1, 2, 4, 4), f(2, 1, 3, 3), f(1), 1, 1, 1, 1, 3"),
    conv_row("conv_transpose3d",
             "The transpose of conv3d, see conv_transpose2d: x (N, C, D, H, W) or (C, D, H, W), "
             "weight (C, O / groups, kd, kh, kw).",
             call_conv_transpose<3>,
             "f(1, 3, 3, 2, 3), f(3, 2, 2, 3, 2);;"
             "f(1, 2, 3, 2, 2), f(2, 2, 2, 3, 1), f(2), (1, 2, 2), (1, 0, 0), (0, 1, 0)"),
});
// clang-format on

}  // namespace
}  // namespace tegula
