// tg.tree: trees of any objects, their structure, and registered containers.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/bindings.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tree_match.h"
#include "python/tree_registry.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

// A tree without its leaves.
class Structure {
 public:
  explicit Structure(Tree tree) : tree_(std::move(tree)), size_(tree_.leaves.size()) {
    tree_.leaves.clear();
    tree_.leaf_kinds.clear();
    tree_.is_leaf = nullptr;
  }

  const Tree& tree() const { return tree_; }
  size_t size() const { return size_; }

  nb::object unflatten(const nb::iterable& leaves) const {
    const nb::object items = nb::steal(checked(PySequence_Tuple(leaves.ptr())));
    const size_t given = size_t(PyTuple_GET_SIZE(items.ptr()));
    require(given == size_, "tree.unflatten: the structure has ", size_, " leaves, got ", given);
    return tree_.rebuild(
        [&](size_t i) { return nb::borrow(PyTuple_GET_ITEM(items.ptr(), Py_ssize_t(i))); });
  }

  std::string describe() const {
    TreeReader reader(tree_);
    return "Structure(" + describe_next(reader) + ")";
  }

  size_t hash() const {
    size_t result = 0;
    for (int64_t word : tree_.words) result = result * 1000003 + size_t(word);
    return result >> 1;
  }

  int traverse(visitproc visit, void* arg) const {
    for (const nb::object& object : tree_.statics) Py_VISIT(object.ptr());
    return 0;
  }
  void clear() { const Objects dropped = std::exchange(tree_.statics, {}); }

 private:
  static std::string describe_next(TreeReader& reader) {
    const TreeReader::Node node = reader.next();
    if (node.kind == Tree::kLeaf) return "*";
    if (node.kind == Tree::kNone) return "None";
    std::string items;
    for (int64_t i = 0; i < node.size; ++i) {
      PyObject* key = node.keyed() ? reader.next_static() : nullptr;
      if (i) items += ", ";
      if (node.kind == Tree::kDict) {
        items += repr(key) + ": ";
      } else if (node.type) {
        const std::string step = node.step(i, key);
        items += (step[0] == '.' ? step.substr(1) : step) + "=";
      }
      items += describe_next(reader);
    }
    switch (node.kind) {
      case Tree::kList:
        return "[" + items + "]";
      case Tree::kTuple:
        return "(" + items + (node.size == 1 ? ",)" : ")");
      case Tree::kDict:
        return "{" + items + "}";
      default:
        return nb::cast<std::string>(nb::handle(node.type).attr("__qualname__")) + "(" + items +
               ")";
    }
  }

  Tree tree_;
  size_t size_;
};

int traverse_structure(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<Structure>(self)->traverse(visit, arg) : 0;
}
int clear_structure(PyObject* self) {
  nb::inst_ptr<Structure>(self)->clear();
  return 0;
}

PyObject* function_or_null(const nb::object& function) {
  return function.is_none() ? nullptr : function.ptr();
}

nb::list list_of(const Objects& objects) {
  nb::list list;
  for (const nb::object& object : objects) list.append(object);
  return list;
}

nb::tuple flatten(nb::handle object, const nb::object& is_leaf) {
  Tree tree(Tree::Rule::everything, "tree");
  tree.is_leaf = function_or_null(is_leaf);
  tree.add(object.ptr());
  const nb::list leaves = list_of(tree.leaves);
  return nb::make_tuple(leaves, Structure(std::move(tree)));
}

}  // namespace

void add_tree(nb::module_& m) {
  PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_structure)},
                         {Py_tp_clear, reinterpret_cast<void*>(clear_structure)},
                         {0, nullptr}};
  nb::class_<Structure>(m, "Structure", nb::type_slots(slots),
                        "How a tree is built, without its leaves; ``tg.tree.flatten`` makes it.\n\n"
                        "Two are equal if their containers, keys and types are; keys in the same\n"
                        "order.")
      .def_prop_ro("num_leaves", &Structure::size, "How many leaves there are.")
      .def("unflatten", &Structure::unflatten, nb::arg("leaves"),
           nb::sig("def unflatten(self, leaves: Iterable[Any]) -> Any"),
           "The tree with these leaves, any objects.\n\n"
           "Raises ValueError for a wrong number of them.")
      .def(
          "paths", [](const Structure& self) { return self.tree().paths(); },
          "Where each leaf is: \"['layers'][3]['weight']\", \".weight\" for attributes.")
      .def(
          "flatten_up_to",
          [](const Structure& self, nb::handle tree, const std::string& name) {
            return list_of(match(self.tree(), tree.ptr(),
                                 {"tree.flatten_up_to", name, "the structure", false}));
          },
          nb::arg("tree").none(), nb::arg("name") = "tree",
          nb::sig("def flatten_up_to(self, tree: Any, name: str = \"tree\") -> list[Any]"),
          "What of a tree stands at each leaf of this structure: leaves or trees.\n\n"
          "Dicts are matched by their keys. Raises ValueError that names the place where the tree\n"
          "is built otherwise, after ``name``.")
      .def(
          "_match",
          [](const Structure& self, nb::handle tree, const char* op, const std::string& name,
             const std::string& like, const nb::object& is_leaf) {
            return list_of(
                match(self.tree(), tree.ptr(), {op, name, like, true, function_or_null(is_leaf)}));
          },
          nb::arg("tree").none(), nb::arg("op"), nb::arg("name"), nb::arg("like"),
          nb::arg("is_leaf").none(),
          nb::sig("def _match(self, tree: Any, op: str, name: str, like: str, "
                  "is_leaf: Callable[[Any], bool] | None) -> list[Any]"),
          "The leaves of a tree that must have this structure; errors are of `op` and say `name`\n"
          "for the tree and `like` for what has the structure.")
      .def(
          "__eq__",
          [](const Structure& self, nb::handle other) {
            return nb::isinstance<Structure>(other) &&
                   self.tree().same_structure(nb::cast<const Structure&>(other).tree());
          },
          nb::arg("other").none(), nb::sig("def __eq__(self, other: object) -> bool"))
      .def("__hash__", &Structure::hash)
      .def("__repr__", &Structure::describe);
  m.def("_flatten", flatten, nb::arg("tree").none(), nb::arg("is_leaf").none(),
        nb::sig("def _flatten(tree: Any, is_leaf: Callable[[Any], bool] | None) -> "
                "tuple[list[Any], Structure]"),
        "tg.tree.flatten.");
  m.def(
      "_argument_paths",
      [](nb::handle argument) {
        Tree tree;
        tree.add(argument.ptr());
        return tree.paths();
      },
      nb::arg("argument").none(), "The places of what tg.jit takes as leaves of an argument.");
  m.def("_register_node", &register_node, nb::arg("type"), nb::arg("flatten_fn"),
        nb::arg("unflatten_fn"),
        nb::sig("def _register_node(type: Any, flatten_fn: Any, unflatten_fn: Any) -> None"),
        "tg.tree.register_node.");
  m.def("_register_module", &register_module, nb::arg("type"), nb::arg("flatten_fn"),
        nb::arg("unflatten_fn"),
        nb::sig("def _register_module(type: Any, flatten_fn: Any, unflatten_fn: Any) -> None"),
        "The same for nn.Module and what derives from it.");
}

}  // namespace tegula::python
