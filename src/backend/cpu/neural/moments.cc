#include "backend/cpu/neural/moments.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/contraction/scratch.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kBlock = 256;      // elements of a block, at most
constexpr int64_t kColumns = 64;     // results that a task makes side by side
constexpr int64_t kSideBySide = 16;  // results, from which that is faster
constexpr int64_t kTaskElements = 16384;
constexpr double kPerMicrosecond = 4e3;  // elements that a thread reads

// Axes walked together, the last one fastest.
struct Axes {
  Dims sizes;
  Strides strides;

  void push(int64_t size, int64_t stride) {
    sizes.push_back(size);
    strides.push_back(stride);
  }
  int64_t count() const { return numel(sizes); }
  int64_t offset(int64_t index) const {
    int64_t offset = 0;
    for (size_t a = sizes.size(); a-- > 0;) {
      offset += index % sizes[a] * strides[a];
      index /= sizes[a];
    }
    return offset;
  }
  // The distance of neighbours if it is the same throughout, else 0.
  int64_t step() const {
    int64_t step = 0, inner = 1;
    for (size_t a = sizes.size(); a-- > 0;) {
      if (sizes[a] == 1) continue;
      if (inner == 1) step = strides[a];
      else if (strides[a] != step * inner) return 0;
      inner *= sizes[a];
    }
    return step;
  }
};

int64_t part(int64_t size, int64_t parts, int64_t i) {
  return i * (size / parts) + std::min(i, size % parts);
}

// S: the dtype in memory; T: of the sums.
template <class S, class T>
class Moments {
 public:
  Moments(const View& x, std::span<const int64_t> axes, const View& mean, const View& variance)
      : x_(reinterpret_cast<const S*>(x.data)),
        mean_(reinterpret_cast<T*>(mean.data)),
        variance_(reinterpret_cast<T*>(variance.data)) {
    const int64_t rank = int64_t(x.shape.size());
    const auto reduced = [&](int64_t axis) {
      return std::find(axes.begin(), axes.end(), axis) != axes.end();
    };
    int64_t last = rank;  // the last reduced axes, next to one another, begin here
    while (last > 0 && !reduced(last - 1)) --last;
    while (last > 0 && reduced(last - 1)) --last;
    for (int64_t a = 0; a < rank; ++a)
      (!reduced(a) ? kept_
       : a < last  ? outer_
                   : inner_)
          .push(x.shape[size_t(a)], x.strides[size_t(a)]);
    chunks_ = std::max<int64_t>(1, (inner_.count() + kBlock - 1) / kBlock);
    blocks_ = outer_.count() * chunks_;
  }

  void run() {
    const int64_t results = kept_.count();
    const Scratch<T> sums(ScratchUse::shared, size_t(2 * results * blocks_));
    means_ = sums.get();
    spreads_ = means_ + results * blocks_;
    const double us = double(results) * double(outer_.count() * inner_.count()) / kPerMicrosecond;
    const size_t side = kept_.sizes.size();
    if (inner_.step() != 1 && std::is_same_v<S, T> && side > 0 && kept_.strides[side - 1] == 1 &&
        inner_.step() != 0) {
      by_columns(us);
    } else {
      by_rows(us);
    }
    const int64_t count = outer_.count() * inner_.count();
    constexpr int64_t kResults = 64;
    parallel_for((results + kResults - 1) / kResults,
                 [&](int64_t piece) {
                   for (int64_t r = piece * kResults; r < std::min(results, (piece + 1) * kResults);
                        ++r)
                     combine(r, count);
                 },
                 double(results * blocks_) / 500);
  }

 private:
  int64_t block_begin(int64_t chunk) const { return part(inner_.count(), chunks_, chunk); }

  // Blocks one result after another; those that are not neighbours in memory are copied.
  void by_rows(double us) {
    const int64_t group = std::max<int64_t>(1, kTaskElements * chunks_ / inner_.count());
    const int64_t total = kept_.count() * blocks_, step = inner_.step();
    const auto& kernels = moments_kernels<T>();
    parallel_for(
        (total + group - 1) / group,
        [&](int64_t task) {
          for (int64_t i = task * group; i < std::min(total, (task + 1) * group); ++i) {
            const int64_t block = i % blocks_, chunk = block % chunks_;
            const int64_t begin = block_begin(chunk), count = block_begin(chunk + 1) - begin;
            const S* from = x_ + kept_.offset(i / blocks_) + outer_.offset(block / chunks_);
            if constexpr (std::is_same_v<S, T>)
              if (step == 1) {
                kernels.row(from + begin, count, means_ + i, spreads_ + i);
                continue;
              }
            T copy[kBlock];
            for (int64_t k = 0; k < count; ++k)
              copy[k] = T(from[step != 0 ? (begin + k) * step : inner_.offset(begin + k)]);
            kernels.row(copy, count, means_ + i, spreads_ + i);
          }
        },
        us);
  }

  // Neighbours on the last kept axis side by side.
  void by_columns(double us) {
    if constexpr (std::is_same_v<S, T>) {
      Axes others = kept_;
      const int64_t width = others.sizes.back();
      others.sizes.pop_back();
      others.strides.pop_back();
      const int64_t slices = (width + kColumns - 1) / kColumns;
      const auto& kernels = moments_kernels<T>();
      parallel_for(
          others.count() * slices * blocks_,
          [&](int64_t i) {
            const int64_t block = i % blocks_, chunk = block % chunks_;
            const int64_t slice = i / blocks_ % slices, other = i / blocks_ / slices;
            const int64_t first = slice * kColumns, columns = std::min(kColumns, width - first);
            const int64_t begin = block_begin(chunk), count = block_begin(chunk + 1) - begin;
            T mean[kColumns], spread[kColumns];
            kernels.columns(x_ + others.offset(other) + first + outer_.offset(block / chunks_) +
                                begin * inner_.step(),
                            inner_.step(), count, columns, mean, spread);
            for (int64_t c = 0; c < columns; ++c) {
              const int64_t at = (other * width + first + c) * blocks_ + block;
              means_[at] = mean[c];
              spreads_[at] = spread[c];
            }
          },
          us);
    }
  }

  void combine(int64_t result, int64_t count) const {
    const T *means = means_ + result * blocks_, *spreads = spreads_ + result * blocks_;
    double total = 0, apart = 0;
    for (int64_t b = 0; b < blocks_; ++b) total += size(b) * double(means[b]);
    const double mean = total / double(count);
    for (int64_t b = 0; b < blocks_; ++b) {
      const double distance = double(means[b]) - mean;
      apart += double(spreads[b]) + size(b) * distance * distance;
    }
    mean_[result] = T(mean);
    variance_[result] = T(apart / double(count));
  }
  double size(int64_t block) const {
    const int64_t chunk = block % chunks_;
    return double(block_begin(chunk + 1) - block_begin(chunk));
  }

  const S* x_;
  T *mean_, *variance_;
  Axes kept_, outer_, inner_;
  int64_t chunks_, blocks_;
  T *means_ = nullptr, *spreads_ = nullptr;
};

}  // namespace

// Of each channel, side by side.
ChannelsLast moments_channels_last(const StepSpec& step) {
  const Shape& shape = step.inputs[0].shape;
  bool by_channel = step.attrs.size() + 1 == shape.size() && shape.size() >= 3;
  for (int64_t axis : step.attrs) by_channel &= axis != 1;
  return {.inputs = by_channel && shape[1] >= kSideBySide};
}

void run_moments(const KernelArgs& args) {
  const View &x = args.inputs[0], &mean = args.outputs[0], &variance = args.outputs[1];
  if (numel(mean.shape) == 0) return;
  dispatch_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    using T = std::conditional_t<std::is_same_v<S, double>, double, float>;
    if (numel(x.shape) > 0) return Moments<S, T>(x, args.attrs, mean, variance).run();
    for (const View* none : {&mean, &variance})
      std::fill_n(reinterpret_cast<T*>(none->data), numel(none->shape), T(NAN));
  });
}

}  // namespace tegula::cpu
