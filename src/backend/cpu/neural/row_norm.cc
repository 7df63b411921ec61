#include "backend/cpu/neural/row_norm.h"

#include <algorithm>

#include "backend/cpu/contraction/scratch.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kTaskElements = 16384;
constexpr int64_t kChains = 16;       // of the sums over rows
constexpr int64_t kRowsInBlock = 64;  // added up before they join their chain
constexpr double kPerMicrosecond = 3e3;

int64_t part(int64_t size, int64_t parts, int64_t i) {
  return i * (size / parts) + std::min(i, size % parts);
}

// A matrix of S whose rows are wanted as contiguous T.
template <class S, class T>
class Rows {
 public:
  Rows(const View& view, ScratchUse use)
      : data_(reinterpret_cast<S*>(view.data)),
        row_(view.strides[0]),
        column_(view.strides[1]),
        length_(view.shape[1]),
        copy_(use, in_place() ? 0 : size_t(length_)) {}

  T* at(int64_t row) const {
    if constexpr (std::is_same_v<S, T>)
      if (in_place()) return data_ + row * row_;
    return copy_.get();
  }
  const T* read(int64_t row) const {
    if (!in_place())
      for (int64_t i = 0; i < length_; ++i) copy_.get()[i] = T(data_[row * row_ + i * column_]);
    return at(row);
  }
  // What was written to at(row).
  void write(int64_t row) const {
    if (!in_place())
      for (int64_t i = 0; i < length_; ++i) data_[row * row_ + i * column_] = S(copy_.get()[i]);
  }

 private:
  bool in_place() const { return std::is_same_v<S, T> && (column_ == 1 || length_ == 1); }

  S* data_;
  int64_t row_, column_, length_;
  const Scratch<T> copy_;
};

// A parameter as contiguous T; null if it is not there.
template <class T>
class Parameter {
 public:
  Parameter(const View* view, ScratchUse use)
      : copy_(use, view && view->strides[0] != 1 ? size_t(view->shape[0]) : 0) {
    if (!view) return;
    data_ = reinterpret_cast<const T*>(view->data);
    if (view->strides[0] == 1) return;
    for (int64_t i = 0; i < view->shape[0]; ++i) copy_.get()[i] = data_[i * view->strides[0]];
    data_ = copy_.get();
  }
  const T* get() const { return data_; }

 private:
  const Scratch<T> copy_;
  const T* data_ = nullptr;
};

template <class F>
void with_types(DType dtype, F&& f) {
  dispatch_floating(dtype, [&](auto zero) {
    using S = decltype(zero);
    f(S{}, std::conditional_t<std::is_same_v<S, double>, double, float>{});
  });
}

template <class S, class T>
void forward(const KernelArgs& args) {
  const auto attrs = read_attrs<RowNormAttrs>(args.attrs);
  const View& x = args.inputs[0];
  const int64_t rows = x.shape[0], length = x.shape[1];
  const Parameter<T> weight(attrs.has_weight ? &args.inputs[1] : nullptr, ScratchUse::left);
  const Parameter<T> bias(attrs.has_bias ? &args.inputs[2] : nullptr, ScratchUse::right);
  const RowNorm<T> norm{length, weight.get(), bias.get(), bool(attrs.centered), attrs.eps};
  T* const mean = reinterpret_cast<T*>(args.outputs[1].data);
  T* const scale = reinterpret_cast<T*>(args.outputs[2].data);
  const int64_t group = std::max<int64_t>(1, kTaskElements / length);
  const auto& kernels = row_norm_kernels<T>();
  parallel_for((rows + group - 1) / group,
               [&](int64_t task) {
                 const Rows<S, T> from(x, ScratchUse::vector),
                     to(args.outputs[0], ScratchUse::tile);
                 for (int64_t r = task * group; r < std::min(rows, (task + 1) * group); ++r) {
                   kernels.forward(norm, from.read(r), to.at(r), mean + r, scale + r);
                   to.write(r);
                 }
               },
               double(rows) * double(length) / kPerMicrosecond);
}

template <class S, class T>
void backward(const KernelArgs& args) {
  const auto attrs = read_attrs<RowNormAttrs>(args.attrs);
  const View &x = args.inputs[0], &dy = args.inputs[1];
  const int64_t rows = x.shape[0], length = x.shape[1];
  const auto statistic = [&](size_t input, int64_t row) {
    const View& view = args.inputs[input];
    return reinterpret_cast<const T*>(view.data)[row * view.strides[0]];
  };
  const Parameter<T> weight(attrs.has_weight ? &args.inputs[4] : nullptr, ScratchUse::left);
  const RowNorm<T> norm{length, weight.get(), nullptr, bool(attrs.centered), attrs.eps};
  const int64_t chains = std::clamp<int64_t>(rows / 8, 1, kChains);
  const int64_t sums = length * (attrs.has_weight + attrs.has_bias);  // dweight, then dbias
  const Scratch<T> totals(ScratchUse::partials, size_t(chains * sums));
  std::fill_n(totals.get(), chains * sums, T(0));
  const auto& kernels = row_norm_kernels<T>();
  parallel_for(
      chains,
      [&](int64_t chain) {
        const Rows<S, T> from(x, ScratchUse::vector), upstream(dy, ScratchUse::planes),
            to(args.outputs[0], ScratchUse::tile);
        const Scratch<T> block(ScratchUse::columns, size_t(sums));
        T* const dweight = attrs.has_weight ? block.get() : nullptr;
        T* const dbias = attrs.has_bias ? block.get() + length : nullptr;
        T* const total = totals.get() + chain * sums;
        const int64_t end = part(rows, chains, chain + 1);
        for (int64_t r = part(rows, chains, chain); r < end;) {
          std::fill_n(block.get(), sums, T(0));
          for (const int64_t stop = std::min(end, r + kRowsInBlock); r < stop; ++r) {
            kernels.backward(norm, from.read(r), upstream.read(r), statistic(2, r), statistic(3, r),
                             to.at(r), dweight, dbias);
            to.write(r);
          }
          for (int64_t i = 0; i < sums; ++i) total[i] += block.get()[i];
        }
      },
      2 * double(rows) * double(length) / kPerMicrosecond);
  for (size_t k = 1; k < args.outputs.size(); ++k) {
    const int64_t first = int64_t(k - 1) * length;
    T* const out = reinterpret_cast<T*>(args.outputs[k].data);
    for (int64_t i = 0; i < length; ++i) {
      T total = totals.get()[first + i];
      for (int64_t chain = 1; chain < chains; ++chain)
        total += totals.get()[chain * sums + first + i];
      out[i] = total;
    }
  }
}

}  // namespace

void run_row_norm(const KernelArgs& args) {
  if (numel(args.inputs[0].shape) == 0) return;
  with_types(args.inputs[0].dtype,
             [&](auto s, auto t) { forward<decltype(s), decltype(t)>(args); });
}

void run_row_norm_grad(const KernelArgs& args) {
  with_types(args.inputs[0].dtype,
             [&](auto s, auto t) { backward<decltype(s), decltype(t)>(args); });
}

}  // namespace tegula::cpu
