// From C++ exceptions to Python's and back.
#pragma once

#include <Python.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"

namespace tegula::python {

// Adds DeviceError and OutOfMemoryError to the module.
void add_exceptions(PyObject* module);

// Sets Python's error indicator to the exception being handled. Call in a catch block.
void raise_current() noexcept;

// Runs f; a C++ exception becomes Python's, and `failed` the result.
template <class F, class R = decltype(std::declval<F>()())>
R guarded(F&& f, R failed = R()) noexcept {
  try {
    return f();
  } catch (...) {
    raise_current();
    return failed;
  }
}

// Carries the Python exception that is set through C++ code.
[[noreturn]] void throw_python_error();
inline PyObject* checked(PyObject* object) {
  if (!object) throw_python_error();
  return object;
}
inline void check_status(int status) {
  if (status < 0) throw_python_error();
}

// A Python exception on its way to those who wait.
class Carried : public std::exception {
 public:
  // Takes over the references.
  Carried(PyObject* value, PyObject* traceback)
      : value_(owned(value)), traceback_(owned(traceback)) {}

  const char* what() const noexcept override { return "a Python function failed"; }
  void raise() const;

 private:
  static std::shared_ptr<PyObject> owned(PyObject* object);
  std::shared_ptr<PyObject> value_, traceback_;
};

// The exception being handled as Python's own, for whoever waits: it can be rethrown any number of
// times, on any thread. `note` is added to what it says. Call with the GIL, in a catch block.
std::exception_ptr carry_current(const std::string& note) noexcept;

// What the signal handler raised when Ctrl-C ended a wait; takes over the reference.
void keep_interruption(PyObject* exception);

}  // namespace tegula::python
