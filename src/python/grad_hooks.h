// Python functions as gradient hooks.
#pragma once

#include <Python.h>

#include "graph/tensor.h"

namespace tegula::python {

// Adds a hook that calls `function`; returns its id.
int64_t add_hook(GradCell& cell, PyObject* function);
void remove_hook(GradCell& cell, int64_t id);
// One hook for values that were recorded one right after the other. It is called with a list of
// their gradients, None where none flows, and returns such a list to replace them, or None.
void add_group_hook(const Tensors& values, PyObject* function);
// For the cycle collector: visits the functions that the cell's hooks hold.
int visit_hooks(const GradCell& cell, visitproc visit, void* arg);

}  // namespace tegula::python
