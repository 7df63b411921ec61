#include "python/tree.h"

#include <unordered_map>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

enum Word : int64_t { kLeaf, kStatic, kNone, kList, kTuple, kDict, kNamedTuple, kDataclass };

bool is_namedtuple(PyObject* object) {
  return PyTuple_Check(object) && PyObject_HasAttrString(object, "_fields");
}

// The names of a dataclass's fields, or null.
PyObject* dataclass_fields(PyObject* object) {
  PyObject* type = reinterpret_cast<PyObject*>(Py_TYPE(object));
  if (!PyObject_HasAttrString(type, "__dataclass_fields__")) return nullptr;
  PyObject* fields = checked(PyObject_GetAttrString(type, "__dataclass_fields__"));
  PyObject* names = PySequence_Tuple(fields);
  Py_DECREF(fields);
  return checked(names);
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
  Rebuilder(const Tree& tree, const std::function<PyObject*(size_t)>& leaf)
      : tree_(tree), leaf_(leaf) {}

  PyObject* next() {
    switch (const int64_t word = tree_.words[word_++]) {
      case kLeaf:
        ++word_;
        return checked(leaf_(leaf_number_++));
      case kStatic:
        return Py_NewRef(tree_.statics[static_++]);
      case kNone:
        return Py_NewRef(Py_None);
      case kList:
      case kTuple:
      case kNamedTuple: {
        const Py_ssize_t size = tree_.words[word_++];
        PyObject* type = word == kNamedTuple ? tree_.statics[static_++] : nullptr;
        Objects items;
        for (Py_ssize_t i = 0; i < size; ++i) items.take(next());
        PyObject* result = checked(word == kList ? PyList_New(size) : PyTuple_New(size));
        for (Py_ssize_t i = 0; i < size; ++i) {
          PyObject* item = Py_NewRef(items[size_t(i)]);
          if (word == kList) PyList_SET_ITEM(result, i, item);
          else PyTuple_SET_ITEM(result, i, item);
        }
        if (!type) return result;
        PyObject* named = PyObject_Call(type, result, nullptr);
        Py_DECREF(result);
        return checked(named);
      }
      default: {  // kDict, kDataclass
        const Py_ssize_t size = tree_.words[word_++];
        PyObject* type = word == kDataclass ? tree_.statics[static_++] : nullptr;
        PyObject* dict = checked(PyDict_New());
        try {
          for (Py_ssize_t i = 0; i < size; ++i) {
            PyObject* key = tree_.statics[static_++];
            PyObject* value = next();
            const int status = PyDict_SetItem(dict, key, value);
            Py_DECREF(value);
            check_status(status);
          }
          if (!type) return dict;
          PyObject* none = checked(PyTuple_New(0));
          PyObject* made = PyObject_Call(type, none, dict);
          Py_DECREF(none);
          checked(made);
          Py_DECREF(dict);
          return made;
        } catch (...) {
          Py_DECREF(dict);
          throw;
        }
      }
    }
  }

 private:
  const Tree& tree_;
  const std::function<PyObject*(size_t)>& leaf_;
  size_t word_ = 0, static_ = 0, leaf_number_ = 0;
};

}  // namespace

void Tree::add(PyObject* object, bool constant_numbers, int depth) {
  require(depth < 64, "jit: containers are nested more than 64 deep");
  const auto leaf = [&](Leaf kind) {
    words.insert(words.end(), {kLeaf, kind});
    leaves.push_back(object);
    leaf_kinds.push_back(kind);
  };
  const auto fixed = [&] {
    words.push_back(kStatic);
    statics.push_back(object);
  };
  if (is_tensor(object)) return leaf(tensor);
  if (object == Py_None) return words.push_back(kNone);
  if (PyFloat_CheckExact(object)) return constant_numbers ? fixed() : leaf(real);
  if (PyLong_CheckExact(object)) return constant_numbers ? fixed() : leaf(integer);
  if (PyUnicode_CheckExact(object) || PyBool_Check(object)) return fixed();
  if (PyList_CheckExact(object) || PyTuple_CheckExact(object) || is_namedtuple(object)) {
    const bool list = PyList_CheckExact(object), plain = PyTuple_CheckExact(object);
    const Py_ssize_t size = list ? PyList_GET_SIZE(object) : PyTuple_GET_SIZE(object);
    words.insert(words.end(), {list ? kList : plain ? kTuple : kNamedTuple, size});
    if (!list && !plain) statics.push_back(reinterpret_cast<PyObject*>(Py_TYPE(object)));
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
      statics.push_back(key);
      add(value, constant_numbers, depth + 1);
    }
    return;
  }
  if (is_numpy_array(object)) return leaf(array);
  if (PyObject* fields = PyType_Check(object) ? nullptr : dataclass_fields(object)) {
    Objects names;
    names.take(fields);
    words.insert(words.end(), {kDataclass, PyTuple_GET_SIZE(fields)});
    statics.push_back(reinterpret_cast<PyObject*>(Py_TYPE(object)));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); ++i) {
      PyObject* name = PyTuple_GET_ITEM(fields, i);
      statics.push_back(name);
      Objects value;
      value.take(checked(PyObject_GetAttr(object, name)));
      add(value[0], constant_numbers, depth + 1);
    }
    return;
  }
  fixed();
}

bool Tree::same_structure(const Tree& other) const {
  if (words != other.words || statics.size() != other.statics.size()) return false;
  for (size_t i = 0; i < statics.size(); ++i)
    if (!equal(statics[i], other.statics[i])) return false;
  return true;
}

PyObject* Tree::rebuild(const std::function<PyObject*(size_t leaf)>& leaf) const {
  return Rebuilder(*this, leaf).next();
}

}  // namespace tegula::python
