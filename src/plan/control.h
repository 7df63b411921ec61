// How a plan runs a node that calls bodies: the plans of the bodies, made once for operands that
// lie as the node's do, and run on the thread that runs the outer plan, in memory of its arena.
#pragma once

#include <memory>
#include <string>

#include "plan/execute.h"

namespace tegula {

struct Body;

// The plan of one body, with the memory it is to run with.
class BodyPlan {
 public:
  // operands: as views without data. The body's run-time words begin at `dynamic_begin` of the
  // node's.
  BodyPlan(const Body& body, std::span<const View> operands, size_t dynamic_begin);

  const Plan& plan() const { return *plan_; }
  // Before the runs of one step.
  void begin(std::span<const int64_t> dynamic, std::byte* arena, const Origins& origins);
  void set_operand(size_t i, std::byte* data, Buffer* lasting = nullptr);
  void set_result(size_t k, std::byte* data) { frame_.outputs[size_t(output_of_[k])] = data; }
  void run() { run_steps(*plan_, 0, plan_->stages.size(), frame_); }

 private:
  std::unique_ptr<Plan> plan_;
  size_t dynamic_begin_;
  std::vector<int32_t> leaf_of_;    // by operand, -1: not read
  std::vector<int32_t> output_of_;  // by result
  Frame frame_;
};

class Control {
 public:
  virtual ~Control() = default;
  // origins: by body.
  virtual void run(const Step& step, std::span<const int64_t> dynamic, std::byte* scratch,
                   const BodyOrigins& origins) = 0;

  int64_t scratch_bytes() const { return scratch_bytes_; }
  double cost_us() const { return cost_us_; }
  double flops() const { return flops_; }
  std::string to_string(bool programs) const;  // the plans of the bodies

 protected:
  // One body's operands are what `views` holds. How often it runs, for the estimates.
  void add_body(const Body& body, std::span<const View> operands, double times);
  // Where that much memory begins in the scratch memory.
  int64_t reserve(int64_t bytes);
  void begin_bodies(std::span<const int64_t> dynamic, std::byte* scratch,
                    const BodyOrigins& origins);

  std::vector<BodyPlan> bodies_;
  double cost_us_ = 0, flops_ = 0;

 private:
  size_t dynamic_words_ = 0;
  int64_t scratch_bytes_ = 0;  // the bodies' arena is first: they run one at a time
};

// What runs a step that computes `node`; null for nodes that call no bodies. Outputs that are not
// `read` have no memory.
std::shared_ptr<Control> make_control(const Node& node, const Step& step,
                                      std::span<const uint8_t> read);

}  // namespace tegula
