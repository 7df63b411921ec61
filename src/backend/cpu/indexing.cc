// check_index, slice_update and concat, and the table of the indexing family.
#include "backend/cpu/indexing.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

template <class T>
[[noreturn]] void out_of_bounds(T index, const CheckIndexAttrs& attrs, std::string_view name) {
  fail(ErrorKind::index, name, name.empty() ? "" : ": ", "index ", +index,
       " is out of bounds for axis ", attrs.axis, " with size ", attrs.size);
}

template <class T>
void check_indices(const View& index, int64_t* out, const CheckIndexAttrs& attrs,
                   std::string_view name) {
  const int64_t size = attrs.size;
  const bool strict = attrs.strict;
  const Dims dense = contiguous_strides(index.shape);
  const auto loop = merge_axes<2>(index.shape, {&dense, &index.strides});
  for_pieces(loop.count, 1, [&](int64_t begin, int64_t end) {
    for_each_run(loop, begin, end, [&](const auto& offset, int64_t length) {
      const T* from = index.as<T>() + offset[1];
      const int64_t step = loop.strides[1].back();
      int64_t* to = out + offset[0];
      bool bad = false;
      for (int64_t i = 0; i < length; ++i) {
        int64_t value = int64_t(from[i * step]);
        if constexpr (std::is_signed_v<T>) {
          value = value < 0 && !strict ? value + size : value;
        }
        bad |= uint64_t(value) >= uint64_t(size);
        to[i] = value;
      }
      if (!bad) return;
      for (int64_t i = 0; i < length; ++i)
        if (uint64_t(to[i]) >= uint64_t(size)) out_of_bounds(from[i * step], attrs, name);
    });
  });
}

void run_check_index(const KernelArgs& args) {
  const View& index = args.inputs[0];
  const auto attrs = read_attrs<CheckIndexAttrs>(args.attrs);
  const std::string_view name = read_text(args.attrs.subspan(sizeof(attrs) / sizeof(int64_t)));
  dispatch(index.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      check_indices<T>(index, args.outputs[0].as<int64_t>(), attrs, name);
    } else {
      fail(ErrorKind::type, "indices must be integers, got ", index.dtype);
    }
  });
}

void run_slice_update(const KernelArgs& args) {
  copy_unless_in_place(args);
  const View &out = args.outputs[0], &value = args.inputs[1];
  Dims strides = contiguous_strides(out.shape);
  int64_t start = 0;
  for (size_t axis = 0; axis < strides.size(); ++axis) {
    start += args.dynamic[axis] * strides[axis];
    strides[axis] *= args.attrs[axis];
  }
  const size_t size = itemsize(out.dtype);
  strided_copy(out.data + start * int64_t(size), strides, value.data, value.strides, value.shape,
               size);
}

void run_concat(const KernelArgs& args) {
  const View& out = args.outputs[0];
  const size_t axis = size_t(read_attrs<AxisAttrs>(args.attrs).axis);
  const size_t size = itemsize(out.dtype);
  const Dims strides = contiguous_strides(out.shape);
  std::byte* to = out.data;
  for (const View& part : args.inputs) {
    strided_copy(to, strides, part.data, part.strides, part.shape, size);
    to += part.shape[axis] * strides[axis] * int64_t(size);
  }
}

constexpr KernelEntry kEntries[] = {
    {"check_index", {run_check_index, nullptr, true}},
    {"gather", {run_gather}},
    {"take_along_axis", {run_take_along_axis}},
    {"scatter", {run_scatter}},
    {"scatter_along_axis", {run_scatter_along_axis}},
    {"scatter_reduce", {run_scatter}},
    {"scatter_reduce_along_axis", {run_scatter_along_axis}},
    {"embedding_bag", {run_embedding_bag, nullptr, true}},
    {"slice_update", {run_slice_update}},
    {"concat", {run_concat}},
};

}  // namespace

void copy_unless_in_place(const KernelArgs& args) {
  if (args.outputs[0].data != args.inputs[0].data) copy_dense(args.outputs[0].data, args.inputs[0]);
}

std::span<const KernelEntry> indexing_kernels() { return kEntries; }

}  // namespace tegula::cpu
