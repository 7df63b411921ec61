// Movement: joining, cutting and rearranging. What strides can express is a view (views.cc); the
// two primitives that copy, slice_update and concat, are here.
#include <algorithm>

#include "graph/trace.h"
#include "ops/arrays.h"
#include "ops/batching.h"
#include "ops/indexing.h"
#include "ops/op.h"

namespace tegula {
namespace {

// attrs: the step of each axis; dynamic: the starts. Result: x with x[start::step] = v.
const Primitive kSliceUpdate = {
    .name = "slice_update",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .vjp =
        [](VjpContext& c) {
          const Dims starts(c.dynamic()), steps(c.attrs());
          const Shape& part = c.input_shape(1);
          if (c.needs(0))
            c.give(0, slice_update(c.grad(), zeros(part, c.input_dtype(1)), starts, steps));
          if (c.needs(1)) c.give(1, slice(c.grad(), starts, part, steps));
        },
    .batch =
        [](BatchContext& c) {
          Dims starts{0};
          starts.append(c.dynamic().begin(), c.dynamic().end());
          return Tensors{slice_update(c.batched(0), c.batched(1), starts, c.attrs_after({1}))};
        },
    .in_place = [](const Node&, int) { return 0; },
};

// attrs: AxisAttrs. Inputs agree but along the axis.
const Primitive kConcat = {
    .name = "concat",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const size_t axis = size_t(read_attrs<AxisAttrs>(c.attrs).axis);
          Shape shape = c.shape(0);
          for (size_t i = 1; i < c.inputs.size(); ++i) shape[axis] += c.shape(i)[axis];
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const size_t axis = size_t(read_attrs<AxisAttrs>(c.attrs()).axis);
          Dims starts(c.output_shape().size(), 0);
          const Dims steps(starts.size(), 1);
          for (size_t i = 0; i < c.input_count(); ++i) {
            if (c.needs(i)) c.give(i, slice(c.grad(), starts, c.input_shape(i), steps));
            starts[axis] += c.input_shape(i)[axis];
          }
        },
    .batch = batch_by_axis,
};

Tensor flatten(const Tensor& x, int64_t start, int64_t end) {
  if (x.rank() == 0) return reshape(x, {1});
  const size_t first = size_t(normalize_axis(start, x.rank(), "flatten"));
  const size_t last = size_t(normalize_axis(end, x.rank(), "flatten"));
  require(first <= last, "flatten: start_axis ", start, " comes after end_axis ", end, " in shape ",
          x.shape());
  Shape shape;
  int64_t merged = 1;
  for (size_t i = 0; i < x.rank(); ++i) {
    if (i < first || i > last) shape.push_back(x.shape()[i]);
    else merged *= x.shape()[i];
    if (i == last) shape.push_back(merged);
  }
  return reshape(x, shape);
}

Tensor swapaxes(const Tensor& x, int64_t a, int64_t b) {
  Dims axes = all_axes(x);
  std::swap(axes[size_t(normalize_axis(a, x.rank(), "swapaxes"))],
            axes[size_t(normalize_axis(b, x.rank(), "swapaxes"))]);
  return permute_dims(x, axes);
}

Tensor roll(const Tensor& x, const Dims& shifts, const Dims& axes) {
  require(shifts.size() == axes.size() || shifts.size() == 1 || axes.size() == 1, "roll: shift ",
          shifts, " and axis ", axes, " differ in length");
  Tensor result = x;
  for (size_t i = 0; i < std::max(shifts.size(), axes.size()); ++i) {
    const size_t axis = size_t(normalize_axis(axes[axes.size() == 1 ? 0 : i], x.rank(), "roll"));
    const int64_t size = x.shape()[axis];
    if (size == 0) continue;
    const int64_t shift = ((shifts[shifts.size() == 1 ? 0 : i] % size) + size) % size;
    if (shift == 0) continue;
    result =
        concat({part_of(result, axis, size - shift, size), part_of(result, axis, 0, size - shift)},
               int64_t(axis));
  }
  return result;
}

Tensor repeat(const Tensor& x, int64_t repeats, int64_t given) {
  require(repeats >= 0, "repeat: repeats must not be negative, got ", repeats);
  const size_t axis = size_t(normalize_axis(given, x.rank(), "repeat"));
  Shape wide = x.shape();
  wide.insert(axis + 1, repeats);
  checked_numel(wide, "repeat");
  Shape shape = x.shape();
  shape[axis] *= repeats;
  return reshape(broadcast_to(expand_dims(x, int64_t(axis) + 1), wide), shape);
}

// With a number for each element: the result's element i is x's first whose numbers pass i.
Tensor repeat(const Tensor& x, const Tensor& repeats, int64_t given) {
  if (!is_integer(repeats.dtype()))
    fail(ErrorKind::type, "repeat: repeats must be integers, got ", repeats.dtype());
  const size_t axis = size_t(normalize_axis(given, x.rank(), "repeat"));
  const int64_t size = x.shape()[axis];
  const bool one = repeats.size() == 1 && repeats.rank() <= 1;
  require(one || repeats.shape() == Shape{size}, "repeat: repeats of shape ", repeats.shape(),
          " are not one for each of the ", size, " elements of axis ", axis);
  if (!one && size == 0) return x;
  const Tensor counts = require_known(repeats, "how often repeat repeats");
  if (one) return repeat(x, item_as_int(counts), given);
  const int64_t least = item_as_int(min(counts, {0}, false));
  require(least >= 0, "repeat: repeats must not be negative, got ", least);
  const Tensor ends = cumulative(astype(counts, DType::int64), 0, kCumSum);
  const Tensor total = slice(ends, {size - 1}, {1}, {1});
  return gather_checked(x, searchsorted(ends, iota(item_as_int(total)), true), axis);
}

Tensor tile(const Tensor& x, Dims repetitions) {
  while (repetitions.size() < x.rank()) repetitions.insert(0, 1);
  Shape shape = x.shape();
  while (shape.size() < repetitions.size()) shape.insert(0, 1);
  Shape from, wide, to;
  for (size_t i = 0; i < shape.size(); ++i) {
    require(repetitions[i] >= 0, "tile: repetitions must not be negative, got ", repetitions);
    from.push_back(1);
    from.push_back(shape[i]);
    wide.push_back(repetitions[i]);
    wide.push_back(shape[i]);
  }
  checked_numel(wide, "tile");
  for (size_t i = 0; i < shape.size(); ++i) to.push_back(shape[i] * repetitions[i]);
  return reshape(broadcast_to(reshape(x, from), wide), to);
}

// One size: pieces of it, the last one what is left. Several: the sizes of the pieces.
Tensors split(const Tensor& x, const Dims& sizes, int64_t given) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "split"));
  const int64_t all = x.shape()[axis];
  Tensors parts;
  int64_t at = 0;
  if (sizes.size() == 1) {
    require(sizes[0] > 0, "split: the size of a piece must be positive, got ", sizes[0]);
    do {
      const int64_t end = all - at < sizes[0] ? all : at + sizes[0];
      parts.push_back(part_of(x, axis, at, end));
      at = end;
    } while (at < all);
    return parts;
  }
  for (int64_t size : sizes) {
    require(size >= 0 && size <= all - at, "split: sizes ", sizes, " do not add up to the size ",
            all, " of axis ", axis);
    parts.push_back(part_of(x, axis, at, at + size));
    at += size;
  }
  require(at == all, "split: sizes ", sizes, " do not add up to the size ", all, " of axis ", axis);
  return parts;
}

Tensors unstack(const Tensor& x, int64_t given) {
  const size_t axis = size_t(normalize_axis(given, x.rank(), "unstack"));
  Tensors parts;
  for (int64_t i = 0; i < x.shape()[axis]; ++i)
    parts.push_back(squeeze(part_of(x, axis, i, i + 1), {int64_t(axis)}));
  return parts;
}

Tensor concat_flat(const Tensors& xs) {
  Tensors flat;
  for (const Tensor& x : xs) flat.push_back(reshape(x, {-1}));
  return concat(flat, 0);
}

Dims optional_axes(const Args& a, size_t i) { return a.axes(i, a.tensor(0).rank()); }

Dims unit_axes(const Tensor& x) {
  Dims axes;
  for (size_t i = 0; i < x.rank(); ++i)
    if (x.shape()[i] == 1) axes.push_back(int64_t(i));
  return axes;
}

// clang-format off
const Family kShapes("Shapes", {
    {.name = "reshape",
     .parameters = "x: Tensor, shape: ints, *, copy: bool? = None",
     .doc = "The elements of x, in row-major order, in another shape; one size may be -1. Values "
            "never change, so whether memory is copied, which is what copy asks, makes no difference.",
     .call = [](const Args& a) { return Tensors{reshape(a.tensor(0), a.ints(1))}; },
     .samples = "f(3, 4), (2, 6);;f(3, 4), -1;;f(2, 3, 4), (4, -1, 2);;f(), (1, 1)",
     .reference = "numpy.reshape",
     .differentiable = true},
    {.name = "flatten",
     .parameters = "x: Tensor, start_axis: int = 0, end_axis: int = -1",
     .doc = "Axes start_axis to end_axis (included) made one.",
     .call =
         [](const Args& a) { return Tensors{flatten(a.tensor(0), a.integer(1), a.integer(2))}; },
     .samples = "f(2, 3, 4);;f(2, 3, 4), 1;;f(2, 3, 4), 0, 1",
     .reference = "lambda x, start_axis=0, end_axis=-1: x.reshape(x.shape[:start_axis] + (-1,) + "
                  "x.shape[end_axis % x.ndim + 1:])",
     .differentiable = true},
    {.name = "permute_dims",
     .parameters = "x: Tensor, axes: ints",
     .doc = "x with its axes in another order: axis i of the result is axis axes[i] of x.",
     .call = [](const Args& a) { return Tensors{permute_dims(a.tensor(0), a.ints(1))}; },
     .samples = "f(2, 3, 4), (2, 0, 1);;f(3, 4), (-1, 0)",
     .reference = "numpy.transpose",
     .differentiable = true},
    {.name = "matrix_transpose",
     .parameters = "x: Tensor",
     .doc = "x with its last two axes exchanged.",
     .call = [](const Args& a) { return Tensors{matrix_transpose(a.tensor(0))}; },
     .samples = "f(3, 4);;f(2, 3, 4)",
     .reference = "lambda x: numpy.swapaxes(x, -1, -2)",
     .differentiable = true},
    {.name = "moveaxis",
     .parameters = "x: Tensor, source: ints, destination: ints",
     .doc = "x with the axes source moved to the places destination, the others in order.",
     .call = [](const Args& a) { return Tensors{moveaxis(a.tensor(0), a.ints(1), a.ints(2))}; },
     .samples = "f(2, 3, 4), 0, -1;;f(2, 3, 4), (0, 1), (2, 0)",
     .reference = "numpy.moveaxis",
     .differentiable = true},
    {.name = "swapaxes",
     .parameters = "x: Tensor, axis1: int, axis2: int",
     .doc = "x with two axes exchanged.",
     .call =
         [](const Args& a) { return Tensors{swapaxes(a.tensor(0), a.integer(1), a.integer(2))}; },
     .samples = "f(2, 3, 4), 0, -1",
     .reference = "numpy.swapaxes",
     .differentiable = true},
    {.name = "expand_dims",
     .parameters = "x: Tensor, axis: ints = 0",
     .doc = "x with an axis of size 1 put in at axis, or at each of several.",
     .call = [](const Args& a) { return Tensors{expand_dims(a.tensor(0), a.ints(1))}; },
     .samples = "f(3, 4), 0;;f(3, 4), 1;;f(3, 4), -1;;f(3, 4), (0, -1)",
     .reference = "lambda x, axis=0: numpy.expand_dims(x, axis)",
     .differentiable = true},
    {.name = "squeeze",
     .parameters = "x: Tensor, axis: ints? = None",
     .doc = "x without the axes given, which must be of size 1; without all such for None.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{squeeze(x, a.has(1) ? a.ints(1) : unit_axes(x))};
         },
     .samples = "f(3, 1, 4, 1), 1;;f(3, 1, 4, 1), (1, -1);;f(3, 1, 4, 1)",
     .reference = "numpy.squeeze",
     .differentiable = true},
    {.name = "broadcast_to",
     .parameters = "x: Tensor, shape: ints",
     .doc = "x repeated to a larger shape by NumPy's rules, without a copy.",
     .call = [](const Args& a) { return Tensors{broadcast_to(a.tensor(0), a.ints(1))}; },
     .samples = "f(3, 1), (3, 4);;f(4), (2, 3, 4);;f(), (2, 2)",
     .reference = "numpy.broadcast_to",
     .differentiable = true},
    {.name = "broadcast_arrays",
     .parameters = "*arrays: Tensors",
     .doc = "Every one of the tensors broadcast to their common shape.",
     .call =
         [](const Args& a) {
           Shape shape;
           for (const Tensor& x : a.tensors(0))
             shape = broadcast_shapes(shape, x.shape(), "broadcast_arrays");
           Tensors result;
           for (const Tensor& x : a.tensors(0)) result.push_back(broadcast_to(x, shape));
           return result;
         },
     .samples = "f(3, 1), f(4)",
     .reference = "numpy.broadcast_arrays",
     .method = false,
     .differentiable = true,
     .returns_tuple = true,
     .result = "list"},
});

const Family kJoining("Joining and rearranging", {
    {.name = "concat",
     .parameters = "arrays: Tensors, axis: int? = 0",
     .doc = "The tensors one after the other along axis; their dtypes promote. None flattens them "
            "first.",
     .call =
         [](const Args& a) {
           return Tensors{a.has(1) ? concat(a.tensors(0), a.integer(1)) : concat_flat(a.tensors(0))};
         },
     .samples = "[f(2, 3), f(4, 3)];;[f(2, 3), f(2, 1), f(2, 0)], 1;;[f(2, 3), f(4)], None;;"
                "[f(2), ints(0, 5, 3)]",
     .reference = "lambda xs, axis=0: numpy.concatenate(xs, axis)",
     .method = false,
     .differentiable = true},
    {.name = "stack",
     .parameters = "arrays: Tensors, axis: int = 0",
     .doc = "The tensors, all of one shape, along a new axis.",
     .call = [](const Args& a) { return Tensors{stack(a.tensors(0), a.integer(1))}; },
     .samples = "[f(2, 3), f(2, 3)];;[f(2, 3), f(2, 3)], 1;;[f(2, 3), f(2, 3)], -1",
     .reference = "numpy.stack",
     .method = false,
     .differentiable = true},
    {.name = "split",
     .parameters = "x: Tensor, sizes: ints, axis: int = 0",
     .doc = "x cut along axis: into pieces of one size (the last may be smaller), or of the sizes "
            "given, which add up to the axis.",
     .call = [](const Args& a) { return split(a.tensor(0), a.ints(1), a.integer(2)); },
     .samples = "f(5, 3), 2;;f(5, 3), (1, 0, 4);;f(3, 6), (2, 4), -1",
     .reference = "lambda x, sizes, axis=0: numpy.split(x, range(sizes, x.shape[axis], sizes) if "
                  "isinstance(sizes, int) else numpy.cumsum(sizes)[:-1], axis)",
     .differentiable = true,
     .returns_tuple = true},
    {.name = "unstack",
     .parameters = "x: Tensor, axis: int = 0",
     .doc = "The slices of x along axis, without that axis.",
     .call = [](const Args& a) { return unstack(a.tensor(0), a.integer(1)); },
     .samples = "f(3, 4);;f(3, 4), 1",
     .reference = "lambda x, axis=0: tuple(numpy.moveaxis(x, axis, 0))",
     .differentiable = true,
     .returns_tuple = true},
    {.name = "flip",
     .parameters = "x: Tensor, axis: ints? = None",
     .doc = "x with the elements along axis (all axes for None) in reverse order.",
     .call = [](const Args& a) { return Tensors{flip(a.tensor(0), optional_axes(a, 1))}; },
     .samples = "f(3, 4);;f(3, 4), 0;;f(2, 3, 4), (0, 2)",
     .reference = "numpy.flip",
     .differentiable = true},
    {.name = "roll",
     .parameters = "x: Tensor, shift: ints, axis: ints? = None",
     .doc = "x with elements moved along axis by shift places, those that leave at the end coming "
            "back at the start. None rolls the flattened tensor.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           if (a.has(2)) return Tensors{roll(x, a.ints(1), a.ints(2))};
           return Tensors{reshape(roll(reshape(x, {-1}), a.ints(1), {0}), x.shape())};
         },
     .samples = "f(3, 4), 1, 0;;f(3, 4), -5, 1;;f(3, 4), (1, 2), (0, 1);;f(3, 4), 3",
     .reference = "numpy.roll",
     .differentiable = true},
    {.name = "repeat",
     .parameters = "x: Tensor, repeats: Tensor, axis: int? = None",
     .doc = "Every element (along axis; of the flattened tensor for None) repeats times in a row. "
            "repeats are integers, one or one for each element, and evaluated.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           if (a.has(2)) return Tensors{repeat(x, a.tensor(1), a.integer(2))};
           return Tensors{repeat(reshape(x, {-1}), a.tensor(1), 0)};
         },
     .samples = "f(3, 4), 2, 0;;f(3, 4), 3, 1;;f(3, 4), 2;;f(3), 0;;f(3, 4), ints(0, 4, 4), 1;;"
                "f(3, 2), ints(0, 4, 6);;f(0), ints(0, 4, 0)",
     .reference = "numpy.repeat",
     .differentiable = true},
    {.name = "tile",
     .parameters = "x: Tensor, repetitions: ints",
     .doc = "Copies of x laid side by side, repetitions of them along each axis.",
     .call = [](const Args& a) { return Tensors{tile(a.tensor(0), a.ints(1))}; },
     .samples = "f(3, 4), (2, 3);;f(3), (2, 2);;f(2, 3), 2",
     .reference = "numpy.tile",
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor slice_update(const Tensor& x, const Tensor& v, const Dims& starts, const Dims& steps) {
  require(v.rank() == x.rank() && starts.size() == x.rank() && steps.size() == x.rank(),
          "slice_update: shape ", v.shape(), " does not fit into shape ", x.shape());
  if (v.dtype() != x.dtype())
    fail(ErrorKind::type, "slice_update: cannot write ", v.dtype(), " into ", x.dtype());
  bool whole = true;
  for (size_t i = 0; i < x.rank(); ++i) {
    const int64_t size = v.shape()[i], last = starts[i] + (size - 1) * steps[i];
    const int64_t extent = x.shape()[i];
    require(size == 0 || (starts[i] >= 0 && starts[i] < extent && last >= 0 && last < extent),
            "slice_update: start ", starts[i], ", size ", size, ", step ", steps[i],
            " leaves axis ", i, " of shape ", x.shape());
    whole &= size == extent && (steps[i] == 1 || size <= 1);
  }
  if (whole) return v;
  if (v.size() == 0) return x;
  return record(kSliceUpdate, {x, v}, Attrs(steps.begin(), steps.end()), starts);
}

Tensor moveaxis(const Tensor& x, const Dims& source, const Dims& destination) {
  require(source.size() == destination.size(), "moveaxis: source ", source, " and destination ",
          destination, " differ in length");
  normalize_axes(source, x.rank(), "moveaxis");
  normalize_axes(destination, x.rank(), "moveaxis");
  Dims axes(x.rank(), -1);
  std::vector<bool> moved(x.rank());
  for (size_t i = 0; i < source.size(); ++i) {
    const int64_t from = normalize_axis(source[i], x.rank(), "moveaxis");
    axes[size_t(normalize_axis(destination[i], x.rank(), "moveaxis"))] = from;
    moved[size_t(from)] = true;
  }
  size_t next = 0;
  for (int64_t& axis : axes) {
    if (axis >= 0) continue;
    while (moved[next]) ++next;
    axis = int64_t(next++);
  }
  return permute_dims(x, axes);
}

Tensor flip(const Tensor& x, const Dims& given) {
  Dims starts(x.rank(), 0), steps(x.rank(), 1);
  for (int64_t axis : normalize_axes(given, x.rank(), "flip")) {
    if (x.shape()[size_t(axis)] < 2) continue;
    starts[size_t(axis)] = x.shape()[size_t(axis)] - 1;
    steps[size_t(axis)] = -1;
  }
  return slice(x, starts, x.shape(), steps);
}

Tensor concat(const Tensors& xs, int64_t given) {
  require(!xs.empty(), "concat: needs at least one tensor");
  const Shape& first = xs[0].shape();
  require(!first.empty(), "concat: 0-d tensors cannot be joined; use stack");
  const size_t axis = size_t(normalize_axis(given, first.size(), "concat"));
  DType dtype = xs[0].dtype();
  int64_t total = 0;
  for (const Tensor& x : xs) {
    dtype = promote(dtype, x.dtype());
    Shape other = x.shape();
    if (other.size() == first.size()) {
      total += other[axis];
      other[axis] = first[axis];
    }
    require(other == first, "concat: shapes ", first, " and ", x.shape(),
            " differ outside of axis ", axis);
  }
  Shape shape = first;
  shape[axis] = total;
  checked_numel(shape, "concat");
  Tensors parts;
  for (const Tensor& x : xs)
    if (x.size() > 0) parts.push_back(astype(x, dtype));
  if (parts.empty()) return zeros(shape, dtype);
  if (parts.size() == 1) return parts[0];
  return record(kConcat, std::span<const Tensor>(parts), write_attrs(AxisAttrs{int64_t(axis), 0}));
}

Tensor stack(const Tensors& xs, int64_t given) {
  require(!xs.empty(), "stack: needs at least one tensor");
  const int64_t axis = normalize_axis(given, xs[0].rank() + 1, "stack");
  Tensors wide;
  for (const Tensor& x : xs) {
    require(x.shape() == xs[0].shape(), "stack: shapes ", xs[0].shape(), " and ", x.shape(),
            " differ");
    wide.push_back(expand_dims(x, axis));
  }
  return concat(wide, axis);
}

Tensor pad(const Tensor& x, const Dims& before, const Dims& after, const Tensor& value) {
  require(value.rank() == 0, "pad: value must be one number, got shape ", value.shape());
  Shape shape = x.shape();
  for (size_t i = 0; i < x.rank(); ++i) {
    require(before[i] >= 0 && after[i] >= 0, "pad: before ", before, " and after ", after,
            " must not be negative");
    require(before[i] < INT64_MAX / 4 && after[i] < INT64_MAX / 4, "pad: before ", before,
            " and after ", after, " make the tensor too large");
    shape[i] += before[i] + after[i];
  }
  checked_numel(shape, "pad");
  if (shape == x.shape()) return x;
  return slice_update(full(shape, astype(value, x.dtype())), x, before, Dims(x.rank(), 1));
}

}  // namespace tegula
