#include "backend/cpu/pooling.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/pooling_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls body(c) so that vectors at every c cover the lanes, the last overlapping the one before.
template <class D, class F>
HWY_INLINE void for_lanes(D d, int64_t lanes, F&& body) {
  const int64_t step = int64_t(hn::Lanes(d));
  int64_t c = 0;
  for (; c + step <= lanes; c += step) body(c);
  if (c < lanes) body(lanes - step);
}

template <class D>
using Numbers = hn::RebindToUnsigned<D>;  // tap numbers beside the elements

template <class D, class C>
HWY_INLINE hn::Vec<Numbers<D>> load_numbers(D, const C* from) {
  const Numbers<D> d;
  const auto stored = hn::LoadU(hn::Rebind<C, D>(), from);
  if constexpr (sizeof(C) == sizeof(hn::TFromD<D>)) {
    return stored;
  } else if constexpr (sizeof(hn::TFromD<D>) / sizeof(C) == 8) {
    return hn::PromoteTo(d, hn::PromoteTo(hn::Rebind<uint32_t, D>(), stored));
  } else {
    return hn::PromoteTo(d, stored);
  }
}

template <class D, class C>
HWY_INLINE void store_numbers(D, hn::Vec<Numbers<D>> numbers, C* to) {
  const hn::Rebind<C, D> d;
  if constexpr (sizeof(C) == sizeof(hn::TFromD<D>)) {
    hn::StoreU(numbers, d, to);
  } else {
    hn::StoreU(hn::TruncateTo(d, numbers), d, to);
  }
}

// Calls f with a null pointer to the type that choices are stored in; `char` if there are none.
template <class F>
void with_choices(const PoolChoices& choices, F&& f) {
  if (!choices.data) {
    f(static_cast<char*>(nullptr));
  } else if (choices.wide) {
    f(static_cast<uint32_t*>(nullptr));
  } else {
    f(static_cast<uint8_t*>(nullptr));
  }
}

template <class C, class T>
void max_windows(const PoolWindows<T>& w, const PoolChoices& choices) {
  constexpr bool kChoose = !std::is_same_v<C, char>;
  const hn::ScalableTag<T> d;
  const Numbers<decltype(d)> numbers;
  using Number = hn::TFromD<decltype(numbers)>;
  for (int64_t i = 0; i < w.count; ++i) {
    const T* from = w.from + i * w.step;
    for_lanes(d, w.lanes, [&](int64_t c) HWY_ATTR {
      auto best = hn::LoadU(d, from + w.taps[0].offset + c);
      auto chosen = hn::Set(numbers, Number(w.taps[0].number));
      for (const PoolTap* tap = w.taps + 1; tap < w.taps + w.tap_count; ++tap) {
        const auto value = hn::LoadU(d, from + tap->offset + c);
        const auto stays = hn::Or(hn::Le(value, best), hn::IsNaN(best));
        best = hn::IfThenElse(stays, best, value);
        if constexpr (kChoose)
          chosen = hn::IfThenElse(hn::RebindMask(numbers, stays), chosen,
                                  hn::Set(numbers, Number(tap->number)));
      }
      hn::StoreU(best, d, w.to + i * w.to_step + c);
      if constexpr (kChoose) store_numbers(d, chosen, choices.as<C>(i * choices.step + c));
    });
  }
}

template <class T>
void max(const PoolWindows<T>& windows, const PoolChoices& choices) {
  with_choices(choices, [&](auto* type) {
    max_windows<std::remove_pointer_t<decltype(type)>>(windows, choices);
  });
}

template <class T>
void average(const PoolWindows<T>& w, T divisor) {
  const hn::ScalableTag<T> d;
  const auto divisors = hn::Set(d, divisor);
  for (int64_t i = 0; i < w.count; ++i) {
    const T* from = w.from + i * w.step;
    for_lanes(d, w.lanes, [&](int64_t c) HWY_ATTR {
      auto sum = hn::LoadU(d, from + w.taps[0].offset + c);
      for (const PoolTap* tap = w.taps + 1; tap < w.taps + w.tap_count; ++tap)
        sum = hn::Add(sum, hn::LoadU(d, from + tap->offset + c));
      hn::StoreU(hn::Div(sum, divisors), d, w.to + i * w.to_step + c);
    });
  }
}

template <class T>
void divide(T* windows, int64_t pitch, const T* divisors, int64_t count) {
  const hn::ScalableTag<T> d;
  for (int64_t i = 0; i < count; ++i) {
    const auto divisor = hn::Set(d, divisors[i]);
    for_lanes(d, pitch, [&](int64_t c) HWY_ATTR {
      T* at = windows + i * pitch + c;
      hn::StoreU(hn::Div(hn::LoadU(d, at), divisor), d, at);
    });
  }
}

// What the lanes of some windows at `gradients` give to an element that is their tap number `tap`.
template <class D, class C, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> given(D d, const T* gradients, const C* choices, int64_t tap) {
  const auto part = hn::LoadU(d, gradients);
  if constexpr (std::is_same_v<C, char>) {
    return part;
  } else {
    const auto own = hn::Set(Numbers<D>(), hn::TFromD<Numbers<D>>(tap));
    const auto chosen = hn::Eq(load_numbers(d, choices), own);
    return hn::IfThenElseZero(hn::RebindMask(d, chosen), part);
  }
}

// One element, which `kRows` x `kColumns` windows see.
template <int kRows, int kColumns, class C, class T>
HWY_INLINE void gather_few(const PoolGather<T>& g, const PoolCover* covers, T* to) {
  const hn::ScalableTag<T> d;
  const T* gradients[kRows * kColumns];
  const C* choices[kRows * kColumns];
  int64_t taps[kRows * kColumns];
  for (int i = 0; i < kRows * kColumns; ++i) {
    const PoolCoverRow& row = g.rows[i / kColumns];
    const PoolCover& cover = covers[i % kColumns];
    gradients[i] = g.gradients + row.gradient + cover.window * g.gradient_step;
    choices[i] = g.choices.template as<C>(row.choice + cover.window * g.choices.step);
    taps[i] = row.tap + cover.tap;
  }
  const bool past = g.past && uintptr_t(to) % sizeof(hn::Vec<decltype(d)>) == 0 &&
                    size_t(g.lanes) % hn::Lanes(d) == 0;
  for_lanes(d, g.lanes, [&](int64_t c) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (int i = 0; i < kRows * kColumns; ++i)
      sum = hn::Add(sum, given(d, gradients[i] + c, choices[i] + c, taps[i]));
    past ? hn::Stream(sum, d, to + c) : hn::StoreU(sum, d, to + c);
  });
}

template <class C, class T>
void gather_row(const PoolGather<T>& g) {
  const hn::ScalableTag<T> d;
  for (int64_t i = 0; i < g.count; ++i) {
    const PoolCover *const begin = g.covers + g.firsts[i], *const end = g.covers + g.firsts[i + 1];
    T* const to = g.to + i * g.to_step;
    const int64_t columns = end - begin;
    if (g.row_count == 1 && columns == 1) {
      gather_few<1, 1, C>(g, begin, to);
    } else if (g.row_count == 1 && columns == 2) {
      gather_few<1, 2, C>(g, begin, to);
    } else if (g.row_count == 2 && columns == 1) {
      gather_few<2, 1, C>(g, begin, to);
    } else if (g.row_count == 2 && columns == 2) {
      gather_few<2, 2, C>(g, begin, to);
    } else {
      for_lanes(d, g.lanes, [&](int64_t c) HWY_ATTR {
        auto sum = hn::Zero(d);
        for (const PoolCoverRow* row = g.rows; row < g.rows + g.row_count; ++row)
          for (const PoolCover* cover = begin; cover < end; ++cover)
            sum = hn::Add(
                sum,
                given(d, g.gradients + row->gradient + cover->window * g.gradient_step + c,
                      g.choices.template as<C>(row->choice + cover->window * g.choices.step) + c,
                      row->tap + cover->tap));
        hn::StoreU(sum, d, to + c);
      });
    }
  }
  if (g.past) hwy::FlushStream();
}

template <class T>
void gather(const PoolGather<T>& row) {
  with_choices(row.choices,
               [&](auto* type) { gather_row<std::remove_pointer_t<decltype(type)>>(row); });
}

// ---- lines: vectors over neighbouring windows or elements of a row -----------------------------

// Calls body(d, i) so that vectors at every i cover [begin, end), the last overlapping the one
// before; shorter vectors, at last single lanes, where there are few.
template <class D, class F>
HWY_INLINE void for_vectors(D d, int64_t begin, int64_t end, F&& body) {
  const int64_t lanes = int64_t(hn::Lanes(d));
  if (end - begin >= lanes) {
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) body(d, i);
    if (i < end) body(d, end - lanes);
  } else if constexpr (hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) > 16) {
    for_vectors(hn::Half<D>(), begin, end, body);
  } else {
    for (int64_t i = begin; i < end; ++i) body(hn::CappedTag<hn::TFromD<D>, 1>(), i);
  }
}

// Calls body(value, tap) for taps [first, end) of the windows whose first taps are `step` apart
// from `from`; taps of windows two apart are loaded in pairs, which stay inside the windows.
template <class D, class T, class F>
HWY_INLINE void for_taps(D d, const T* from, int64_t step, int64_t first, int64_t end, F&& body) {
  if (step == 1 || hn::MaxLanes(d) == 1) {
    for (int64_t t = first; t < end; ++t) body(hn::LoadU(d, from + t), t);
    return;
  }
  hn::Vec<D> even, odd;
  int64_t t = first;
  for (; t + 2 <= end; t += 2) {
    hn::LoadInterleaved2(d, from + t, even, odd);
    body(even, t);
    body(odd, t + 1);
  }
  if (t == end) return;
  hn::LoadInterleaved2(d, from + t - 1, even, odd);
  body(odd, t);
}

// Calls body(d, j, first tap, end of the taps) so that every window of the line is met.
template <class T, class F>
HWY_INLINE void for_line(const PoolLine<T>& line, F&& body) {
  const auto edge = [&](int64_t j) HWY_ATTR {
    const int64_t start = j * line.step - line.padding;
    body(hn::CappedTag<T, 1>(), j, std::max<int64_t>(0, -start),
         std::min(line.taps, line.size - start));
  };
  for (int64_t j = 0; j < line.alike; ++j) edge(j);
  for_vectors(hn::ScalableTag<T>(), line.alike, line.end_alike,
              [&](auto d, int64_t j) HWY_ATTR { body(d, j, int64_t(0), line.taps); });
  for (int64_t j = line.end_alike; j < line.end; ++j) edge(j);
}

template <class C, class T>
void max_of_line(const PoolLine<T>& line, C* choices) {
  constexpr bool kChoose = !std::is_same_v<C, char>;
  for_line(line, [&](auto d, int64_t j, int64_t first, int64_t end) HWY_ATTR {
    const Numbers<decltype(d)> numbers;
    using Number = hn::TFromD<decltype(numbers)>;
    auto best = hn::Set(d, -std::numeric_limits<T>::infinity());
    auto chosen = hn::Set(numbers, Number(line.rows[0].number + first));
    for (const PoolTap* row = line.rows; row < line.rows + line.row_count; ++row)
      for_taps(d, line.from + row->offset + j * line.step, line.step, first, end,
               [&](auto value, int64_t tap) HWY_ATTR {
                 const auto stays = hn::Or(hn::Le(value, best), hn::IsNaN(best));
                 best = hn::IfThenElse(stays, best, value);
                 if constexpr (kChoose)
                   chosen = hn::IfThenElse(hn::RebindMask(numbers, stays), chosen,
                                           hn::Set(numbers, Number(row->number + tap)));
               });
    hn::StoreU(best, d, line.to + j);
    if constexpr (kChoose) store_numbers(d, chosen, choices + j);
  });
}

template <class T>
void max_line(const PoolLine<T>& line, uint8_t* choices) {
  choices ? max_of_line(line, choices) : max_of_line(line, static_cast<char*>(nullptr));
}

template <class T>
void average_line(const PoolLine<T>& line, T rows, const T* counts) {
  for_line(line, [&](auto d, int64_t j, int64_t first, int64_t end) HWY_ATTR {
    auto sum = hn::Set(d, T(-0.0));  // which adds nothing to any number
    for (const PoolTap* row = line.rows; row < line.rows + line.row_count; ++row)
      for_taps(d, line.from + row->offset + j * line.step, line.step, first, end,
               [&](auto value, int64_t) HWY_ATTR { sum = hn::Add(sum, value); });
    const auto divisor = hn::Mul(hn::Set(d, rows), hn::LoadU(d, counts + j));
    hn::StoreU(hn::Div(sum, divisor), d, line.to + j);
  });
}

template <class T>
void divide_line(const T* from, T rows, const T* counts, int64_t count, T* to) {
  for_vectors(hn::ScalableTag<T>(), 0, count, [&](auto d, int64_t i) HWY_ATTR {
    const auto divisor = hn::Mul(hn::Set(d, rows), hn::LoadU(d, counts + i));
    hn::StoreU(hn::Div(hn::LoadU(d, from + i), divisor), d, to + i);
  });
}

// A row of windows, moved so that window i sees the element i runs after the first, with `tap`.
template <class T>
struct Source {
  const T* gradients;
  const uint8_t* choices;
  hwy::MakeUnsigned<T> tap;
};
// The sources of element `e` to `to`, in order; returns their end.
template <class T>
HWY_INLINE Source<T>* list_sources(const PoolGatherLine<T>& g, int64_t e, Source<T>* to) {
  const PoolCover *const begin = g.covers + g.firsts[e], *const end = g.covers + g.firsts[e + 1];
  for (const PoolCoverRow* row = g.rows; row < g.rows + g.row_count; ++row)
    for (const PoolCover* c = begin; c < end; ++c, ++to) {
      to->gradients = g.gradients + row->gradient + c->window;
      to->choices = g.choices + row->choice + c->window;
      to->tap = hwy::MakeUnsigned<T>(row->tap + c->tap);
      few_turns();
    }
  return to;
}

template <bool kChosen, class D, class T>
HWY_INLINE hn::Vec<D> gathered(D d, const Source<T>* source, const Source<T>* end, PoolPlane plane,
                               int64_t i) {
  const Numbers<D> numbers;
  auto sum = hn::Zero(d);
  for (; source < end; ++source) {
    auto part = hn::LoadU(d, source->gradients + plane.gradient + i);
    if constexpr (kChosen) {
      const auto chosen = load_numbers(d, source->choices + plane.choice + i);
      const auto tap = hn::Set(numbers, source->tap);
      part = hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(chosen, tap)), part);
    }
    sum = hn::Add(sum, part);
  }
  return sum;
}

template <bool kChosen, class T>
void gather_of_line(const PoolGatherLine<T>& g) {
  Source<T> list[kPoolLineTaps];
  Source<T>* const sources = list;
  const PoolPlane* const planes_end = g.planes + g.plane_count;
  const auto edge = [&](int64_t e) HWY_ATTR {
    const hn::CappedTag<T, 1> d;
    const Source<T>* const end = list_sources(g, e, sources);
    for (const PoolPlane* plane = g.planes; plane < planes_end; ++plane)
      hn::StoreU(gathered<kChosen>(d, sources, end, *plane, 0), d, g.to + plane->to + e);
  };
  for (int64_t e = 0; e < g.alike; ++e) edge(e);
  for (int64_t e = g.alike + g.runs * g.step; e < g.count; ++e) edge(e);
  if (g.runs == 0) return;
  Source<T>* const middle = list_sources(g, g.alike, sources);
  Source<T>* const end = g.step == 1 ? middle : list_sources(g, g.alike + 1, middle);
  const int64_t step = g.step;
  for (const PoolPlane* next = g.planes; next < planes_end; ++next) {
    const PoolPlane plane = *next;
    T* const line = g.to + plane.to + g.alike;
    for_vectors(hn::ScalableTag<T>(), 0, g.runs, [=](auto d, int64_t i) HWY_ATTR {
      const auto first = gathered<kChosen>(d, sources, middle, plane, i);
      T* to = line + i * step;
      if (step == 1) return hn::StoreU(first, d, to);
      const auto second = gathered<kChosen>(d, middle, end, plane, i);
      if constexpr (hn::MaxLanes(d) == 1) {
        hn::StoreU(first, d, to);
        hn::StoreU(second, d, to + 1);
      } else {
        hn::StoreInterleaved2(first, second, d, to);
      }
    });
  }
}

template <class T>
void gather_line(const PoolGatherLine<T>& line) {
  line.choices ? gather_of_line<true>(line) : gather_of_line<false>(line);
}

template <class T>
void write_past(const T* from, int64_t count, T* to) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = 0;
  for (; i < count && uintptr_t(to + i) % (size_t(lanes) * sizeof(T)) != 0; ++i) to[i] = from[i];
  for (; i + lanes <= count; i += lanes) hn::Stream(hn::LoadU(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = from[i];
  hwy::FlushStream();
}

template <class T>
constexpr PoolKernels<T> kKernels = {max<T>,         average<T>,     divide<T>,
                                     gather<T>,      max_line<T>,    average_line<T>,
                                     divide_line<T>, gather_line<T>, write_past<T>};
const PoolKernels<float>& pool_f32() { return kKernels<float>; }
const PoolKernels<double>& pool_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(pool_f32);
HWY_EXPORT(pool_f64);

}  // namespace

template <>
const PoolKernels<float>& pool_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(pool_f32)();
}
template <>
const PoolKernels<double>& pool_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(pool_f64)();
}

}  // namespace tegula::cpu
#endif
