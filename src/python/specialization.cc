#include "python/specialization.h"

namespace tegula::python {

uint64_t mode_changes = 0;

std::vector<int32_t> repeats_of(const Tree& tree) {
  std::vector<int32_t> repeats;
  for (size_t i = 0; i < tree.leaves.size(); ++i) {
    size_t first = i;
    if (tree.leaf_kinds[i] == Tree::tensor)
      for (first = 0; tree.leaves[first] != tree.leaves[i];) ++first;
    repeats.push_back(int32_t(first));
  }
  return repeats;
}

PyObject* object_of(const Specialization::Handle& h, const Tree& arguments) {
  return h.object ? h.object : arguments.leaves[size_t(h.leaf)];
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
    PyObject* now = member(s.objects[size_t(c.object)], s.objects[size_t(c.name)]);
    if (!now) PyErr_Clear();
    const int same = now ? PyObject_RichCompareBool(now, s.objects[size_t(c.value)], Py_EQ) : 0;
    Py_XDECREF(now);
    if (same < 0) PyErr_Clear();
    if (same != 1) return false;
  }
  s.modes = mode_changes;
  return true;
}

bool numbers_fit(const Specialization& s, const Tree& arguments) {
  for (const Specialization::Number& n : s.numbers) {
    if (n.leaf < 0 || !n.constant) continue;
    PyObject* given = arguments.leaves[size_t(n.leaf)];
    if (n.is_real ? PyFloat_AS_DOUBLE(given) != n.real : PyLong_AsLongLong(given) != n.integer)
      return false;
  }
  return true;
}

}  // namespace

bool fits(Specialization& s, const Tree& arguments, const std::vector<int32_t>& repeats) {
  if (s.grad_mode != grad_enabled() || s.repeats != repeats ||
      !s.arguments.same_structure(arguments))
    return false;
  for (const Specialization::Handle& h : s.handles)
    if (!h.spec.fits(raw(object_of(h, arguments)))) return false;
  for (const Specialization::Cell& c : s.cells) {
    const GradCell* cell = raw(object_of(s.handles[c.owner], arguments)).output().cell.get();
    if (!cell || (c.asked && bool(cell->grad) != c.had_gradient)) return false;
  }
  return numbers_fit(s, arguments) && conditions_hold(s);
}

}  // namespace tegula::python
