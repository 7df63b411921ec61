// The log-softmax of rows at one element each, and its gradient: cross-entropy over classes in one
// reading of the scores, and another for the gradient.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neural/log_softmax_at.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>
#include <optional>

#include "backend/cpu/neural/exp2-inl.h"
#include "backend/cpu/neural/log_softmax_at.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

// 2^((x - top) log2(e))
template <class D, class V>
V power(D d, V x, V top) {
  using T = hn::TFromD<D>;
  return exp2_below_zero(d, hn::Mul(hn::Sub(x, top), hn::Set(d, T(std::numbers::log2e))));
}

// The largest element of a row and the sum of the powers of the distances to it. kChains vectors
// are under way at once.
template <class T>
void row_total(const T* x, int64_t count, T& top, T& total) {
  constexpr int64_t kChains = 4;
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = int64_t(hn::Lanes(d)), whole = count / (kChains * lanes) * kChains * lanes;
  V largest[kChains], sums[kChains];
  for (V& v : largest) v = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (V& v : sums) v = hn::Zero(d);
  for (int64_t i = 0; i < whole; i += kChains * lanes)
#pragma GCC unroll 4
    for (int64_t j = 0; j < kChains; ++j)
      largest[j] = hn::Max(largest[j], hn::LoadU(d, x + i + j * lanes));
  const V both = hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3]));
  top = hn::GetLane(hn::MaxOfLanes(d, both));
  for (int64_t i = whole; i < count; ++i) top = std::max(top, x[i]);
  const V shift = hn::Set(d, top);
  for (int64_t i = 0; i < whole; i += kChains * lanes)
#pragma GCC unroll 4
    for (int64_t j = 0; j < kChains; ++j)
      sums[j] = hn::Add(sums[j], power(d, hn::LoadU(d, x + i + j * lanes), shift));
  const V sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  total = hn::GetLane(hn::SumOfLanes(d, sum));
  const hn::CappedTag<T, 1> one;
  for (int64_t i = whole; i < count; ++i)
    total += hn::GetLane(power(one, hn::Set(one, x[i]), hn::Set(one, top)));
}

// dx = factor * power
template <class T>
void row_grad(const T* x, int64_t count, T top, T factor, T* dx) {  // dx may be x
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto shift = hn::Set(d, top), by = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Mul(power(d, hn::LoadU(d, x + i), shift), by), d, dx + i);
  const hn::CappedTag<T, 1> one;
  for (; i < count; ++i)
    dx[i] = factor * hn::GetLane(power(one, hn::Set(one, x[i]), hn::Set(one, top)));
}

template <class T>
constexpr SoftmaxRows<T> kRows = {row_total<T>, row_grad<T>};

const SoftmaxRows<float>& softmax_f32() { return kRows<float>; }
const SoftmaxRows<double>& softmax_f64() { return kRows<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"

namespace tegula::cpu {
namespace {

HWY_EXPORT(softmax_f32);
HWY_EXPORT(softmax_f64);

template <class T>
const SoftmaxRows<T>& softmax_rows() {
  if constexpr (sizeof(T) == 4) {
    return HWY_DYNAMIC_DISPATCH(softmax_f32)();
  } else {
    return HWY_DYNAMIC_DISPATCH(softmax_f64)();
  }
}

// A column: element i of a view (N, 1).
template <class T>
T& element(const View& view, int64_t i) {
  return view.as<T>()[i * view.strides[0]];
}

// Calls body(i, row i of x, its length) for the rows of x (N, C).
template <class T, class F>
void for_rows(const View& x, F&& body) {
  const int64_t rows = x.shape[0], count = x.shape[1];
  const bool direct = x.strides[1] == 1 || count == 1;
  std::optional<DenseInput> copy;
  if (!direct) copy.emplace(x);
  const T* data = direct ? x.as<T>() : copy->as<T>();
  const int64_t stride = direct ? x.strides[0] : count;
  for_pieces(rows, 8 * count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i, data + i * stride, count);
  });
}

template <class T>
void value(const KernelArgs& args) {
  const auto& rows = softmax_rows<T>();
  for_rows<T>(args.inputs[0], [&](int64_t i, const T* x, int64_t count) {
    T top, total;
    rows.total(x, count, top, total);
    args.outputs[0].as<T>()[i] = x[element<int64_t>(args.inputs[1], i)] - top - std::log(total);
    args.outputs[1].as<T>()[i] = top;
    args.outputs[2].as<T>()[i] = total;
  });
}

template <class T>
void grad(const KernelArgs& args) {
  const auto& rows = softmax_rows<T>();
  for_rows<T>(args.inputs[0], [&](int64_t i, const T* x, int64_t count) {
    const T upstream = element<T>(args.inputs[4], i);
    T* const dx = args.outputs[0].as<T>() + i * count;
    rows.grad(x, count, element<T>(args.inputs[2], i), -upstream / element<T>(args.inputs[3], i),
              dx);
    dx[element<int64_t>(args.inputs[1], i)] += upstream;
  });
}

}  // namespace

void run_log_softmax_at(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? value<double>(args) : value<float>(args);
}
void run_log_softmax_at_grad(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? grad<double>(args) : grad<float>(args);
}

}  // namespace tegula::cpu
#endif
