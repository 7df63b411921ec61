// Replaying a call of a jitted function.
#include <list>

#include "ops/ops.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/specialization.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

class Replayer {
 public:
  Replayer(Specialization& s, const Tree& arguments) : s_(s), arguments_(arguments) {}

  nb::object run(bool first) {
    read_numbers(first);
    if (s_.differentiable && grad_enabled()) return record();
    find_inputs();
    Replay::Pending pending = s_.replay->prepare({inputs_, rebound_, numbers_});
    bind(pending.outputs(), &pending);
    nb::object result = results(pending.outputs());
    pending.submit();
    return result;
  }

 private:
  void read_numbers(bool first) {
    for (const Number& n : s_.numbers) {
      // The trace has read them already, and called what is to be called.
      if (first) numbers_.push_back(Number::tensor(n.value));
      else if (n.leaf >= 0) numbers_.push_back(now(n, arguments_.leaves[size_t(n.leaf)]));
      else numbers_.emplace_back();
    }
    if (first) return;
    const auto part = [&](int32_t k) { return s_.objects[size_t(k)].ptr(); };
    for (const HostAction& action : s_.actions) {
      if (action.number < 0) {
        nb::steal(checked(PyObject_CallNoArgs(part(action.function))));
        continue;
      }
      const size_t number = size_t(action.number);
      numbers_[number] =
          now(s_.numbers[number],
              nb::steal(checked(PyObject_GetItem(part(action.container), part(action.key)))));
    }
  }
  static Tensor now(const Number& n, const nb::object& object) {
    const bool real = std::holds_alternative<double>(n.value);
    return Number::tensor(Number::read(object.ptr(), real));
  }

  PyObject* object(size_t handle) const { return object_of(s_.handles[handle], arguments_); }
  GradCell& cell_of(const Specialization::Cell& c) const {
    return *raw_tensor(object(c.owner)).output().cell;
  }

  const Tensor& input(const Specialization::Input& from) const {
    if (from.kind == Specialization::Input::handle) return raw_tensor(object(from.index));
    const std::unique_ptr<Tensor>& gradient = cell_of(s_.cells[from.index]).grad;
    static const Tensor nothing;
    return gradient ? *gradient : nothing;
  }

  // Values of which a plan can be made: submitted, in memory.
  void find_inputs() {
    Tensors waiting;
    inputs_.reserve(s_.inputs.size());
    rebound_.resize(s_.inputs.size(), false);
    for (size_t i = 0; i < s_.inputs.size(); ++i) {
      const Specialization::Input& from = s_.inputs[i];
      const Tensor& x = input(from);
      inputs_.push_back(&x);
      if (!x) continue;
      if (x.node().pending()) waiting.push_back(x);
      if (x.node().state == NodeState::scalar) {
        made_.push_back(
            from_host(scalar_element(x.node()).data(), x.dtype(), {}, *x.node().device));
        inputs_.back() = &made_.back();
      }
      rebound_[i] =
          from.kind == Specialization::Input::handle && s_.handles[from.index].output >= 0;
    }
    // Effects recorded before come before the replayed ones.
    const bool effects = s_.replay->graph().has_effects && PendingList::current().last_held();
    if (!waiting.empty() || effects) evaluate(waiting, Wait::no);
  }

  void bind(const Tensors& outputs, Replay::Pending* pending) {
    for (size_t i = 0; i < s_.handles.size(); ++i) {
      const int32_t k = s_.handles[i].output;
      if (k < 0) continue;
      Tensor& handle = raw_tensor(object(i));
      if (pending && !s_.shared[size_t(k)]) pending->replaces(size_t(k), handle);
      Tensor fresh = s_.shared[size_t(k)] ? detach(outputs[size_t(k)]) : outputs[size_t(k)];
      if (const Ref<GradCell>& cell = handle.output().cell; cell && cell->is_leaf) {
        fresh.output().cell = cell;
        fresh.output().requires_grad = true;
      }
      handle = std::move(fresh);
    }
    for (const Specialization::Cell& c : s_.cells) {
      if (c.after == Capture::Cell::none) cell_of(c).grad.reset();
      if (c.after == Capture::Cell::value)
        cell_of(c).grad = std::make_unique<Tensor>(outputs[size_t(c.output)]);
    }
  }

  nb::object results(const Tensors& outputs) {
    return s_.result.rebuild([&](size_t i) -> nb::object {
      const Specialization::Result& r = s_.results[i];
      if (r.output >= 0) return nb::steal(checked(wrap(outputs[size_t(r.output)])));
      if (r.handle >= 0) return nb::borrow(object(size_t(r.handle)));
      return s_.constants[size_t(r.constant)];
    });
  }

  // Gradients are to flow through the results: the operations are recorded anew.
  nb::object record() {
    Tensors inputs;
    for (const Specialization::Input& from : s_.inputs) inputs.push_back(input(from));
    const Tensors outputs = record_graph(s_.replay->graph(), inputs, numbers_);
    inputs.clear();
    bind(outputs, nullptr);
    return results(outputs);
  }

  Specialization& s_;
  const Tree& arguments_;
  std::vector<const Tensor*> inputs_;
  std::vector<uint8_t> rebound_;
  Tensors numbers_;
  std::list<Tensor> made_;
};

}  // namespace

nb::object replay_call(Specialization& s, const Tree& arguments, bool first) {
  return Replayer(s, arguments).run(first);
}

}  // namespace tegula::python
