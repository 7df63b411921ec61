#include "transform/anomaly.h"

#include "graph/effects.h"
#include "graph/primitive.h"
#include "graph/trace.h"
#include "ops/ops.h"

namespace tegula {
namespace {

thread_local bool on = false;

[[noreturn]] void report(const std::string& what, bool nan) {
  fail(ErrorKind::floating, "detect_anomaly: the first ", nan ? "NaN" : "infinity",
       " of the backward pass is in ", what);
}

class Report : public HostFunction {
 public:
  explicit Report(std::string what) : what_(std::move(what)) {}
  void call(std::span<const View> inputs, std::span<const View>) override {
    const auto flag = [&](size_t i) { return inputs[i].as<bool>()[0]; };
    if (flag(0)) report(what_, flag(1));
  }

 private:
  std::string what_;
};

void check(const Tensor& gradient, const std::string& what) {
  if (!is_inexact(gradient.dtype()) || gradient.size() == 0) return;
  const GradMode off(false);
  const DeviceScope scope(gradient.device());
  const auto anywhere = [&](const Tensor& flags) { return any(flags, all_axes(flags), false); };
  const Tensor nan = anywhere(isnan(gradient));
  const Tensor bad = anywhere(isnan(gradient - gradient));  // infinity - infinity is NaN
  if (Trace::current()) {
    host_call(Ref<HostFunction>(new Report(what)), std::vector{bad, nan}, {}, true);
    return;
  }
  if (item_as_int(bad)) report(what, item_as_int(nan) != 0);
}

// "sqrt, recorded at train.py:12 in step"
std::string name_of(const Node& node) {
  const std::string name(operation_name(node)), line = describe(node.where);
  return line.empty() ? name : name + ", recorded at " + line;
}

}  // namespace

bool detecting_anomaly() { return on; }
void set_detecting_anomaly(bool wanted) { on = wanted; }

void check_made(const Node& node, std::span<const Tensor> gradients) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i]) continue;
    check(gradients[i], cat("the gradient of ", name_of(node), ", with respect to operand ", i,
                            " of shape ", gradients[i].shape()));
  }
}

void check_arrived(const Node& node, std::span<const Tensor> gradients) {
  for (const Tensor& gradient : gradients) {
    if (!gradient) continue;
    const std::string of = node.primitive ? "the result of " + name_of(node) : "a leaf";
    check(gradient, cat("the sum of what flows into ", of, ", of shape ", gradient.shape()));
  }
}

}  // namespace tegula
