// Windows that slide: sliding_window_view, unfold and fold.
#include "ops/windows.h"

#include <algorithm>

#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

// attrs: the axis, the size of a window, and how far apart two are.
const Primitive kWindows = {
    .name = "sliding_windows",
    .kind = Kind::view,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          int64_t& extent = shape[size_t(c.attrs[0])];
          extent = (extent - c.attrs[1]) / c.attrs[2] + 1;
          shape.push_back(c.attrs[1]);
          checked_numel(shape, "sliding_window_view");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const size_t axis = size_t(c.attrs()[0]);
          c.give(0, overlap_add(c.grad(), axis, c.attrs()[2], c.input_shape(0)[axis]));
        },
    .batch =
        [](BatchContext& c) {
          Attrs attrs = c.attrs();
          ++attrs[0];
          return c.again({&c.input(0), 1}, attrs);
        },
    .view =
        [](const Node& node, const Output&, const Layout& from, Layout& to) {
          to = {from.strides, from.offset};
          const size_t axis = size_t(node.attrs[0]);
          to.strides.push_back(from.strides[axis]);
          to.strides[axis] *= node.attrs[2];
          return true;
        },
};

struct Patches {
  Dims kernel, dilation, padding, stride;
  Dims counts(const Dims& size, const char* op) const {
    Dims counts;
    for (size_t i = 0; i < 2; ++i) {
      const int64_t room = size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
      require(room >= 0, op, ": windows of ", kernel, " with dilation ", dilation,
              " do not fit into ", size, " with padding ", padding);
      counts.push_back(room / stride[i] + 1);
    }
    return counts;
  }
  int64_t span(size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
};

Patches patches(const Args& a, size_t first, const std::string& op) {
  constexpr int64_t kMost = int64_t(1) << 30;
  Patches p = {
      a.per_axis(first, 2, op + ": kernel_size"), a.per_axis(first + 1, 2, op + ": dilation"),
      a.per_axis(first + 2, 2, op + ": padding"), a.per_axis(first + 3, 2, op + ": stride")};
  for (size_t i = 0; i < 2; ++i) {
    for (const int64_t n : {p.kernel[i], p.dilation[i], p.stride[i]})
      require(n > 0 && n < kMost, op, ": kernel_size, dilation and stride must be positive, got ",
              n);
    require(p.padding[i] >= 0 && p.padding[i] < kMost, op, ": padding must not be negative, got ",
            p.padding[i]);
    require(p.kernel[i] <= kMost / p.dilation[i], op, ": the window is too large");
  }
  return p;
}

// x with `count` elements of 0 around its last two axes.
Tensor with_border(const Tensor& x, const Dims& count) {
  Dims border(x.rank(), 0);
  border[x.rank() - 2] = count[0];
  border[x.rank() - 1] = count[1];
  return pad(x, border, border, scalar(0.0, x.dtype(), true));
}

Tensor every(const Tensor& x, size_t axis, int64_t step) {
  if (step == 1) return x;
  Dims sizes = x.shape(), steps(x.rank(), 1);
  sizes[axis] = (sizes[axis] + step - 1) / step;
  steps[axis] = step;
  return slice(x, Dims(x.rank(), 0), sizes, steps);
}

// The transpose of `every`: zeros between the elements.
Tensor spread(const Tensor& x, size_t axis, int64_t step, int64_t size) {
  if (step == 1) return x;
  Shape shape = x.shape();
  shape[axis] = size;
  Dims steps(x.rank(), 1);
  steps[axis] = step;
  return slice_update(zeros(shape, x.dtype()), x, Dims(x.rank(), 0), steps);
}

Tensor unfold(const Args& a) {
  const Tensor& x = a.tensor(0);
  require(x.rank() == 3 || x.rank() == 4, "unfold: x must be (N, C, H, W) or (C, H, W), got shape ",
          x.shape());
  if (x.dtype() == DType::bool_)
    fail(ErrorKind::type, "unfold: not defined for bool; use astype first");
  const Patches p = patches(a, 1, "unfold");
  const Tensor image = x.rank() == 4 ? x : expand_dims(x, 0);
  const int64_t n = image.shape()[0], channels = image.shape()[1];
  const Dims counts = p.counts({image.shape()[2], image.shape()[3]}, "unfold");
  Tensor y = with_border(image, p.padding);
  y = windows_of(windows_of(y, 2, p.span(0), p.stride[0]), 3, p.span(1), p.stride[1]);
  y = permute_dims(every(every(y, 4, p.dilation[0]), 5, p.dilation[1]), {0, 1, 4, 5, 2, 3});
  y = reshape(y, {n, channels * p.kernel[0] * p.kernel[1], counts[0] * counts[1]});
  return x.rank() == 4 ? y : squeeze(y, {0});
}

Tensor fold(const Args& a) {
  const Tensor& x = a.tensor(0);
  require(x.rank() == 2 || x.rank() == 3,
          "fold: x must be (N, C * kernel, L) or (C * kernel, L), got "
          "shape ",
          x.shape());
  if (x.dtype() == DType::bool_)
    fail(ErrorKind::type, "fold: not defined for bool; use astype first");
  const Dims size = a.per_axis(1, 2, "fold: output_size");
  for (const int64_t s : size)
    require(s > 0 && s < int64_t(1) << 30, "fold: output_size must be positive, got ", size);
  const Patches p = patches(a, 2, "fold");
  const Tensor columns = x.rank() == 3 ? x : expand_dims(x, 0);
  const int64_t taps = p.kernel[0] * p.kernel[1], n = columns.shape()[0];
  require(columns.shape()[1] % taps == 0, "fold: axis of size ", columns.shape()[1],
          " is no multiple of the ", taps, " elements of kernel_size ", p.kernel);
  const Dims counts = p.counts(size, "fold");
  require(counts[0] * counts[1] == columns.shape()[2], "fold: x has ", columns.shape()[2],
          " windows, but output_size ", size, " has ", counts[0] * counts[1]);
  const int64_t channels = columns.shape()[1] / taps;
  Tensor y = reshape(columns, {n, channels, p.kernel[0], p.kernel[1], counts[0], counts[1]});
  y = permute_dims(y, {0, 1, 4, 5, 2, 3});
  y = spread(spread(y, 4, p.dilation[0], p.span(0)), 5, p.dilation[1], p.span(1));
  y = overlap_add(y, 3, p.stride[1], size[1] + 2 * p.padding[1]);
  y = overlap_add(y, 2, p.stride[0], size[0] + 2 * p.padding[0]);
  y = slice(y, {0, 0, p.padding[0], p.padding[1]}, {n, channels, size[0], size[1]}, {1, 1, 1, 1});
  return x.rank() == 3 ? y : squeeze(y, {0});
}

Tensor sliding_window_view(const Tensor& x, const Dims& sizes, const Dims& axes) {
  require(sizes.size() == axes.size(), "sliding_window_view: window_shape ", sizes,
          " needs one size for each axis of ", axes);
  Tensor y = x;
  for (size_t i = 0; i < axes.size(); ++i) {
    const size_t axis = size_t(normalize_axis(axes[i], x.rank(), "sliding_window_view"));
    require(sizes[i] > 0 && sizes[i] <= y.shape()[axis], "sliding_window_view: windows of ",
            sizes[i], " do not fit into axis ", axis, " of shape ", x.shape());
    y = windows_of(y, axis, sizes[i], 1);
  }
  return y;
}

// clang-format off
const Family kWindowsFamily("Windows", {
    {.name = "sliding_window_view",
     .parameters = "x: Tensor, window_shape: ints, axis: ints? = None",
     .doc = "The windows of window_shape elements along axis (along all axes for None): the axis "
            "becomes their number, their elements are new axes at the end. No memory is copied. "
            "ValueError for windows that are larger than their axis.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{sliding_window_view(x, a.ints(1), a.axes(2, x.rank()))};
         },
     .samples = "f(7), 3;;f(4, 5), (2, 3);;f(4, 5), 2, 0;;f(2, 6, 3), (2, 3), (1, -1);;f(4), 4;;"
                "f(2, 9), 2, 1",
     .reference = "numpy.lib.stride_tricks.sliding_window_view",
     .method = false,
     .differentiable = true},
    {.name = "unfold",
     .parameters = "x: Tensor, kernel_size: ints, dilation: ints = 1, padding: ints = 0, "
                   "stride: ints = 1",
     .doc = "The windows of images x (N, C, H, W) or (C, H, W) as columns (N, C * kernel, windows): "
            "'im2col'. Windows are stride apart, their elements dilation; zeros are padded around. "
            "Each is one int, or one for both axes. ValueError where no window fits.",
     .call = [](const Args& a) { return Tensors{unfold(a)}; },
     .samples = "f(2, 3, 5, 6), 3;;f(2, 2, 6, 5), (2, 3), 1, 1, 2;;f(2, 7, 6), 2, 2, (1, 0), (1, 2);;"
                "f(1, 1, 4, 4), 4;;f(0, 2, 4, 4), 2",
     .reference = "reference.unfold",
     .method = false,
     .differentiable = true},
    {.name = "fold",
     .parameters = "x: Tensor, output_size: ints, kernel_size: ints, dilation: ints = 1, "
                   "padding: ints = 0, stride: ints = 1",
     .doc = "Columns (N, C * kernel, windows) added up where unfold would take them from images (N, "
            "C, *output_size): 'col2im', the transpose of unfold. ValueError where the number of "
            "windows is another.",
     .call = [](const Args& a) { return Tensors{fold(a)}; },
     .samples = "f(2, 12, 12), (4, 5), 2;;f(2, 12, 9), (5, 5), (2, 3), 1, 1, (2, 2);;"
                "f(8, 8), (6, 6), 2, 2, 0, (1, 2);;f(1, 4, 1), 2, 2;;f(1, 9, 4), 5, 3, 1, 0, 2",
     .reference = "reference.fold",
     .method = false,
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor windows_of(const Tensor& x, size_t axis, int64_t size, int64_t step) {
  return record(kWindows, {x}, {int64_t(axis), size, step});
}

// Windows are cut into blocks of `step` elements: the first blocks of all lie side by side, and so
// do the second ones.
Tensor overlap_add(const Tensor& windows, size_t axis, int64_t step, int64_t extent) {
  const size_t last = windows.rank() - 1;
  const int64_t count = windows.shape()[axis], size = windows.shape()[last];
  Shape shape(windows.shape().begin(), windows.shape().end() - 1);
  shape[axis] = extent;
  Tensor sum = zeros(shape, windows.dtype());
  if (count == 0) return sum;
  Dims order;
  for (size_t i = 0; i < last; ++i) {
    order.push_back(int64_t(i));
    if (i == axis) order.push_back(int64_t(last));
  }
  const Tensor near = permute_dims(windows, order);  // elements beside the windows' axis
  for (int64_t begin = 0; begin < size; begin += step) {
    const int64_t width = std::min(step, size - begin);
    Tensor block = part_of(near, axis + 1, begin, begin + width);
    int64_t length = (count - 1) * step + width;
    if (width < step) {
      Dims none(block.rank(), 0), after = none;
      after[axis + 1] = step - width;
      block = pad(block, none, after, scalar(0.0, block.dtype(), true));
    }
    Shape line = shape;
    line[axis] = count * step;
    block = part_of(reshape(block, line), axis, 0, length);
    Dims starts(shape.size(), 0);
    starts[axis] = begin;
    const Tensor so_far = part_of(sum, axis, begin, begin + length);
    sum = slice_update(sum, so_far + block, starts, Dims(shape.size(), 1));
  }
  return sum;
}

}  // namespace tegula
