// Memory that Python objects lend to the engine, and the engine to Python.
#pragma once

#include <Python.h>

#include <functional>

#include "graph/tensor.h"

namespace tegula::python {

// Runs with the GIL held, from any thread; not at all once the interpreter is going down.
void with_gil(const std::function<void()>& function);

// A tensor around foreign memory: element (0, ..., 0) at `data`, strides in elements. `release`
// runs, with the GIL, when the last value in it dies. Nothing is copied; throws ValueError naming
// `op` where the memory is not aligned to the elements.
Tensor borrow(void* data, DType dtype, Shape shape, Strides strides, const char* op,
              std::function<void()> release);

// A Python object that exports a buffer's memory, read-only, and keeps it from being donated.
PyObject* export_memory(Ref<Buffer> buffer);
void init_memory_type();

// x evaluated, in memory the host can read: x itself, or a dense copy where it lies elsewhere.
Tensor readable(const Tensor& x);
Tensor host_copy(const Tensor& x);

}  // namespace tegula::python
