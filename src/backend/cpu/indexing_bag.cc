// embedding_bag: the rows of a table at some indices, reduced bag by bag in their order. 16-bit
// floats are computed in float32 and rounded once.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/indexing_bag.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sums of some columns of the rows at index[0, count) to `total`, `kVectors` vectors of them
// held in registers. Rows at index[0, known) may be asked for early: the processor's own
// prefetcher sees no pattern in them.
template <int kVectors, class D, class T>
HWY_INLINE void sum_columns(D d, const T* table, int64_t stride, const int64_t* index,
                            int64_t count, int64_t known, T* total) {
  constexpr int64_t kAhead = 12 << 10, kLine = 64 / sizeof(T);  // bytes of a small first cache
  const int64_t lanes = int64_t(hn::Lanes(d));
  const int64_t ahead = std::min<int64_t>(64, kAhead / (kVectors * lanes * int64_t(sizeof(T))));
  hn::Vec<D> sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (int64_t i = 0; i < count; ++i) {
    if (i + ahead < known) {
      const T* const next = table + index[i + ahead] * stride;
      for (int64_t j = 0; j < kVectors * lanes; j += kLine) __builtin_prefetch(next + j);
    }
    const T* const row = table + index[i] * stride;
    for (int v = 0; v < kVectors; ++v) sums[v] = hn::Add(sums[v], hn::LoadU(d, row + v * lanes));
  }
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, total + v * lanes);
}

template <class T>
void sum_rows(const T* table, int64_t stride, int64_t width, const int64_t* index, int64_t count,
              int64_t known, T* total) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  int64_t x = 0;
  for (; x + 8 * lanes <= width; x += 8 * lanes)
    sum_columns<8>(d, table + x, stride, index, count, known, total + x);
  for (; x + 4 * lanes <= width; x += 4 * lanes)
    sum_columns<4>(d, table + x, stride, index, count, known, total + x);
  for (; x + lanes <= width; x += lanes)
    sum_columns<1>(d, table + x, stride, index, count, known, total + x);
  const hn::CappedTag<T, 1> one;
  for (; x < width; ++x) sum_columns<1>(one, table + x, stride, index, count, known, total + x);
}
void sum_rows_f32(const float* table, int64_t stride, int64_t width, const int64_t* index,
                  int64_t count, int64_t known, float* total) {
  sum_rows(table, stride, width, index, count, known, total);
}
void sum_rows_f64(const double* table, int64_t stride, int64_t width, const int64_t* index,
                  int64_t count, int64_t known, double* total) {
  sum_rows(table, stride, width, index, count, known, total);
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

#include "backend/cpu/indexing.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

HWY_EXPORT(sum_rows_f32);
HWY_EXPORT(sum_rows_f64);

struct Bags {
  const View& table;
  const int64_t* index;
  const int64_t* offsets;
  const View* factors;  // or null
  int64_t count, bags, width;
};

void check_offsets(const Bags& b) {
  int64_t before = 0;
  for (int64_t i = 0; i < b.bags; ++i) {
    const int64_t at = b.offsets[i];
    require(i > 0 || at == 0, "embedding_bag: offsets must begin with 0, got ", at);
    require(at >= before && at <= b.count, "embedding_bag: offsets must not decrease nor pass the ",
            b.count, " indices, got ", at, " after ", before);
    before = at;
  }
}

template <class T, BagMode kMode>
void reduce_bag(const Bags& b, int64_t begin, int64_t end, compute_t<T>* total, T* out) {
  using C = compute_t<T>;
  const int64_t row_stride = b.table.strides[0], step = b.table.strides[1];
  const T* const table = b.table.as<T>();
  const C divisor = kMode == kBagMean ? C(std::max<int64_t>(end - begin, 1)) : C(1);
  const auto finish = [&] {
    for (int64_t j = 0; j < b.width; ++j) out[j] = T(total[j] / divisor);
  };
  if constexpr (std::is_same_v<T, C> && kMode != kBagMax) {
    if (step == 1 && !b.factors) {
      const int64_t *const index = b.index + begin, count = end - begin, known = b.count - begin;
      if constexpr (sizeof(T) == 4)
        HWY_DYNAMIC_DISPATCH(sum_rows_f32)(table, row_stride, b.width, index, count, known, total);
      else
        HWY_DYNAMIC_DISPATCH(sum_rows_f64)(table, row_stride, b.width, index, count, known, total);
      return finish();
    }
  }
  std::fill_n(total, b.width, C(0));
  for (int64_t i = begin; i < end; ++i) {
    constexpr int64_t kAhead = 8, kLine = 64 / sizeof(T), kMost = 8 * kLine;
    if (i + kAhead < b.count) {
      const T* const next = table + b.index[i + kAhead] * row_stride;
      for (int64_t j = 0; j < std::min(b.width, kMost); j += kLine) __builtin_prefetch(next + j);
    }
    const T* const row = table + b.index[i] * row_stride;
    if constexpr (kMode == kBagMax) {
      for (int64_t j = 0; j < b.width; ++j) {
        const C value = C(row[j * step]);
        total[j] = i == begin || value > total[j] || value != value ? value : total[j];
      }
    } else if (b.factors) {
      const C factor = C(b.factors->as<T>()[i * b.factors->strides[0]]);
      for (int64_t j = 0; j < b.width; ++j) total[j] += C(row[j * step]) * factor;
    } else if (step == 1) {
      for (int64_t j = 0; j < b.width; ++j) total[j] += C(row[j]);
    } else {
      for (int64_t j = 0; j < b.width; ++j) total[j] += C(row[j * step]);
    }
  }
  finish();
}

template <class T, BagMode kMode>
void reduce_bags(const Bags& b, T* out) {
  const int64_t work = b.width * std::max<int64_t>(1, b.count / std::max<int64_t>(b.bags, 1));
  for_pieces(b.bags, work, [&](int64_t begin, int64_t end) {
    std::vector<compute_t<T>> total(size_t(b.width));
    for (int64_t i = begin; i < end; ++i)
      reduce_bag<T, kMode>(b, b.offsets[i], i + 1 < b.bags ? b.offsets[i + 1] : b.count,
                           total.data(), out + i * b.width);
  });
}

}  // namespace

void run_embedding_bag(const KernelArgs& args) {
  const View& table = args.inputs[0];
  const DenseInput index(args.inputs[1]), offsets(args.inputs[2]);
  const Bags b{table,
               index.as<int64_t>(),
               offsets.as<int64_t>(),
               args.inputs.size() > 3 ? &args.inputs[3] : nullptr,
               args.inputs[1].shape[0],
               args.inputs[2].shape[0],
               table.shape[1]};
  check_offsets(b);
  dispatch(table.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_integral_v<T>) {
      T* const out = args.outputs[0].as<T>();
      if (args.attrs[0] == kBagMax) return reduce_bags<T, kBagMax>(b, out);
      if (args.attrs[0] == kBagMean) return reduce_bags<T, kBagMean>(b, out);
      reduce_bags<T, kBagSum>(b, out);
    }
  });
}

}  // namespace tegula::cpu
#endif
