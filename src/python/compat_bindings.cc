// What tegula.compat.torch asks of the extension.
#include "python/bindings.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"

namespace nb = nanobind;

namespace tegula::python {

PyTypeObject* compat_type = nullptr;
PyObject* compat_size_type = nullptr;

void write_compat(PyObject* self, Tensor fresh, const char* op) {
  const Tensor& x = raw_tensor(self);
  if (fresh.shape() != x.shape())
    fail(ErrorKind::runtime, op, ": output with shape ", x.shape(),
         " doesn't match the broadcast shape ", fresh.shape());
  if (fresh.dtype() != x.dtype()) {
    if (!compat_can_cast(fresh.dtype(), x.dtype()))
      fail(ErrorKind::runtime, op, ": result type ", fresh.dtype(),
           " can't be cast to the desired output type ", x.dtype());
    fresh = astype(fresh, x.dtype());
  }
  rebind_handle(reinterpret_cast<TensorObject*>(self), fresh, op);
}

namespace {

void require_tensor(PyObject* object, const char* op) {
  if (!is_tensor(object)) fail(ErrorKind::type, op, ": needs a Tensor, got ", type_name(object));
}

PyObject* set_types(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    require(count == 2, "_set_compat_types: takes the tensor type and the type of its shapes");
    compat_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(args[0]));
    compat_size_type = Py_NewRef(args[1]);
    pool_compat_type();
    return Py_NewRef(Py_None);
  });
}

PyObject* as_compat(PyObject*, PyObject* x) {
  return guarded([&] {
    require_tensor(x, "_as_compat");
    return checked(wrap_like(true, tensor_of(x)));
  });
}

// The same handle's value as the main namespace's type.
PyObject* as_plain(PyObject*, PyObject* x) {
  return guarded([&] {
    require_tensor(x, "_as_plain");
    return checked(wrap(tensor_of(x)));
  });
}

PyObject* write_in_place(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    require(count == 3, "_write_in_place: takes a tensor, its value and the name to blame");
    require_tensor(args[0], "_write_in_place");
    const std::string name = to_text(args[2], "_write_in_place", "name");
    write_compat(args[0], to_tensor(args[1], name.c_str(), "value"), name.c_str());
    return Py_NewRef(args[0]);
  });
}

// Rebinds to anything, whatever its shape and dtype: `x.data = y`, `x.resize_()`.
void rebind(PyObject* x, const Tensor& value) {
  auto* self = reinterpret_cast<TensorObject*>(x);
  if (self->aliases) drop_aliases(self);
  const bool leaf = self->tensor.requires_grad() && self->tensor.is_leaf();
  Tensor fresh = detach(value);
  if (leaf) fresh.set_requires_grad(true);
  self->tensor = fresh;
}

PyObject* replace_value(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    require(count == 2, "_replace_value: takes a tensor and its value");
    require_tensor(args[0], "_replace_value");
    require_tensor(args[1], "_replace_value");
    rebind(args[0], tensor_of(args[1]));
    return Py_NewRef(Py_None);
  });
}

PyObject* write_result(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    require(count == 3, "_write_out: takes out, the result and the name to blame");
    return write_out(args[0], args[1], to_text(args[2], "_write_out", "name").c_str());
  });
}

PyObject* result_dtype(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    Tensors operands;
    for (Py_ssize_t i = 0; i < count; ++i)
      operands.push_back(to_tensor(args[i], "result_type", "tensor"));
    return Py_NewRef(dtype_object(compat_result_type(operands)));
  });
}

PyObject* default_dtype(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return guarded([&] {
    if (count) {
      const DType dtype = to_dtype(args[0], "set_default_dtype", "d");
      if (!is_floating(dtype))
        fail(ErrorKind::type, "set_default_dtype: needs a floating dtype, got ", dtype);
      set_compat_default_dtype(dtype);
    }
    return Py_NewRef(dtype_object(compat_default_dtype()));
  });
}

// Whether the handle shares its storage with another one: (is a view, has company).
PyObject* aliasing(PyObject*, PyObject* x) {
  return guarded([&] {
    require_tensor(x, "_is_view");
    return PyBool_FromLong(is_view(reinterpret_cast<TensorObject*>(x)));
  });
}

template <class F>
PyCFunction function(F* f) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(f));
}

}  // namespace

PyObject* write_out(PyObject* out, PyObject* result, const char* op) {
  if (PyTuple_Check(result)) {
    const Py_ssize_t count = PyTuple_GET_SIZE(result);
    if (!PySequence_Check(out) || is_tensor(out) || PySequence_Size(out) != count)
      fail(ErrorKind::type, op, ": out must be a tuple of ", count, " tensors, got ",
           type_name(out));
    for (Py_ssize_t i = 0; i < count; ++i) {
      const nb::object item = nb::steal(checked(PySequence_GetItem(out, i)));
      write_out(item.ptr(), PyTuple_GET_ITEM(result, i), op);
    }
    return Py_NewRef(out);
  }
  if (!is_tensor(out) || !is_compat(out))
    fail(ErrorKind::type, op, ": out must be a Tensor, got ", type_name(out));
  require_tensor(result, op);
  const Tensor value = tensor_of(result);
  if (value.requires_grad() || raw_tensor(out).requires_grad())
    fail(ErrorKind::runtime, op,
         ": out= does not support automatic differentiation, but one of "
         "the arguments requires grad");
  const DType dtype = raw_tensor(out).dtype();
  if (value.shape() == raw_tensor(out).shape()) {
    write_compat(out, value, op);
  } else if (compat_can_cast(value.dtype(), dtype)) {  // resized, as PyTorch does
    rebind(out, astype(value, dtype));
  } else {
    fail(ErrorKind::runtime, op, ": result type ", value.dtype(),
         " can't be cast to the desired output type ", dtype);
  }
  return Py_NewRef(out);
}

void add_compat(PyObject* module) {
  static PyMethodDef methods[] = {
      {"_set_compat_types", function(set_types), METH_FASTCALL, nullptr},
      {"_as_compat", as_compat, METH_O, nullptr},
      {"_as_plain", as_plain, METH_O, nullptr},
      {"_write_in_place", function(write_in_place), METH_FASTCALL, nullptr},
      {"_replace_value",
       function<PyObject*(PyObject*, PyObject* const*, Py_ssize_t)>(replace_value), METH_FASTCALL,
       nullptr},
      {"_write_out", function(write_result), METH_FASTCALL, nullptr},
      {"_compat_result_type", function(result_dtype), METH_FASTCALL, nullptr},
      {"_compat_default_dtype", function(default_dtype), METH_FASTCALL, nullptr},
      {"_is_view", aliasing, METH_O, nullptr},
      {"_renamed_operation", function(renamed_operation), METH_FASTCALL | METH_KEYWORDS, nullptr},
      {},
  };
  check_status(PyModule_AddFunctions(module, methods));
}

}  // namespace tegula::python
