#include "backend/cpu/resample.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/resample_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, class T>
HWY_INLINE void sum_rows_at(D d, const T* const* rows, const T* weights, int64_t terms, int64_t x,
                            T* to) {
  auto sum = hn::Mul(hn::Set(d, weights[0]), hn::LoadU(d, rows[0] + x));
  for (int64_t t = 1; t < terms; ++t)
    sum = hn::MulAdd(hn::Set(d, weights[t]), hn::LoadU(d, rows[t] + x), sum);
  hn::StoreU(sum, d, to + x);
}

template <class T>
void sum_rows(const T* const* rows, const T* weights, int64_t terms, int64_t width, T* to) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t x = 0;
  for (; x + lanes <= width; x += lanes) sum_rows_at(d, rows, weights, terms, x, to);
  const hn::CappedTag<T, 1> one;
  for (; x < width; ++x) sum_rows_at(one, rows, weights, terms, x, to);
}

// Term k of the elements of vector v.
template <class D, class T>
HWY_INLINE hn::Vec<D> term(D d, const T* row, const ResampleTaps<T>& taps, int64_t k, int64_t v,
                           int64_t lanes) {
  const hn::Rebind<int32_t, D> narrow;
  const hn::RebindToSigned<D> di;
  const int64_t vectors = taps.padded / lanes;
  const int32_t* at = taps.index.data() + k * taps.padded + v * lanes;
  const int32_t base = taps.base[size_t(k * vectors + v)];
  const auto index = [&]() HWY_ATTR {
    if constexpr (sizeof(T) == 4) return hn::LoadU(di, at);
    else return hn::PromoteTo(di, hn::LoadU(narrow, at));
  }();
  if (base < 0) return hn::GatherIndex(d, row, index);
  const auto last = hn::Set(di, hn::TFromD<decltype(di)>(lanes - 1));
  const auto places = hn::IndicesFromVec(d, hn::And(index, last));
  const auto first = hn::TableLookupLanes(hn::LoadU(d, row + base), places);
  const auto second = hn::TableLookupLanes(hn::LoadU(d, row + base + lanes), places);
  return hn::IfThenElse(hn::RebindMask(d, hn::Gt(index, last)), second, first);
}

template <class T>
void sum_columns(const T* row, const ResampleTaps<T>& taps, T* to) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d)), vectors = taps.padded / lanes;
  for (int64_t v = 0; v < vectors; ++v) {
    const T* weights = taps.weight.data() + v * lanes;
    auto sum = hn::Mul(hn::LoadU(d, weights), term(d, row, taps, 0, v, lanes));
    for (int64_t k = 1; k < taps.width; ++k)
      sum =
          hn::MulAdd(hn::LoadU(d, weights + k * taps.padded), term(d, row, taps, k, v, lanes), sum);
    const int64_t rest = taps.to - v * lanes;
    if (rest >= lanes) {
      hn::StoreU(sum, d, to + v * lanes);
    } else {
      HWY_ALIGN T tail[HWY_MAX_BYTES / sizeof(T)];
      hn::Store(sum, d, tail);
      std::copy_n(tail, rest, to + v * lanes);
    }
  }
}

template <class T>
ResampleLoops<T> loops() {
  return {sum_rows<T>, sum_columns<T>, int64_t(hn::Lanes(hn::ScalableTag<T>()))};
}
ResampleLoops<float> loops_f32() { return loops<float>(); }
ResampleLoops<double> loops_f64() { return loops<double>(); }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cmath>
#include <memory>
#include <optional>

#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/resample_attrs.h"

namespace tegula::cpu {
namespace {

HWY_EXPORT(loops_f32);
HWY_EXPORT(loops_f64);

template <class T>
ResampleLoops<T> resample_loops() {
  if constexpr (sizeof(T) == 4) return HWY_DYNAMIC_DISPATCH(loops_f32)();
  else return HWY_DYNAMIC_DISPATCH(loops_f64)();
}

struct Tap {
  int64_t index;
  double weight;
};
using TapList = std::vector<Tap>;

// Elements outside count as the nearest inside, and one element's weights are added up.
void add_tap(TapList& taps, int64_t index, double weight, int64_t size) {
  index = std::clamp<int64_t>(index, 0, size - 1);
  if (!taps.empty() && taps.back().index == index) taps.back().weight += weight;
  else taps.push_back({index, weight});
}

// Keys' cubic convolution, whose slope at the neighbours `a` sets.
double cubic(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// A filter as wide as the elements of the result are apart.
void add_wide_taps(TapList& taps, const ResampleAxis& axis, int64_t i) {
  const bool is_cubic = axis.mode == kResampleCubic;
  const double wide = std::max(axis.scale, 1.0), reach = (is_cubic ? 2 : 1) * wide;
  const double center = axis.scale * (double(i) + 0.5);
  const int64_t first = std::max<int64_t>(int64_t(center - reach + 0.5), 0);
  const int64_t end = std::min(int64_t(center + reach + 0.5), axis.from);
  double total = 0;
  for (int64_t j = first; j < end; ++j) {
    const double x = (double(j) - center + 0.5) / wide;
    const double weight = is_cubic ? cubic(x, -0.5) : std::max(0.0, 1 - std::abs(x));
    taps.push_back({j, weight});
    total += weight;
  }
  if (total != 0)
    for (Tap& tap : taps) tap.weight /= total;
}

TapList taps_of(const ResampleAxis& axis, int64_t i) {
  const auto last = axis.from - 1;
  const double dst = double(i);
  TapList taps;
  if (axis.mode == kResampleNearest || axis.mode == kResampleNearestExact) {
    const double at = (axis.mode == kResampleNearest ? dst : dst + 0.5) * axis.scale;
    add_tap(taps, std::min(int64_t(at), last), 1, axis.from);
  } else if (axis.mode == kResampleArea) {
    const int64_t first = i * axis.from / axis.to;
    const int64_t end = ((i + 1) * axis.from + axis.to - 1) / axis.to;
    for (int64_t j = first; j < end; ++j) taps.push_back({j, 1 / double(end - first)});
  } else if (axis.antialias) {
    add_wide_taps(taps, axis, i);
  } else {
    double at = axis.align_corners ? dst * axis.scale : (dst + 0.5) * axis.scale - 0.5;
    if (axis.mode == kResampleLinear) at = std::max(at, 0.0);
    const double below = std::floor(at), t = at - below;
    const int64_t j = int64_t(below);
    if (axis.mode == kResampleLinear) {
      const int64_t lower = std::min(j, last);
      add_tap(taps, lower, 1 - t, axis.from);
      if (t != 0) add_tap(taps, lower + 1, t, axis.from);
    } else {
      for (int64_t k = -1; k <= 2; ++k)
        add_tap(taps, j + k, cubic(double(k) - t, -0.75), axis.from);
    }
  }
  return taps;
}

template <class T>
ResampleTaps<T> make_taps(const ResampleAxis& axis, bool transposed, int64_t lanes) {
  std::vector<TapList> lists(size_t(transposed ? axis.from : axis.to));
  for (int64_t i = 0; i < axis.to; ++i) {
    TapList taps = taps_of(axis, i);
    if (!transposed) lists[size_t(i)] = std::move(taps);
    else
      for (const Tap& tap : taps) lists[size_t(tap.index)].push_back({i, tap.weight});
  }
  ResampleTaps<T> result;
  result.from = transposed ? axis.to : axis.from;
  result.to = int64_t(lists.size());
  result.padded = (result.to + lanes - 1) / lanes * lanes;
  result.width = 1;
  result.same = axis.from == axis.to;
  for (size_t i = 0; i < lists.size(); ++i) {
    const TapList& taps = lists[i];
    result.width = std::max(result.width, int64_t(taps.size()));
    result.count.push_back(int32_t(taps.size()));
    result.same &= taps.size() == 1 && taps[0].index == int64_t(i) && taps[0].weight == 1;
  }
  result.index.assign(size_t(result.width * result.padded), int32_t(result.from));
  result.weight.assign(size_t(result.width * result.padded), T(0));
  for (size_t i = 0; i < lists.size(); ++i)
    for (size_t k = 0; k < lists[i].size(); ++k) {
      result.index[k * size_t(result.padded) + i] = int32_t(lists[i][k].index);
      result.weight[k * size_t(result.padded) + i] = T(lists[i][k].weight);
    }
  for (size_t v = 0; v < result.index.size(); v += size_t(lanes)) {
    int32_t* const at = result.index.data() + v;
    const auto [least, most] = std::minmax_element(at, at + lanes);
    const int32_t base = *most - *least < 2 * lanes ? *least : -1;
    result.base.push_back(base);
    if (base >= 0)
      for (int64_t i = 0; i < lanes; ++i) at[i] -= base;
  }
  return result;
}

template <class T>
struct Prepared {
  ResampleLoops<T> loops;
  ResampleTaps<T> rows, columns;
};

template <class T>
std::shared_ptr<void> prepare_as(const ResampleAttrs& attrs) {
  const auto loops = resample_loops<T>();
  const bool transposed = attrs.transposed;
  return std::make_shared<Prepared<T>>(
      Prepared<T>{loops, make_taps<T>(attrs.rows, transposed, loops.lanes),
                  make_taps<T>(attrs.columns, transposed, loops.lanes)});
}

std::shared_ptr<void> prepare(const StepSpec& step) {
  const ResampleAttrs attrs = read_attrs<ResampleAttrs>(step.attrs);
  return step.outputs[0].dtype == DType::float64 ? prepare_as<double>(attrs)
                                                 : prepare_as<float>(attrs);
}

// One row of the result of a plane whose rows are `stride` apart, by way of `line`.
template <class T>
void resample_row(const Prepared<T>& p, const T* plane, int64_t stride, int64_t y, T* line, T* to,
                  std::vector<const T*>& sources, std::vector<T>& weights) {
  const auto& [loops, rows, columns] = p;
  const int64_t terms = rows.count[size_t(y)], width = columns.from;
  T* const sums = columns.same ? to : line;
  if (terms == 0) {
    std::fill_n(sums, width, T(0));
  } else {
    for (int64_t k = 0; k < terms; ++k) {
      const size_t at = size_t(k * rows.padded + y);
      const int32_t base = rows.base[at / size_t(loops.lanes)];
      sources[size_t(k)] = plane + (rows.index[at] + std::max(base, 0)) * stride;
      weights[size_t(k)] = rows.weight[at];
    }
    if (terms == 1 && weights[0] == 1) std::copy_n(sources[0], width, sums);
    else loops.sum_rows(sources.data(), weights.data(), terms, width, sums);
  }
  if (!columns.same) loops.sum_columns(line, columns, to);
}

template <class T>
void run_as(const KernelArgs& args) {
  const auto& p = *static_cast<const Prepared<T>*>(args.prepared);
  const View& x = args.inputs[0];
  T* const out = args.outputs[0].as<T>();
  const bool direct = x.strides[2] == 1 || x.shape[2] == 1;
  const std::optional<DenseInput> copy = direct ? std::nullopt : std::optional<DenseInput>(x);
  const T* data = direct ? x.as<T>() : copy->as<T>();
  const int64_t row_stride = direct ? x.strides[1] : x.shape[2];
  const int64_t plane_stride = direct ? x.strides[0] : x.shape[1] * x.shape[2];
  const int64_t height = p.rows.to, width = p.columns.to, from = p.columns.from;
  const int64_t work = p.rows.width * from + 2 * p.columns.width * width;
  for_pieces(x.shape[0] * height, work, [&](int64_t begin, int64_t end) {
    const size_t room = size_t(from + 1 + 2 * p.loops.lanes);
    const Scratch<T> line(ScratchUse::vector, room);
    std::fill_n(line + from, room - size_t(from), T(0));
    std::vector<const T*> sources(size_t(p.rows.width));
    std::vector<T> weights(size_t(p.rows.width));
    for (int64_t i = begin; i < end; ++i)
      resample_row(p, data + i / height * plane_stride, row_stride, i % height, line.get(),
                   out + i * width, sources, weights);
  });
}

void run(const KernelArgs& args) {
  args.outputs[0].dtype == DType::float64 ? run_as<double>(args) : run_as<float>(args);
}

constexpr KernelEntry kEntries[] = {{"resample", {.run = run, .prepare = prepare}}};

}  // namespace

std::span<const KernelEntry> resampling_kernels() { return kEntries; }

}  // namespace tegula::cpu
#endif
