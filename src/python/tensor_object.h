// The Python type Tensor: a raw extension type, since its operators are the hot path of recording.
#pragma once

#include <Python.h>

#include <span>

#include "graph/tensor.h"

namespace tegula::python {

struct TensorObject {
  PyObject_HEAD Tensor tensor;
  Ref<GradCell> grad_of;  // where this is a tensor's .grad: writing in place reaches the tensor
  PyObject* weakrefs;
  struct Aliases* aliases;  // what shares its storage: compat_views.cc
};

extern PyTypeObject* tensor_type;

inline bool is_tensor(PyObject* object) {
  return Py_TYPE(object) == tensor_type || PyType_IsSubtype(Py_TYPE(object), tensor_type);
}
// Functions being traced, in all threads; they learn what tensors are used.
extern int captures_active;
void note_use(PyObject* tensor);

inline Tensor& tensor_of(PyObject* object) {
  if (captures_active) [[unlikely]]
    note_use(object);
  return reinterpret_cast<TensorObject*>(object)->tensor;
}
// The same without counting as a use.
inline Tensor& raw_tensor(PyObject* object) {
  return reinterpret_cast<TensorObject*>(object)->tensor;
}

// A new handle. Null with an exception set when there is no memory.
PyObject* wrap(Tensor tensor) noexcept;
PyObject* wrap_or_none(Tensor tensor) noexcept;
PyObject* wrap_list(const Tensors& tensors);
// Binds the handle to a value computed in place; see rebind() of graph/tensor.h.
void rebind_handle(TensorObject* self, const Tensor& fresh, const char* op);

// Makes the type and adds it to the module.
void add_tensor_type(PyObject* module);

// The value of `handle` becomes that of `fresh` whatever the mode, leaves included: how optimizers
// and layers write their state. A value that somebody else may go on using is not shared but looked
// at anew, since a leaf marks its own.
void bind_value(PyObject* handle, PyObject* fresh);  // tensor_grad.cc

// The parts of the type, by file.
std::span<const PyType_Slot> number_slots();    // tensor_number.cc
std::span<const PyType_Slot> indexing_slots();  // tensor_indexing.cc
std::span<const PyMethodDef> grad_methods();    // tensor_grad.cc
std::span<const PyGetSetDef> grad_getset();     // tensor_grad.cc
std::span<const PyMethodDef> value_methods();   // tensor_values.cc
std::span<const PyMethodDef> interop_methods(); // interop_dlpack.cc

}  // namespace tegula::python
