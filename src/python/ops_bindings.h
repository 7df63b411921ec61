#pragma once

#include <Python.h>

namespace tegula::python {

// Adds a function for every operation to the module, and a method to Tensor where it is one.
void add_operations(PyObject* module);

}  // namespace tegula::python
