#include "python/tree_registry.h"

#include <unordered_map>

#include <nanobind/stl/string.h>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

// Never destroyed: Python's objects are not to be released when the process ends.
std::unordered_map<PyTypeObject*, Registration>& registrations() {
  static auto* map = new std::unordered_map<PyTypeObject*, Registration>;
  return *map;
}
Registration* module_registration = nullptr;

std::string name_of(nb::handle type) { return nb::cast<std::string>(type.attr("__qualname__")); }

// What every walk over a tree takes as a leaf or as a container before it asks for registrations.
bool is_fixed(PyTypeObject* type) {
  static PyTypeObject* const builtins[] = {
      &PyBaseObject_Type, &PyType_Type,     &PyList_Type,   &PyTuple_Type,   &PyDict_Type,
      &PyLong_Type,       &PyFloat_Type,    &PyBool_Type,   &PyComplex_Type, &PyUnicode_Type,
      &PyBytes_Type,      &PyFunction_Type, &PyModule_Type, Py_TYPE(Py_None)};
  for (PyTypeObject* fixed : builtins)
    if (type == fixed) return true;
  static PyObject* const array = numpy_function("ndarray");
  return PyType_IsSubtype(type, tensor_type) ||
         PyType_IsSubtype(type, reinterpret_cast<PyTypeObject*>(array));
}

void require_callable(const nb::object& function, const char* argument) {
  if (!PyCallable_Check(function.ptr()))
    fail(ErrorKind::type, "tree.register_node: ", argument, " must be callable, not ",
         type_name(function.ptr()));
}

}  // namespace

void register_node(nb::object type, nb::object flatten, nb::object unflatten) {
  if (!PyType_Check(type.ptr()))
    fail(ErrorKind::type, "tree.register_node: type must be a class, not ", type_name(type.ptr()));
  require_callable(flatten, "flatten_fn");
  require_callable(unflatten, "unflatten_fn");
  auto* key = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (is_fixed(key))
    fail(ErrorKind::type, "tree.register_node: ", name_of(type),
         " is a leaf or a container everywhere; register a class of your own");
  if (module_registration && find_registration(key, true) == module_registration)
    fail(ErrorKind::type, "tree.register_node: ", name_of(type),
         " is a Module, which is a container of its parameters and buffers as it is");
  Registration registration{std::move(type), std::move(flatten), std::move(unflatten)};
  const auto [entry, fresh] = registrations().try_emplace(key, std::move(registration));
  require(fresh, "tree.register_node: ", name_of(entry->second.type),
          " is registered already; a type is registered once");
}

void register_module(nb::object type, nb::object flatten, nb::object unflatten) {
  module_registration = new Registration{std::move(type), std::move(flatten), std::move(unflatten)};
}

const Registration* find_registration(PyTypeObject* type, bool modules) {
  const auto& known = registrations();
  if (const auto found = known.find(type); found != known.end()) return &found->second;
  if (!modules || !module_registration) return nullptr;
  auto* base = reinterpret_cast<PyTypeObject*>(module_registration->type.ptr());
  return PyType_IsSubtype(type, base) ? module_registration : nullptr;
}

Parts take_apart(const Registration& registration, PyObject* object, const char* op) {
  const nb::object found = registration.flatten(nb::handle(object));
  const bool fits = PyTuple_Check(found.ptr()) &&
                    (PyTuple_GET_SIZE(found.ptr()) == 2 || PyTuple_GET_SIZE(found.ptr()) == 3);
  if (!fits)
    fail(ErrorKind::type, op, ": flatten_fn of ", name_of(registration.type),
         " must return a tuple (children, data) or (children, data, names), not ",
         repr(found.ptr()));
  const nb::tuple both(found);
  PyObject* children = PySequence_Tuple(nb::object(both[0]).ptr());
  if (!children) {
    PyErr_Clear();
    fail(ErrorKind::type, op, ": flatten_fn of ", name_of(registration.type),
         " must return the children as a sequence, not ", type_name(nb::object(both[0]).ptr()));
  }
  Parts parts{nb::steal<nb::tuple>(children), both[1], nb::none()};
  if (both.size() == 3 && !nb::object(both[2]).is_none()) {
    const nb::object given = both[2];
    const nb::tuple names(given);
    require(names.size() == parts.children.size(), op, ": flatten_fn of ",
            name_of(registration.type), " gave ", parts.children.size(), " children, but ",
            names.size(), " names");
    for (nb::handle name : names)
      if (!PyUnicode_Check(name.ptr()))
        fail(ErrorKind::type, op, ": flatten_fn of ", name_of(registration.type),
             " must give names as str, such as '.weight', not ", type_name(name.ptr()));
    parts.names = names;
  }
  return parts;
}

}  // namespace tegula::python
