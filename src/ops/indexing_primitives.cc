// Gather and scatter. Indices reach them checked: check_index turns any integers into int64 ones
// inside the axis, or fails when it runs.
#include "ops/indexing.h"

#include <algorithm>

#include "ops/batching.h"

namespace tegula {
namespace {

constexpr uint32_t kIndex = 1u << 1;

size_t axis_of(std::span<const int64_t> attrs) { return size_t(read_attrs<AxisAttrs>(attrs).axis); }
ScatterMode mode_of(std::span<const int64_t> attrs) {
  return ScatterMode(read_attrs<AxisAttrs>(attrs).mode);
}

// attrs: CheckIndexAttrs and text; negative indices count from the end unless strict.
const Primitive kCheckIndex = {
    .name = "check_index",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({DType::int64, c.shape(0)}); },
    .batch = batch_in_place,
    .can_fail = true,
};

// Several tables as one: (size, ...) with the table's axis at axis + 1 as (size * n, rest...).
Tensor stacked_rows(const Tensor& x, size_t axis) {
  Dims order = all_axes(x);
  order.erase(axis + 1);
  order.insert(1, int64_t(axis) + 1);
  const Tensor moved = permute_dims(x, order);
  Shape shape{moved.shape()[0] * moved.shape()[1]};
  shape.append(moved.shape().begin() + 2, moved.shape().end());
  return reshape(moved, shape);
}
// Where the rows of index (size, ...) are in them, each table having n.
Tensor stacked_index(const Tensor& index, int64_t n) {
  Shape along(index.rank(), 1);
  along[0] = index.shape()[0];
  const Tensor first = iota(along[0]) * scalar(n, DType::int64);
  return index + reshape(first, along);
}
// (size, a..., b..., rest...) as (size, b..., a..., rest...), a of `first` axes, b of `second`.
Tensor exchange(const Tensor& x, size_t first, size_t second) {
  Dims order{0};
  for (size_t i = 0; i < second; ++i) order.push_back(int64_t(1 + first + i));
  for (size_t i = 0; i < first; ++i) order.push_back(int64_t(1 + i));
  for (size_t i = 1 + first + second; i < x.rank(); ++i) order.push_back(int64_t(i));
  return permute_dims(x, order);
}

Tensors batch_gather(BatchContext& c) {
  const size_t axis = axis_of(c.attrs());
  const Tensor &x = c.input(0), &index = c.input(1);
  if (!c.has_batch(1)) return {gather_checked(x, index, axis + 1)};
  if (!c.has_batch(0)) {
    const Tensor found = gather_checked(x, index, axis);
    Dims order = all_axes(found);
    order.erase(axis);
    order.insert(0, int64_t(axis));
    return {permute_dims(found, order)};
  }
  const Tensor place = stacked_index(index, c.shape(0)[axis]);
  return {exchange(gather_checked(stacked_rows(x, axis), place, 0), c.rank(1), axis)};
}

Tensors batch_scatter(BatchContext& c) {
  const size_t axis = axis_of(c.attrs());
  const ScatterMode mode = mode_of(c.attrs());
  const Tensor x = c.batched(0), source = c.batched(2);
  if (!c.has_batch(1)) return {scatter_checked(x, c.input(1), source, axis + 1, mode)};
  const int64_t n = c.shape(0)[axis];
  const Tensor rows = scatter_checked(stacked_rows(x, axis), stacked_index(c.input(1), n),
                                      exchange(source, axis, c.rank(1)), 0, mode);
  Shape apart{c.size(), n};
  apart.append(rows.shape().begin() + 1, rows.shape().end());
  return {exchange(reshape(rows, apart), 1, axis)};
}

Shape gathered_shape(const Shape& x, const Shape& index, size_t axis) {
  Shape shape(x.begin(), x.begin() + axis);
  shape.append(index.begin(), index.end());
  shape.append(x.begin() + axis + 1, x.end());
  return shape;
}

// x, index -> x.shape[:axis] + index.shape + x.shape[axis + 1:].
const Primitive kGather = {
    .name = "gather",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = gathered_shape(c.shape(0), c.shape(1), axis_of(c.attrs));
          checked_numel(shape, "indexing");
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor blank = zeros(c.input_shape(0), c.input_dtype(0));
          c.give(0, scatter_checked(blank, c.input(1), c.grad(), axis_of(c.attrs()), kScatterAdd));
        },
    .uses = {kIndex},
    .batch = batch_gather,
};

const Primitive kTakeAlongAxis = {
    .name = "take_along_axis",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(1)}); },
    .vjp =
        [](VjpContext& c) {
          const size_t axis = axis_of(c.attrs());
          const Shape& shape = c.input_shape(0);
          const Tensor index = c.input(1);
          if (index.shape()[axis] == 1) {  // a choice, which fuses with what follows
            Shape along(shape.size(), 1);
            along[axis] = shape[axis];
            const Tensor chosen = equal(reshape(iota(shape[axis]), along), index);
            c.give(0, where(chosen, c.grad(), zeros({}, c.input_dtype(0))));
            return;
          }
          const Tensor blank = zeros(shape, c.input_dtype(0));
          c.give(0, scatter_along_checked(blank, index, c.grad(), axis, kScatterAdd));
        },
    .uses = {kIndex},
    .batch = batch_by_axis,
};

void infer_as_first(const InferContext& c, OutputSpecs& out) {
  out.push_back({c.dtype(0), c.shape(0)});
}
int over_first(const Node&, int) { return 0; }

// Where several sources were set at one place only the last one is there to see.
Tensor last_writers(const Tensor& index, int64_t size) {
  const Tensor order = reshape(iota(index.size()), index.shape());
  const Tensor blank = zeros({size}, DType::int64);
  const Tensor winner = scatter_checked(blank, index, order, 0, kScatterSet);
  return equal(gather_checked(winner, index, 0), order);
}

// x, index, source -> x with source set or added at the index, in the order of the index.
const Primitive kScatter = {
    .name = "scatter",
    .kind = Kind::opaque,
    .infer = infer_as_first,
    .vjp =
        [](VjpContext& c) {
          const size_t axis = axis_of(c.attrs());
          const bool add = mode_of(c.attrs()) == kScatterAdd;
          if (c.needs(0)) {
            const Tensor none = add ? Tensor() : zeros(c.input_shape(2), c.input_dtype(2));
            c.give(0,
                   add ? c.grad() : scatter_checked(c.grad(), c.input(1), none, axis, kScatterSet));
          }
          if (!c.needs(2)) return;
          const Tensor index = c.input(1);
          Tensor g = gather_checked(c.grad(), index, axis);
          if (!add) {
            Shape shape = index.shape();
            shape.resize(shape.size() + c.input_shape(0).size() - axis - 1, 1);
            const Tensor wins = last_writers(index, c.input_shape(0)[axis]);
            g = where(reshape(wins, shape), g, constant(0));
          }
          c.give(2, g);
        },
    .uses = {kIndex, kUsesNothing, kIndex},
    .batch = batch_scatter,
    .in_place = over_first,
};

const Primitive kScatterAlongAxis = {
    .name = "scatter_along_axis",
    .kind = Kind::opaque,
    .infer = infer_as_first,
    .vjp =
        [](VjpContext& c) {
          const size_t axis = axis_of(c.attrs());
          const bool add = mode_of(c.attrs()) == kScatterAdd;
          if (c.needs(0)) {
            const Tensor none = add ? Tensor() : zeros(c.input_shape(2), c.input_dtype(2));
            c.give(0, add ? c.grad()
                          : scatter_along_checked(c.grad(), c.input(1), none, axis, kScatterSet));
          }
          if (!c.needs(2)) return;
          const Tensor index = c.input(1);
          Tensor g = take_along_checked(c.grad(), index, axis);
          if (!add) {
            Shape along(index.rank(), 1);
            along[axis] = index.shape()[axis];
            const Tensor order =
                broadcast_to(reshape(iota(index.shape()[axis]), along), index.shape());
            const Tensor blank = zeros(c.input_shape(0), DType::int64);
            const Tensor winner = scatter_along_checked(blank, index, order, axis, kScatterSet);
            g = where(equal(take_along_checked(winner, index, axis), order), g, constant(0));
          }
          c.give(2, g);
        },
    .uses = {kIndex, kUsesNothing, kIndex},
    .batch = batch_by_axis,
    .in_place = over_first,
};

// The derivative of what combines x with what is scattered into it otherwise than by setting or
// adding. kSpread scatters a source into a tensor like x, kRead takes from such a tensor.
using Spread = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, size_t, ScatterMode);
using Read = Tensor (*)(const Tensor&, const Tensor&, size_t);
template <Spread kSpread, Read kRead>
void combining_vjp(VjpContext& c) {
  const size_t axis = axis_of(c.attrs());
  const Tensor x = c.input(0), index = c.input(1), source = c.input(2), g = c.grad();
  const auto spread = [&](const Tensor& onto, const Tensor& from, ScatterMode mode) {
    return kSpread(onto, index, from, axis, mode);
  };
  const auto read = [&](const Tensor& t) { return kRead(t, index, axis); };
  if (mode_of(c.attrs()) ==
      kScatterMul) {  // the product of the others: of all but a lone zero, or the quotient
    const auto is_zero = [](const Tensor& t) { return equal(t, constant(0)); };
    const auto nonzero = [&](const Tensor& t) { return where(is_zero(t), constant(1), t); };
    const auto count = [&](const Tensor& t) { return astype(is_zero(t), DType::int64); };
    const Tensor others = spread(nonzero(x), nonzero(source), kScatterMul);
    const Tensor zeros_seen = spread(count(x), count(source), kScatterAdd);
    const auto slope = [&](const Tensor& t, const Tensor& product, const Tensor& seen) {
      const Tensor lone = logical_and(is_zero(t), equal(seen, constant(1)));
      const Tensor plain = logical_and(logical_not(is_zero(t)), equal(seen, constant(0)));
      return where(logical_or(lone, plain), product / nonzero(t), constant(0));
    };
    if (c.needs(0)) c.give(0, g * slope(x, others, zeros_seen));
    if (c.needs(2)) c.give(2, read(g) * slope(source, read(others), read(zeros_seen)));
    return;
  }
  // An extremum's gradient is shared evenly by the elements that attain it.
  const Tensor y = c.output();
  const Tensor of_x = astype(equal(x, y), x.dtype());
  const Tensor of_source = astype(equal(source, read(y)), x.dtype());
  const Tensor share = g / maximum(spread(of_x, of_source, kScatterAdd), constant(1));
  if (c.needs(0)) c.give(0, of_x * share);
  if (c.needs(2)) c.give(2, of_source * read(share));
}

constexpr Uses kUsesAll = uses_for_every_input(kUsesOutput | (1u << 0) | kIndex | (1u << 2));

// scatter for the other modes, whose derivative uses more.
const Primitive kScatterReduce = {
    .name = "scatter_reduce",
    .kind = Kind::opaque,
    .infer = infer_as_first,
    .vjp = combining_vjp<scatter_checked, gather_checked>,
    .uses = kUsesAll,
    .batch = batch_scatter,
    .in_place = over_first,
};
const Primitive kScatterReduceAlongAxis = {
    .name = "scatter_reduce_along_axis",
    .kind = Kind::opaque,
    .infer = infer_as_first,
    .vjp = combining_vjp<scatter_along_checked, take_along_checked>,
    .uses = kUsesAll,
    .batch = batch_by_axis,
    .in_place = over_first,
};

}  // namespace

Tensor check_index(const Tensor& index, int64_t size, size_t axis, bool strict,
                   std::string_view name) {
  const std::string_view colon = name.empty() ? "" : ": ";
  if (!is_integer(index.dtype()))
    fail(name.empty() ? ErrorKind::index : ErrorKind::type, name, colon, "indices must be integers",
         name.empty() ? ", or bool for a mask, got " : ", got ", index.dtype());
  if (index.node().state == NodeState::scalar) {
    const int64_t given = item_as_int(index);
    const int64_t value = given < 0 && !strict ? given + size : given;
    if (value < 0 || value >= size)
      fail(ErrorKind::index, name, colon, "index ", given, " is out of bounds for axis ", axis,
           " with size ", size);
    return scalar(value, DType::int64);
  }
  Attrs attrs = write_attrs(CheckIndexAttrs{size, int64_t(axis), strict});
  write_text(name, attrs);
  return record(kCheckIndex, {index}, std::move(attrs));
}

Tensor gather_checked(const Tensor& x, const Tensor& index, size_t axis) {
  return record(kGather, {x, index}, write_attrs(AxisAttrs{int64_t(axis), 0}));
}

Tensor take_along_checked(const Tensor& x, const Tensor& index, size_t axis) {
  return record(kTakeAlongAxis, {x, index}, write_attrs(AxisAttrs{int64_t(axis), 0}));
}

Tensor scatter_checked(const Tensor& x, const Tensor& index, const Tensor& source, size_t axis,
                       ScatterMode mode) {
  if (index.size() == 0) return x;
  const Primitive& primitive = mode > kScatterAdd ? kScatterReduce : kScatter;
  return record(primitive, {x, index, source}, write_attrs(AxisAttrs{int64_t(axis), mode}));
}

Tensor scatter_along_checked(const Tensor& x, const Tensor& index, const Tensor& source,
                             size_t axis, ScatterMode mode) {
  if (index.size() == 0) return x;
  const Primitive& primitive = mode > kScatterAdd ? kScatterReduceAlongAxis : kScatterAlongAxis;
  return record(primitive, {x, index, source}, write_attrs(AxisAttrs{int64_t(axis), mode}));
}

Shape scatter_shape(const Tensor& x, const Tensor& index, size_t axis) {
  return gathered_shape(x.shape(), index.shape(), axis);
}

}  // namespace tegula
