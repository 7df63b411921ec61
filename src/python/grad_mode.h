#pragma once

#include <Python.h>

namespace tegula::python {

void add_grad_modes(PyObject* module);

}  // namespace tegula::python
