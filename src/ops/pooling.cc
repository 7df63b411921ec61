// Pooling over windows of images in one to three dimensions.
#include <algorithm>

#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kChoices = 1u << 0;
constexpr size_t kAxes = 3;

// The first of the words for the axes of x (N, C, axes...).
size_t first_axis(const Shape& x) { return kAxes + 2 - x.size(); }

// (N, C) of x, then `sizes` of its axes.
Shape with_axes(const Shape& x, const int64_t* sizes) {
  Shape shape{x[0], x[1]};
  shape.append(sizes + first_axis(x), sizes + kAxes);
  return shape;
}

template <int64_t (PoolAttrs::*kSizes)[3], size_t kLike>
void infer(const InferContext& c, OutputSpecs& out) {
  const PoolAttrs pool = read_attrs<PoolAttrs>(c.attrs);
  Shape shape = with_axes(c.shape(kLike), pool.*kSizes);
  checked_numel(shape, "pooling");
  out.push_back({c.dtype(kLike), std::move(shape)});
}

const Primitive& max_pool_grad_primitive();
const Primitive& avg_pool_grad_primitive();

// x (N, C, axes...) -> the maxima (N, C, windows...) and, for the gradient alone, the number of the
// tap that each window chose.
const Primitive kMaxPool = {
    .name = "max_pool",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          infer<&PoolAttrs::grid, 0>(c, out);
          const bool wide = read_attrs<PoolAttrs>(c.attrs).wide();
          out.push_back({wide ? DType::uint32 : DType::uint8, Shape(out[0].shape)});
        },
    .vjp =
        [](VjpContext& c) {
          c.give(0, record(max_pool_grad_primitive(), {c.output(1), c.grad()},
                           Attrs(c.attrs().begin(), c.attrs().end())));
        },
    .uses = {kUsesOutput},
    .batch = batch_by_merging,
};

Tensor whole(int64_t value) { return scalar(double(value), DType::int64, true); }

// Where in its image, whose axes are made one, each window's choice (N, C, windows...) is.
Tensor chosen_places(const Tensor& choices, const PoolAttrs& pool) {
  const Tensor number = astype(choices, DType::int64);
  Tensor index;
  int64_t inner = pool.taps();
  for (size_t axis = first_axis(choices.shape()); axis < kAxes; ++axis) {
    inner /= pool.kernel[axis];
    const Tensor tap = remainder(floor_divide(number, whole(inner)), whole(pool.kernel[axis]));
    const Tensor window = iota(pool.grid[axis]);
    const Tensor start = pool.adaptive
                             ? floor_divide(window * whole(pool.size[axis]), whole(pool.grid[axis]))
                             : window * whole(pool.stride[axis]) - whole(pool.padding[axis]);
    Shape along(kAxes - axis, 1);
    along[0] = pool.grid[axis];
    const Tensor position = reshape(start, along) + tap * whole(pool.dilation[axis]);
    index = index ? index * whole(pool.size[axis]) + position : position;
  }
  return index;
}

// What each window takes of g (N, C, axes...): the element it chose of the pooled image.
Tensor take_choices(const Tensor& choices, const Tensor& g, const PoolAttrs& pool) {
  const Tensor index = chosen_places(choices, pool);
  const Shape windows = index.shape();
  const int64_t n = windows[0], c = windows[1];
  const Tensor picked =
      take_along_axis(reshape(g, {n, c, pool.size[0] * pool.size[1] * pool.size[2]}),
                      reshape(index, {n, c, pool.grid[0] * pool.grid[1] * pool.grid[2]}), 2);
  return reshape(picked, windows);
}

// choices, dy -> dx. Linear in dy.
const Primitive kMaxPoolGrad = {
    .name = "max_pool_grad",
    .kind = Kind::opaque,
    .infer = infer<&PoolAttrs::size, 1>,
    .vjp =
        [](VjpContext& c) {
          if (c.needs(1))
            c.give(1, take_choices(c.input(0), c.grad(), read_attrs<PoolAttrs>(c.attrs())));
        },
    .uses = {kUsesNothing, kChoices},
    .batch = batch_by_merging,
};
const Primitive& max_pool_grad_primitive() { return kMaxPoolGrad; }

const Primitive kAvgPool = {
    .name = "avg_pool",
    .kind = Kind::opaque,
    .infer = infer<&PoolAttrs::grid, 0>,
    .vjp =
        [](VjpContext& c) {
          const PoolAttrs pool = read_attrs<PoolAttrs>(c.attrs());
          const auto none = [](int64_t n) { return n == 0; };
          if (std::ranges::equal(pool.size, pool.kernel) &&
              std::ranges::all_of(pool.padding, none)) {  // one window: all get the same share
            const Tensor share = c.grad() * constant(1 / double(pool.taps()));
            return c.give(0, broadcast_to(share, c.input_shape(0)));
          }
          c.give(0, record(avg_pool_grad_primitive(), {c.grad()},
                           Attrs(c.attrs().begin(), c.attrs().end())));
        },
    .batch = batch_by_merging,
};

// dy -> dx.
const Primitive kAvgPoolGrad = {
    .name = "avg_pool_grad",
    .kind = Kind::opaque,
    .infer = infer<&PoolAttrs::size, 0>,
    .vjp =
        [](VjpContext& c) {
          c.give(0, record(kAvgPool, {c.grad()}, Attrs(c.attrs().begin(), c.attrs().end())));
        },
    .batch = batch_by_merging,
};
const Primitive& avg_pool_grad_primitive() { return kAvgPoolGrad; }

constexpr int64_t kMost = int64_t(1) << 30;  // of sizes, strides and dilations

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The arguments of a pooling over the last `axes` axes.
struct Call {
  const Args& args;
  size_t axes;
  std::string op;

  Dims per_axis(size_t i, const char* what) const {
    return args.per_axis(i, axes, op + ": " + what);
  }
  Tensor image() const {
    const Tensor& x = args.tensor(0);
    require(x.rank() == axes + 1 || x.rank() == axes + 2, op, ": x must be (N, C, ", axes,
            axes == 1 ? " axis) or (C, " : " axes) or (C, ", axes,
            axes == 1 ? " axis), got shape " : " axes), got shape ", x.shape());
    if (!is_floating(x.dtype()))
      fail(ErrorKind::type, op, ": needs a floating-point tensor, got ", x.dtype());
    const Tensor batch = x.rank() == axes + 1 ? expand_dims(x, 0) : x;
    for (size_t i = 2; i < batch.rank(); ++i)
      require(batch.shape()[i] > 0 && batch.shape()[i] < kMost, op, ": x of shape ", x.shape(),
              " is empty or too large");
    return batch;
  }
  Tensors finished(const Tensor& y) const {
    return {args.tensor(0).rank() == axes + 1 ? squeeze(y, {0}) : y};
  }
};

constexpr PoolAttrs kEverySizeOne = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1},
                                     {0, 0, 0}, {1, 1, 1}, 0,         0};

// Windows of kernel_size, stride and padding: arguments 1 to 3.
PoolAttrs window_attrs(const Call& call, const Shape& x, const Dims& dilation, bool ceil) {
  PoolAttrs pool = kEverySizeOne;
  const Dims kernels = call.per_axis(1, "kernel_size"), paddings = call.per_axis(3, "padding");
  const Dims strides = call.args.has(2) ? call.per_axis(2, "stride") : kernels;
  for (size_t i = 0, axis = kAxes - call.axes; axis < kAxes; ++i, ++axis) {
    const int64_t size = x[2 + i], kernel = kernels[i], stride = strides[i], padding = paddings[i];
    require(kernel > 0 && kernel < kMost && stride > 0 && stride < kMost, call.op,
            ": kernel_size and stride must be positive, got ", kernel, " and ", stride);
    require(dilation[i] > 0 && dilation[i] < kMost, call.op, ": dilation must be positive, got ",
            dilation[i]);
    require(padding >= 0 && padding <= kernel / 2, call.op,
            ": padding must be between 0 and half of kernel_size ", kernel, ", got ", padding);
    const int64_t room = size + 2 * padding - dilation[i] * (kernel - 1) - 1;
    require(room >= 0, call.op, ": the window of ", kernel, " does not fit into x of shape ", x,
            " with padding ", padding);
    int64_t grid = room / stride + 1;
    // A last window may reach beyond the padding, not begin there.
    if (ceil && room % stride && grid * stride < size + padding) ++grid;
    for (int64_t w = 0; dilation[i] > 1 && w < grid && w * stride < padding; ++w) {
      const int64_t before = ceil_div(padding - w * stride, dilation[i]);
      require(w * stride - padding + before * dilation[i] < size, call.op, ": a window of ", kernel,
              " with dilation ", dilation[i], " sees only padding of x of shape ", x);
    }
    pool.size[axis] = size;
    pool.grid[axis] = grid;
    pool.kernel[axis] = kernel;
    pool.stride[axis] = stride;
    pool.padding[axis] = padding;
    pool.dilation[axis] = dilation[i];
  }
  return pool;
}

// Windows that cover x evenly, as many as argument 1 says.
PoolAttrs adaptive_attrs(const Call& call, const Shape& x) {
  PoolAttrs pool = kEverySizeOne;
  const Dims grid = call.per_axis(1, "output_size");
  for (size_t i = 0, axis = kAxes - call.axes; axis < kAxes; ++i, ++axis) {
    require(grid[i] > 0 && grid[i] < kMost, call.op, ": output_size must be positive, got ",
            grid[i]);
    const int64_t size = x[2 + i], least = size / grid[i];
    pool.size[axis] = size;
    pool.grid[axis] = grid[i];
    pool.kernel[axis] = size % grid[i] ? std::min(size, least + 2) : least;
    pool.stride[axis] = pool.kernel[axis];
    if (size % grid[i]) pool.adaptive = 1;
  }
  return pool;
}

Tensors maxima_and_choices(const Tensor& x, const PoolAttrs& pool, const Call& call) {
  int64_t taps = 1;
  for (int64_t kernel : pool.kernel) {
    require(taps <= 2 * kMost / kernel, call.op, ": the window is too large");
    taps *= kernel;
  }
  return record_all(kMaxPool, {&x, 1}, write_attrs(pool));
}
Tensor maxima(const Tensor& x, const PoolAttrs& pool, const Call& call) {
  return maxima_and_choices(x, pool, call)[0];
}

template <size_t kRank>
Tensors call_max_pool(const Args& a) {
  const Call call{a, kRank, "max_pool" + std::to_string(kRank) + "d"};
  const Tensor x = call.image();
  const PoolAttrs pool = window_attrs(call, x.shape(), call.per_axis(4, "dilation"), a.boolean(5));
  return call.finished(maxima(x, pool, call));
}

template <size_t kRank>
Tensors call_max_pool_with_indices(const Args& a) {
  const Call call{a, kRank, "max_pool" + std::to_string(kRank) + "d_with_indices"};
  const Tensor x = call.image();
  const PoolAttrs pool = window_attrs(call, x.shape(), call.per_axis(4, "dilation"), a.boolean(5));
  const Tensors both = maxima_and_choices(x, pool, call);
  return {call.finished(both[0])[0], call.finished(chosen_places(both[1], pool))[0]};
}

// Each of x's elements where the indices say, in zeros.
template <size_t kRank>
Tensors call_max_unpool(const Args& a) {
  const Call call{a, kRank, "max_unpool" + std::to_string(kRank) + "d"};
  const Tensor x = call.image();
  const Tensor& given = a.tensor(1);
  require(given.shape() == a.tensor(0).shape(), call.op, ": indices of shape ", given.shape(),
          " are not one for each element of x of shape ", a.tensor(0).shape());
  if (!is_integer(given.dtype()))
    fail(ErrorKind::type, call.op, ": indices must be integers, got ", given.dtype());
  const Dims kernels = call.per_axis(2, "kernel_size"), paddings = call.per_axis(4, "padding");
  const Dims strides = a.has(3) ? call.per_axis(3, "stride") : kernels;
  Shape shape{x.shape()[0], x.shape()[1]};
  int64_t area = 1, count = 1;
  for (size_t i = 0; i < kRank; ++i) {
    for (const int64_t n : {kernels[i], strides[i]})
      require(n > 0 && n < kMost, call.op, ": kernel_size and stride must be positive, got ", n);
    require(paddings[i] >= 0 && paddings[i] < kMost, call.op,
            ": padding must not be negative, got ", paddings[i]);
    const int64_t size = a.has(5)
                             ? call.per_axis(5, "output_size")[i]
                             : (x.shape()[2 + i] - 1) * strides[i] - 2 * paddings[i] + kernels[i];
    require(size > 0 && size < kMost, call.op, ": makes an axis of size ", size,
            "; give output_size");
    shape.push_back(size);
    area *= size;
    count *= x.shape()[2 + i];
    require(area < kMost * 4, call.op, ": the result is too large");
  }
  checked_numel(shape, "max_unpool");
  const Shape flat{shape[0], shape[1], count};
  const Tensor index = astype(reshape(given, flat), DType::int64);
  const Tensor y = scatter_along_axis(zeros({shape[0], shape[1], area}, x.dtype()), index,
                                      reshape(x, flat), 2, kScatterSet);
  return call.finished(reshape(y, shape));
}

// The norm of every window: the mean of powers, times their number.
template <size_t kRank>
Tensors call_lp_pool(const Args& a) {
  const Call call{a, kRank, "lp_pool" + std::to_string(kRank) + "d"};
  const double order = a.real(4);
  require(order > 0 && order < 1e3, call.op, ": norm_type must be positive, got ", order);
  const Tensor x = call.image();
  const PoolAttrs pool = window_attrs(call, x.shape(), Dims(kRank, 1), a.boolean(5));
  PoolAttrs whole = pool;  // windows that reach beyond the padding see zeros
  whole.count_padding = 1;
  Dims none(x.rank(), 0), after = none;
  for (size_t i = 0, axis = kAxes - kRank; axis < kAxes; ++i, ++axis) {
    const int64_t end = (pool.grid[axis] - 1) * pool.stride[axis] + pool.kernel[axis];
    after[2 + i] = std::max<int64_t>(0, end - pool.size[axis] - 2 * pool.padding[axis]);
    whole.size[axis] += after[2 + i];
  }
  const Tensor wide = pad(widened(x), none, after, constant(0));
  const Tensor powers = order == 2 ? square(wide) : pow(abs(wide), constant(order));
  const Tensor sums =
      record(kAvgPool, {powers}, write_attrs(whole)) * constant(double(pool.taps()));
  const Tensor zero = equal(sums, constant(0)), some = where(zero, constant(1), sums);
  const Tensor root = order == 2 ? sqrt(some) : pow(some, constant(1 / order));
  return call.finished(astype(where(zero, constant(0), root), x.dtype()));
}

template <size_t kRank>
Tensors call_avg_pool(const Args& a) {
  const Call call{a, kRank, "avg_pool" + std::to_string(kRank) + "d"};
  const Tensor x = call.image();
  PoolAttrs pool = window_attrs(call, x.shape(), Dims(kRank, 1), a.boolean(4));
  pool.count_padding = a.boolean(5);
  return call.finished(record(kAvgPool, {x}, write_attrs(pool)));
}

template <size_t kRank>
Tensors call_adaptive_max_pool(const Args& a) {
  const Call call{a, kRank, "adaptive_max_pool" + std::to_string(kRank) + "d"};
  const Tensor x = call.image();
  return call.finished(maxima(x, adaptive_attrs(call, x.shape()), call));
}

// The mean of the `count` elements of every image: few are fastest as one window along one axis.
Tensor mean_of_axes(const Tensor& x, int64_t count) {
  Shape shape{x.shape()[0], x.shape()[1]};
  Dims axes;
  for (size_t i = 2; i < x.rank(); ++i) {
    axes.push_back(int64_t(i));
    shape.push_back(1);
  }
  constexpr int64_t kFew = 256;
  if (count > kFew) return mean(x, axes, true);
  PoolAttrs line = kEverySizeOne;
  line.size[2] = line.kernel[2] = line.stride[2] = count;
  const Tensor flat = reshape(x, {shape[0], shape[1], count});
  return reshape(record(kAvgPool, {flat}, write_attrs(line)), shape);
}

template <size_t kRank>
Tensors call_adaptive_avg_pool(const Args& a) {
  const Call call{a, kRank, "adaptive_avg_pool" + std::to_string(kRank) + "d"};
  const Tensor x = call.image();
  const PoolAttrs pool = adaptive_attrs(call, x.shape());
  if (std::ranges::all_of(pool.grid, [](int64_t n) { return n == 1; }))
    return call.finished(mean_of_axes(x, pool.taps()));
  return call.finished(record(kAvgPool, {x}, write_attrs(pool)));
}

// The reference has the operation's name.
Op pool_row(std::string_view reference, std::string_view doc, Tensors (*call)(const Args&),
            std::string_view samples) {
  const std::string_view name = reference.substr(reference.find('.') + 1);
  constexpr std::string_view kMax =
      "x: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0, dilation: ints = 1, "
      "ceil_mode: bool = False";
  constexpr std::string_view kAvg =
      "x: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0, "
      "ceil_mode: bool = False, count_include_pad: bool = True";
  return {.name = name,
          .parameters = name.starts_with("adaptive") ? "x: Tensor, output_size: ints"
                        : name.starts_with("max")    ? kMax
                                                     : kAvg,
          .doc = doc,
          .call = call,
          .samples = samples,
          .reference = reference,
          .method = false,
          .differentiable = true};
}

Op with_indices_row(std::string_view reference, std::string_view doc, Tensors (*call)(const Args&),
                    std::string_view samples) {
  Op row = pool_row(reference, doc, call, samples);
  row.returns_tuple = true;
  return row;
}

Op unpool_row(std::string_view reference, std::string_view doc, Tensors (*call)(const Args&),
              std::string_view samples) {
  Op row = pool_row(reference, doc, call, samples);
  row.parameters =
      "x: Tensor, indices: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0, "
      "output_size: ints? = None";
  return row;
}

Op lp_row(std::string_view reference, std::string_view doc, Tensors (*call)(const Args&),
          std::string_view samples) {
  Op row = pool_row(reference, doc, call, samples);
  row.parameters =
      "x: Tensor, kernel_size: ints, stride: ints? = None, padding: ints = 0, "
      "norm_type: float = 2.0, ceil_mode: bool = False";
  row.tolerance = 1e-5;
  return row;
}

// clang-format off
const Family kPooling("Pooling", {
    pool_row("reference.max_pool1d",
             "The largest element of every window of sequences x (N, C, L) or (C, L); the arguments "
             "are those of max_pool2d.",
             call_max_pool<1>,
             "f(2, 3, 9), 2;;f(2, 3, 10), 3, 2, 1, 2, True;;f(3, 7), 3, 1"),
    pool_row("reference.max_pool2d",
             "The largest element of every window of images x (N, C, H, W) or (C, H, W), NaN if "
             "there is one; windows are stride (by default kernel_size) apart, their elements "
             "dilation. Padding never wins. With ceil_mode a last window may reach beyond the "
             "padding. Each is one int, or one for every axis. The gradient goes to the first "
             "largest.",
             call_max_pool<2>,
             "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1;;f(3, 5, 5), 3, 1;;"
             "f(2, 3, 7, 7), 3, 2, (1, 0);;f(0, 3, 4, 4), 2;;f(2, 3, 6, 8), 3, 2, 1, 1, True;;"
             "f(1, 2, 9, 8), (3, 2), (1, 2), 1, (2, 3)"),
    pool_row("reference.max_pool3d",
             "The largest element of every window of volumes x (N, C, D, H, W) or (C, D, H, W); the "
             "arguments are those of max_pool2d.",
             call_max_pool<3>,
             "f(2, 3, 4, 5, 4), 2;;f(1, 2, 5, 4, 6), (2, 3, 3), (1, 2, 2), (1, 0, 1), 1, True"),
    with_indices_row("reference.max_pool1d_with_indices",
             "max_pool1d, and where each maximum is in its sequence, as int64; see "
             "max_pool2d_with_indices.",
             call_max_pool_with_indices<1>, "f(2, 3, 9), 2;;f(3, 7), 3, 1"),
    with_indices_row("reference.max_pool2d_with_indices",
             "max_pool2d, and where each maximum is in its image, as int64: the number of the "
             "element in row-major order, which max_unpool2d takes.",
             call_max_pool_with_indices<2>,
             "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1;;f(3, 5, 5), 3, 1;;"
             "f(1, 2, 9, 8), (3, 2), (1, 2), 1, (2, 3)"),
    with_indices_row("reference.max_pool3d_with_indices",
             "max_pool3d, and where each maximum is in its volume, as int64; see "
             "max_pool2d_with_indices.",
             call_max_pool_with_indices<3>, "f(2, 3, 4, 5, 4), 2"),
    unpool_row("reference.max_unpool1d",
             "Zeros with the elements of sequences x (N, C, L) or (C, L) where indices say; see "
             "max_unpool2d.",
             call_max_unpool<1>,
             "f(1, 2, 3), numpy.array([[[1, 2, 5], [0, 3, 4]]]), 2;;"
             "f(2, 2), numpy.array([[1, 2], [0, 3]]), 2, None, 0, 5"),
    unpool_row("reference.max_unpool2d",
             "Zeros with the elements of images x (N, C, H, W) or (C, H, W) where indices, as of "
             "max_pool2d_with_indices, say; its arguments give the size of the result unless "
             "output_size does. Of equal indices the last one counts. IndexError for one out of "
             "range.",
             call_max_unpool<2>,
             "f(1, 2, 2, 2), numpy.array([[[[5, 2], [8, 15]], [[0, 3], [9, 11]]]]), 2;;"
             "f(1, 1, 2), numpy.array([[[7, 1]]]), 2, (2, 2), 0, (3, 4)"),
    unpool_row("reference.max_unpool3d",
             "Zeros with the elements of volumes x (N, C, D, H, W) or (C, D, H, W) where indices "
             "say; see max_unpool2d.",
             call_max_unpool<3>,
             "f(1, 1, 1, 1, 2), numpy.array([[[[[5, 2]]]]]), 2"),
    lp_row("reference.lp_pool1d",
             "The norm of every window of sequences x (N, C, L) or (C, L); see lp_pool2d.",
             call_lp_pool<1>, "f(2, 3, 9), 2;;f(3, 8), 3, 2, 1, 3.0"),
    lp_row("reference.lp_pool2d",
             "The norm of every window of images x (N, C, H, W) or (C, H, W): the sum of |x| to the "
             "power of norm_type, to the power of 1 / norm_type, with the derivative 0 for zeros. "
             "Windows are those of avg_pool2d, padded zeros included.",
             call_lp_pool<2>,
             "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1, 4.0;;f(3, 5, 5), 3, 1, 0, 1.0;;"
             "f(0, 2, 4, 4), 2;;f(1, 2, 6, 5), 3, 2, 1, 2.0, True"),
    lp_row("reference.lp_pool3d",
             "The norm of every window of volumes x (N, C, D, H, W) or (C, D, H, W); see lp_pool2d.",
             call_lp_pool<3>, "f(2, 2, 4, 5, 4), 2"),
    pool_row("reference.avg_pool1d",
             "The mean of every window of sequences x (N, C, L) or (C, L); the arguments are those "
             "of avg_pool2d.",
             call_avg_pool<1>,
             "f(2, 3, 9), 2;;f(2, 3, 10), 3, 2, 1, True, False;;f(3, 7), 3, 1"),
    pool_row("reference.avg_pool2d",
             "The mean of every window of images x (N, C, H, W) or (C, H, W); windows are stride "
             "(by default kernel_size) apart. With ceil_mode a last window may reach beyond the "
             "padding. Padded zeros count as elements if count_include_pad.",
             call_avg_pool<2>,
             "f(2, 3, 6, 8), 2;;f(2, 3, 7, 6), (3, 2), 2, 1;;f(3, 5, 5), 3, 1;;"
             "f(2, 3, 7, 7), 3, 2, 1, False, False;;f(0, 3, 4, 4), 2;;"
             "f(2, 3, 6, 8), 3, 2, 1, True;;f(1, 2, 6, 8), 3, 2, 1, True, False"),
    pool_row("reference.avg_pool3d",
             "The mean of every window of volumes x (N, C, D, H, W) or (C, D, H, W); the arguments "
             "are those of avg_pool2d.",
             call_avg_pool<3>,
             "f(2, 3, 4, 5, 4), 2;;f(1, 2, 5, 4, 6), (2, 3, 3), (1, 2, 2), (1, 0, 1), True"),
    pool_row("reference.adaptive_max_pool1d",
             "The largest element of each of output_size windows that cover x (N, C, L) or (C, L); "
             "see adaptive_max_pool2d.",
             call_adaptive_max_pool<1>, "f(2, 3, 9), 4;;f(3, 8), 2"),
    pool_row("reference.adaptive_max_pool2d",
             "The largest element of each window of a grid of output_size that covers x (N, C, H, "
             "W) or (C, H, W): window i goes from floor(i * size / output_size) to ceil((i + 1) * "
             "size / output_size).",
             call_adaptive_max_pool<2>,
             "f(2, 3, 7, 9), (3, 4);;f(3, 6, 8), (3, 2);;f(2, 2, 5, 4), (7, 1)"),
    pool_row("reference.adaptive_max_pool3d",
             "The largest element of each window of a grid of output_size that covers x (N, C, D, "
             "H, W) or (C, D, H, W); see adaptive_max_pool2d.",
             call_adaptive_max_pool<3>, "f(2, 3, 4, 5, 4), (2, 3, 4)"),
    pool_row("reference.adaptive_avg_pool1d",
             "The mean of each of output_size windows that cover x (N, C, L) or (C, L); see "
             "adaptive_max_pool2d.",
             call_adaptive_avg_pool<1>, "f(2, 3, 9), 4;;f(3, 8), 1"),
    pool_row("reference.adaptive_avg_pool2d",
             "The mean of each window of a grid of output_size that covers x (N, C, H, W) or (C, H, "
             "W); see adaptive_max_pool2d.",
             call_adaptive_avg_pool<2>,
             "f(2, 3, 7, 9), (3, 4);;f(3, 6, 8), (3, 2);;f(2, 2, 5, 4), (7, 1);;f(2, 3, 4, 5), 1"),
    pool_row("reference.adaptive_avg_pool3d",
             "The mean of each window of a grid of output_size that covers x (N, C, D, H, W) or (C, "
             "D, H, W); see adaptive_max_pool2d.",
             call_adaptive_avg_pool<3>, "f(2, 3, 4, 5, 4), (2, 3, 4);;f(1, 2, 3, 4, 5), 1"),
});
// clang-format on

}  // namespace
}  // namespace tegula
