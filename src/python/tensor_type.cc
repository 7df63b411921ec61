// The life of a Tensor object: making, freeing, cycle collection, plain attributes.
#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <vector>

#include "ops/ops.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/grad_hooks.h"
#include "python/tensor_object.h"

namespace tegula::python {

PyTypeObject* tensor_type = nullptr;

namespace {

// Freed handles kept for the next: recording makes and drops one for every operation.
constexpr size_t kMaxFree = 256;
TensorObject* free_handles[kMaxFree];
size_t free_count = 0;

TensorObject* self_of(PyObject* object) { return reinterpret_cast<TensorObject*>(object); }

void deallocate(PyObject* object);

// Whose handles are made and freed without Python's general way: both are of one layout.
bool is_pooled(PyTypeObject* type) {
  return type == tensor_type || (type == compat_type && type->tp_dealloc == deallocate);
}

PyObject* make_handle(PyTypeObject* type, Tensor tensor) {
  TensorObject* self;
  if (!is_pooled(type)) {
    self = reinterpret_cast<TensorObject*>(type->tp_alloc(type, 0));
    if (!self) return nullptr;
  } else if (free_count) {
    self = free_handles[--free_count];
    PyObject_Init(reinterpret_cast<PyObject*>(self), type);
  } else {
    self = PyObject_GC_New(TensorObject, type);
    if (!self) return nullptr;
  }
  new (&self->tensor) Tensor(std::move(tensor));
  new (&self->grad_of) Ref<GradCell>();
  self->weakrefs = nullptr;
  self->aliases = nullptr;
  if (is_pooled(type)) PyObject_GC_Track(reinterpret_cast<PyObject*>(self));
  return reinterpret_cast<PyObject*>(self);
}

void deallocate(PyObject* object) {
  TensorObject* self = self_of(object);
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  if (self->weakrefs) PyObject_ClearWeakRefs(object);
  if (self->aliases) drop_aliases(self);
  self->tensor.~Tensor();
  self->grad_of.~Ref<GradCell>();
  if (is_pooled(type) && free_count < kMaxFree) {
    free_handles[free_count++] = self;
  } else {
    type->tp_free(object);
  }
  Py_DECREF(type);
}

// The hooks that only this handle keeps alive: those a cycle through it may end with.
GradCell* sole_cell(TensorObject* self) {
  if (!self->tensor) return nullptr;
  const Output& output = self->tensor.output();
  GradCell* cell = output.cell.get();
  const bool sole =
      cell && self->tensor.node().ref_count() == 1 && output.handles == 1 && cell->ref_count() == 1;
  return sole ? cell : nullptr;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  if (GradCell* cell = sole_cell(self_of(object))) return visit_hooks(*cell, visit, arg);
  return 0;
}

int clear(PyObject* object) {
  if (GradCell* cell = sole_cell(self_of(object))) {
    const auto hooks = std::move(cell->hooks);
    cell->hooks.clear();
    const auto group_hook = std::move(cell->group_hook);
  }
  return 0;
}

PyObject* make_from_python(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"data", "dtype", "device", "requires_grad", nullptr};
  PyObject *data = nullptr, *dtype = Py_None, *device = Py_None;
  int requires_grad = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OOp:Tensor", const_cast<char**>(names), &data,
                                   &dtype, &device, &requires_grad))
    return nullptr;
  return guarded([&] {
    std::optional<DType> wanted;
    if (dtype != Py_None) wanted = to_dtype(dtype, "Tensor", "dtype");
    Backend& where = device == Py_None && is_tensor(data) ? tensor_of(data).device()
                                                          : to_device(device, "Tensor");
    Tensor tensor = asarray(data, wanted, Copy::if_needed, where);
    if (requires_grad) tensor.set_requires_grad(true);
    return make_handle(type, std::move(tensor));
  });
}

Py_hash_t hash(PyObject* object) {
  const auto address = reinterpret_cast<size_t>(object);
  const auto rotated = Py_hash_t((address >> 4) | (address << (8 * sizeof(size_t) - 4)));
  return rotated == -1 ? -2 : rotated;
}

// ---- attributes ------------------------------------------------------------------------------

PyObject* get_shape(PyObject* self, void*) {
  return guarded([&] {
    PyObject* shape = to_tuple(tensor_of(self).shape());
    if (!is_compat(self)) return shape;
    PyObject* size = PyObject_CallOneArg(compat_size_type, shape);
    Py_DECREF(shape);
    return checked(size);
  });
}
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromSize_t(tensor_of(self).rank()); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(tensor_of(self).size()); }
PyObject* get_dtype(PyObject* self, void*) {
  return Py_NewRef(dtype_object(tensor_of(self).dtype()));
}
PyObject* get_device(PyObject* self, void*) {
  return guarded([&] { return to_string_object(tensor_of(self).device().name()); });
}
PyObject* get_nbytes(PyObject* self, void*) {
  const Tensor& x = tensor_of(self);
  return PyLong_FromLongLong(x.size() * int64_t(itemsize(x.dtype())));
}
PyObject* get_transpose(PyObject* self, void*) {
  return guarded([&] {
    const Tensor& x = tensor_of(self);
    require(x.rank() == 2, "T: needs a matrix, the tensor has shape ", x.shape(),
            "; use mT or permute_dims");
    return wrap_like(is_compat(self), matrix_transpose(x));
  });
}
PyObject* get_matrix_transpose(PyObject* self, void*) {
  return guarded([&] { return wrap_like(is_compat(self), matrix_transpose(tensor_of(self))); });
}

const PyGetSetDef kAttributes[] = {
    {"shape", get_shape, nullptr, "The size of each axis, a tuple of ints.", nullptr},
    {"ndim", get_ndim, nullptr, "The number of axes.", nullptr},
    {"size", get_size, nullptr, "The number of elements.", nullptr},
    {"nbytes", get_nbytes, nullptr, "The bytes of all elements, stored densely.", nullptr},
    {"dtype", get_dtype, nullptr, "The type of the elements.", nullptr},
    {"device", get_device, nullptr, "The name of the device that holds the values.", nullptr},
    {"T", get_transpose, nullptr, "The transpose of a matrix.", nullptr},
    {"mT", get_matrix_transpose, nullptr, "With the last two axes exchanged.", nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
    {},
};

const char kDoc[] =
    "Tensor(data, dtype=None, device=None, requires_grad=False)\n--\n\n"
    "A handle to a value: an array of numbers of one dtype on one device.\n\n"
    "An operation records what to compute; values are computed when somebody looks. Values never\n"
    "change: writing in place (`x += 1`, `x[0] = 2`) binds the handle to a new one.";

template <class Def>
Def* joined(std::initializer_list<std::span<const Def>> parts) {
  static std::vector<Def> all;  // the type points into it
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  all.push_back(Def{});
  return all.data();
}

}  // namespace

PyObject* wrap(Tensor tensor) noexcept { return make_handle(tensor_type, std::move(tensor)); }

PyObject* wrap_like(bool compat, Tensor tensor) noexcept {
  return make_handle(compat ? compat_type : tensor_type, std::move(tensor));
}

PyObject* wrap_or_none(Tensor tensor) noexcept {
  if (!tensor) return Py_NewRef(Py_None);
  return wrap(std::move(tensor));
}

PyObject* wrap_list(const Tensors& tensors) {
  PyObject* list = checked(PyList_New(Py_ssize_t(tensors.size())));
  for (size_t i = 0; i < tensors.size(); ++i) {
    PyObject* item = wrap_or_none(tensors[i]);
    if (!item) {
      Py_DECREF(list);
      throw_python_error();
    }
    PyList_SET_ITEM(list, Py_ssize_t(i), item);
  }
  return list;
}

void pool_compat_type() {
  if (compat_type->tp_basicsize == tensor_type->tp_basicsize && compat_type->tp_dictoffset == 0 &&
      !PyType_HasFeature(compat_type, Py_TPFLAGS_MANAGED_DICT))
    compat_type->tp_dealloc = deallocate;
}

void rebind_handle(TensorObject* self, const Tensor& fresh, const char* op) {
  const Tensor before = self->tensor;
  if (self->aliases) write_aliased(self, fresh, op);
  else rebind(self->tensor, fresh, op);
  GradCell* cell = self->grad_of.get();
  if (cell && cell->grad && *cell->grad == before) *cell->grad = self->tensor;
}

void add_tensor_type(PyObject* module) {
  std::vector<PyType_Slot> slots = {
      {Py_tp_doc, const_cast<char*>(kDoc)},
      {Py_tp_new, reinterpret_cast<void*>(make_from_python)},
      {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
      {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(clear)},
      {Py_tp_hash, reinterpret_cast<void*>(hash)},
      {Py_tp_members, members},
      {Py_tp_methods, joined<PyMethodDef>({grad_methods(), value_methods(), interop_methods()})},
      {Py_tp_getset, joined<PyGetSetDef>({kAttributes, grad_getset()})},
  };
  for (const auto& part : {number_slots(), indexing_slots()})
    slots.insert(slots.end(), part.begin(), part.end());
  slots.push_back({0, nullptr});
  PyType_Spec spec = {"tegula.Tensor", int(sizeof(TensorObject)), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = checked(PyType_FromSpec(&spec));
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  // NumPy leaves mixed operators to the tensor.
  PyObject* priority = checked(PyLong_FromLong(1000));
  check_status(PyObject_SetAttrString(type, "__array_priority__", priority));
  Py_DECREF(priority);
  check_status(PyObject_SetAttrString(type, "__array_ufunc__", Py_None));
  check_status(PyModule_AddObjectRef(module, "Tensor", type));
}

}  // namespace tegula::python
