// Views: reshape, permute, broadcast and slice look at the same memory with other strides.
#include <algorithm>

#include "ops/batching.h"

namespace tegula {
namespace {

// The strides that show (shape, strides) as `to`, if the order of the elements allows it.
bool reshape_strides(const Shape& shape, const Strides& strides, const Shape& to, Strides& result) {
  result = contiguous_strides(to);
  if (is_contiguous(shape, strides)) return true;
  // Walk both shapes together, run by run of axes with equal products.
  Dims sizes, steps;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    sizes.push_back(shape[i]);
    steps.push_back(strides[i]);
  }
  size_t from = 0, at = 0;
  while (from < sizes.size()) {
    while (at < to.size() && to[at] == 1) ++at;
    if (at == to.size()) return false;
    size_t from_end = from + 1, to_end = at + 1;
    int64_t have = sizes[from], want = to[at];
    while (have != want) {
      if (have < want) {
        if (from_end == sizes.size()) return false;
        have *= sizes[from_end++];
      } else {
        if (to_end == to.size()) return false;
        want *= to[to_end++];
      }
    }
    for (size_t i = from; i + 1 < from_end; ++i)
      if (steps[i] != steps[i + 1] * sizes[i + 1]) return false;
    int64_t step = steps[from_end - 1];
    for (size_t i = to_end; i-- > at;) {
      result[i] = step;
      step *= to[i];
    }
    from = from_end;
    at = to_end;
  }
  return true;
}

void infer_to_attrs(const InferContext& c, OutputSpecs& out) {
  out.push_back({c.dtype(0), Shape(c.attrs.begin(), c.attrs.end())});
}

// attrs: the new shape.
Tensors batch_to_attrs(BatchContext& c) {
  return c.again({&c.input(0), 1}, c.attrs_after({c.size()}));
}

const Primitive kReshape = {
    .name = "reshape",
    .kind = Kind::view,
    .infer = infer_to_attrs,
    .vjp = [](VjpContext& c) { c.give(0, reshape(c.grad(), c.input_shape(0))); },
    .batch = batch_to_attrs,
    .view =
        [](const Node& node, const Output& input, const Layout& from, Layout& to) {
          to.offset = from.offset;
          return reshape_strides(input.shape, from.strides, node.outputs[0].shape, to.strides);
        },
};

const Primitive kPermute = {
    .name = "permute_dims",
    .kind = Kind::view,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape;
          for (int64_t axis : c.attrs) shape.push_back(c.shape(0)[size_t(axis)]);
          out.push_back({c.dtype(0), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          Dims inverse(c.attrs().size());
          for (size_t i = 0; i < inverse.size(); ++i) inverse[size_t(c.attrs()[i])] = int64_t(i);
          c.give(0, permute_dims(c.grad(), inverse));
        },
    .batch =
        [](BatchContext& c) {
          Attrs axes = c.attrs_after({0});
          for (size_t i = 1; i < axes.size(); ++i) ++axes[i];
          return c.again({&c.input(0), 1}, axes);
        },
    .view =
        [](const Node& node, const Output&, const Layout& from, Layout& to) {
          to = {Strides(node.attrs.size()), from.offset};
          for (size_t i = 0; i < node.attrs.size(); ++i)
            to.strides[i] = from.strides[size_t(node.attrs[i])];
          return true;
        },
};

const Primitive kBroadcast = {
    .name = "broadcast_to",
    .kind = Kind::view,
    .infer = infer_to_attrs,
    .vjp = [](VjpContext& c) { c.give(0, c.grad()); },
    .batch =
        [](BatchContext& c) {
          Shape aligned{c.size()};
          aligned.resize(1 + c.output_shape().size() - c.rank(0), 1);
          aligned.append(c.shape(0).begin(), c.shape(0).end());
          const Tensor x = reshape(c.input(0), aligned);
          return c.again({&x, 1}, c.attrs_after({c.size()}));
        },
    .view =
        [](const Node& node, const Output& input, const Layout& from, Layout& to) {
          const Shape& shape = node.outputs[0].shape;
          const size_t lead = shape.size() - input.shape.size();
          to = {Strides(shape.size(), 0), from.offset};
          for (size_t i = 0; i < input.shape.size(); ++i)
            to.strides[lead + i] = input.shape[i] == 1 ? 0 : from.strides[i];
          return true;
        },
};

// attrs: [size, step] of each axis; dynamic: the starts.
const Primitive kSlice = {
    .name = "slice",
    .kind = Kind::view,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape;
          for (size_t i = 0; i < c.attrs.size(); i += 2) shape.push_back(c.attrs[i]);
          out.push_back({c.dtype(0), std::move(shape)});
        },
    // Of one slice by itself. Reverse mode puts those of several together: transform/upstream.h.
    .vjp =
        [](VjpContext& c) {
          Dims steps;
          for (size_t i = 1; i < c.attrs().size(); i += 2) steps.push_back(c.attrs()[i]);
          const Tensor blank = zeros(c.input_shape(0), c.input_dtype(0));
          c.give(0, slice_update(blank, c.grad(), Dims(c.dynamic()), steps));
        },
    .batch =
        [](BatchContext& c) {
          Dims starts{0};
          starts.append(c.dynamic().begin(), c.dynamic().end());
          return record_all(slice_primitive(), {&c.input(0), 1}, c.attrs_after({c.size(), 1}),
                            starts);
        },
    .view =
        [](const Node& node, const Output&, const Layout& from, Layout& to) {
          const size_t rank = node.dynamic.size();
          to = {Strides(rank), from.offset};
          for (size_t i = 0; i < rank; ++i) {
            to.offset += node.dynamic[i] * from.strides[i];
            to.strides[i] = from.strides[i] * node.attrs[2 * i + 1];
          }
          return true;
        },
};

}  // namespace

const Primitive& reshape_primitive() { return kReshape; }
const Primitive& slice_primitive() { return kSlice; }

Tensor reshape(const Tensor& x, const Shape& wanted) {
  Shape shape = wanted;
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      require(open < 0, "reshape: only one size may be -1, got ", wanted);
      open = int64_t(i);
    } else {
      require(shape[i] >= 0, "reshape: sizes must not be negative, got ", wanted);
      require(!__builtin_mul_overflow(known, shape[i], &known), "reshape: shape ", wanted,
              " has too many elements");
    }
  }
  if (open >= 0) {
    require(known > 0 && x.size() % known == 0, "reshape: ", x.size(), " elements of shape ",
            x.shape(), " do not fill ", wanted);
    shape[size_t(open)] = x.size() / known;
  }
  require(checked_numel(shape, "reshape") == x.size(), "reshape: shape ", x.shape(), " has ",
          x.size(), " elements and does not fit ", wanted);
  if (shape == x.shape()) return x;
  return record(kReshape, {x}, Attrs(shape.begin(), shape.end()));
}

Tensor permute_dims(const Tensor& x, const Dims& given) {
  require(given.size() == x.rank(), "permute_dims: needs all ", x.rank(), " axes of shape ",
          x.shape(), ", got ", given);
  normalize_axes(given, x.rank(), "permute_dims");
  Dims axes;
  for (int64_t axis : given) axes.push_back(normalize_axis(axis, x.rank(), "permute_dims"));
  // A permutation of a permutation is one permutation, or none. Gradients must go through x itself,
  // for its hooks and so that they add up in the same order whatever has been evaluated.
  Tensor source = x;
  const Node& node = x.node();
  const auto readable = [](const Value& v) {
    return v.node->pending() || v.node->outputs[v.index].buffer;
  };
  if (node.primitive == &kPermute && !x.requires_grad() && !node.inputs.empty() &&
      readable(node.inputs[0])) {
    for (int64_t& axis : axes) axis = node.attrs[size_t(axis)];
    source = Tensor(node.inputs[0]);
  }
  bool identity = true;
  for (size_t i = 0; i < axes.size(); ++i) identity &= axes[i] == int64_t(i);
  if (identity) return source;
  return record(kPermute, {source}, axes);
}

Tensor matrix_transpose(const Tensor& x) {
  require(x.rank() >= 2, "matrix_transpose: needs at least 2 dimensions, got shape ", x.shape());
  Dims axes = all_axes(x);
  std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
  return permute_dims(x, axes);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  checked_numel(shape, "broadcast_to");
  require(broadcast_shapes(x.shape(), shape, "broadcast_to") == shape, "broadcast_to: shape ",
          x.shape(), " does not broadcast to ", shape);
  return record(kBroadcast, {x}, Attrs(shape.begin(), shape.end()));
}

Tensor expand_dims(const Tensor& x, const Dims& axes) {
  Shape shape = x.shape();
  for (int64_t axis : normalize_axes(axes, x.rank() + axes.size(), "expand_dims"))
    shape.insert(size_t(axis), 1);
  return reshape(x, shape);
}
Tensor expand_dims(const Tensor& x, int64_t axis) { return expand_dims(x, Dims{axis}); }

Tensor squeeze(const Tensor& x, const Dims& axes) {
  Shape shape = x.shape();
  const Dims sorted = normalize_axes(axes, x.rank(), "squeeze");
  for (size_t i = sorted.size(); i-- > 0;) {
    require(shape[size_t(sorted[i])] == 1, "squeeze: axis ", sorted[i], " of shape ", x.shape(),
            " is not of size 1");
    shape.erase(size_t(sorted[i]));
  }
  return reshape(x, shape);
}

Tensor part_of(const Tensor& x, size_t axis, int64_t begin, int64_t end) {
  Dims starts(x.rank(), 0), sizes = x.shape();
  starts[axis] = begin;
  sizes[axis] = end - begin;
  return slice(x, starts, sizes, Dims(x.rank(), 1));
}

Tensor slice(const Tensor& x, const Dims& starts, const Dims& sizes, const Dims& steps) {
  require(starts.size() == x.rank() && sizes.size() == x.rank() && steps.size() == x.rank(),
          "slice: needs a start, a size and a step for each of the ", x.rank(), " axes");
  Attrs attrs;
  bool whole = true;
  for (size_t i = 0; i < x.rank(); ++i) {
    const int64_t last = starts[i] + (sizes[i] - 1) * steps[i];
    require(sizes[i] >= 0 && (sizes[i] == 0 || (starts[i] >= 0 && starts[i] < x.shape()[i] &&
                                                last >= 0 && last < x.shape()[i])),
            "slice: start ", starts[i], ", size ", sizes[i], ", step ", steps[i], " leaves axis ",
            i, " of shape ", x.shape());
    whole &= starts[i] == 0 && sizes[i] == x.shape()[i] && steps[i] == 1;
    attrs.push_back(sizes[i]);
    attrs.push_back(steps[i]);
  }
  if (whole) return x;
  return record(kSlice, {x}, std::move(attrs), starts);
}

}  // namespace tegula
