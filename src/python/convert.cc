#include "python/convert.h"

#include <cstring>

#include "base/overflow.h"
#include "ops/ops.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

std::string take_text(PyObject* text) {
  Py_ssize_t length = 0;
  const char* utf8 = text ? PyUnicode_AsUTF8AndSize(text, &length) : nullptr;
  std::string result = utf8 ? std::string(utf8, size_t(length)) : "?";
  if (!utf8) PyErr_Clear();
  Py_XDECREF(text);
  return result;
}

[[noreturn]] void wrong(const char* op, const char* argument, const char* wanted, PyObject* got) {
  fail(ErrorKind::type, op, ": argument '", argument, "' must be ", wanted, ", got ",
       type_name(got));
}

Tensor weak_integer(PyObject* object) {
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (overflow) {
    const uint64_t wide = PyLong_AsUnsignedLongLong(object);
    if (!PyErr_Occurred()) return wide_scalar(wide, true);
    PyErr_Clear();
    fail_overflow("the Python integer ", repr(object), " does not fit int64 or uint64");
  }
  if (value == -1 && PyErr_Occurred()) throw_python_error();
  return scalar(int64_t(value), DType::int64, true);
}

// Numbers of Python itself, not NumPy's, which are float and int subclasses in part.
bool find_python_number(PyObject* object, Tensor& result) {
  if (PyFloat_CheckExact(object)) {
    result = scalar(PyFloat_AS_DOUBLE(object), DType::float32, true);
  } else if (PyBool_Check(object)) {
    result = scalar(int64_t(object == Py_True), DType::bool_, true);
  } else if (PyLong_CheckExact(object)) {
    result = weak_integer(object);
  } else {
    return false;
  }
  return true;
}

Tensor weak_complex(Py_complex value) {
  const complex128 element(value.real, value.imag);
  Tensor result = from_host(&element, DType::complex128, {}, default_device());
  result.node().weak_scalar = true;
  return result;
}

bool find_number_subclass(PyObject* object, Tensor& result) {
  if (PyFloat_Check(object)) {
    result = scalar(PyFloat_AS_DOUBLE(object), DType::float32, true);
  } else if (PyLong_Check(object)) {
    result = weak_integer(object);
  } else if (PyComplex_Check(object)) {
    result = weak_complex(PyComplex_AsCComplex(object));
  } else {
    return false;
  }
  return true;
}

bool is_integer_scalar(const Tensor& x) { return x.rank() == 0 && is_integer(x.dtype()); }

// Has __index__ by its type, but elements by its shape.
bool is_array(PyObject* object) {
  return is_numpy_array(object) || (is_tensor(object) && tensor_of(object).rank() > 0);
}

bool is_sequence(PyObject* object) {
  return PySequence_Check(object) && !PyUnicode_Check(object) && !PyBytes_Check(object) &&
         !PyDict_Check(object);
}

}  // namespace

std::string type_name(PyObject* object) {
  const std::string name = Py_TYPE(object)->tp_name;
  return name.rfind("builtins.", 0) == 0 ? name.substr(9) : name;
}

std::string repr(PyObject* object) { return take_text(PyObject_Repr(object)); }

int64_t to_int(PyObject* object, const char* op, const char* argument) {
  const bool fit = PyIndex_Check(object) && !PyBool_Check(object) &&
                   (!is_tensor(object) || is_integer_scalar(tensor_of(object)));
  if (!fit) wrong(op, argument, "an int", object);
  PyObject* number = PyNumber_Index(object);
  if (!number && PyErr_ExceptionMatches(PyExc_TypeError)) {  // an array of several, say
    PyErr_Clear();
    wrong(op, argument, "an int", object);
  }
  checked(number);
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (overflow)
    fail(ErrorKind::value, op, ": argument '", argument, "' is too large: ", repr(object));
  return value;
}

double to_double(PyObject* object, const char* op, const char* argument) {
  const bool number = !PyBool_Check(object) && Py_TYPE(object)->tp_as_number &&
                      (Py_TYPE(object)->tp_as_number->nb_float || PyIndex_Check(object));
  if (!number) wrong(op, argument, "a float", object);
  const double value = PyFloat_AsDouble(object);
  if (value != -1 || !PyErr_Occurred()) return value;
  if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError))
    throw_python_error();
  PyErr_Clear();  // an array of several, say
  wrong(op, argument, "a float", object);
}

bool to_bool(PyObject* object, const char* op, const char* argument) {
  if (PyBool_Check(object)) return object == Py_True;
  if (is_numpy_scalar(object) && std::strncmp(Py_TYPE(object)->tp_name, "numpy.bool", 10) == 0)
    return PyObject_IsTrue(object) == 1;
  wrong(op, argument, "a bool", object);
}

std::string to_text(PyObject* object, const char* op, const char* argument) {
  if (!PyUnicode_Check(object)) wrong(op, argument, "a str", object);
  return take_text(Py_NewRef(object));
}

Dims to_dims(PyObject* object, const char* op, const char* argument) {
  Dims dims;
  if (PyIndex_Check(object) && !PyBool_Check(object) && !is_array(object)) {
    dims.push_back(to_int(object, op, argument));
    return dims;
  }
  const char* wanted = "an int or a sequence of ints";
  if (!is_sequence(object)) wrong(op, argument, wanted, object);
  PyObject* items = checked(PySequence_Fast(object, "not a sequence"));
  try {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); ++i) {
      PyObject* item = PySequence_Fast_GET_ITEM(items, i);
      if (PyBool_Check(item) || !PyIndex_Check(item))
        fail(ErrorKind::type, op, ": argument '", argument, "' must be ", wanted, ", its element ",
             i, " is ", type_name(item));
      dims.push_back(to_int(item, op, argument));
    }
  } catch (...) {
    Py_DECREF(items);
    throw;
  }
  Py_DECREF(items);
  return dims;
}

Backend& to_device(PyObject* object, const char* op) {
  if (object == Py_None) return default_device();
  return find_backend(to_text(object, op, "device"));
}

Tensor to_tensor(PyObject* object, const char* op, const char* argument) {
  if (is_tensor(object)) return tensor_of(object);
  Tensor result;
  if (find_operand(object, result)) return result;
  if (object == Py_None || PyUnicode_Check(object) || PyType_Check(object) ||
      is_dtype_object(object) ||
      (!is_sequence(object) && !PyObject_CheckBuffer(object) &&
       !PyObject_HasAttrString(object, "__array__") &&
       !PyObject_HasAttrString(object, "__dlpack__")))
    wrong(op, argument, "a Tensor, a number or an array", object);
  return asarray(object, std::nullopt, Copy::if_needed, default_device());
}

Tensors to_tensors(PyObject* object, const char* op, const char* argument) {
  const char* wanted = "a sequence of Tensors";
  if (!is_sequence(object) || PyIndex_Check(object)) {
    if (!is_tensor(object)) wrong(op, argument, wanted, object);
  }
  PyObject* items = PySequence_Fast(object, "");
  if (!items && PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    wrong(op, argument, wanted, object);
  }
  checked(items);
  Tensors result;
  try {
    result.reserve(size_t(PySequence_Fast_GET_SIZE(items)));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); ++i)
      result.push_back(to_tensor(PySequence_Fast_GET_ITEM(items, i), op, argument));
  } catch (...) {
    Py_DECREF(items);
    throw;
  }
  Py_DECREF(items);
  return result;
}

bool find_operand(PyObject* object, Tensor& operand) {
  if (find_python_number(object, operand)) return true;
  if (is_numpy_array(object) || is_numpy_scalar(object)) {
    operand = from_numpy(object, default_device());
    return true;
  }
  return find_number_subclass(object, operand);
}

PyObject* to_tuple(const Dims& dims) {
  PyObject* tuple = checked(PyTuple_New(Py_ssize_t(dims.size())));
  for (size_t i = 0; i < dims.size(); ++i) {
    PyObject* number = PyLong_FromLongLong(dims[i]);
    if (!number) {
      Py_DECREF(tuple);
      throw_python_error();
    }
    PyTuple_SET_ITEM(tuple, Py_ssize_t(i), number);
  }
  return tuple;
}

PyObject* to_string_object(std::string_view text) {
  return checked(PyUnicode_FromStringAndSize(text.data(), Py_ssize_t(text.size())));
}

}  // namespace tegula::python
