// Steps that the planner makes of recorded operations: what a user's program would run. Recording
// and planning happen once; the steps are then run like those that are given one by one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/tensor.h"
#include "plan/plan.h"

namespace tegula::bench {

class Recorded {
 public:
  // `leaves` are the tensors by name. Lines, whose words are parted by blanks:
  //   parameters x w               derivatives with respect to these will be taken
  //   y = layer_norm x 1 w b       a public operation; words are tensors, numbers, lists of
  //                                integers (0,1), None, True, False, text, or keyword=...
  //   dx dw = gradients y dy x w   of sum(y * dy) with respect to x and w; dy is - for a scalar y
  //   evaluate y                   computes now what follows will use, so that it is not timed
  Recorded(std::map<std::string, Tensor> leaves, const std::vector<std::string>& lines,
           const std::vector<std::string>& outputs);
  ~Recorded();
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

  // With the places of all operands filled in.
  const std::vector<Step>& steps() const { return plan_->steps; }
  std::span<const int64_t> dynamic(const Step& step) const;
  const std::map<std::string, View>& outputs() const { return outputs_; }

 private:
  void take_line(const std::string& line);
  void plan(const std::vector<std::string>& outputs);
  std::byte* address(const Place& place);

  Backend& device_;
  std::map<std::string, Tensor> tensors_;
  std::vector<Ref<Buffer>> leaves_, results_;
  std::vector<std::byte*> leaf_data_;
  std::vector<uint64_t> scalars_;
  std::vector<int64_t> dynamic_;
  std::unique_ptr<Plan> plan_;
  std::byte* arena_ = nullptr;
  std::map<std::string, View> outputs_;
};

}  // namespace tegula::bench
