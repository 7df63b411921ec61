// Python functions that a plan calls.
#pragma once

#include <Python.h>

#include "graph/node.h"

namespace tegula::python {

// Calls `function` with the inputs as read-only NumPy arrays of their own; what it returns, a
// sequence of arrays, are the outputs. An exception gets a note that names the line which recorded
// the call.
class PythonFunction : public HostFunction {
 public:
  explicit PythonFunction(PyObject* function);
  ~PythonFunction() override;

  void call(std::span<const View> inputs, std::span<const View> outputs) override;

 private:
  PyObject* function_;
  SourceLocation where_;
};

// Calls it only where its first input, a 0-d bool, is false.
class PythonCheck : public PythonFunction {
 public:
  using PythonFunction::PythonFunction;
  void call(std::span<const View> inputs, std::span<const View> outputs) override;
};

}  // namespace tegula::python
