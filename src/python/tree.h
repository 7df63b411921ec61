// Nests of containers taken apart into leaves and a structure, and put together again.
#pragma once

#include <Python.h>

#include <functional>
#include <vector>

namespace tegula::python {

// Owning references.
class Objects {
 public:
  Objects() = default;
  Objects(const Objects&) = delete;
  Objects& operator=(const Objects&) = delete;
  Objects(Objects&& other) noexcept : objects_(std::move(other.objects_)) {}
  Objects& operator=(Objects&& other) noexcept {
    objects_.swap(other.objects_);
    return *this;
  }
  ~Objects() { clear(); }

  void push_back(PyObject* object) { objects_.push_back(Py_NewRef(object)); }
  void take(PyObject* object) { objects_.push_back(object); }  // the caller's reference
  void clear() {
    auto objects = std::move(objects_);
    objects_.clear();
    for (PyObject* object : objects) Py_DECREF(object);
  }
  size_t size() const { return objects_.size(); }
  PyObject* operator[](size_t i) const { return objects_[i]; }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }

 private:
  std::vector<PyObject*> objects_;
};

// Lists, tuples, named tuples, dicts (in their order) and dataclasses are containers; Tensors,
// NumPy arrays and Python's floats and ints are leaves; everything else is part of the structure,
// compared with ==.
struct Tree {
  enum Leaf : int64_t { tensor, array, real, integer };

  std::vector<int64_t> words;   // kinds and sizes, leaves included
  Objects statics;              // keys, types, and what is no leaf
  Objects leaves;
  std::vector<Leaf> leaf_kinds;

  // Adds an object. With `constant_numbers` Python's numbers are part of the structure. Throws
  // ValueError for nests more than 64 deep, which may be endless.
  void add(PyObject* object, bool constant_numbers = false, int depth = 0);
  bool same_structure(const Tree& other) const;
  // The object again (of one add()), with other leaves; a new reference.
  PyObject* rebuild(const std::function<PyObject*(size_t leaf)>& leaf) const;
};

}  // namespace tegula::python
