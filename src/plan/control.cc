#include "plan/control.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

#include "graph/attrs.h"
#include "graph/body.h"
#include "graph/primitive.h"
#include "plan/lowering.h"
#include "transform/control.h"

namespace tegula {

BodyPlan::BodyPlan(const Body& body, std::span<const View> operands, size_t dynamic_begin)
    : dynamic_begin_(dynamic_begin), leaf_of_(operands.size(), -1) {
  Snapshot snapshot = snapshot_of(body.graph);
  snapshot.results_apart = true;
  std::map<std::pair<const Node*, uint32_t>, int32_t> leaves;
  for (size_t i = 0; i < snapshot.leaves.size(); ++i)
    leaves[{snapshot.leaves[i].node, snapshot.leaves[i].index}] = int32_t(i);
  for (size_t i = 0; i < operands.size(); ++i) {
    const Value& v = body.operands[i];
    const auto leaf = leaves.find({v.node.get(), v.index});
    if (leaf == leaves.end()) continue;
    leaf_of_[i] = leaf->second;
    v.node->outputs[v.index].layout.strides = operands[i].strides;
  }
  plan_ = make_plan(snapshot);
  std::map<const Node*, int32_t> numbers;
  for (size_t i = 0; i < snapshot.nodes.size(); ++i) numbers[snapshot.nodes[i]] = int32_t(i);
  for (const Value& v : body.graph.outputs) {
    const ValueRef ref{numbers.at(v.node.get()), int32_t(v.index)};
    const auto kept = std::find_if(plan_->kept.begin(), plan_->kept.end(),
                                   [&](const Kept& k) { return k.value == ref; });
    output_of_.push_back(kept->output);
  }
  frame_.leaves.resize(snapshot.leaves.size());
  frame_.lasting.resize(snapshot.leaves.size());
  frame_.outputs.resize(plan_->output_bytes.size());
}

void BodyPlan::begin(std::span<const int64_t> dynamic, std::byte* arena, const Origins& origins) {
  frame_.dynamic = dynamic.subspan(dynamic_begin_);
  frame_.arena = arena;
  frame_.origins = &origins;
}

void BodyPlan::set_operand(size_t i, std::byte* data, Buffer* lasting) {
  if (leaf_of_[i] < 0) return;
  frame_.leaves[size_t(leaf_of_[i])] = data;
  frame_.lasting[size_t(leaf_of_[i])] = lasting;
}

void Control::add_body(const Body& body, std::span<const View> operands, double times) {
  bodies_.emplace_back(body, operands, dynamic_words_);
  dynamic_words_ += body.dynamic_words();
  const Plan& plan = bodies_.back().plan();
  scratch_bytes_ = std::max(scratch_bytes_, (plan.arena_bytes + 63) / 64 * 64);
  cost_us_ += plan.cost_us * times;
  for (const Step& step : plan.steps) flops_ += step.flops * times;
}

int64_t Control::reserve(int64_t bytes) {
  const int64_t begin = scratch_bytes_;
  scratch_bytes_ += (bytes + 63) / 64 * 64;
  return begin;
}

void Control::begin_bodies(std::span<const int64_t> dynamic, std::byte* scratch,
                           const BodyOrigins& origins) {
  for (size_t b = 0; b < bodies_.size(); ++b) bodies_[b].begin(dynamic, scratch, *origins[b]);
}

std::string Control::to_string(bool programs) const {
  std::string text;
  for (const BodyPlan& body : bodies_) {
    std::istringstream lines(body.plan().to_string(programs));
    for (std::string line; std::getline(lines, line);) text += "    " + line + "\n";
  }
  return text;
}

namespace {

// Where the kernel of a step finds its memory in one run.
struct Memory {
  const Step& step;
  std::byte* scratch;

  // An output's memory, or the scratch memory in its place where nobody reads it.
  std::byte* output(size_t k, int64_t instead) const {
    std::byte* data = step.outputs[k].data;
    return data || instead < 0 ? data : scratch + instead;
  }
};

int64_t bytes_of(const View& view) { return numel(view.shape) * int64_t(itemsize(view.dtype)); }

View dense(const View& view) {
  return {nullptr, view.dtype, view.shape, contiguous_strides(view.shape)};
}

// One row of what is walked along its first axis.
View row_of(const View& view) {
  return {nullptr, view.dtype, Shape(view.shape.begin() + 1, view.shape.end()),
          Strides(view.strides.begin() + 1, view.strides.end())};
}
std::byte* row(const View& view, int64_t number) {
  return view.data + number * view.strides[0] * int64_t(itemsize(view.dtype));
}

// ---- cond ------------------------------------------------------------------------------------

class CondControl : public Control {
 public:
  CondControl(const Node& node, const Step& step, std::span<const uint8_t> read) {
    const std::span<const View> operands = std::span(step.inputs).subspan(1);
    for (const std::shared_ptr<const Body>& branch : node.bodies)
      add_body(*branch, operands, 1.0 / double(node.bodies.size()));
    for (size_t k = 0; k < step.outputs.size(); ++k)
      instead_.push_back(read[k] ? -1 : reserve(bytes_of(step.outputs[k])));
  }

  void run(const Step& step, std::span<const int64_t> dynamic, std::byte* scratch,
           const BodyOrigins& origins) override {
    begin_bodies(dynamic, scratch, origins);
    const int64_t last = int64_t(bodies_.size()) - 1;
    const int64_t index = std::clamp<int64_t>(*step.inputs[0].as<int64_t>(), 0, last);
    BodyPlan& branch = bodies_[size_t(index)];
    for (size_t i = 1; i < step.inputs.size(); ++i)
      branch.set_operand(i - 1, step.inputs[i].data, step.inputs[i].buffer);
    for (size_t k = 0; k < step.outputs.size(); ++k)
      branch.set_result(k, Memory{step, scratch}.output(k, instead_[k]));
    branch.run();
  }

 private:
  std::vector<int64_t> instead_;  // by output
};

// ---- loops -----------------------------------------------------------------------------------

// A value that a loop carries. What an iteration reads and what it writes lie in two places in
// turn, one of which is the loop's result; or in the rows of an output that keeps the carry before
// each iteration.
class Carry {
 public:
  // The loop's outputs `result` and `kept` (-1: not kept); scratch memory for the two places.
  Carry(const View& init, Backend& device, size_t result, int kept, int64_t spare, int64_t instead)
      : from_(init),
        to_(dense(init)),
        result_(result),
        kept_(kept),
        spare_(spare),
        instead_(instead),
        copy_(copy_program(init.shape, init.dtype, init.strides)) {
    const StepSpec step{"tile", {&from_, 1}, {&to_, 1}, {}, &copy_};
    kernel_ = device.find_kernel(step);
    if (kernel_->prepare) prepared_ = kernel_->prepare(step);
  }

  // Brings the operand to where the first iteration reads it.
  void start(const View& init, std::byte* to) {
    from_.data = init.data;
    to_.data = to;
    kernel_->run({{&from_, 1}, {&to_, 1}, {}, {}, prepared_.get()});
  }
  std::byte* result(const Memory& memory) const { return memory.output(result_, instead_); }
  // Where it lies with `left` iterations to go, the next of which is kept as row `number`.
  std::byte* place(const Memory& memory, int64_t left, int64_t number) const {
    if (left > 0 && kept_ >= 0) return row(memory.step.outputs[size_t(kept_)], number);
    return left % 2 ? memory.scratch + spare_ : result(memory);
  }
  int64_t bytes() const { return bytes_of(to_); }

 private:
  View from_, to_;
  size_t result_;
  int kept_;
  int64_t spare_, instead_;
  TileProgram copy_;
  const Kernel* kernel_;
  std::shared_ptr<void> prepared_;
};

class Loop : public Control {
 protected:
  // The carries: the first inputs and outputs. Output `first_kept` + j keeps carry j, if there is
  // such an output and somebody reads it.
  void add_carries(const Node& node, const Step& step, std::span<const uint8_t> read, size_t count,
                   size_t first_kept) {
    for (size_t j = 0; j < count; ++j) {
      const int64_t bytes = bytes_of(step.outputs[j]);
      const bool kept = first_kept + j < read.size() && read[first_kept + j];
      carries_.emplace_back(step.inputs[j], *node.device, j, kept ? int(first_kept + j) : -1,
                            reserve(bytes), read[j] ? -1 : reserve(bytes));
    }
  }
  static std::vector<View> carried(const Step& step, size_t count) {
    std::vector<View> views;
    for (size_t j = 0; j < count; ++j) views.push_back(dense(step.inputs[j]));
    return views;
  }
  static void set_outside(BodyPlan& body, const Step& step, size_t first) {
    for (size_t i = first; i < step.inputs.size(); ++i)
      body.set_operand(i, step.inputs[i].data, step.inputs[i].buffer);
  }

  std::vector<Carry> carries_;
};

class ScanControl : public Loop {
 public:
  ScanControl(const Node& node, const Step& step, std::span<const uint8_t> read)
      : attrs_(read_attrs<ScanAttrs>(node.attrs)) {
    const size_t carries = size_t(attrs_.carries), first_outside = carries + size_t(attrs_.rows);
    std::vector<View> operands = carried(step, carries);
    for (size_t i = carries; i < step.inputs.size(); ++i)
      operands.push_back(i < first_outside ? row_of(step.inputs[i]) : step.inputs[i]);
    add_body(*node.bodies[0], operands, double(attrs_.length));
    const size_t results = node.bodies[0]->graph.outputs.size();
    add_carries(node, step, read, carries, results);
    for (size_t k = carries; k < results; ++k)
      instead_.push_back(read[k] ? -1 : reserve(bytes_of(row_of(step.outputs[k]))));
  }

  void run(const Step& step, std::span<const int64_t> dynamic, std::byte* scratch,
           const BodyOrigins& origins) override {
    begin_bodies(dynamic, scratch, origins);
    const Memory memory{step, scratch};
    const int64_t length = attrs_.length, last = length - 1;
    const size_t carries = carries_.size(), first_outside = carries + size_t(attrs_.rows);
    BodyPlan& body = bodies_[0];
    set_outside(body, step, first_outside);
    const auto number_of = [&](int64_t t) { return attrs_.reverse ? last - t : t; };
    for (size_t j = 0; j < carries; ++j)
      carries_[j].start(step.inputs[j], carries_[j].place(memory, length, number_of(0)));
    for (int64_t t = 0; t < length; ++t) {
      const int64_t now = number_of(t);
      for (size_t j = 0; j < carries; ++j) {
        body.set_operand(j, carries_[j].place(memory, length - t, now));
        body.set_result(j, carries_[j].place(memory, last - t, number_of(t + 1)));
      }
      for (size_t i = carries; i < first_outside; ++i)
        body.set_operand(i, row(step.inputs[i], now));
      for (size_t n = 0; n < instead_.size(); ++n)
        body.set_result(carries + n, instead_[n] < 0 ? row(step.outputs[carries + n], now)
                                                     : scratch + instead_[n]);
      body.run();
    }
  }

 private:
  ScanAttrs attrs_;
  std::vector<int64_t> instead_;  // by result that is not carried
};

class WhileControl : public Loop {
 public:
  WhileControl(const Node& node, const Step& step, std::span<const uint8_t> read)
      : attrs_(read_attrs<WhileAttrs>(node.attrs)) {
    constexpr double kGuessedIterations = 100;
    const size_t carries = size_t(attrs_.carries);
    std::vector<View> operands = carried(step, carries);
    operands.insert(operands.end(), step.inputs.begin() + int64_t(carries), step.inputs.end());
    for (const std::shared_ptr<const Body>& body : node.bodies)
      add_body(*body, operands, kGuessedIterations);
    add_carries(node, step, read, carries, carries + 1);
    verdict_ = reserve(1);
  }

  void run(const Step& step, std::span<const int64_t> dynamic, std::byte* scratch,
           const BodyOrigins& origins) override {
    begin_bodies(dynamic, scratch, origins);
    const Memory memory{step, scratch};
    BodyPlan &condition = bodies_[0], &body = bodies_[1];
    for (BodyPlan* each : {&condition, &body}) set_outside(*each, step, carries_.size());
    bool* verdict = reinterpret_cast<bool*>(scratch + verdict_);
    condition.set_result(0, scratch + verdict_);
    // An even number that never runs out stands for no limit.
    const int64_t most = attrs_.max_iters >= 0 ? attrs_.max_iters : int64_t(1) << 62;
    for (size_t j = 0; j < carries_.size(); ++j)
      carries_[j].start(step.inputs[j], carries_[j].place(memory, most, 0));
    int64_t t = 0;
    for (; t < most; ++t) {
      for (size_t j = 0; j < carries_.size(); ++j) {
        std::byte* from = carries_[j].place(memory, most - t, t);
        condition.set_operand(j, from);
        body.set_operand(j, from);
        body.set_result(j, carries_[j].place(memory, most - t - 1, t + 1));
      }
      condition.run();
      if (!*verdict) break;
      body.run();
    }
    for (const Carry& carry : carries_) {
      const std::byte* from = carry.place(memory, most - t, t);
      std::byte* to = carry.result(memory);
      if (from != to && carry.bytes()) std::memcpy(to, from, size_t(carry.bytes()));
    }
    const View& trips = step.outputs[carries_.size()];
    if (trips.data) *trips.as<int64_t>() = t;
  }

 private:
  WhileAttrs attrs_;
  int64_t verdict_;
};

}  // namespace

std::shared_ptr<Control> make_control(const Node& node, const Step& step,
                                      std::span<const uint8_t> read) {
  if (node.primitive == &cond_primitive()) return std::make_shared<CondControl>(node, step, read);
  if (node.primitive == &scan_primitive()) return std::make_shared<ScanControl>(node, step, read);
  if (node.primitive == &while_primitive()) return std::make_shared<WhileControl>(node, step, read);
  return nullptr;
}

}  // namespace tegula
