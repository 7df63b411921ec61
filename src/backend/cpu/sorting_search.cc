// searchsorted, histogram and bincount: where elements belong, and how many belong there.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/sorting.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "base/error.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kTogether = 16;  // searches that overlap
constexpr int64_t kGuesses = 256;  // computed before the first is looked at

// For each of `count` values the number of elements of x, n and in order, that come before it.
// before(element, value) tells which do.
template <class T, class V, class F>
void search(const T* x, int64_t n, const V* values, int64_t count, int64_t* found, F&& before) {
  std::fill_n(found, count, int64_t(0));
  if (n == 0) return;
  for (; n > 1; n -= n / 2) {
    const int64_t half = n / 2;
    for (int64_t j = 0; j < count; ++j)
      found[j] += before(x[found[j] + half - 1], values[j]) ? half : 0;
  }
  for (int64_t j = 0; j < count; ++j) found[j] += before(x[found[j]], values[j]);
}

template <class T>
void searchsorted(const T* x, int64_t n, const T* wanted, int64_t count, bool right, int64_t* out) {
  using C = compute_t<T>;
  // NaN comes after everything else.
  const int64_t numbers = std::partition_point(x, x + n, [](T v) { return C(v) == C(v); }) - x;
  for_pieces(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kTogether) {
      const int64_t together = std::min(kTogether, end - i);
      C values[kTogether];
      for (int64_t j = 0; j < together; ++j) values[j] = C(wanted[i + j]);
      if (right) {
        search(x, numbers, values, together, out + i, [](T e, C v) { return C(e) <= v; });
      } else {
        search(x, numbers, values, together, out + i, [](T e, C v) { return C(e) < v; });
      }
      for (int64_t j = 0; j < together; ++j)
        if (values[j] != values[j]) out[i + j] = right ? n : numbers;
    }
  });
}

// Sums over the elements that belong to each of `bins`. Fixed parts of the elements have tables of
// their own, added in order. add(begin, end, table) takes a part's elements; emit(bin, sum).
template <class C, class F, class Emit>
void tally(int64_t count, int64_t bins, F&& add, Emit&& emit) {
  constexpr int64_t kPart = 1 << 16, kMostParts = 64;
  const int64_t parts = std::clamp<int64_t>(count / std::max(kPart, 4 * bins), 1, kMostParts);
  const Scratch<C> tables(ScratchUse::shared, size_t(parts * bins));
  const int64_t part = (count + parts - 1) / parts;
  parallel_for(
      parts,
      [&](int64_t p) {
        C* const table = tables.get() + p * bins;
        std::fill_n(table, bins, C(0));
        add(std::min(count, p * part), std::min(count, (p + 1) * part), table);
      },
      double(count + parts * bins) / (kWorkPerMicrosecond / 2));
  for_pieces(bins, parts, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      C sum = tables[b];
      for (int64_t p = 1; p < parts; ++p) sum += tables[p * bins + b];
      emit(b, sum);
    }
  });
}

// The last bin has both its edges, the others their lower one. E is the type of the edges.
template <class E>
class Bins {
 public:
  Bins(const E* edges, int64_t count, bool even) : edges_(edges), count_(count) {
    const E scale = E(count) / (edges[count] - edges[0]);
    if (even && std::isfinite(scale) && count < (int64_t(1) << 30)) scale_ = scale;
  }
  bool holds(E v) const { return v >= edges_[0] && v <= edges_[count_]; }
  bool even() const { return scale_ != 0; }
  // For bins of one width: guesses that rounding may have put beside the right ones.
  void guess(const E* values, int64_t many, int32_t* bins) const {
    const E first = edges_[0], last = E(count_ - 1);
    for (int64_t i = 0; i < many; ++i)
      bins[i] = int32_t(std::min(std::max((values[i] - first) * scale_, E(0)), last));
  }
  int64_t settled(E v, int64_t bin) const {
    bin = std::min(bin, count_ - 1);
    while (v < edges_[bin]) --bin;
    while (bin < count_ - 1 && v >= edges_[bin + 1]) ++bin;
    return bin;
  }
  void find(const E* values, int64_t many, int64_t* bins) const {
    search(edges_ + 1, count_ - 1, values, many, bins, [](E e, E v) { return e <= v; });
  }

 private:
  const E* edges_;
  int64_t count_;
  E scale_ = 0;
};

template <class T, class E>
void histogram(const T* x, int64_t count, const E* edges, int64_t bins, bool even, int64_t* out) {
  const Bins<E> all(edges, bins, even);
  const auto add = [&](int64_t begin, int64_t end, int64_t* table) {
    E values[kGuesses];
    int64_t at[kTogether];
    int32_t guesses[kGuesses];
    const int64_t step = all.even() ? kGuesses : kTogether;
    std::vector<int64_t> odd(all.even() ? bins : 0);  // so that equal neighbours need not wait
    for (int64_t i = begin; i < end; i += step) {
      int64_t many = 0;
      for (int64_t j = i; j < std::min(end, i + step); ++j) {
        values[many] = E(compute_t<T>(x[j]));
        many += all.holds(values[many]);
      }
      if (all.even()) {
        all.guess(values, many, guesses);
        for (int64_t j = 0; j + 1 < many; j += 2) {
          ++table[all.settled(values[j], guesses[j])];
          ++odd[size_t(all.settled(values[j + 1], guesses[j + 1]))];
        }
        if (many % 2) ++table[all.settled(values[many - 1], guesses[many - 1])];
      } else {
        all.find(values, many, at);
        for (int64_t j = 0; j < many; ++j) ++table[at[j]];
      }
    }
    for (size_t b = 0; b < odd.size(); ++b) table[b] += odd[b];
  };
  tally<int64_t>(count, bins, add, [&](int64_t b, int64_t sum) { out[b] = sum; });
}

// Calls f(x) for the elements of x as T*.
template <class F>
void dispatch_integers(const View& x, const std::byte* data, F&& f) {
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      f(reinterpret_cast<const T*>(data));
    } else {
      fail(ErrorKind::type, "bincount: needs integers, got ", x.dtype);
    }
  });
}

}  // namespace

void run_searchsorted(const KernelArgs& args) {
  const View &x = args.inputs[0], &wanted = args.inputs[1], &out = args.outputs[0];
  const bool right = args.attrs[0];
  const DenseInput dense(x), dense_wanted(wanted);
  dispatch(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    searchsorted(dense.as<T>(), x.shape[0], dense_wanted.as<T>(), numel(wanted.shape), right,
                 out.as<int64_t>());
  });
}

void run_histogram(const KernelArgs& args) {
  const View &x = args.inputs[0], &edges = args.inputs[1], &out = args.outputs[0];
  const bool even = args.attrs[0];
  const int64_t bins = out.shape[0], count = numel(x.shape);
  const DenseInput dense(x), dense_edges(edges);
  const auto run = [&](auto edge) {
    using E = decltype(edge);
    const E* const e = dense_edges.as<E>();
    for (int64_t b = 0; b < bins; ++b)
      require(e[b] <= e[b + 1], "histogram: the edges must not decrease, got ", e[b], " and then ",
              e[b + 1]);
    if (bins == 0) return;
    dispatch(x.dtype, [&](auto zero) {
      using T = decltype(zero);
      histogram(dense.as<T>(), count, e, bins, even, out.as<int64_t>());
    });
  };
  if (edges.dtype == DType::float32) run(float());
  else run(double());
}

void run_bincount(const KernelArgs& args) {
  const View &x = args.inputs[0], &out = args.outputs[0];
  const int64_t bins = out.shape[0], count = numel(x.shape);
  if (bins == 0) return;
  const DenseInput dense(x);
  dispatch_integers(x, dense.data(), [&](const auto* bin) {
    if (args.inputs.size() == 1) {
      return tally<int64_t>(
          count, bins,
          [&](int64_t begin, int64_t end, int64_t* table) {
            for (int64_t i = begin; i < end; ++i) ++table[int64_t(bin[i])];
          },
          [&](int64_t b, int64_t sum) { out.as<int64_t>()[b] = sum; });
    }
    const DenseInput weights(args.inputs[1]);
    dispatch_floating(out.dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* const weight = weights.as<T>();
      tally<double>(
          count, bins,
          [&](int64_t begin, int64_t end, double* table) {
            for (int64_t i = begin; i < end; ++i)
              table[int64_t(bin[i])] += double(compute_t<T>(weight[i]));
          },
          [&](int64_t b, double sum) { out.as<T>()[b] = T(compute_t<T>(sum)); });
    });
  });
}

}  // namespace tegula::cpu
