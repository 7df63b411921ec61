// argreduce: the place of the first greatest or least element along an axis, or of the first NaN.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/sorting_argreduce.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/sorting_lines.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

template <bool kGreatest, class C>
bool better(C value, C best) {
  return kGreatest ? value > best : value < best;
}

// The first best of a dense line. A stretch is searched only if it holds something better, or a
// NaN.
template <class T, bool kGreatest>
int64_t best_of_line(const T* in, int64_t length) {
  using C = compute_t<T>;
  using Flag = std::conditional_t<sizeof(C) == 8, int64_t,
                                  std::conditional_t<sizeof(C) == 4, int32_t, int16_t>>;
  constexpr int64_t kStretch = 128;
  C best = C(in[0]);
  if (best != best) return 0;
  int64_t at = 0, i = 1;
  for (; i + kStretch <= length; i += kStretch) {
    Flag found = 0;  // as wide as an element, so that the loop vectorises
    for (int64_t j = 0; j < kStretch; ++j) {
      const C value = C(in[i + j]);
      found |= (kGreatest ? value <= best : value >= best) ? Flag(0) : Flag(1);
    }
    if (!found) continue;
    for (int64_t j = i; j < i + kStretch; ++j) {
      const C value = C(in[j]);
      if (value != value) return j;
      if (better<kGreatest>(value, best)) {
        best = value;
        at = j;
      }
    }
  }
  for (; i < length; ++i) {
    const C value = C(in[i]);
    if (value != value) return i;
    if (better<kGreatest>(value, best)) {
      best = value;
      at = i;
    }
  }
  return at;
}

template <class T, bool kGreatest>
void best_of_lines(const Lines& lines, int64_t* out, const T* in, int64_t width) {
  using C = compute_t<T>;
  const int64_t step = lines.loop.strides[1].back();
  C best[kNear];
  int64_t at[kNear];
  for (int64_t first = 0; first < width; first += kNear) {
    const int64_t count = std::min(width - first, kNear);
    const T* from = in + first * step;
    for (int64_t j = 0; j < count; ++j) {
      best[j] = C(from[j * step]);
      at[j] = 0;
    }
    for (int64_t i = 1; i < lines.length; ++i) {
      from += lines.in_stride;
      for (int64_t j = 0; j < count; ++j) {
        const C value = C(from[j * step]);
        const bool wins =
            better<kGreatest>(value, best[j]) | ((value != value) & (best[j] == best[j]));
        best[j] = wins ? value : best[j];
        at[j] = wins ? i : at[j];
      }
    }
    std::copy_n(at, count, out + first);
  }
}

void argreduce(const Lines& lines, int64_t mode, const View& out, const View& in, int64_t begin,
               int64_t end) {
  dispatch(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t step = lines.loop.strides[1].back();
    for_each_run(lines.loop, begin, end, [&](const auto& offset, int64_t width) {
      int64_t* to = out.as<int64_t>() + offset[0];
      const T* from = in.as<T>() + offset[1];
      if (lines.in_stride == 1) {
        for (int64_t j = 0; j < width; ++j, from += step)
          to[j] = mode == kArgMax ? best_of_line<T, true>(from, lines.length)
                                  : best_of_line<T, false>(from, lines.length);
      } else if (mode == kArgMax) {
        best_of_lines<T, true>(lines, to, from, width);
      } else {
        best_of_lines<T, false>(lines, to, from, width);
      }
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(argreduce);

void run_argreduce(const KernelArgs& args) {
  const View &in = args.inputs[0], &out = args.outputs[0];
  if (numel(in.shape) == 0) return;
  const int64_t mode = read_attrs<AxisAttrs>(args.attrs).mode;
  if (in.shape.empty()) {
    *out.as<int64_t>() = 0;
    return;
  }
  const size_t last = in.shape.size() - 1;
  const Dims shape = without_axis(in.shape, last), strides = without_axis(in.strides, last);
  const Dims dense = contiguous_strides(shape);
  const Lines lines{merge_axes<2>(shape, {&dense, &strides}), in.shape[last], 0, in.strides[last]};
  const auto run = HWY_DYNAMIC_DISPATCH(argreduce);
  for_pieces(lines.loop.count, lines.length,
             [&](int64_t begin, int64_t end) { run(lines, mode, out, in, begin, end); });
}

}  // namespace tegula::cpu
#endif
