#include "backend/cpu/neural/row_norm.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neural/row_norm_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kNormChains = 4;  // vectors under way at once

// Calls f(d, i) for vectors that cover [begin, end), the last elements one by one.
template <class T, class F>
HWY_INLINE void for_vectors(int64_t begin, int64_t end, F f) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) f(d, i);
  for (; i < end; ++i) f(one, i);
}

// The totals of kTerms terms over a row; add(d, i, sums) adds the vectors at element i to the sums.
template <class T, int kTerms, class F>
HWY_INLINE void row_totals(int64_t length, double (&totals)[kTerms], F add) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (double& total : totals) total = 0;
  for (int64_t begin = 0; begin < length; begin += kRowNormBlock) {
    const int64_t end = std::min(length, begin + kRowNormBlock);
    V sums[kNormChains][kTerms];
    for (auto& chain : sums)
      for (V& sum : chain) sum = hn::Zero(d);
    int64_t i = begin;
    for (; i + kNormChains * lanes <= end; i += kNormChains * lanes)
#pragma GCC unroll 4
      for (int64_t j = 0; j < kNormChains; ++j) add(d, i + j * lanes, sums[j]);
    for (; i + lanes <= end; i += lanes) add(d, i, sums[0]);
    hn::Vec<decltype(one)> rest[kTerms];
    for (auto& sum : rest) sum = hn::Zero(one);
    for (; i < end; ++i) add(one, i, rest);
    for (int t = 0; t < kTerms; ++t) {
      const V all = hn::Add(hn::Add(sums[0][t], sums[1][t]), hn::Add(sums[2][t], sums[3][t]));
      totals[t] += double(hn::GetLane(hn::SumOfLanes(d, all)) + hn::GetLane(rest[t]));
    }
  }
}

// Constants of a row in every lane. Lambdas below take theirs by value: what is captured by
// reference is loaded again after each store.
template <class T>
struct Constant {
  T value;
  template <class D>
  HWY_INLINE hn::Vec<D> operator()(D d) const {
    return hn::Set(d, value);
  }
};

template <class T>
void row_norm_forward(const RowNorm<T>& norm, const T* HWY_RESTRICT x, T* HWY_RESTRICT y, T* mean,
                      T* scale) {
  const int64_t length = norm.length;
  const double share = 1 / double(length);
  double totals[1] = {0};
  if (norm.centered)
    row_totals<T>(length, totals, [x](auto d, int64_t i, auto* sums) HWY_ATTR {
      *sums = hn::Add(*sums, hn::LoadU(d, x + i));
    });
  const Constant<T> center{T(totals[0] * share)};
  row_totals<T>(length, totals, [x, center](auto d, int64_t i, auto* sums) HWY_ATTR {
    const auto apart = hn::Sub(hn::LoadU(d, x + i), center(d));
    *sums = hn::MulAdd(apart, apart, *sums);
  });
  const Constant<T> factor{T(1) / std::sqrt(T(totals[0] * share + norm.eps))};
  *mean = center.value;
  *scale = factor.value;
  const T *const weight = norm.weight, *const bias = norm.bias;
  const auto normal = [x, center, factor](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + i), center(d)), factor(d));
  };
  if (bias) {
    for_vectors<T>(0, length, [=](auto d, int64_t i) HWY_ATTR {
      const auto y_i = hn::MulAdd(normal(d, i), hn::LoadU(d, weight + i), hn::LoadU(d, bias + i));
      hn::StoreU(y_i, d, y + i);
    });
  } else if (weight) {
    for_vectors<T>(0, length, [=](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(normal(d, i), hn::LoadU(d, weight + i)), d, y + i);
    });
  } else {
    for_vectors<T>(0, length,
                   [=](auto d, int64_t i) HWY_ATTR { hn::StoreU(normal(d, i), d, y + i); });
  }
}

// With h = (x - mean) scale and g = dy weight: dx = scale (g - mean(g) - h mean(g h)).
template <class T>
void row_norm_backward(const RowNorm<T>& norm, const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy,
                       T mean, T scale, T* HWY_RESTRICT dx, T* HWY_RESTRICT dweight,
                       T* HWY_RESTRICT dbias) {
  const Constant<T> center{mean}, factor{scale};
  const auto normal = [x, center, factor](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + i), center(d)), factor(d));
  };
  const auto run = [&](auto upstream) HWY_ATTR {
    double totals[2];
    row_totals<T>(norm.length, totals, [=](auto d, int64_t i, auto* sums) HWY_ATTR {
      const auto grad = upstream(d, i);
      sums[0] = hn::Add(sums[0], grad);
      sums[1] = hn::MulAdd(grad, normal(d, i), sums[1]);
    });
    const double share = 1 / double(norm.length);
    const Constant<T> even{norm.centered ? T(totals[0] * share) : T(0)},
        along{T(totals[1] * share)};
    const auto store = [=](auto d, int64_t i, auto h) HWY_ATTR {
      const auto rest = hn::NegMulAdd(h, along(d), hn::Sub(upstream(d, i), even(d)));
      hn::StoreU(hn::Mul(rest, factor(d)), d, dx + i);
    };
    if (!dweight)
      return for_vectors<T>(0, norm.length,
                            [=](auto d, int64_t i) HWY_ATTR { store(d, i, normal(d, i)); });
    for_vectors<T>(0, norm.length, [=](auto d, int64_t i) HWY_ATTR {
      const auto h = normal(d, i);
      const auto grad = hn::LoadU(d, dy + i);
      store(d, i, h);
      hn::StoreU(hn::MulAdd(grad, h, hn::LoadU(d, dweight + i)), d, dweight + i);
      if (dbias) hn::StoreU(hn::Add(hn::LoadU(d, dbias + i), grad), d, dbias + i);
    });
  };
  const T* const weight = norm.weight;
  if (weight) {
    run([dy, weight](auto d, int64_t i)
            HWY_ATTR { return hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)); });
  } else {
    run([dy](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, dy + i); });
  }
}

template <class T>
constexpr RowNormKernels<T> kRowNorms = {row_norm_forward<T>, row_norm_backward<T>};
const RowNormKernels<float>& row_norms_f32() { return kRowNorms<float>; }
const RowNormKernels<double>& row_norms_f64() { return kRowNorms<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(row_norms_f32);
HWY_EXPORT(row_norms_f64);

}  // namespace

template <>
const RowNormKernels<float>& row_norm_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(row_norms_f32)();
}
template <>
const RowNormKernels<double>& row_norm_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(row_norms_f64)();
}

}  // namespace tegula::cpu
#endif
