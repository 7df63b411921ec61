#include "python/errors.h"

#include <nanobind/nanobind.h>

#include <new>

#include "base/overflow.h"
#include "python/lend.h"

namespace tegula::python {
namespace {

PyObject* device_error = nullptr;
PyObject* out_of_memory_error = nullptr;
PyObject* trace_error = nullptr;
PyObject* overflow_error = nullptr;
PyObject* linear_algebra_error = nullptr;
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
    case ErrorKind::linear_algebra:
      return linear_algebra_error ? linear_algebra_error : PyExc_ValueError;
    case ErrorKind::missing:
      return PyExc_ImportError;
  }
  return PyExc_RuntimeError;
}

// As BaseException.add_note, which Python 3.10 does not have.
void add_note(PyObject* exception, const std::string& note) {
  PyObject* notes = PyObject_GetAttrString(exception, "__notes__");
  if (!notes) {
    PyErr_Clear();
    notes = PyList_New(0);
    if (notes) PyObject_SetAttrString(exception, "__notes__", notes);
  }
  PyObject* text = PyUnicode_FromString(note.c_str());
  if (notes && text && PyList_Check(notes)) PyList_Append(notes, text);
  Py_XDECREF(text);
  Py_XDECREF(notes);
  PyErr_Clear();
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
  linear_algebra_error =
      add_exception(module, "tegula.linalg.LinAlgError", "LinAlgError", PyExc_ValueError,
                    "A matrix is not of the kind an operation needs (it is singular, say), or an "
                    "iteration did not converge; the message says which matrix.");
  // The array API standard has OverflowError; a value that is wrong is a ValueError.
  PyObject* bases = checked(PyTuple_Pack(2, PyExc_OverflowError, PyExc_ValueError));
  overflow_error = add_exception(module, "tegula.RangeError", "RangeError", bases,
                                 "A Python integer that the dtype asked for cannot hold.");
  Py_DECREF(bases);
}

void raise_current() noexcept {
  try {
    throw;
  } catch (nanobind::python_error& error) {
    error.restore();
  } catch (const OverflowError& error) {
    PyErr_SetString(overflow_error, error.what());
  } catch (const Error& error) {
    raise(error);
  } catch (const Carried& error) {
    error.raise();
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

std::shared_ptr<PyObject> Carried::owned(PyObject* object) {
  return {object, [](PyObject* last) { with_gil([last] { Py_XDECREF(last); }); }};
}

void Carried::raise() const {
  // Each way it is raised along would add to the traceback.
  PyException_SetTraceback(value_.get(), traceback_ ? traceback_.get() : Py_None);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value_.get())), value_.get());
}

std::exception_ptr carry_current(const std::string& note) noexcept {
  raise_current();
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  Py_XDECREF(type);
  if (PyErr_GivenExceptionMatches(value, PyExc_KeyboardInterrupt)) {
    if (traceback) PyException_SetTraceback(value, traceback);
    Py_XDECREF(traceback);
    keep_interruption(value);
    return std::make_exception_ptr(Error(ErrorKind::interrupted, "interrupted"));
  }
  add_note(value, note);
  return std::make_exception_ptr(Carried(value, traceback));
}

void throw_python_error() { throw nanobind::python_error(); }

void keep_interruption(PyObject* exception) { Py_XDECREF(std::exchange(interruption, exception)); }

}  // namespace tegula::python
