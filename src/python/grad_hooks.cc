#include "python/grad_hooks.h"

#include <algorithm>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

class HeldFunction {
 public:
  explicit HeldFunction(PyObject* function) : function_(Py_NewRef(function)) {}
  HeldFunction(const HeldFunction& other) : function_(Py_NewRef(other.function_)) {}
  HeldFunction& operator=(const HeldFunction&) = delete;
  ~HeldFunction() { Py_DECREF(function_); }

  PyObject* function() const { return function_; }

 protected:
  // What it returns for one argument, which is let go.
  PyObject* call(PyObject* argument) const {
    PyObject* result = PyObject_CallOneArg(function_, checked(argument));
    Py_DECREF(argument);
    return checked(result);
  }

 private:
  PyObject* function_;
};

class PythonHook : public HeldFunction {
 public:
  using HeldFunction::HeldFunction;

  Tensor operator()(const Tensor& gradient) const {
    PyObject* result = call(wrap(gradient));
    Tensor changed;
    const bool valid = result == Py_None || is_tensor(result);
    if (is_tensor(result)) changed = tensor_of(result);
    const std::string got = valid ? "" : type_name(result);
    Py_DECREF(result);
    if (!valid)
      fail(ErrorKind::type, "a gradient hook must return a Tensor or None, it returned ", got);
    return changed;
  }
};

class PythonGroupHook : public HeldFunction {
 public:
  using HeldFunction::HeldFunction;

  void operator()(Tensors& gradients) const {
    PyObject* list = checked(PyList_New(Py_ssize_t(gradients.size())));
    for (size_t i = 0; i < gradients.size(); ++i)
      PyList_SET_ITEM(list, Py_ssize_t(i), gradients[i] ? wrap(gradients[i]) : Py_NewRef(Py_None));
    PyObject* result = call(list);
    for (size_t i = 0; result != Py_None && i < gradients.size(); ++i) {
      PyObject* item = PySequence_GetItem(result, Py_ssize_t(i));
      if (!item) Py_DECREF(result);
      checked(item);
      gradients[i] = is_tensor(item) ? tensor_of(item) : Tensor();
      Py_DECREF(item);
    }
    Py_DECREF(result);
  }
};

}  // namespace

int64_t add_hook(GradCell& cell, PyObject* function) {
  if (!PyCallable_Check(function))
    fail(ErrorKind::type, "register_hook: the hook must be callable, got ", type_name(function));
  static int64_t next_id = 0;
  cell.hooks.emplace_back(next_id, PythonHook(function));
  return next_id++;
}

void remove_hook(GradCell& cell, int64_t id) {
  const auto found = std::find_if(cell.hooks.begin(), cell.hooks.end(),
                                  [&](const auto& hook) { return hook.first == id; });
  if (found == cell.hooks.end()) return;
  const GradCell::Hook removed = std::move(found->second);  // may free objects that look at hooks
  cell.hooks.erase(found);
}

void add_group_hook(const Tensors& values, PyObject* function) {
  static uint64_t next_group = 0;
  for (size_t i = 0; i < values.size(); ++i)
    values[i].cell().group_hook = std::make_unique<GroupHook>(
        GroupHook{next_group, i, values.size(), PythonGroupHook(function)});
  ++next_group;
}

int visit_hooks(const GradCell& cell, visitproc visit, void* arg) {
  for (const auto& [id, hook] : cell.hooks)
    if (const PythonHook* python = hook.target<PythonHook>()) Py_VISIT(python->function());
  if (cell.group_hook)
    if (const auto* python = cell.group_hook->run.target<PythonGroupHook>())
      Py_VISIT(python->function());
  return 0;
}

}  // namespace tegula::python
