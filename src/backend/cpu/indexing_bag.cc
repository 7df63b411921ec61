// embedding_bag: the rows of a table at some indices, reduced bag by bag in their order. 16-bit
// floats are computed in float32 and rounded once.
#include <vector>

#include "backend/cpu/indexing.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

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
  std::fill_n(total, b.width, C(0));
  for (int64_t i = begin; i < end; ++i) {
    // The first lines of a row further on: the processor's own prefetcher sees no pattern.
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
  const C divisor = kMode == kBagMean ? C(std::max<int64_t>(end - begin, 1)) : C(1);
  for (int64_t j = 0; j < b.width; ++j) out[j] = T(total[j] / divisor);
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
