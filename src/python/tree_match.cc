#include "python/tree_match.h"

#include <nanobind/stl/string.h>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tree_registry.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

std::string count(int64_t number, const char* what) {
  return cat(number, ' ', what, number == 1 ? "" : "s");
}

class Matcher {
 public:
  Matcher(const Tree& structure, const MatchOptions& options)
      : reader_(structure), options_(options), rules_(Tree::Rule::everything, options.op) {
    rules_.is_leaf = options.is_leaf;
  }

  void next(nb::handle object, const std::string& path) {
    const TreeReader::Node node = reader_.next();
    if (node.kind == Tree::kLeaf) {
      if (options_.exact && rules_.is_container(object.ptr())) refuse(path, "a leaf", object);
      found.push_back(nb::borrow(object));
      return;
    }
    require_kind(node, object, path);
    switch (node.kind) {
      case Tree::kNone:
        return;
      case Tree::kDict:
        return next_dict(node, object, path);
      case Tree::kDataclass:
        for (int64_t i = 0; i < node.size; ++i) {
          PyObject* name = reader_.next_static();
          next(nb::object(nb::getattr(object, nb::handle(name))), path + node.step(i, name));
        }
        return;
      case Tree::kRegistered:
        return next_registered(node, object, path);
      default:
        return next_items(node, nb::steal<nb::tuple>(checked(PySequence_Tuple(object.ptr()))),
                          path);
    }
  }

  Objects found;

 private:
  [[noreturn]] void refuse(const std::string& path, const std::string& wanted,
                           nb::handle object) const {
    fail(ErrorKind::value, options_.op, ": ", path, " must be ", wanted, ", as in ", options_.like,
         ", not ", object.is_none() ? "None" : type_name(object.ptr()));
  }
  [[noreturn]] void refuse_missing(const std::string& path) const {
    fail(ErrorKind::value, options_.op, ": ", path, " is missing; it is there in ", options_.like);
  }
  [[noreturn]] void refuse_extra(const std::string& path) const {
    fail(ErrorKind::value, options_.op, ": ", path, " is not there in ", options_.like);
  }

  void require_kind(const TreeReader::Node& node, nb::handle object,
                    const std::string& path) const {
    const auto require_exact = [&](PyTypeObject* type, const char* wanted) {
      if (Py_TYPE(object.ptr()) != type) refuse(path, wanted, object);
    };
    switch (node.kind) {
      case Tree::kNone:
        return require_exact(Py_TYPE(Py_None), "None");
      case Tree::kList:
        return require_exact(&PyList_Type, "a list");
      case Tree::kTuple:
        return require_exact(&PyTuple_Type, "a tuple");
      case Tree::kDict:
        return require_exact(&PyDict_Type, "a dict");
      default: {
        const std::string name = nb::cast<std::string>(nb::handle(node.type).attr("__qualname__"));
        return require_exact(reinterpret_cast<PyTypeObject*>(node.type), ("a " + name).c_str());
      }
    }
  }

  void next_items(const TreeReader::Node& node, const nb::tuple& items, const std::string& path) {
    if (int64_t(items.size()) != node.size)
      fail(ErrorKind::value, options_.op, ": ", path, " has ", count(int64_t(items.size()), "item"),
           ", but ", node.size, " in ", options_.like);
    for (int64_t i = 0; i < node.size; ++i) next(items[size_t(i)], path + node.step(i, nullptr));
  }

  void next_dict(const TreeReader::Node& node, nb::handle object, const std::string& path) {
    nb::list keys;
    for (int64_t i = 0; i < node.size; ++i) {
      PyObject* key = reader_.next_static();
      keys.append(nb::handle(key));
      PyObject* value = PyDict_GetItemWithError(object.ptr(), key);
      if (!value && PyErr_Occurred()) throw_python_error();
      if (!value) refuse_missing(path + node.step(i, key));
      next(nb::object(nb::borrow(value)), path + node.step(i, key));
    }
    if (PyDict_GET_SIZE(object.ptr()) == node.size) return;
    const nb::set known(keys);
    for (nb::handle key : nb::list(nb::object(object.attr("keys")())))
      if (!known.contains(key)) refuse_extra(path + node.step(0, key.ptr()));
  }

  void next_registered(const TreeReader::Node& node, nb::handle object, const std::string& path) {
    const Registration* known = find_registration(Py_TYPE(object.ptr()), true);
    const Parts parts = take_apart(*known, object.ptr(), options_.op);
    if (node.names != Py_None && !parts.names.is_none()) {
      const nb::tuple wanted(nb::borrow(node.names)), given(parts.names);
      const nb::set among_wanted(wanted), among_given(given);
      for (nb::handle name : wanted)
        if (!among_given.contains(name)) refuse_missing(path + nb::cast<std::string>(name));
      for (nb::handle name : given)
        if (!among_wanted.contains(name)) refuse_extra(path + nb::cast<std::string>(name));
    }
    const int same = PyObject_RichCompareBool(parts.data.ptr(), node.data, Py_EQ);
    if (same < 0) PyErr_Clear();
    if (same != 1)
      fail(ErrorKind::value, options_.op, ": ", path, " keeps other data beside its children (",
           repr(parts.data.ptr()), ") than in ", options_.like, " (", repr(node.data), ")");
    next_items(node, parts.children, path);
  }

  TreeReader reader_;
  const MatchOptions& options_;
  Tree rules_;
};

}  // namespace

Objects match(const Tree& structure, PyObject* object, const MatchOptions& options) {
  Matcher matcher(structure, options);
  matcher.next(object, options.name);
  return std::move(matcher.found);
}

}  // namespace tegula::python
