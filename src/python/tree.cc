#include "python/tree.h"

#include <nanobind/stl/string.h>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"
#include "python/tree_registry.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

constexpr int kMaxDepth = 64;

bool equal(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  const int same = PyObject_RichCompareBool(a, b, Py_EQ);
  if (same < 0) PyErr_Clear();
  return same == 1;
}

// A class called with the fields that its __init__ takes; the others are set.
nb::object make_dataclass(PyObject* type, const nb::dict& fields) {
  const nb::handle all = nb::handle(type).attr("__dataclass_fields__");
  nb::dict arguments, others;
  for (auto [name, value] : fields) {
    const bool taken = nb::cast<bool>(nb::object(all[name]).attr("init"));
    (taken ? arguments : others)[name] = value;
  }
  const nb::object made = nb::handle(type)(**arguments);
  for (auto [name, value] : others)  // also where it is frozen
    check_status(PyObject_GenericSetAttr(made.ptr(), name.ptr(), value.ptr()));
  return made;
}

// Puts objects together again from the words of a tree.
class Rebuilder {
 public:
  Rebuilder(const Tree& tree, const std::function<nb::object(size_t)>& leaf)
      : reader_(tree), leaf_(leaf) {}

  nb::object next() {
    const TreeReader::Node node = reader_.next();
    switch (node.kind) {
      case Tree::kLeaf:
        return leaf_(reader_.leaves_seen() - 1);
      case Tree::kStatic:
        return nb::borrow(node.data);
      case Tree::kNone:
        return nb::none();
      case Tree::kDict:
      case Tree::kDataclass: {
        nb::dict items;
        for (int64_t i = 0; i < node.size; ++i) {
          const nb::handle key = reader_.next_static();
          items[key] = next();
        }
        return node.kind == Tree::kDict ? nb::object(items) : make_dataclass(node.type, items);
      }
      default: {
        nb::list items;
        for (int64_t i = 0; i < node.size; ++i) items.append(next());
        if (node.kind == Tree::kList) return items;
        if (node.kind == Tree::kNamedTuple) return nb::handle(node.type)(*items);
        if (node.kind == Tree::kTuple) return nb::tuple(items);
        auto* type = reinterpret_cast<PyTypeObject*>(node.type);
        return find_registration(type, true)->unflatten(nb::handle(node.data), nb::tuple(items));
      }
    }
  }

 private:
  TreeReader reader_;
  const std::function<nb::object(size_t)>& leaf_;
};

void add_paths(TreeReader& reader, const std::string& path, std::vector<std::string>& paths) {
  const TreeReader::Node node = reader.next();
  if (node.kind == Tree::kLeaf) paths.push_back(path);
  for (int64_t i = 0; i < node.size; ++i) {
    PyObject* key = node.keyed() ? reader.next_static() : nullptr;
    add_paths(reader, path + node.step(i, key), paths);
  }
}

}  // namespace

bool is_namedtuple(PyObject* object) {
  return PyTuple_Check(object) && PyObject_HasAttrString(object, "_fields");
}

bool is_dataclass(PyObject* object) {
  return !PyType_Check(object) && nb::hasattr(nb::handle(object).type(), "__dataclass_fields__");
}

nb::object dataclass_fields(nb::handle type) {
  static PyObject* const fields =
      nb::object(nb::module_::import_("dataclasses").attr("fields")).release().ptr();
  nb::list names;
  for (nb::handle field : nb::handle(fields)(type)) names.append(field.attr("name"));
  return nb::tuple(names);
}

// ---- reading -----------------------------------------------------------------------------------

TreeReader::Node TreeReader::next() {
  Node node{Tree::Word(tree_.words[word_++])};
  switch (node.kind) {
    case Tree::kNone:
      return node;
    case Tree::kLeaf:
      ++word_;
      ++leaves_;
      return node;
    case Tree::kStatic:
      node.data = next_static();
      return node;
    default:
      node.size = tree_.words[word_++];
  }
  const bool typed = node.kind == Tree::kNamedTuple || node.kind == Tree::kDataclass ||
                     node.kind == Tree::kRegistered;
  if (typed) node.type = next_static();
  if (node.kind == Tree::kRegistered) {
    node.data = next_static();
    node.names = next_static();
  }
  return node;
}

std::string TreeReader::Node::step(int64_t child, PyObject* key) const {
  const auto text = [](nb::handle name) { return nb::cast<std::string>(name); };
  if (kind == Tree::kDict) return "[" + repr(key) + "]";
  if (kind == Tree::kDataclass) return "." + text(key);
  if (kind == Tree::kNamedTuple) {
    const nb::object fields = nb::handle(type).attr("_fields");
    return "." + text(nb::object(fields[child]));
  }
  if (names && names != Py_None) return text(PyTuple_GET_ITEM(names, child));
  return cat("[", child, "]");
}

std::vector<std::string> Tree::paths() const {
  std::vector<std::string> paths;
  TreeReader reader(*this);
  add_paths(reader, "", paths);
  return paths;
}

nb::object Tree::rebuild(const std::function<nb::object(size_t leaf)>& leaf) const {
  return Rebuilder(*this, leaf).next();
}

bool Tree::same_structure(const Tree& other) const {
  if (words != other.words || statics.size() != other.statics.size()) return false;
  for (size_t i = 0; i < statics.size(); ++i)
    if (!equal(statics[i].ptr(), other.statics[i].ptr())) return false;
  return true;
}

// ---- taking apart ------------------------------------------------------------------------------

void Tree::begin(Word kind, int64_t size, PyObject* type) {
  words.insert(words.end(), {kind, size});
  if (type) statics.push_back(nb::borrow(type));
}

void Tree::add_registered(const Registration& registration, PyObject* object, int depth) {
  const Parts parts = take_apart(registration, object, op);
  begin(kRegistered, int64_t(parts.children.size()), reinterpret_cast<PyObject*>(Py_TYPE(object)));
  statics.insert(statics.end(), {parts.data, parts.names});
  for (nb::handle child : parts.children) add(child.ptr(), depth + 1);
}

bool Tree::is_declared_leaf(PyObject* object) const {
  if (!is_leaf) return false;
  const nb::object answer = nb::steal(checked(PyObject_CallOneArg(is_leaf, object)));
  const int truth = PyObject_IsTrue(answer.ptr());
  check_status(truth);
  return truth != 0;
}

bool Tree::is_container(PyObject* object) const {
  if (is_declared_leaf(object) || is_tensor(object)) return false;
  return object == Py_None || PyList_CheckExact(object) || PyTuple_CheckExact(object) ||
         PyDict_CheckExact(object) || is_namedtuple(object) || is_dataclass(object) ||
         find_registration(Py_TYPE(object), rule == Rule::everything);
}

void Tree::add(PyObject* object, int depth) {
  require(depth < kMaxDepth, op, ": containers are nested more than ", kMaxDepth, " deep");
  const auto leaf = [&](Leaf kind) {
    const bool alike = rule == Rule::values || rule == Rule::everything;
    words.insert(words.end(), {kLeaf, alike ? tensor : kind});
    leaves.push_back(nb::borrow(object));
    leaf_kinds.push_back(kind);
  };
  const auto fixed = [&] {
    words.push_back(kStatic);
    statics.push_back(nb::borrow(object));
  };
  const auto other_leaf = [&] { return rule == Rule::everything ? leaf(other) : fixed(); };
  if (is_declared_leaf(object)) return leaf(is_tensor(object) ? tensor : other);
  if (is_tensor(object)) return leaf(tensor);
  if (object == Py_None) return words.push_back(kNone);
  if (PyFloat_CheckExact(object)) return rule == Rule::constants ? fixed() : leaf(real);
  if (PyLong_CheckExact(object)) return rule == Rule::constants ? fixed() : leaf(integer);
  if (rule == Rule::values && PyBool_Check(object)) return leaf(boolean);
  if (PyUnicode_CheckExact(object) || PyBool_Check(object)) return other_leaf();

  // What is called here may be the user's code: items are held, and sizes read again.
  const auto require_unchanged = [&](bool same) {
    if (!same) fail(ErrorKind::runtime, op, ": a container changed while it was being read");
  };
  const auto add_sequence = [&](auto size, auto item) {
    const Py_ssize_t count = size();
    for (Py_ssize_t i = 0; i < count; ++i) {
      require_unchanged(size() == count);
      add(nb::object(nb::borrow(item(i))).ptr(), depth + 1);
    }
  };
  if (PyList_CheckExact(object)) {
    begin(kList, PyList_GET_SIZE(object));
    return add_sequence([&] { return PyList_GET_SIZE(object); },
                        [&](Py_ssize_t i) { return PyList_GET_ITEM(object, i); });
  }
  const auto add_tuple = [&] {
    add_sequence([&] { return PyTuple_GET_SIZE(object); },
                 [&](Py_ssize_t i) { return PyTuple_GET_ITEM(object, i); });
  };
  if (PyTuple_CheckExact(object)) {
    begin(kTuple, PyTuple_GET_SIZE(object));
    return add_tuple();
  }
  if (PyDict_CheckExact(object)) {
    const Py_ssize_t count = PyDict_GET_SIZE(object);
    begin(kDict, count);
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(object, &at, &key, &value)) {
      const nb::object held = nb::borrow(value);
      statics.push_back(nb::borrow(key));
      add(held.ptr(), depth + 1);
      require_unchanged(PyDict_GET_SIZE(object) == count);
    }
    return;
  }
  if (const Registration* known = find_registration(Py_TYPE(object), rule == Rule::everything))
    return add_registered(*known, object, depth);
  if (is_namedtuple(object)) {
    begin(kNamedTuple, PyTuple_GET_SIZE(object), nb::handle(object).type().ptr());
    return add_tuple();
  }
  if (is_numpy_array(object)) return leaf(array);
  if (is_dataclass(object)) {
    const nb::handle type = nb::handle(object).type();
    const nb::tuple fields(dataclass_fields(type));
    begin(kDataclass, int64_t(fields.size()), type.ptr());
    for (nb::handle name : fields) {
      statics.push_back(nb::borrow(name));
      add(nb::object(nb::getattr(nb::handle(object), name)).ptr(), depth + 1);
    }
    return;
  }
  other_leaf();
}

}  // namespace tegula::python
