// Types that are containers because somebody said how they are taken apart.
#pragma once

#include <nanobind/nanobind.h>

namespace tegula::python {

struct Registration {
  nanobind::object type;
  nanobind::object flatten;    // object -> (children, data[, names])
  nanobind::object unflatten;  // (data, children) -> object
};

// What one object consists of.
struct Parts {
  nanobind::tuple children;
  nanobind::object data;
  nanobind::object names;  // a tuple of str, or None
};

// Throws TypeError for a type that cannot be a container, ValueError for one that is known.
void register_node(nanobind::object type, nanobind::object flatten, nanobind::object unflatten);
// For nn.Module and all its subclasses.
void register_module(nanobind::object type, nanobind::object flatten, nanobind::object unflatten);

// Of exactly this type; null if there is none. With `modules`, subclasses of nn.Module have one.
const Registration* find_registration(PyTypeObject* type, bool modules);
Parts take_apart(const Registration& registration, PyObject* object, const char* op);

}  // namespace tegula::python
