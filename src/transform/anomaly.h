// Where the first NaN or infinity of a backward pass comes from.
#pragma once

#include "graph/tensor.h"

namespace tegula {

// Whether this thread's backward passes look at every gradient.
bool detecting_anomaly();
void set_detecting_anomaly(bool on);

// Whether they do, for its lifetime.
class AnomalyMode {
 public:
  explicit AnomalyMode(bool on) : before_(detecting_anomaly()) { set_detecting_anomaly(on); }
  ~AnomalyMode() { set_detecting_anomaly(before_); }
  AnomalyMode(const AnomalyMode&) = delete;
  AnomalyMode& operator=(const AnomalyMode&) = delete;

 private:
  bool before_;
};

// Throws if a gradient has a NaN or an infinity, which is computed for that; while a function is
// traced, has what is traced do so when it runs. For gradients of what a node was computed from,
// made by its derivative, and of what it computed, a sum of all that flows into it.
void check_made(const Node& node, std::span<const Tensor> gradients);
void check_arrived(const Node& node, std::span<const Tensor> gradients);

}  // namespace tegula
