// Replaying a call of a jitted function.
#include <list>

#include "ops/ops.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/specialization.h"

namespace tegula::python {
namespace {

class Replayer {
 public:
  Replayer(Specialization& s, const Tree& arguments) : s_(s), arguments_(arguments) {}

  PyObject* run(bool first) {
    read_numbers(first);
    if (s_.differentiable && grad_enabled()) return record();
    find_inputs();
    Replay::Pending pending = s_.replay->prepare({inputs_, rebound_, numbers_});
    bind(pending.outputs(), &pending);
    PyObject* result = results(pending.outputs());
    pending.submit();
    return result;
  }

 private:
  void read_numbers(bool first) {
    numbers_.resize(s_.numbers.size());
    if (first) {  // the trace has read them, and called what is to be called
      for (size_t i = 0; i < s_.numbers.size(); ++i) numbers_[i] = traced(s_.numbers[i]);
      return;
    }
    for (size_t i = 0; i < s_.numbers.size(); ++i)
      if (const int32_t leaf = s_.numbers[i].leaf; leaf >= 0)
        numbers_[i] = number_of(arguments_.leaves[size_t(leaf)], s_.numbers[i]);
    for (const HostAction& action : s_.actions) {
      if (action.slot >= 0) {
        Objects value;
        value.take(checked(PyObject_GetItem(s_.objects[size_t(action.container)],
                                            s_.objects[size_t(action.key)])));
        numbers_[size_t(action.slot)] = number_of(value[0], s_.numbers[size_t(action.slot)]);
      } else {
        Objects none;
        none.take(checked(PyObject_CallNoArgs(s_.objects[size_t(action.function)])));
      }
    }
  }

  static Tensor traced(const Slot& slot) {
    return slot.is_real ? scalar(slot.real, DType::float32, true)
                        : scalar(slot.integer, DType::int64, true);
  }
  static Tensor number_of(PyObject* object, const Slot& slot) {
    if (slot.is_real) return scalar(to_double(object, "jit", "a number"), DType::float32, true);
    return scalar(to_int(object, "jit", "a number"), DType::int64, true);
  }

  PyObject* object(size_t handle) const { return object_of(s_.handles[handle], arguments_); }
  GradCell& cell_of(const Specialization::Cell& c) const {
    return *raw(object(c.owner)).output().cell;
  }

  const Tensor& input(const Specialization::Input& from) const {
    if (from.kind == Specialization::Input::handle) return raw(object(from.index));
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
        made_.push_back(from_host(&x.node().scalar_bits, x.dtype(), {}, *x.node().device));
        inputs_.back() = &made_.back();
      }
      rebound_[i] =
          from.kind == Specialization::Input::handle && s_.handles[from.index].output >= 0;
    }
    if (!waiting.empty()) evaluate(waiting, Wait::no);
  }

  void bind(const Tensors& outputs, Replay::Pending* pending) {
    for (size_t i = 0; i < s_.handles.size(); ++i) {
      const int32_t k = s_.handles[i].output;
      if (k < 0) continue;
      Tensor& handle = raw(object(i));
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

  PyObject* results(const Tensors& outputs) {
    return s_.result.rebuild([&](size_t i) -> PyObject* {
      const Specialization::Result& r = s_.results[i];
      if (r.output >= 0) return wrap(outputs[size_t(r.output)]);
      if (r.handle >= 0) return Py_NewRef(object(size_t(r.handle)));
      return Py_NewRef(s_.constants[size_t(r.constant)]);
    });
  }

  // Gradients are to flow through the results: the operations are recorded anew.
  PyObject* record() {
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

PyObject* replay_call(Specialization& s, const Tree& arguments, bool first) {
  return Replayer(s, arguments).run(first);
}

}  // namespace tegula::python
