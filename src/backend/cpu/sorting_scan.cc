// cumulative: passes over an axis in its order.
//
// A running sum is computed in segments of 128 elements, 8 to a block. An element is
// (the blocks before, one after the other + the segments before in its block, likewise) + its
// segment up to it, likewise: an order that depends on its place along the axis alone, lets
// segments overlap and blocks go to different threads, and keeps errors small. Running extremes,
// whose order is all the same, go with sums. Products go strictly in order, as 0 times an overflow
// further on must stay 0.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/sorting_scan.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <limits>

#include "backend/cpu/sorting_lines.h"
#include "graph/attrs.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

// Lines that advance together where they are not neighbours in memory: their chains of dependent
// operations overlap.
constexpr int64_t kApart = 8;
constexpr int64_t kSegment = 128, kSegments = 8, kBlock = kSegment * kSegments;

// NaN wins and, once there, stays; equals keep the first.
template <class C>
C extreme(C best, C value, bool greatest) {
  if (greatest ? value > best : value < best) return value;
  return value != value && best == best ? value : best;
}

template <int64_t kMode, class C>
C accumulate(C total, C value) {
  if constexpr (std::is_same_v<C, bool>) {
    return kMode == kCumSum || kMode == kCumMax ? total || value : total && value;
  } else if constexpr (kMode == kCumMax || kMode == kCumMin) {
    return extreme(total, value, kMode == kCumMax);
  } else if constexpr (std::is_integral_v<C>) {
    const uint64_t a = uint64_t(total), b = uint64_t(value);  // wraps as the narrow type does
    return C(kMode == kCumSum ? a + b : a * b);
  } else {
    return kMode == kCumSum ? total + value : total * value;
  }
}

// accumulate(identity, x) is x to the bit.
template <int64_t kMode, class C>
constexpr C identity() {
  using Limits = std::numeric_limits<C>;
  if constexpr (kMode == kCumSum) return C(-0.0);
  if constexpr (kMode == kCumProd) return C(1);
  const bool least = kMode == kCumMax;
  if constexpr (Limits::has_infinity) return least ? -Limits::infinity() : Limits::infinity();
  return least ? Limits::lowest() : Limits::max();
}

// Lines abreast.
template <class T, int64_t kMode>
void scan_lines(const Lines& lines, T* out, const T* in, int64_t width) {
  using C = compute_t<T>;
  const int64_t out_step = lines.loop.strides[0].back(), in_step = lines.loop.strides[1].back();
  const bool near = out_step == 1 && in_step == 1;
  const int64_t segment = kMode == kCumProd ? lines.length : kSegment;
  C blocks[kNear], segments[kNear], before[kNear], total[kNear];
  for (int64_t first = 0; first < width;) {
    const int64_t count = std::min(width - first, near ? kNear : kApart);
    T* to = out + first * out_step;
    const T* from = in + first * in_step;
    const auto pass = [&](int64_t end, int64_t width_of, int64_t to_step, int64_t from_step) {
      for (int64_t i = 0; i < end; ++i, to += lines.out_stride, from += lines.in_stride)
        for (int64_t j = 0; j < width_of; ++j) {
          total[j] = accumulate<kMode, C>(total[j], C(from[j * from_step]));
          to[j * to_step] = T(accumulate<kMode, C>(before[j], total[j]));
        }
    };
    std::fill_n(blocks, count, identity<kMode, C>());
    for (int64_t i = 0; i < lines.length; i += segment) {
      const bool new_block = i % kBlock == 0;
      for (int64_t j = 0; j < count; ++j) {
        if (i > 0) segments[j] = accumulate<kMode, C>(segments[j], total[j]);
        if (new_block && i > 0) blocks[j] = accumulate<kMode, C>(blocks[j], segments[j]);
        if (new_block) segments[j] = identity<kMode, C>();
        before[j] = accumulate<kMode, C>(blocks[j], segments[j]);
        total[j] = identity<kMode, C>();
      }
      const int64_t end = std::min(segment, lines.length - i);
      if (near) pass(end, count, 1, 1);
      else if (count == kApart) pass(end, kApart, out_step, in_step);
      else pass(end, count, out_step, in_step);
    }
    first += count;
  }
}

// One line, its segments abreast.
template <class T, int64_t kMode>
class LineScan {
 public:
  using C = compute_t<T>;
  LineScan(T* out, int64_t out_stride, const T* in, int64_t in_stride)
      : out_(out), in_(in), out_stride_(out_stride), in_stride_(in_stride) {}

  // Writes elements [begin, end), `begin` at the start of a block; what came before adds up to
  // `blocks`. Returns it with these blocks.
  C scan(int64_t begin, int64_t end, C blocks) const {
    for (; begin < end; begin += kBlock) {
      C segments = identity<kMode, C>();
      int64_t at = begin;
      const int64_t stop = std::min(end, begin + kBlock);
      const auto abreast = [&](auto width) {
        for (; at + width * kSegment <= stop; at += width * kSegment)
          scan_segments<width>(at, kSegment, blocks, segments);
      };
      abreast(std::integral_constant<int64_t, 8>());
      abreast(std::integral_constant<int64_t, 4>());
      abreast(std::integral_constant<int64_t, 2>());
      abreast(std::integral_constant<int64_t, 1>());
      if (at < stop) scan_segments<1>(at, stop - at, blocks, segments);
      blocks = accumulate<kMode, C>(blocks, segments);
    }
    return blocks;
  }

  // What the elements of the whole block at `begin` add up to.
  C block_total(int64_t begin) const {
    C total[kSegments], elements[kBlock];
    load(begin, kBlock, elements);
    std::fill_n(total, kSegments, identity<kMode, C>());
    for (int64_t i = 0; i < kSegment; ++i)
      for (int64_t s = 0; s < kSegments; ++s)
        total[s] = accumulate<kMode, C>(total[s], elements[s * kSegment + i]);
    C segments = identity<kMode, C>();
    for (C t : total) segments = accumulate<kMode, C>(segments, t);
    return segments;
  }

 private:
  // In order, as the processor fetches one stream ahead better than eight.
  void load(int64_t begin, int64_t count, C* to) const {
    const T* const from = in_ + begin * in_stride_;
    if (in_stride_ == 1) {
      for (int64_t i = 0; i < count; ++i) to[i] = C(from[i]);
    } else {
      for (int64_t i = 0; i < count; ++i) to[i] = C(from[i * in_stride_]);
    }
  }

  template <int64_t kWidth>
  void scan_segments(int64_t begin, int64_t length, C blocks, C& segments) const {
    C total[kWidth], sums[kWidth * kSegment];
    load(begin, (kWidth - 1) * kSegment + length, sums);
    std::fill_n(total, kWidth, identity<kMode, C>());
    for (int64_t i = 0; i < length; ++i)
      for (int64_t s = 0; s < kWidth; ++s) {
        C& sum = sums[s * kSegment + i];
        sum = total[s] = accumulate<kMode, C>(total[s], sum);
      }
    for (int64_t s = 0; s < kWidth; ++s) {
      const C before = accumulate<kMode, C>(blocks, segments);
      const C* const from = sums + s * kSegment;
      T* const to = out_ + (begin + s * kSegment) * out_stride_;
      if (out_stride_ == 1) {
        for (int64_t i = 0; i < length; ++i) to[i] = T(accumulate<kMode, C>(before, from[i]));
      } else {
        for (int64_t i = 0; i < length; ++i)
          to[i * out_stride_] = T(accumulate<kMode, C>(before, from[i]));
      }
      segments = accumulate<kMode, C>(segments, total[s]);
    }
  }

  T* out_;
  const T* in_;
  int64_t out_stride_, in_stride_;
};

// One line by all threads, in groups of blocks that fit the cache: what each block adds up to, then
// its elements.
template <class T, int64_t kMode>
void scan_long_line(const LineScan<T, kMode>& line, int64_t length) {
  using C = compute_t<T>;
  constexpr int64_t kGroup = 1024, kPiece = 32;  // blocks
  const auto pieces = [](int64_t blocks, const auto& body) {
    parallel_for((blocks + kPiece - 1) / kPiece,
                 [&](int64_t p) { body(p * kPiece, std::min(blocks, (p + 1) * kPiece)); },
                 double(blocks * kBlock) / (2 * kWorkPerMicrosecond));
  };
  C before[kGroup + 1];
  before[0] = identity<kMode, C>();
  for (int64_t begin = 0; begin < length; begin += kGroup * kBlock) {
    const int64_t end = std::min(length, begin + kGroup * kBlock);
    const int64_t whole = (end - begin) / kBlock, blocks = (end - begin + kBlock - 1) / kBlock;
    pieces(whole, [&](int64_t b, int64_t last) {
      for (; b < last; ++b) before[b + 1] = line.block_total(begin + b * kBlock);
    });
    for (int64_t b = 0; b < whole; ++b)
      before[b + 1] = accumulate<kMode, C>(before[b], before[b + 1]);
    pieces(blocks, [&](int64_t b, int64_t last) {
      line.scan(begin + b * kBlock, std::min(end, begin + last * kBlock), before[b]);
    });
    before[0] = before[whole];
  }
}

template <class T, int64_t kMode>
void scan(const Lines& lines, T* out, const T* in) {
  const int64_t out_step = lines.loop.strides[0].back(), in_step = lines.loop.strides[1].back();
  const auto line = [&](const auto& offset, int64_t j) {
    return LineScan<T, kMode>(out + offset[0] + j * out_step, lines.out_stride,
                              in + offset[1] + j * in_step, lines.in_stride);
  };
  const auto each_line = [&](int64_t begin, int64_t end, const auto& body) {
    for_each_run(lines.loop, begin, end, [&](const auto& offset, int64_t width) {
      for (int64_t j = 0; j < width; ++j) body(line(offset, j));
    });
  };
  if (kMode != kCumProd && lines.loop.count < kApart && lines.length >= 64 * kBlock &&
      num_threads() > 1) {
    return each_line(0, lines.loop.count,
                     [&](const auto& one) { scan_long_line(one, lines.length); });
  }
  const bool alone = kMode != kCumProd && lines.out_stride == 1 && lines.length > kSegment;
  for_pieces(
      lines.loop.count, lines.length,
      [&](int64_t begin, int64_t end) {
        if (alone) {
          return each_line(begin, end, [&](const auto& one) {
            one.scan(0, lines.length, identity<kMode, compute_t<T>>());
          });
        }
        for_each_run(lines.loop, begin, end, [&](const auto& offset, int64_t width) {
          scan_lines<T, kMode>(lines, out + offset[0], in + offset[1], width);
        });
      },
      alone ? 1 : std::min<int64_t>(16, tile_size(16)));
}

void cumulative(const Lines& lines, int64_t mode, const View& out, const View& in) {
  dispatch(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    switch (mode) {
      case kCumSum:
        return scan<T, kCumSum>(lines, out.as<T>(), in.as<T>());
      case kCumProd:
        return scan<T, kCumProd>(lines, out.as<T>(), in.as<T>());
      case kCumMax:
        return scan<T, kCumMax>(lines, out.as<T>(), in.as<T>());
      default:
        return scan<T, kCumMin>(lines, out.as<T>(), in.as<T>());
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(cumulative);

void run_cumulative(const KernelArgs& args) {
  const View &in = args.inputs[0], &out = args.outputs[0];
  if (numel(in.shape) == 0) return;
  const auto [axis, mode] = read_attrs<AxisAttrs>(args.attrs);
  const Dims dense = contiguous_strides(out.shape);
  const Dims out_lines = without_axis(dense, size_t(axis)),
             in_lines = without_axis(in.strides, size_t(axis));
  const Lines lines{merge_axes<2>(without_axis(in.shape, size_t(axis)), {&out_lines, &in_lines}),
                    in.shape[axis], dense[axis], in.strides[axis]};
  HWY_DYNAMIC_DISPATCH(cumulative)(lines, mode, out, in);
}

}  // namespace tegula::cpu
#endif
