#include "python/specialization.h"

#include <algorithm>
#include <unordered_map>

#include "python/convert.h"
#include "python/errors.h"
#include "transform/anomaly.h"

namespace nb = nanobind;

namespace tegula::python {

uint64_t mode_changes = 0;

Tree flatten_call(const nb::tuple& args, const nb::dict& kwargs) {
  const nb::tuple both = nb::make_tuple(args, kwargs);
  Tree tree;
  tree.add(both.ptr());
  for (size_t i = 0; i < tree.leaves.size(); ++i) {
    if (tree.leaf_kinds[i] != Tree::array) continue;
    tree.leaves[i] = nb::steal(checked(wrap(from_numpy(tree.leaves[i].ptr(), default_device()))));
    tree.leaf_kinds[i] = Tree::tensor;
  }
  return tree;
}

std::vector<int32_t> repeats_of(const Tree& tree) {
  std::vector<int32_t> repeats;
  std::unordered_map<PyObject*, int32_t> first;
  for (size_t i = 0; i < tree.leaves.size(); ++i)
    repeats.push_back(tree.leaf_kinds[i] == Tree::tensor
                          ? first.try_emplace(tree.leaves[i].ptr(), int32_t(i)).first->second
                          : int32_t(i));
  return repeats;
}

PyObject* object_of(const Specialization::Handle& h, const Tree& arguments) {
  return h.object ? h.object : arguments.leaves[size_t(h.leaf)].ptr();
}

namespace {

// object[name] of a dict, object.name of others.
PyObject* member(PyObject* object, PyObject* name) {
  return PyDict_Check(object) ? PyObject_GetItem(object, name) : PyObject_GetAttr(object, name);
}

bool conditions_hold(Specialization& s) {
  const bool modes_changed = s.modes != mode_changes;
  for (const Capture::Condition& c : s.conditions) {
    if (c.is_mode && !modes_changed) continue;
    const auto part = [&](int32_t k) { return s.objects[size_t(k)].ptr(); };
    const nb::object now = nb::steal(member(part(c.object), part(c.name)));
    const int same = now ? PyObject_RichCompareBool(now.ptr(), part(c.value), Py_EQ) : -1;
    if (same < 0) PyErr_Clear();
    if (same != 1) return false;
  }
  s.modes = mode_changes;
  return true;
}

bool numbers_fit(const Specialization& s, const Tree& arguments) {
  return std::all_of(s.numbers.begin(), s.numbers.end(), [&](const Number& n) {
    const auto now = [&] {
      const size_t leaf = size_t(n.leaf);
      return Number::read(arguments.leaves[leaf].ptr(), arguments.leaf_kinds[leaf] == Tree::real);
    };
    return n.leaf < 0 || !n.constant || n.value == now();
  });
}

}  // namespace

bool fits(Specialization& s, const Tree& arguments, const std::vector<int32_t>& repeats) {
  if (s.grad_mode != grad_enabled() || s.detects_anomaly != detecting_anomaly() ||
      s.repeats != repeats || !s.arguments.same_structure(arguments))
    return false;
  for (const Specialization::Handle& h : s.handles)
    if (!h.spec.fits(raw_tensor(object_of(h, arguments)))) return false;
  for (const Specialization::Cell& c : s.cells) {
    const GradCell* cell = raw_tensor(object_of(s.handles[c.owner], arguments)).output().cell.get();
    if (!cell || (c.asked && bool(cell->grad) != c.had_gradient)) return false;
  }
  return numbers_fit(s, arguments) && conditions_hold(s);
}

}  // namespace tegula::python
