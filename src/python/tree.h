// Nests of containers taken apart into leaves and a structure, and put together again.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <string>
#include <vector>

namespace tegula::python {

using Objects = std::vector<nanobind::object>;

// Lists, tuples, named tuples, dicts (in their order) and dataclasses are containers; Tensors,
// NumPy arrays and Python's floats and ints are leaves; everything else is part of the structure,
// compared with ==.
struct Tree {
  enum Leaf : int64_t { tensor, array, real, integer, boolean };

  std::vector<int64_t> words;   // kinds and sizes, leaves included
  Objects statics;              // keys, types, and what is no leaf
  Objects leaves;
  std::vector<Leaf> leaf_kinds;
  bool all_values = false;  // set before add(): bools are leaves too, and all leaves are alike

  // Adds an object. With `constant_numbers` Python's numbers are part of the structure. Throws
  // ValueError for nests more than 64 deep, which may be endless.
  void add(PyObject* object, bool constant_numbers = false, int depth = 0);
  bool same_structure(const Tree& other) const;
  // Where a leaf is: "[0]['weight']"; "" for the object itself.
  std::string path(size_t leaf) const;
  // The object again (of one add()), with other leaves.
  nanobind::object rebuild(const std::function<nanobind::object(size_t leaf)>& leaf) const;
};

}  // namespace tegula::python
