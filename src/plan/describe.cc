#include "plan/describe.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "plan/cost.h"

namespace tegula {
namespace {

struct Book {
  std::mutex mutex;
  bool open = false;
  std::vector<std::shared_ptr<Plan>> plans;
  std::vector<PlanDescription> descriptions;
};
Book& book() {
  static Book instance;
  return instance;
}

PlanDescription::Recorded recorded(const Snapshot& snapshot, size_t i) {
  const Node& node = *snapshot.nodes[i];
  PlanDescription::Recorded text;
  text.operation = node.primitive->name;
  text.attrs = attrs_text(node);
  for (const ValueRef& input : snapshot.inputs[i])
    text.inputs.push_back(value_name(snapshot, input));
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    text.types.push_back(cat(node.outputs[k].dtype, node.outputs[k].shape));
    text.kept = text.kept || snapshot.live[i][k];
  }
  return text;
}

PlanDescription::Planned planned(const Step& step) {
  PlanDescription::Planned text;
  text.kind = step.kind;
  text.operations = operations(step);
  if (step.program) text.program = print(*step.program);
  text.nodes = step.nodes;
  for (size_t i = 0; i < step.inputs.size(); ++i)
    text.reads.push_back(operand_text(step.inputs[i], step.input_places[i]));
  for (size_t i = 0; i < step.outputs.size(); ++i)
    text.writes.push_back(operand_text(step.outputs[i], step.output_places[i]));
  text.bytes = step.bytes;
  text.flops = step.flops;
  text.predicted_us = cost_us(step);
  return text;
}

}  // namespace

std::vector<PlanDescription::Recorded> describe_nodes(const Snapshot& snapshot) {
  std::vector<PlanDescription::Recorded> nodes;
  for (size_t i = 0; i < snapshot.nodes.size(); ++i) {
    nodes.push_back(recorded(snapshot, i));
    nodes.back().line = describe(snapshot.nodes[i]->where);
  }
  return nodes;
}

void start_describing_plans() {
  Book& b = book();
  const std::lock_guard lock(b.mutex);
  b.plans.clear();
  b.descriptions.clear();
  b.open = true;
}

std::vector<PlanDescription> stop_describing_plans() {
  Book& b = book();
  const std::lock_guard lock(b.mutex);
  b.open = false;
  b.plans.clear();
  return std::exchange(b.descriptions, {});
}

int32_t describe_plan(const std::shared_ptr<Plan>& plan, const Snapshot& snapshot) {
  Book& b = book();
  const std::lock_guard lock(b.mutex);
  if (!b.open) return -1;
  const auto known = std::find(b.plans.begin(), b.plans.end(), plan);
  if (known != b.plans.end()) return int32_t(known - b.plans.begin());
  PlanDescription text;
  text.device = plan->device->name();
  for (size_t i = 0; i < snapshot.leaves.size(); ++i) {
    text.leaf_names.push_back(value_name(snapshot, {-1, int32_t(i)}));
    text.leaf_texts.push_back(leaf_text(snapshot.leaves[i]));
  }
  text.nodes = describe_nodes(snapshot);
  for (const Step& step : plan->steps) text.steps.push_back(planned(step));
  for (size_t i = 0; i < plan->stages.size(); ++i)
    for (int32_t s = plan->stages[i].begin; s < plan->stages[i].end; ++s)
      text.steps[size_t(s)].stage = int32_t(i);
  text.arena_bytes = plan->arena_bytes;
  text.in_place =
      std::count_if(plan->donor.begin(), plan->donor.end(), [](int32_t leaf) { return leaf >= 0; });
  b.plans.push_back(plan);
  b.descriptions.push_back(std::move(text));
  return int32_t(b.plans.size()) - 1;
}

}  // namespace tegula
