// A traced graph made ready to run again and again: its plans, one for each way its inputs can lie
// in memory, and a run with given inputs.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "graph/trace.h"
#include "plan/run.h"

namespace tegula {

class Replay {
 public:
  explicit Replay(Graph graph);

  // What one run is given and gives.
  struct Call {
    // By input of the graph: evaluated tensors, or submitted ones.
    std::span<const Tensor* const> inputs;
    // By input: whether the caller binds the handle inputs[i] to an output before submit(), so that
    // its memory may be written over if nobody else sees it.
    std::span<const uint8_t> rebound;
    std::span<const Tensor> numbers;  // by slot: weak scalars
  };
  // The outputs of one run, which begins with submit(). Until then the caller binds what it binds;
  // replaces(k, before) says that output k replaces a value that it gets back if the run fails.
  class Pending {
   public:
    const Tensors& outputs() const { return outputs_; }
    void replaces(size_t output, const Tensor& before);
    // Starts computing; does not wait.
    void submit();

   private:
    friend class Replay;
    Tensors outputs_;
    std::vector<int32_t> buffers_;  // by output: the run's buffer it lies in, or -1
    std::unique_ptr<Run> run_;
    Ref<Event> event_;
  };
  Pending prepare(const Call& call);

  const Graph& graph() const { return graph_; }
  size_t plan_count() const { return variants_.size(); }

 private:
  struct Variant {
    std::vector<int64_t> key;
    std::shared_ptr<Plan> plan;
    std::vector<int32_t> kept;  // by output of the graph: its number among the plan's kept values
  };
  static constexpr size_t kMaxVariants = 8;

  void bind_leaves(const Call& call);
  void release_leaves();
  void draw_numbers();
  const Variant& find_variant();
  Tensor kept_value(const Value& v, const Variant& variant, size_t k, Pending& pending);

  Graph graph_;
  Snapshot snapshot_;
  std::vector<int32_t> leaf_of_input_;  // -1: not read
  std::vector<int32_t> input_of_output_;  // -1: computed, or a constant
  std::vector<ValueRef> output_refs_;
  std::vector<Variant> variants_;  // latest first
  std::vector<int64_t> key_;  // scratch
};

}  // namespace tegula
