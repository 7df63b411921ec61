// gather and take_along_axis. Indices have been checked.
#include <cstring>

#include "backend/cpu/indexing.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

// The operand as three axes: those before the indexed one, it, and those after it.
struct Slices {
  const std::byte* data;
  int64_t outer, inner;                           // sizes
  int64_t outer_stride, axis_stride, inner_stride;
};

template <class T>
void gather_slices(T* out, const Slices& x, const int64_t* index, int64_t count) {
  const T* from = reinterpret_cast<const T*>(x.data);
  const int64_t inner = x.inner;
  for_pieces(x.outer * count, inner, [&](int64_t begin, int64_t end) {
    int64_t o = begin / count, k = begin % count;
    T* to = out + begin * inner;
    for (int64_t left = end - begin; left > 0; ++o, k = 0) {
      const T* base = from + o * x.outer_stride;
      const int64_t stop = std::min(count, k + left);
      left -= stop - k;
      if (inner == 1) {
        for (; k < stop; ++k) *to++ = base[index[k] * x.axis_stride];
      } else if (x.inner_stride == 1 && inner * sizeof(T) >= 32) {
        for (; k < stop; ++k, to += inner)
          std::memcpy(to, base + index[k] * x.axis_stride, inner * sizeof(T));
      } else {
        for (; k < stop; ++k, to += inner) {
          const T* slice = base + index[k] * x.axis_stride;
          for (int64_t i = 0; i < inner; ++i) to[i] = slice[i * x.inner_stride];
        }
      }
    }
  });
}

}  // namespace

void run_gather(const KernelArgs& args) {
  const View &x = args.inputs[0], &out = args.outputs[0];
  if (numel(out.shape) == 0) return;
  const size_t axis = size_t(read_attrs<AxisAttrs>(args.attrs).axis);
  const size_t rank = x.shape.size();
  const DenseInput index(args.inputs[1]);
  const int64_t count = numel(args.inputs[1].shape);
  Slices slices{x.data, product(x.shape, 0, axis), product(x.shape, axis + 1, rank),
                0,      x.strides[axis],           0};
  const auto outer_stride = merged_stride(x, 0, axis);
  const auto inner_stride = merged_stride(x, axis + 1, rank);
  std::unique_ptr<DenseInput> dense;
  if (outer_stride && inner_stride) {
    slices.outer_stride = *outer_stride;
    slices.inner_stride = *inner_stride;
  } else if (numel(out.shape) >= numel(x.shape)) {
    dense = std::make_unique<DenseInput>(x);
    slices.data = dense->data();
    slices.axis_stride = slices.inner;
    slices.outer_stride = slices.inner * x.shape[axis];
    slices.inner_stride = 1;
  } else {  // a few slices of a large operand that no three strides describe
    Dims shape = x.shape, strides = contiguous_strides(x.shape);
    shape[axis] = 1;
    for (size_t i = 0; i < axis; ++i) strides[i] = strides[i] / x.shape[axis] * count;
    const int64_t size = int64_t(itemsize(x.dtype));
    for (int64_t k = 0; k < count; ++k) {
      strided_copy(out.data + k * slices.inner * size, strides,
                   x.data + index.as<int64_t>()[k] * x.strides[axis] * size, x.strides, shape,
                   size_t(size));
    }
    return;
  }
  dispatch_size(itemsize(x.dtype), [&](auto zero) {
    using T = decltype(zero);
    gather_slices(out.as<T>(), slices, index.as<int64_t>(), count);
  });
}

void run_take_along_axis(const KernelArgs& args) {
  const View &x = args.inputs[0], &index = args.inputs[1], &out = args.outputs[0];
  const size_t axis = size_t(read_attrs<AxisAttrs>(args.attrs).axis);
  const Dims dense = contiguous_strides(out.shape);
  Dims base = x.strides;
  base[axis] = 0;
  const auto loop = merge_axes<3>(out.shape, {&dense, &index.strides, &base});
  const int64_t axis_stride = x.strides[axis];
  dispatch_size(itemsize(x.dtype), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(loop.count, 1, [&](int64_t begin, int64_t end) {
      for_each_run(loop, begin, end, [&](const auto& offset, int64_t length) {
        T* to = out.as<T>() + offset[0];
        const int64_t* at = index.as<int64_t>() + offset[1];
        const T* from = x.as<T>() + offset[2];
        const int64_t at_step = loop.strides[1].back(), from_step = loop.strides[2].back();
        for (int64_t i = 0; i < length; ++i)
          to[i] = from[at[i * at_step] * axis_stride + i * from_step];
      });
    });
  });
}

}  // namespace tegula::cpu
