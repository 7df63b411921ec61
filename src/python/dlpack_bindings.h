#pragma once

#include <Python.h>

#include "graph/tensor.h"

namespace tegula::python {

// Borrows the memory of any object with __dlpack__; its owner must not write meanwhile.
Tensor from_dlpack(PyObject* object);

}  // namespace tegula::python
