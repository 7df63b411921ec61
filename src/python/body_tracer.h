// Functions traced into bodies (graph/body.h): the branches and loops of control flow, and what is
// batched.
#pragma once

#include "graph/body.h"
#include "graph/primitive.h"
#include "python/capture.h"
#include "transform/anomaly.h"

namespace tegula::python {

// A nest of values, Python's numbers and bools among them.
Tree flatten(const char* op, nanobind::handle object);
// A leaf as a tensor. A Python number has its own dtype, or the one that is `expected`.
Tensor leaf_tensor(const Tree& tree, size_t leaf, const char* op, const DType* expected = nullptr);
Tensors leaf_tensors(const Tree& tree, const char* op);

// What a function gives, without handles to it.
struct Results {
  Tree structure;  // without leaves
  std::vector<OutputSpec> specs;

  std::string describe(size_t leaf) const { return cat(specs[leaf].dtype, specs[leaf].shape); }
};

// One function while it is traced.
class BodyTracer {
 public:
  // Whether the function may draw random numbers and have ordered effects.
  enum class Effects : bool { refused, allowed };
  BodyTracer(const char* op, std::string which, Effects effects = Effects::refused)
      : op_(op),
        which_(std::move(which)),
        effects_(effects),
        anomaly_(detecting_anomaly() && effects == Effects::allowed) {}

  // An argument's leaf, like x or, with `row`, like what is along x's first axis.
  void add_parameter(const Tensor& x, bool row = false);
  const nanobind::object& parameter(size_t leaf) const { return parameters_[leaf]; }
  // The results of a call. Numbers take the dtypes of what they stand for in `expected`.
  Results add_results(const nanobind::object& object, const Results* expected = nullptr);
  // When nothing refers to the call's result any more.
  BodyDraft take();

 private:
  void refuse_effects();
  void take_back_draws();

  const char* op_;
  std::string which_;
  Effects effects_;
  AnomalyMode anomaly_;  // off where the checks, which are effects, are refused
  Capture capture_{Capture::Kind::body};
  BodyDraft draft_;
  std::vector<nanobind::object> parameters_;
  Tensors given_;
};

}  // namespace tegula::python
