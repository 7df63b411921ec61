// tg.no_grad and tg.enable_grad: context managers and decorators.
#include "python/grad_mode.h"

#include "graph/tensor.h"
#include "python/convert.h"
#include "python/errors.h"

namespace tegula::python {
namespace {

struct GradModeObject {
  PyObject_HEAD uint64_t before;  // a bit for each time it was entered, the latest lowest
};

template <bool kEnabled>
PyObject* enter(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<GradModeObject*>(object);
  self->before = self->before << 1 | uint64_t(grad_enabled());
  set_grad_enabled(kEnabled);
  return Py_NewRef(object);
}

PyObject* leave(PyObject* object, PyObject* const*, Py_ssize_t) {
  auto* self = reinterpret_cast<GradModeObject*>(object);
  set_grad_enabled(self->before & 1);
  self->before >>= 1;
  return Py_NewRef(Py_None);
}

// The function, always run in this mode. Made in Python, so that it looks like the function.
PyObject* decorate(PyTypeObject* type, PyObject* function) {
  PyObject* module = PyImport_ImportModule("tegula._grad_mode");
  if (!module) return nullptr;
  PyObject* result = PyObject_CallMethod(module, "decorated", "OO", function, type);
  Py_DECREF(module);
  return result;
}

PyObject* call(PyObject* self, PyObject* args, PyObject* keywords) {
  PyObject* function = nullptr;
  if ((keywords && PyDict_GET_SIZE(keywords)) ||
      !PyArg_UnpackTuple(args, "__call__", 1, 1, &function)) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a decorator takes one function");
    return nullptr;
  }
  return decorate(Py_TYPE(self), function);
}

// no_grad() is a context manager, no_grad(function) the decorated function.
PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
  if (PyTuple_GET_SIZE(args) == 1) return decorate(type, PyTuple_GET_ITEM(args, 0));
  if (PyTuple_GET_SIZE(args) > 1) {
    PyErr_Format(PyExc_TypeError, "%s takes at most one function", type->tp_name);
    return nullptr;
  }
  return type->tp_alloc(type, 0);
}

template <bool kEnabled>
void add_mode(PyObject* module, const char* qualified, const char* name, const char* doc) {
  static PyMethodDef methods[] = {
      {"__enter__", enter<kEnabled>, METH_NOARGS, nullptr},
      {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(leave)), METH_FASTCALL,
       nullptr},
      {},
  };
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(doc)},
      {Py_tp_new, reinterpret_cast<void*>(make)},
      {Py_tp_call, reinterpret_cast<void*>(call)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  PyType_Spec spec = {qualified, int(sizeof(GradModeObject)), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = checked(PyType_FromSpec(&spec));
  check_status(PyModule_AddObjectRef(module, name, type));
  Py_DECREF(type);
}

}  // namespace

void add_grad_modes(PyObject* module) {
  add_mode<false>(module, "tegula.no_grad", "no_grad",
                  "Stops recording for gradients: `with tg.no_grad():`, or before a function.");
  add_mode<true>(module, "tegula.enable_grad", "enable_grad",
                 "Records for gradients again, within no_grad.");
}

}  // namespace tegula::python
