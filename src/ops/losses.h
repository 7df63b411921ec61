// What the losses share.
#pragma once

#include <string>

#include "ops/ops.h"

namespace tegula {

enum class Reduction { mean, sum, none };

inline Reduction reduction_named(const std::string& name, const char* op) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  require(name == "none", op, ": reduction must be 'mean', 'sum' or 'none', got '", name, "'");
  return Reduction::none;
}

inline Tensor total(const Tensor& x) { return sum(x, all_axes(x), false); }

inline Tensor reduce_loss(const Tensor& loss, Reduction reduction) {
  if (reduction == Reduction::none) return loss;
  return reduction == Reduction::sum ? total(loss) : mean(loss, all_axes(loss), false);
}
inline Tensor reduce_loss(const Tensor& loss, const std::string& reduction, const char* op) {
  return reduce_loss(loss, reduction_named(reduction, op));
}

inline void check_same_shape(const Tensor& a, const Tensor& b, const char* op,
                             const char* names = "input and target") {
  require(a.shape() == b.shape(), op, ": ", names, " have different shapes, ", a.shape(), " and ",
          b.shape());
}

}  // namespace tegula
