// Nests of containers taken apart into leaves and a structure, and put together again.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <string>
#include <vector>

namespace tegula::python {

using Objects = std::vector<nanobind::object>;

// Lists, tuples, named tuples, dicts (in their order), dataclasses and registered types are
// containers. Tensors and NumPy arrays are leaves; of the rest, the rule says.
struct Tree {
  enum Leaf : int64_t { tensor, array, real, integer, boolean, other };
  enum class Rule : uint8_t {
    numbers,     // Python's floats and ints are leaves; the rest is part of the structure,
                 // compared with ==
    constants,   // so are numbers
    values,      // numbers and bools are leaves, and all leaves are alike
    everything,  // every object is a leaf, and all are alike; modules of nn are containers
  };
  enum Word : int64_t {
    kLeaf,
    kStatic,
    kNone,
    kList,
    kTuple,
    kNamedTuple,
    kDict,
    kDataclass,
    kRegistered,
  };

  Tree() = default;
  explicit Tree(Rule rule, const char* op = "jit") : rule(rule), op(op) {}

  std::vector<int64_t> words;   // kinds and sizes, leaves included
  Objects statics;              // keys, types, and what is no leaf
  Objects leaves;
  std::vector<Leaf> leaf_kinds;
  Rule rule = Rule::numbers;
  const char* op = "jit";     // begins errors
  PyObject* is_leaf = nullptr;  // a function that may declare any object a leaf, or null; borrowed

  // Adds an object. Throws ValueError for nests more than 64 deep, which may be endless.
  void add(PyObject* object, int depth = 0);
  // Whether it, or None, would be taken apart. A module only by `everything`.
  bool is_container(PyObject* object) const;
  bool same_structure(const Tree& other) const;
  // Where each leaf is: "[0]['weight']", ".weight" for attributes; "" for the object itself.
  std::vector<std::string> paths() const;
  std::string path(size_t leaf) const { return paths().at(leaf); }
  // The object again (of one add()), with other leaves.
  nanobind::object rebuild(const std::function<nanobind::object(size_t leaf)>& leaf) const;

 private:
  bool is_declared_leaf(PyObject* object) const;
  void begin(Word kind, int64_t size, PyObject* type = nullptr);
  void add_registered(const struct Registration& registration, PyObject* object, int depth);
};

// Reads a tree node by node, children after their parent. Before each child of a dict or a
// dataclass, next_static() is its key or name.
class TreeReader {
 public:
  explicit TreeReader(const Tree& tree) : tree_(tree) {}

  struct Node {
    Tree::Word kind;
    int64_t size = 0;  // how many children
    PyObject* type = nullptr;  // of what is made by calling one; borrowed, as the rest
    PyObject* data = nullptr;  // what a registered type keeps beside its children
    PyObject* names = nullptr;  // how paths write its children, a tuple or None

    bool keyed() const { return kind == Tree::kDict || kind == Tree::kDataclass; }
    // How a path goes on to a child. `key`: of a dict or dataclass.
    std::string step(int64_t child, PyObject* key) const;
  };
  Node next();
  PyObject* next_static() { return tree_.statics[static_++].ptr(); }
  size_t leaves_seen() const { return leaves_; }

 private:
  const Tree& tree_;
  size_t word_ = 0, static_ = 0, leaves_ = 0;
};

// The names of the fields of a dataclass, a tuple.
nanobind::object dataclass_fields(nanobind::handle type);
bool is_namedtuple(PyObject* object);
bool is_dataclass(PyObject* object);

}  // namespace tegula::python
