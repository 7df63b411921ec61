// Vectors and row loops of the hand-fused loops, for the instruction set being compiled.
#if defined(TEGULA_BENCH_REFERENCE_LOOPS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_BENCH_REFERENCE_LOOPS_INL_H
#undef TEGULA_BENCH_REFERENCE_LOOPS_INL_H
#else
#define TEGULA_BENCH_REFERENCE_LOOPS_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#ifndef TEGULA_BENCH_REFERENCE_LOOPS_ONCE_
#define TEGULA_BENCH_REFERENCE_LOOPS_ONCE_
namespace tegula::bench {

struct AdamW {
  float rate, beta1, beta2, eps, decay, bias1, bias2;
};

}  // namespace tegula::bench
#endif

HWY_BEFORE_NAMESPACE();
namespace tegula::bench {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
const hn::ScalableTag<float> d;
using V = hn::Vec<decltype(d)>;
constexpr size_t kUnroll = 4;
constexpr size_t kAhead = 256;  // elements that are fetched before they are needed

inline V load(const float* from) { return hn::LoadU(d, from); }
inline void store(V value, float* to) { hn::StoreU(value, d, to); }
inline void prefetch(const float* from) { hwy::Prefetch(from + kAhead); }

// Calls f(i, part) for every vector of a row, part counting modulo kUnroll.
template <class F>
HWY_INLINE void unrolled(size_t length, F&& f) {
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + kUnroll * lanes <= length; i += kUnroll * lanes)
#pragma GCC unroll 4
    for (size_t part = 0; part < kUnroll; ++part) f(i + part * lanes, part);
  for (; i < length; i += lanes) f(i, 0);
}

inline V total(const V* sums) {
  return hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])));
}

inline V largest(const float* from, size_t length) {
  V most[kUnroll];
  for (V& m : most) m = load(from);
  unrolled(length,
           [&](size_t i, size_t part) { most[part] = hn::Max(most[part], load(from + i)); });
  return hn::MaxOfLanes(d, hn::Max(hn::Max(most[0], most[1]), hn::Max(most[2], most[3])));
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::bench
HWY_AFTER_NAMESPACE();

#endif
