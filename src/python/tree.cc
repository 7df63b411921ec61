#include "python/tree.h"

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

enum Word : int64_t { kLeaf, kStatic, kNone, kList, kTuple, kDict, kNamedTuple, kDataclass };

bool is_namedtuple(PyObject* object) {
  return PyTuple_Check(object) && PyObject_HasAttrString(object, "_fields");
}

bool is_dataclass(PyObject* object) {
  return !PyType_Check(object) && nb::hasattr(nb::handle(object).type(), "__dataclass_fields__");
}

bool equal(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  const int same = PyObject_RichCompareBool(a, b, Py_EQ);
  if (same < 0) PyErr_Clear();
  return same == 1;
}

// Puts objects together again from the words of a tree.
class Rebuilder {
 public:
  Rebuilder(const Tree& tree, const std::function<nb::object(size_t)>& leaf)
      : tree_(tree), leaf_(leaf) {}

  nb::object next() {
    switch (const int64_t word = tree_.words[word_++]) {
      case kLeaf:
        ++word_;
        return leaf_(leaf_number_++);
      case kStatic:
        return next_static();
      case kNone:
        return nb::none();
      case kList:
      case kTuple:
      case kNamedTuple: {
        const int64_t size = tree_.words[word_++];
        const nb::object type = word == kNamedTuple ? next_static() : nb::object();
        nb::list items;
        for (int64_t i = 0; i < size; ++i) items.append(next());
        if (word == kList) return items;
        if (!type) return nb::tuple(items);
        return type(*items);
      }
      default: {  // kDict, kDataclass
        const int64_t size = tree_.words[word_++];
        const nb::object type = word == kDataclass ? next_static() : nb::object();
        nb::dict items;
        for (int64_t i = 0; i < size; ++i) {
          const nb::object key = next_static();
          items[key] = next();
        }
        if (!type) return items;
        return type(**items);
      }
    }
  }

 private:
  const nb::object& next_static() { return tree_.statics[static_++]; }

  const Tree& tree_;
  const std::function<nb::object(size_t)>& leaf_;
  size_t word_ = 0, static_ = 0, leaf_number_ = 0;
};

// Follows the words of a tree to one leaf.
class PathFinder {
 public:
  PathFinder(const Tree& tree, size_t leaf) : tree_(tree), left_(leaf) {}

  // Whether the leaf is in what comes next; then `path` is where.
  bool next(std::string& path) {
    switch (const int64_t word = tree_.words[word_++]) {
      case kLeaf:
        ++word_;
        return left_-- == 0;
      case kStatic:
        ++static_;
        return false;
      case kNone:
        return false;
      default: {
        const int64_t size = tree_.words[word_++];
        if (word == kNamedTuple || word == kDataclass) ++static_;
        const bool keyed = word == kDict || word == kDataclass;
        for (int64_t i = 0; i < size; ++i) {
          const std::string key = keyed ? repr(tree_.statics[static_++].ptr()) : cat(i);
          std::string rest;
          if (!next(rest)) continue;
          path = "[" + key + "]" + rest;
          return true;
        }
        return false;
      }
    }
  }

 private:
  const Tree& tree_;
  size_t left_, word_ = 0, static_ = 0;
};

}  // namespace

std::string Tree::path(size_t leaf) const {
  std::string path;
  PathFinder(*this, leaf).next(path);
  return path;
}

void Tree::add(PyObject* object, bool constant_numbers, int depth) {
  require(depth < 64, "jit: containers are nested more than 64 deep");
  const auto leaf = [&](Leaf kind) {
    words.insert(words.end(), {kLeaf, all_values ? tensor : kind});
    leaves.push_back(nb::borrow(object));
    leaf_kinds.push_back(kind);
  };
  const auto fixed = [&] {
    words.push_back(kStatic);
    statics.push_back(nb::borrow(object));
  };
  if (is_tensor(object)) return leaf(tensor);
  if (object == Py_None) return words.push_back(kNone);
  if (PyFloat_CheckExact(object)) return constant_numbers ? fixed() : leaf(real);
  if (PyLong_CheckExact(object)) return constant_numbers ? fixed() : leaf(integer);
  if (all_values && PyBool_Check(object)) return leaf(boolean);
  if (PyUnicode_CheckExact(object) || PyBool_Check(object)) return fixed();
  if (PyList_CheckExact(object) || PyTuple_CheckExact(object) || is_namedtuple(object)) {
    const bool list = PyList_CheckExact(object), plain = PyTuple_CheckExact(object);
    const Py_ssize_t size = list ? PyList_GET_SIZE(object) : PyTuple_GET_SIZE(object);
    words.insert(words.end(), {list ? kList : plain ? kTuple : kNamedTuple, size});
    if (!list && !plain) statics.push_back(nb::borrow(nb::handle(object).type()));
    for (Py_ssize_t i = 0; i < size; ++i)
      add(list ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i), constant_numbers,
          depth + 1);
    return;
  }
  if (PyDict_CheckExact(object)) {
    words.insert(words.end(), {kDict, PyDict_GET_SIZE(object)});
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(object, &at, &key, &value)) {
      statics.push_back(nb::borrow(key));
      add(value, constant_numbers, depth + 1);
    }
    return;
  }
  if (is_numpy_array(object)) return leaf(array);
  if (is_dataclass(object)) {
    const nb::handle type = nb::handle(object).type();
    const nb::dict fields(type.attr("__dataclass_fields__"));
    words.insert(words.end(), {kDataclass, int64_t(fields.size())});
    statics.push_back(nb::borrow(type));
    for (auto [name, field] : fields) {
      statics.push_back(nb::borrow(name));
      add(nb::object(nb::getattr(object, name)).ptr(), constant_numbers, depth + 1);
    }
    return;
  }
  fixed();
}

bool Tree::same_structure(const Tree& other) const {
  if (words != other.words || statics.size() != other.statics.size()) return false;
  for (size_t i = 0; i < statics.size(); ++i)
    if (!equal(statics[i].ptr(), other.statics[i].ptr())) return false;
  return true;
}

nb::object Tree::rebuild(const std::function<nb::object(size_t leaf)>& leaf) const {
  return Rebuilder(*this, leaf).next();
}

}  // namespace tegula::python
