// What Python shows of an operation: its signature, and its declaration as a dict.
#pragma once

#include <Python.h>

#include <string>

#include "ops/op.h"

namespace tegula::python {

// Whether the last positional argument is a shape or such, which may be given as single ints.
bool gathers_ints(const Op& op);
std::string text_signature(const Op& op);  // "(x, axis=None, *, keepdims=False)"
PyObject* make_signature(const Op& op);    // an inspect.Signature
PyObject* make_result_type(const Op& op);   // the named tuple of Op::result
PyObject* describe_operations();  // list of objects with attributes, for tests, stubs and pages

}  // namespace tegula::python
