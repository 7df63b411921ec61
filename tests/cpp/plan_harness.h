// Making small graphs and looking at their plans.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "ops/ops.h"
#include "plan/evaluate.h"
#include "plan/plan.h"

namespace tegula::testing {

inline Backend& device(std::string_view name) {
  install_evaluator();
  return find_backend(name);
}

// A leaf of small numbers that differ.
inline Tensor leaf(Backend& device, const Shape& shape, float first = 0.25f) {
  std::vector<float> values(size_t(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + 0.125f * float(i % 7);
  return from_host(values.data(), DType::float32, shape, device);
}

// The plan that evaluating all that is pending would run.
inline std::unique_ptr<Plan> pending_plan(Backend& device) {
  return make_plan(take_snapshot({}, device));
}

inline std::vector<float> values(const Tensor& x) {
  std::vector<float> result(size_t(x.size()));
  copy_to_host(x, result.data());
  return result;
}

inline std::vector<std::string_view> kinds(const Plan& plan) {
  std::vector<std::string_view> result;
  for (const Step& step : plan.steps) result.push_back(step.kind);
  return result;
}

inline int64_t donations(const Plan& plan) {
  int64_t count = 0;
  for (int32_t donor : plan.donor) count += donor >= 0;
  return count;
}

// Recording evaluates by itself only beyond so many nodes, for its lifetime.
class PendingLimit {
 public:
  explicit PendingLimit(size_t nodes) : before_(auto_evaluation()) {
    auto_evaluation().max_nodes = nodes;
  }
  ~PendingLimit() { auto_evaluation() = before_; }
  PendingLimit(const PendingLimit&) = delete;
  PendingLimit& operator=(const PendingLimit&) = delete;

 private:
  AutoEvaluation before_;
};

}  // namespace tegula::testing
