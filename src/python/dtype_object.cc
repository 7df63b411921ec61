// The Python objects tg.float32 and so on: one for each dtype, made once.
#include <array>
#include <cstring>

#include "python/convert.h"
#include "python/errors.h"

namespace tegula::python {
namespace {

struct DTypeObject {
  PyObject_HEAD DType dtype;
};

PyTypeObject* dtype_type = nullptr;
std::array<PyObject*, kDTypeCount> objects{};
std::array<PyObject*, kDTypeCount> numpy_dtypes{};

DType dtype_of(PyObject* object) { return reinterpret_cast<DTypeObject*>(object)->dtype; }

PyObject* get_name(PyObject* self, void*) { return to_string_object(name(dtype_of(self))); }
PyObject* get_itemsize(PyObject* self, void*) {
  return PyLong_FromSize_t(itemsize(dtype_of(self)));
}

PyObject* get_numpy(PyObject* self, void*) {
  return guarded([&]() -> PyObject* {
    PyObject* dtype = numpy_dtype(dtype_of(self));
    if (!dtype)
      PyErr_SetString(PyExc_AttributeError,
                      "NumPy has no bfloat16; install ml_dtypes, which adds it");
    return dtype;
  });
}

PyObject* print(PyObject* self) {
  return guarded([&] { return to_string_object(cat("tegula.", name(dtype_of(self)))); });
}
PyObject* print_short(PyObject* self) { return get_name(self, nullptr); }

// As the name's, since the two are equal.
Py_hash_t hash(PyObject* self) {
  PyObject* text = get_name(self, nullptr);
  const Py_hash_t value = text ? PyObject_Hash(text) : -1;
  Py_XDECREF(text);
  return value;
}

PyObject* compare(PyObject* a, PyObject* b, int how) {
  if (how != Py_EQ && how != Py_NE) return Py_NewRef(Py_NotImplemented);
  return guarded([&]() -> PyObject* {
    bool same = a == b;
    if (!same && !is_dtype_object(b)) {
      if (PyUnicode_Check(b)) {
        same = to_text(b, "dtype", "other") == name(dtype_of(a));
      } else if (std::strncmp(Py_TYPE(b)->tp_name, "numpy", 5) == 0 || PyType_Check(b)) {
        try {
          same = to_dtype(b, "dtype", "other") == dtype_of(a);
        } catch (const Error&) {  // a type that is no dtype of ours
        }
      } else {
        return Py_NewRef(Py_NotImplemented);
      }
    }
    return PyBool_FromLong(same == (how == Py_EQ));
  });
}

// Pickled by name: there is one object for each.
PyObject* reduce(PyObject* self, PyObject*) { return get_name(self, nullptr); }

PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {},
};
PyGetSetDef attributes[] = {
    {"name", get_name, nullptr, "Its name, such as 'float32'.", nullptr},
    {"itemsize", get_itemsize, nullptr, "Bytes of one element.", nullptr},
    {"dtype", get_numpy, nullptr, "The same as a NumPy dtype, by which NumPy takes it.", nullptr},
    {},
};

PyObject* import_attribute(const char* module, const char* attribute) {
  PyObject* from = PyImport_ImportModule(module);
  PyObject* found = from ? PyObject_GetAttrString(from, attribute) : nullptr;
  Py_XDECREF(from);
  return found;
}

}  // namespace

bool is_dtype_object(PyObject* object) { return Py_TYPE(object) == dtype_type; }

PyObject* dtype_object(DType dtype) { return objects[size_t(dtype)]; }

PyObject* numpy_dtype(DType dtype) {
  PyObject*& cached = numpy_dtypes[size_t(dtype)];
  if (cached) return Py_NewRef(cached);
  PyObject* from = nullptr;
  if (dtype == DType::bfloat16) {
    from = import_attribute("ml_dtypes", "bfloat16");
    if (!from) {
      PyErr_Clear();
      return nullptr;
    }
  } else {
    from = to_string_object(name(dtype));
  }
  PyObject* make = numpy_function("dtype");
  cached = PyObject_CallOneArg(make, from);
  Py_DECREF(make);
  Py_DECREF(from);
  return Py_NewRef(checked(cached));
}

std::optional<DType> dtype_of_numpy(PyObject* numpy_dtype) {
  PyObject* text = checked(PyObject_GetAttrString(numpy_dtype, "name"));
  const std::string word = to_text(text, "dtype", "name");
  Py_DECREF(text);
  for (int i = 0; i < kDTypeCount; ++i)
    if (name(DType(i)) == word) return DType(i);
  return std::nullopt;
}

DType to_dtype(PyObject* object, const char* op, const char* argument) {
  if (is_dtype_object(object)) return dtype_of(object);
  if (PyUnicode_Check(object)) return dtype_named(to_text(object, op, argument));
  if (object == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::float32;
  if (object == reinterpret_cast<PyObject*>(&PyComplex_Type)) return DType::complex64;
  if (object == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::int64;
  if (object == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::bool_;
  const bool from_numpy =
      PyType_Check(object) || std::strncmp(Py_TYPE(object)->tp_name, "numpy", 5) == 0;
  if (from_numpy) {
    PyObject* make = numpy_function("dtype");
    PyObject* made = PyObject_CallOneArg(make, object);
    Py_DECREF(make);
    if (made) {
      const std::optional<DType> dtype = dtype_of_numpy(made);
      Py_DECREF(made);
      if (dtype) return *dtype;
    } else {
      PyErr_Clear();
    }
  }
  fail(ErrorKind::type, op, ": argument '", argument,
       "' must be a dtype such as tg.float32 or 'float32', got ", repr(object));
}

void add_dtypes(PyObject* module) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The type of a tensor's elements, such as tg.float32.")},
      {Py_tp_repr, reinterpret_cast<void*>(print)},
      {Py_tp_str, reinterpret_cast<void*>(print_short)},
      {Py_tp_hash, reinterpret_cast<void*>(hash)},
      {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
      {Py_tp_methods, methods},
      {Py_tp_getset, attributes},
      {0, nullptr},
  };
  PyType_Spec spec = {"tegula.DType", int(sizeof(DTypeObject)), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  PyObject* type = checked(PyType_FromSpec(&spec));
  dtype_type = reinterpret_cast<PyTypeObject*>(type);
  check_status(PyModule_AddObjectRef(module, "DType", type));
  for (int i = 0; i < kDTypeCount; ++i) {
    PyObject* object = checked(dtype_type->tp_alloc(dtype_type, 0));
    reinterpret_cast<DTypeObject*>(object)->dtype = DType(i);
    objects[size_t(i)] = object;
    check_status(PyModule_AddObjectRef(module, std::string(name(DType(i))).c_str(), object));
  }
}

}  // namespace tegula::python
