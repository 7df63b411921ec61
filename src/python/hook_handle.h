#pragma once

#include <Python.h>

#include "graph/tensor.h"

namespace tegula::python {

// What register_hook returns: an object with remove().
PyObject* make_hook_handle(Ref<GradCell> cell, int64_t id);

}  // namespace tegula::python
