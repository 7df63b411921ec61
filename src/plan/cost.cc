#include "plan/cost.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "plan/control.h"

namespace tegula {
namespace {

constexpr double kBytesPerMicrosecond = 20e3;
constexpr double kFlopsPerMicrosecond = 50e3;
constexpr double kStepMicroseconds = 0.3;
// Below it a step is mostly overhead, which says nothing of its kind.
constexpr double kMeasurable = 2;  // us
// How much one measurement counts beside those before it.
constexpr double kNewWeight = 0.1;

// How many times longer than the figures above say steps of a kind take.
struct Factors {
  std::mutex mutex;
  std::map<std::string_view, double> by_kind;
};
Factors& factors() {
  static auto& instance = *std::make_unique<Factors>().release();  // runs outlive static objects
  return instance;
}

double span_bytes(const View& view) {
  double bytes = double(itemsize(view.dtype));
  for (size_t i = 0; i < view.shape.size(); ++i)
    if (view.strides[i] != 0) bytes *= double(view.shape[i]);
  return bytes;
}

std::string_view kind_of(const Step& step) { return step.label.empty() ? step.kind : step.label; }

double contraction_flops(const Step& step) {
  const auto size = [](const View& v) { return double(numel(v.shape)); };
  if (step.kind == "matmul") return 2 * size(step.inputs[0]) * double(step.outputs[0].shape.back());
  if (step.kind == "conv")
    return 2 * size(step.outputs[0]) * size(step.inputs[1]) / double(step.inputs[1].shape[0]);
  if (step.kind == "conv_input_grad")
    return 2 * size(step.inputs[0]) * size(step.inputs[1]) / double(step.inputs[1].shape[0]);
  if (step.kind == "conv_weight_grad")
    return 2 * size(step.inputs[1]) * size(step.outputs[0]) / double(step.outputs[0].shape[0]);
  return 0;
}

}  // namespace

void count_work(Step& step, std::span<const uint8_t> has_memory) {
  step.bytes = 0;
  for (const View& v : step.inputs) step.bytes += span_bytes(v);
  for (size_t k = 0; k < step.outputs.size(); ++k)
    if (has_memory[k]) step.bytes += span_bytes(step.outputs[k]);
  step.flops = contraction_flops(step);
  if (step.program)
    step.flops += double(numel(step.program->extent)) * double(step.program->instrs.size());
  if (step.control) step.flops += step.control->flops();
}

double model_us(const Step& step) {
  return kStepMicroseconds + step.bytes / kBytesPerMicrosecond + step.flops / kFlopsPerMicrosecond;
}

double cost_us(const Step& step) {
  Factors& f = factors();
  const std::lock_guard lock(f.mutex);
  const auto factor = f.by_kind.find(kind_of(step));
  return model_us(step) * (factor == f.by_kind.end() ? 1 : factor->second);
}

void note_cost(const Step& step, double microseconds) {
  if (model_us(step) < kMeasurable) return;
  const double seen = std::clamp(microseconds / model_us(step), 0.05, 50.0);
  Factors& f = factors();
  const std::lock_guard lock(f.mutex);
  double& factor = f.by_kind.try_emplace(kind_of(step), 1.0).first->second;
  factor += kNewWeight * (seen - factor);
}

}  // namespace tegula
