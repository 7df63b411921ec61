#include "python/grad_hooks.h"

#include <algorithm>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

class PythonHook {
 public:
  explicit PythonHook(PyObject* function) : function_(Py_NewRef(function)) {}
  PythonHook(const PythonHook& other) : function_(Py_NewRef(other.function_)) {}
  PythonHook& operator=(const PythonHook&) = delete;
  ~PythonHook() { Py_DECREF(function_); }

  PyObject* function() const { return function_; }

  Tensor operator()(const Tensor& gradient) const {
    PyObject* argument = checked(wrap(gradient));
    PyObject* result = PyObject_CallOneArg(function_, argument);
    Py_DECREF(argument);
    checked(result);
    Tensor changed;
    const bool valid = result == Py_None || is_tensor(result);
    if (is_tensor(result)) changed = tensor_of(result);
    const std::string got = valid ? "" : type_name(result);
    Py_DECREF(result);
    if (!valid)
      fail(ErrorKind::type, "a gradient hook must return a Tensor or None, it returned ", got);
    return changed;
  }

 private:
  PyObject* function_;
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

int visit_hooks(const GradCell& cell, visitproc visit, void* arg) {
  for (const auto& [id, hook] : cell.hooks)
    if (const PythonHook* python = hook.target<PythonHook>()) Py_VISIT(python->function());
  return 0;
}

}  // namespace tegula::python
