#include "ops/contraction_order.h"

#include <algorithm>
#include <limits>

namespace tegula {
namespace {

constexpr size_t kMostBySubsets = 8;

double extent(const Labels& labels, const std::vector<double>& sizes) {
  double product = 1;
  for (size_t i = 0; i < sizes.size(); ++i)
    if (labels[i]) product *= sizes[i];
  return product;
}

// Of a step: a multiplication for each element of all axes, and an addition where any are summed.
double step_cost(const Labels& a, const Labels& b, const Labels& kept,
                 const std::vector<double>& sizes) {
  const Labels all = a | b;
  return extent(all, sizes) * ((all & ~kept).any() ? 2 : 1);
}

class SubsetSearch {
 public:
  SubsetSearch(const std::vector<Labels>& tensors, const Labels& result,
               const std::vector<double>& sizes)
      : best_(size_t(1) << tensors.size()) {
    const size_t full = best_.size() - 1, n = tensors.size();
    for (size_t set = 1; set <= full; ++set) {
      Labels inside, outside = result;
      for (size_t i = 0; i < n; ++i) (set >> i & 1 ? inside : outside) |= tensors[i];
      Best& best = best_[set];
      if ((set & (set - 1)) == 0) {
        best = {inside, 0, 0};
        continue;
      }
      best = {inside & outside, std::numeric_limits<double>::infinity(), 0};
      for (size_t part = (set - 1) & set; part > 0; part = (part - 1) & set) {
        const size_t rest = set & ~part;
        if (part < rest) continue;  // each split once
        const Best &a = best_[part], &b = best_[rest];
        const double cost = a.cost + b.cost + step_cost(a.labels, b.labels, best.labels, sizes);
        if (best.part == 0 || cost < best.cost) {
          best.cost = cost;
          best.part = part;
        }
      }
    }
    for (size_t i = 0; i < n; ++i) left_.push_back(size_t(1) << i);
  }

  ContractionOrder order() {
    const size_t full = best_.size() - 1;
    emit(full);
    return {std::move(path_), best_[full].cost};
  }

 private:
  struct Best {
    Labels labels;  // of what the tensors of a subset make
    double cost = 0;
    size_t part = 0;  // one of the two subsets that it is made of last
  };

  void emit(size_t set) {
    const size_t part = best_[set].part;
    if (part == 0) return;
    emit(set & ~part);
    emit(part);
    const auto place = [&](size_t wanted) {
      return size_t(std::find(left_.begin(), left_.end(), wanted) - left_.begin());
    };
    const size_t a = place(set & ~part), b = place(part);
    const auto [first, second] = std::minmax(a, b);
    path_.emplace_back(first, second);
    left_.erase(left_.begin() + std::ptrdiff_t(second));
    left_.erase(left_.begin() + std::ptrdiff_t(first));
    left_.push_back(set);
  }

  std::vector<Best> best_;
  std::vector<size_t> left_;  // the subsets that the list of tensors holds now
  ContractionPath path_;
};

ContractionOrder greedy_order(std::vector<Labels> left, const Labels& result,
                              const std::vector<double>& sizes) {
  ContractionOrder order;
  std::vector<size_t> uses(sizes.size());  // tensors that have the label; the result counts too
  for (size_t l = 0; l < sizes.size(); ++l) {
    uses[l] = result[l];
    for (const Labels& labels : left) uses[l] += labels[l];
  }
  const auto joined = [&](const Labels& a, const Labels& b) {
    Labels kept = a | b;
    for (size_t l = 0; l < sizes.size(); ++l)
      if (kept[l] && uses[l] <= size_t(a[l]) + size_t(b[l])) kept.reset(l);
    return kept;
  };
  while (left.size() > 1) {
    size_t first = 0, second = 1;
    double least = std::numeric_limits<double>::infinity();
    bool related = false;  // tensors that share no axis are multiplied last
    for (size_t i = 0; i < left.size(); ++i)
      for (size_t j = i + 1; j < left.size(); ++j) {
        const bool share = (left[i] & left[j]).any();
        if (related && !share) continue;
        const double growth = extent(joined(left[i], left[j]), sizes) - extent(left[i], sizes) -
                              extent(left[j], sizes);
        if ((share && !related) || growth < least) {
          least = growth;
          first = i;
          second = j;
          related = share;
        }
      }
    const Labels a = left[first], b = left[second], kept = joined(a, b);
    order.operations += step_cost(a, b, kept, sizes);
    order.path.emplace_back(first, second);
    for (size_t l = 0; l < sizes.size(); ++l)
      uses[l] -= size_t(a[l]) + size_t(b[l]) - size_t(kept[l]);
    left.erase(left.begin() + std::ptrdiff_t(second));
    left.erase(left.begin() + std::ptrdiff_t(first));
    left.push_back(kept);
  }
  return order;
}

}  // namespace

ContractionOrder contraction_order(const std::vector<Labels>& tensors, const Labels& result,
                                   const std::vector<double>& sizes) {
  if (tensors.size() < 2) return {};
  if (tensors.size() <= kMostBySubsets) return SubsetSearch(tensors, result, sizes).order();
  return greedy_order(tensors, result, sizes);
}

}  // namespace tegula
