// Methods of Tensor that look at its values, or move it.
#include <algorithm>
#include <array>

#include "graph/trace.h"
#include "ops/ops.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

PyObject* item_object(const Tensor& x) {
  if (x.dtype() == DType::bool_) return PyBool_FromLong(item_as_int(x) != 0);
  if (is_complex(x.dtype())) {
    const std::complex<double> value = item_as_complex(x);
    return PyComplex_FromDoubles(value.real(), value.imag());
  }
  if (is_floating(x.dtype())) return PyFloat_FromDouble(item_as_double(x));
  const int64_t value = item_as_int(x);
  return x.dtype() == DType::uint64 ? PyLong_FromUnsignedLongLong(uint64_t(value))
                                    : PyLong_FromLongLong(value);
}

PyObject* item(PyObject* self, PyObject*) {
  return guarded([&] { return item_object(Tensor(tensor_of(self))); });
}

PyObject* to_complex_object(PyObject* self, PyObject*) {
  return guarded([&] {
    const std::complex<double> value = item_as_complex(require_known(tensor_of(self), "complex"));
    return PyComplex_FromDoubles(value.real(), value.imag());
  });
}

PyObject* to_list(PyObject* self, PyObject*) {
  return guarded([&] {
    const Tensor x = tensor_of(self);
    if (x.rank() == 0) return item_object(x);
    // A bfloat16 array of ml_dtypes gives lists of its own scalars.
    PyObject* array =
        to_numpy(x.dtype() == DType::bfloat16 ? astype(detach(x), DType::float32) : x);
    PyObject* list = PyObject_CallMethod(array, "tolist", nullptr);
    Py_DECREF(array);
    return checked(list);
  });
}

PyObject* numpy(PyObject* self, PyObject*) {
  return guarded([&] { return to_numpy(Tensor(tensor_of(self))); });
}

PyObject* array(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static constexpr const char* names[] = {"dtype", "copy"};
    PyObject* values[2];
    parse_arguments("__array__", names, 2, 0, args, count, keywords, values);
    PyObject* result = to_numpy(Tensor(tensor_of(self)));
    if (values[0] && values[0] != Py_None) {
      PyObject* converted = PyObject_CallMethod(result, "astype", "O", values[0]);
      Py_DECREF(result);
      result = checked(converted);
    }
    if (values[1] == Py_True) {
      PyObject* copy = PyObject_CallMethod(result, "copy", nullptr);
      Py_DECREF(result);
      result = checked(copy);
    }
    return result;
  });
}

bool is_device_name(PyObject* object) {
  if (!PyUnicode_Check(object)) return false;
  const std::string word = to_text(object, "to", "device");
  for (int i = 0; i < kDTypeCount; ++i)
    if (name(DType(i)) == word) return false;
  return true;
}

PyObject* to(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"device", "dtype"};
    PyObject* values[2];
    // One positional argument may be either.
    const bool first_is_dtype =
        count == 1 && !keywords && args[0] != Py_None && !is_device_name(args[0]);
    if (first_is_dtype)
      return wrap_like(is_compat(self), astype(tensor_of(self), to_dtype(args[0], "to", "dtype")));
    parse_arguments("to", names, 2, 0, args, count, keywords, values);
    Tensor x = tensor_of(self);
    if (values[1] && values[1] != Py_None) x = astype(x, to_dtype(values[1], "to", "dtype"));
    if (values[0] && values[0] != Py_None) x = on_device(x, to_device(values[0], "to"));
    return wrap_like(is_compat(self), x);
  });
}

PyObject* to_device_method(PyObject* self, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"device", "stream"};
    PyObject* values[2];
    parse_arguments("to_device", names, 1, 1, args, count, keywords, values);
    if (values[1] && values[1] != Py_None)
      fail(ErrorKind::value, "to_device: stream must be None: devices order their own work");
    return wrap(on_device(tensor_of(self), to_device(values[0], "to_device")));
  });
}

PyObject* array_namespace(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"api_version"};
    PyObject* values[1];
    parse_arguments("__array_namespace__", names, 0, 0, args, count, keywords, values);
    if (values[0] && values[0] != Py_None) {
      const std::string version = to_text(values[0], "__array_namespace__", "api_version");
      const std::array known = {"2021.12", "2022.12", "2023.12", "2024.12"};
      require(std::find(known.begin(), known.end(), version) != known.end(),
              "__array_namespace__: api_version must be '2024.12' or earlier, got '", version, "'");
    }
    return checked(PyImport_ImportModule("tegula"));
  });
}

PyCFunction with_keywords(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t,
                                                PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function));
}

}  // namespace

std::span<const PyMethodDef> value_methods() {
  static const PyMethodDef methods[] = {
      {"item", item, METH_NOARGS,
       "item($self)\n--\n\nThe only element as a Python number; waits for it.\n\n"
       "Raises ValueError unless there is exactly one."},
      {"__complex__", to_complex_object, METH_NOARGS,
       "__complex__($self)\n--\n\nThe only element as a Python complex number; waits for it."},
      {"tolist", to_list, METH_NOARGS,
       "tolist($self)\n--\n\nNested lists of Python numbers; a number for a 0-d tensor."},
      {"numpy", numpy, METH_NOARGS,
       "numpy($self)\n--\n\nA read-only NumPy array of the same memory; waits for the values.\n\n"
       "bfloat16 needs ml_dtypes, without which it comes as float32. np.array(x) copies."},
      {"__array__", with_keywords(array), METH_FASTCALL | METH_KEYWORDS,
       "__array__($self, dtype=None, copy=None)\n--\n\nWhat NumPy calls to make an array of it."},
      {"to", with_keywords(to), METH_FASTCALL | METH_KEYWORDS,
       "to($self, device=None, dtype=None)\n--\n\n"
       "The same values on a device, in a dtype; one positional argument may be either."},
      {"to_device", with_keywords(to_device_method), METH_FASTCALL | METH_KEYWORDS,
       "to_device($self, device, /, *, stream=None)\n--\n\nThe same values on a device."},
      {"__array_namespace__", with_keywords(array_namespace), METH_FASTCALL | METH_KEYWORDS,
       "__array_namespace__($self, /, *, api_version=None)\n--\n\n"
       "The module tegula, which is the namespace of the Python array API standard 2024.12."},
  };
  return methods;
}

}  // namespace tegula::python
