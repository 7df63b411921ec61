#include "python/errors.h"

#include <nanobind/nanobind.h>

#include <new>

namespace tegula::python {
namespace {

PyObject* device_error = nullptr;
PyObject* out_of_memory_error = nullptr;
PyObject* trace_error = nullptr;
PyObject* interruption = nullptr;  // raised by the signal handler, not yet seen by the user

PyObject* python_type(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::value:
      return PyExc_ValueError;
    case ErrorKind::type:
      return PyExc_TypeError;
    case ErrorKind::index:
      return PyExc_IndexError;
    case ErrorKind::runtime:
      return PyExc_RuntimeError;
    case ErrorKind::unsupported:
      return PyExc_NotImplementedError;
    case ErrorKind::device:
      return device_error ? device_error : PyExc_RuntimeError;
    case ErrorKind::out_of_memory:
      return out_of_memory_error ? out_of_memory_error : PyExc_MemoryError;
    case ErrorKind::floating:
      return PyExc_FloatingPointError;
    case ErrorKind::interrupted:
      return PyExc_KeyboardInterrupt;
    case ErrorKind::trace:
      return trace_error ? trace_error : PyExc_RuntimeError;
  }
  return PyExc_RuntimeError;
}

void raise(const Error& error) {
  if (error.kind() == ErrorKind::interrupted && interruption) {
    PyObject* exception = std::exchange(interruption, nullptr);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    Py_DECREF(exception);
    return;
  }
  PyErr_SetString(python_type(error.kind()), error.what());
}

PyObject* add_exception(PyObject* module, const char* qualified, const char* name, PyObject* base,
                        const char* doc) {
  PyObject* type = checked(PyErr_NewExceptionWithDoc(qualified, doc, base, nullptr));
  check_status(PyModule_AddObjectRef(module, name, type));
  return type;
}

}  // namespace

void add_exceptions(PyObject* module) {
  device_error = add_exception(module, "tegula.DeviceError", "DeviceError", PyExc_RuntimeError,
                               "A device is missing, or cannot do what was asked.");
  out_of_memory_error =
      add_exception(module, "tegula.OutOfMemoryError", "OutOfMemoryError", PyExc_MemoryError,
                    "A device has not enough memory; the message says what holds it.");
  trace_error = add_exception(module, "tegula.TraceError", "TraceError", PyExc_RuntimeError,
                              "A function under jit did what cannot be replayed; the message says "
                              "where, and what to do instead.");
}

void raise_current() noexcept {
  try {
    throw;
  } catch (nanobind::python_error& error) {
    error.restore();
  } catch (const Error& error) {
    raise(error);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const nanobind::builtin_exception& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_SystemError, "an unknown C++ exception");
  }
}

void throw_python_error() { throw nanobind::python_error(); }

void keep_interruption(PyObject* exception) { Py_XDECREF(std::exchange(interruption, exception)); }

}  // namespace tegula::python
