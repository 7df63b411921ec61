// scatter and scatter_along_axis. Indices have been checked. Every destination takes its
// contributions in index order, so the work is cut by destination and never by index. 16-bit
// floats add up in float32 and round once per destination.
#include <array>
#include <numeric>
#include <vector>

#include "backend/cpu/indexing.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

template <class T>
T sum(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return T(U(U(a) + U(b)));
  } else {
    return a + b;
  }
}

// NaN wins and stays.
template <class T>
T extreme(T a, T b, bool greatest) {
  if constexpr (std::is_same_v<T, bool>) {
    return greatest ? a || b : a && b;
  } else {
    return (greatest ? b > a : b < a) || b != b ? b : a;
  }
}

template <class T>
T times(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a && b;
  } else if constexpr (std::is_integral_v<T>) {
    return T(uint64_t(a) * uint64_t(b));
  } else {
    return a * b;
  }
}

template <class T, ScatterMode kMode>
T combined(T a, T b) {
  if constexpr (kMode == kScatterAdd) return sum(a, b);
  if constexpr (kMode == kScatterMul) return times(a, b);
  if constexpr (kMode == kScatterMax || kMode == kScatterMin)
    return extreme(a, b, kMode == kScatterMax);
  return b;
}

template <class T, ScatterMode kMode>
void combine(T& to, T from) {
  if constexpr (kMode == kScatterSet) {
    to = from;
  } else {
    to = T(combined<compute_t<T>, kMode>(to, from));
  }
}

// Whether contributions are combined in float32, and rounded at the end.
template <class T, ScatterMode kMode>
constexpr bool kRoundsOnce =
    (kMode == kScatterAdd || kMode == kScatterMul) && !std::is_same_v<T, compute_t<T>>;

// Destination (outer, extent, inner), dense; source (outer, count, inner) with any strides.
struct Scatter {
  std::byte* out;
  const std::byte* src;
  const int64_t* index;
  int64_t outer, extent, inner, count;
  int64_t outer_stride, count_stride, inner_stride;

  template <class T>
  T* destination(int64_t o, int64_t k) const {
    return reinterpret_cast<T*>(out) + (o * extent + index[k]) * inner;
  }
  template <class T>
  const T* source(int64_t o, int64_t k) const {
    return reinterpret_cast<const T*>(src) + o * outer_stride + k * count_stride;
  }
};

template <class T, ScatterMode kMode>
void combine_row(T* to, const T* from, int64_t step, int64_t length) {
  if (step == 1) {
    for (int64_t i = 0; i < length; ++i) combine<T, kMode>(to[i], from[i]);
  } else {
    for (int64_t i = 0; i < length; ++i) combine<T, kMode>(to[i], from[i * step]);
  }
}

template <class T, ScatterMode kMode>
void scatter_in_order(const Scatter& s) {
  for_pieces(s.outer, s.count * s.inner, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t k = 0; k < s.count; ++k)
        combine_row<T, kMode>(s.destination<T>(o, k), s.source<T>(o, k), s.inner_stride, s.inner);
  });
}

// Asks for the start of a row that is soon needed, from wherever it is.
template <class T>
void fetch(const T* row, int64_t width) {
  constexpr int64_t kLine = 64 / int64_t(sizeof(T)), kMost = 8;
  for (int64_t i = 0; i < std::min(width, kMost * kLine); i += kLine) __builtin_prefetch(row + i);
}

// Cuts the destinations into ranges of about as many indices each: where the ranges begin, and the
// end.
std::vector<int64_t> even_ranges(const int64_t* index, int64_t count, int64_t extent,
                                 int64_t ranges) {
  constexpr int64_t kCounted = 1024;
  int shift = 0;
  while ((extent - 1) >> shift >= kCounted) ++shift;
  std::array<int64_t, kCounted> counts{};
  for (int64_t k = 0; k < count; ++k) ++counts[index[k] >> shift];
  std::vector<int64_t> begins{0};
  int64_t seen = 0;
  for (int64_t c = 0; c < kCounted && int64_t(begins.size()) < ranges; ++c) {
    seen += counts[c];
    if (seen * ranges >= count * int64_t(begins.size()))
      begins.push_back(std::min(extent, (c + 1) << shift));
  }
  begins.resize(ranges + 1, extent);
  return begins;
}

// For many indices of narrow rows: a thread owns a range of destinations, and applies what falls
// into it in index order. So how many ranges there are changes no bit.
template <class T, ScatterMode kMode>
void scatter_by_ranges(const Scatter& s) {
  constexpr int64_t kBlock = 1024, kAhead = 8;
  const int64_t ranges = num_threads();
  const std::vector<int64_t> begins = ranges > 1 ? even_ranges(s.index, s.count, s.extent, ranges)
                                                 : std::vector<int64_t>{0, s.extent};
  const auto apply = [&](int64_t range) {
    const uint64_t first = uint64_t(begins[range]), width = uint64_t(begins[range + 1]) - first;
    int64_t own[kBlock];
    for (int64_t o = 0; o < s.outer; ++o)
      for (int64_t begin = 0; begin < s.count; begin += kBlock) {
        int64_t found = 0;
        for (int64_t k = begin; k < std::min(s.count, begin + kBlock); ++k) {
          own[found] = k;
          found += uint64_t(s.index[k]) - first < width;
        }
        for (int64_t i = 0; i < found; ++i) {
          if (i + kAhead < found) {
            fetch(s.destination<T>(o, own[i + kAhead]), s.inner);
            if (s.inner_stride == 1) fetch(s.source<T>(o, own[i + kAhead]), s.inner);
          }
          combine_row<T, kMode>(s.destination<T>(o, own[i]), s.source<T>(o, own[i]), s.inner_stride,
                                s.inner);
        }
      }
  };
  parallel_for(ranges, apply, double(s.outer * s.count * s.inner) / kWorkPerMicrosecond);
}

// Positions in the index, those of one destination together and in their own order.
std::vector<int64_t> group_by_destination(const int64_t* index, int64_t count, int64_t extent) {
  std::vector<int64_t> order(count);
  const bool sorted = std::is_sorted(index, index + count);
  if (sorted || extent > 8 * count) {
    std::iota(order.begin(), order.end(), int64_t(0));
    if (sorted) return order;
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return index[a] < index[b]; });
    return order;
  }
  std::vector<int64_t> next(extent + 1);
  for (int64_t k = 0; k < count; ++k) ++next[index[k] + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  for (int64_t k = 0; k < count; ++k) order[next[index[k]]++] = k;
  return order;
}

constexpr int64_t kColumns = 512;

// Applies positions [first, last) of `order`, all of one destination, to some of its columns. `end`
// is that of the order.
template <class T, ScatterMode kMode>
void apply_group(const Scatter& s, int64_t o, const int64_t* first, const int64_t* last,
                 const int64_t* end, int64_t column, int64_t width) {
  constexpr int64_t kAhead = 8;
  T* to = s.destination<T>(o, *first) + column;
  const int64_t skip = column * s.inner_stride;
  const auto fetch_ahead = [&] {
    if (s.inner_stride == 1 && end - first > kAhead)
      fetch(s.source<T>(o, first[kAhead]) + skip, width);
  };
  if constexpr (kMode == kScatterSet) {
    combine_row<T, kScatterSet>(to, s.source<T>(o, last[-1]) + skip, s.inner_stride, width);
  } else if constexpr (!kRoundsOnce<T, kMode>) {
    for (; first != last; ++first) {
      fetch_ahead();
      combine_row<T, kMode>(to, s.source<T>(o, *first) + skip, s.inner_stride, width);
    }
  } else {
    float total[kColumns];
    std::copy_n(to, width, total);
    for (; first != last; ++first) {
      fetch_ahead();
      const T* from = s.source<T>(o, *first) + skip;
      for (int64_t i = 0; i < width; ++i)
        total[i] = combined<float, kMode>(total[i], float(from[i * s.inner_stride]));
    }
    for (int64_t i = 0; i < width; ++i) to[i] = T(total[i]);
  }
}

template <class T, ScatterMode kMode>
void scatter_grouped(const Scatter& s) {
  const std::vector<int64_t> order = group_by_destination(s.index, s.count, s.extent);
  const int64_t columns = std::min(s.inner, std::min(kColumns, tile_size(kColumns)));
  const int64_t column_parts = (s.inner + columns - 1) / columns;
  const int64_t chunk = std::max<int64_t>(1, tile_size(kPieceWork) / columns);
  const int64_t chunks = (s.count + chunk - 1) / chunk;
  const auto same = [&](int64_t a, int64_t b) { return s.index[order[a]] == s.index[order[b]]; };
  // A chunk owns the groups that start in it, whole.
  for_pieces(s.outer * chunks * column_parts, chunk * columns, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t column = part % column_parts * columns;
      const int64_t width = std::min(columns, s.inner - column);
      const int64_t o = part / column_parts / chunks;
      int64_t at = part / column_parts % chunks * chunk;
      const int64_t stop = std::min(s.count, at + chunk);
      while (at > 0 && at < stop && same(at, at - 1)) ++at;
      while (at < stop) {
        int64_t last = at + 1;
        while (last < s.count && same(at, last)) ++last;
        apply_group<T, kMode>(s, o, &order[at], order.data() + last, order.data() + s.count, column,
                              width);
        at = last;
      }
    }
  });
}

template <class T, ScatterMode kMode>
void scatter(const Scatter& s) {
  const bool large = s.outer * s.count * s.inner > 2 * tile_size(kPieceWork);
  const bool many = s.count >= tile_size(int64_t(1) << 16) && s.inner <= kColumns;
  if (kRoundsOnce<T, kMode> || (large && s.outer < 8 && s.inner >= 16)) {
    !kRoundsOnce<T, kMode>&& many ? scatter_by_ranges<T, kMode>(s) : scatter_grouped<T, kMode>(s);
  } else {
    scatter_in_order<T, kMode>(s);
  }
}

// Calls f(T{}, mode): by dtype to combine, by size alone to set.
template <class F>
void dispatch_mode(DType dtype, int64_t mode, F&& f) {
  const auto with = [&](auto zero, auto constant) { f(zero, constant); };
  if (mode == kScatterSet)
    return dispatch_size(itemsize(dtype), [&](auto zero) {
      with(zero, std::integral_constant<ScatterMode, kScatterSet>());
    });
  dispatch_all(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (mode == kScatterAdd) return with(zero, std::integral_constant<ScatterMode, kScatterAdd>());
    if (mode == kScatterMul) return with(zero, std::integral_constant<ScatterMode, kScatterMul>());
    if constexpr (!std::is_same_v<T, complex64> && !std::is_same_v<T, complex128>) {
      if (mode == kScatterMax)
        return with(zero, std::integral_constant<ScatterMode, kScatterMax>());
      with(zero, std::integral_constant<ScatterMode, kScatterMin>());
    }
  });
}

// The columns of a scatter along an axis: destination, index and source.
struct AlongAxis {
  StridedLoop<3> columns;
  int64_t length;                             // indices in a column
  int64_t extent;                             // elements of a destination column
  int64_t out_stride, index_stride, src_stride;  // along the axis
};

template <class T, ScatterMode kMode>
void scatter_column(T* out, const int64_t* index, const T* src, const AlongAxis& s,
                    std::vector<float>& total) {
  if constexpr (kRoundsOnce<T, kMode>) {
    if (s.length > 1) {
      total.resize(s.extent);
      for (int64_t i = 0; i < s.extent; ++i) total[i] = float(out[i * s.out_stride]);
      for (int64_t i = 0; i < s.length; ++i)
        combine<float, kMode>(total[index[i * s.index_stride]], float(src[i * s.src_stride]));
      for (int64_t i = 0; i < s.extent; ++i) out[i * s.out_stride] = T(total[i]);
      return;
    }
  }
  for (int64_t i = 0; i < s.length; ++i)
    combine<T, kMode>(out[index[i * s.index_stride] * s.out_stride], src[i * s.src_stride]);
}

template <class T, ScatterMode kMode>
void scatter_columns(T* out, const int64_t* index, const T* src, const AlongAxis& s) {
  const int64_t out_step = s.columns.strides[0].back(), index_step = s.columns.strides[1].back(),
                src_step = s.columns.strides[2].back();
  // Where neighbouring columns are closer in memory than neighbours along the axis, go along the
  // axis in the outer loop.
  const bool across = !kRoundsOnce<T, kMode> && std::abs(out_step) < std::abs(s.out_stride);
  for_pieces(
      s.columns.count, s.length,
      [&](int64_t begin, int64_t end) {
        std::vector<float> total;
        for_each_run(s.columns, begin, end, [&](const auto& offset, int64_t width) {
          T* to = out + offset[0];
          const int64_t* at = index + offset[1];
          const T* from = src + offset[2];
          if (across) {
            for (int64_t i = 0; i < s.length; ++i, at += s.index_stride, from += s.src_stride)
              for (int64_t j = 0; j < width; ++j)
                combine<T, kMode>(to[at[j * index_step] * s.out_stride + j * out_step],
                                  from[j * src_step]);
          } else {
            for (int64_t j = 0; j < width; ++j)
              scatter_column<T, kMode>(to + j * out_step, at + j * index_step, from + j * src_step,
                                       s, total);
          }
        });
      },
      across ? std::min<int64_t>(16, tile_size(16)) : 1);
}

}  // namespace

void run_scatter(const KernelArgs& args) {
  copy_unless_in_place(args);
  const View &index = args.inputs[1], &src = args.inputs[2], &out = args.outputs[0];
  if (numel(src.shape) == 0) return;
  const auto [axis_word, mode] = read_attrs<AxisAttrs>(args.attrs);
  const size_t axis = size_t(axis_word), after = axis + index.shape.size();
  const DenseInput dense_index(index);
  Scatter s{out.data,
            src.data,
            dense_index.as<int64_t>(),
            product(src.shape, 0, axis),
            out.shape[axis],
            product(src.shape, after, src.shape.size()),
            numel(index.shape),
            0,
            0,
            0};
  const auto outer = merged_stride(src, 0, axis);
  const auto count = merged_stride(src, axis, after);
  const auto inner = merged_stride(src, after, src.shape.size());
  std::unique_ptr<DenseInput> dense;
  if (outer && count && inner) {
    s.outer_stride = *outer;
    s.count_stride = *count;
    s.inner_stride = *inner;
  } else {
    dense = std::make_unique<DenseInput>(src);
    s.src = dense->data();
    s.outer_stride = s.count * s.inner;
    s.count_stride = s.inner;
    s.inner_stride = 1;
  }
  dispatch_mode(out.dtype, mode,
                [&](auto zero, auto how) { scatter<decltype(zero), how.value>(s); });
}

void run_scatter_along_axis(const KernelArgs& args) {
  copy_unless_in_place(args);
  const View &index = args.inputs[1], &src = args.inputs[2], &out = args.outputs[0];
  if (numel(index.shape) == 0) return;
  const auto [axis_word, mode] = read_attrs<AxisAttrs>(args.attrs);
  const size_t axis = size_t(axis_word);
  const Dims out_strides = contiguous_strides(out.shape);
  const Dims out_columns = without_axis(out_strides, axis),
             index_columns = without_axis(index.strides, axis),
             src_columns = without_axis(src.strides, axis);
  const AlongAxis s{
      merge_axes<3>(without_axis(index.shape, axis), {&out_columns, &index_columns, &src_columns}),
      index.shape[axis],
      out.shape[axis],
      out_strides[axis],
      index.strides[axis],
      src.strides[axis]};
  dispatch_mode(out.dtype, mode, [&](auto zero, auto how) {
    using T = decltype(zero);
    scatter_columns<T, how.value>(out.as<T>(), index.as<int64_t>(), src.as<T>(), s);
  });
}

}  // namespace tegula::cpu
