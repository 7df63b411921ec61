// Subscripts, length and iteration of Tensor.
#include <algorithm>
#include <array>
#include <vector>

#include "ops/ops.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

IndexItem item_of(decltype(IndexItem::kind) kind, int64_t start = 0) {
  IndexItem item;
  item.kind = kind;
  item.start = start;
  return item;
}

bool find_bound(PyObject* object, int64_t& value) {
  if (object == Py_None) return false;
  if (!PyIndex_Check(object))
    fail(ErrorKind::type, "indexing: a slice has ints or None, got ", type_name(object));
  PyObject* number = checked(PyNumber_Index(object));
  // As with lists, a bound past the ends of int64 is as good as its nearest.
  value = PyNumber_AsSsize_t(number, nullptr);
  Py_DECREF(number);
  return true;
}

IndexItem parse_slice(PyObject* object) {
  const auto* slice = reinterpret_cast<PySliceObject*>(object);
  IndexItem item = item_of(IndexItem::slice);
  item.has_start = find_bound(slice->start, item.start);
  item.has_stop = find_bound(slice->stop, item.stop);
  if (find_bound(slice->step, item.step) && item.step == 0)
    fail(ErrorKind::value, "indexing: the step of a slice must not be 0");
  return item;
}

IndexItem array_item(Tensor array) {
  IndexItem item = item_of(IndexItem::array);
  item.array_value = std::move(array);
  return item;
}

IndexItem parse_item(PyObject* object, Backend& device) {
  if (PyLong_CheckExact(object)) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) fail(ErrorKind::index, "index ", repr(object), " is out of bounds");
    return item_of(IndexItem::integer, value);
  }
  if (PySlice_Check(object)) return parse_slice(object);
  if (object == Py_Ellipsis) return item_of(IndexItem::ellipsis);
  if (object == Py_None) return item_of(IndexItem::new_axis);
  if (is_tensor(object)) return array_item(tensor_of(object));
  if (PyBool_Check(object)) return array_item(scalar(int64_t(object == Py_True), DType::bool_));
  if (is_numpy_array(object)) return array_item(from_numpy(object, device));
  if (is_numpy_scalar(object)) {
    Tensor value = from_numpy(object, device);
    if (!is_integer(value.dtype())) return array_item(std::move(value));
    return item_of(IndexItem::integer, item_as_int(value));
  }
  if (PyList_Check(object) || PyTuple_Check(object)) {
    const bool empty = PySequence_Size(object) == 0;
    return array_item(asarray(object, empty ? std::optional(DType::int64) : std::nullopt,
                              Copy::if_needed, device));
  }
  if (PyIndex_Check(object))
    return item_of(IndexItem::integer, to_int(object, "indexing", "the index"));
  fail(ErrorKind::type,
       "indexing: a subscript must be an int, a slice, ..., None, or an array of ints or bools, "
       "got ",
       type_name(object));
}

using Items = std::vector<IndexItem>;

Items parse_items(PyObject* key, Backend& device) {
  Items items;
  if (!PyTuple_Check(key)) {
    items.push_back(parse_item(key, device));
    return items;
  }
  const Py_ssize_t count = PyTuple_GET_SIZE(key);
  items.reserve(size_t(count));
  for (Py_ssize_t i = 0; i < count; ++i)
    items.push_back(parse_item(PyTuple_GET_ITEM(key, i), device));
  return items;
}

// What `self[items]` gives: a view of a compat tensor unless an array selects.
PyObject* wrap_selection(PyObject* self, Tensor selected, Items items) {
  if (!is_compat(self)) return wrap(std::move(selected));
  PyObject* result = checked(wrap_like(true, std::move(selected)));
  const auto is_array_item = [](const IndexItem& i) { return i.kind == IndexItem::array; };
  if (std::none_of(items.begin(), items.end(), is_array_item)) {
    ViewStep step;
    step.kind = ViewStep::subscript;
    step.items = std::move(items);
    note_view(self, result, std::move(step));
  }
  return result;
}

PyObject* subscript(PyObject* self, PyObject* key) noexcept {
  return guarded([&] {
    const Tensor x = tensor_of(self);
    Items items = parse_items(key, x.device());
    Tensor selected = index(x, items);
    return wrap_selection(self, std::move(selected), std::move(items));
  });
}

int assign_subscript(PyObject* self, PyObject* key, PyObject* value) noexcept {
  return guarded(
      [&] {
        if (!value) fail(ErrorKind::type, "elements of a tensor cannot be deleted");
        const Tensor x = tensor_of(self);
        const Items items = parse_items(key, x.device());
        const Tensor v = to_tensor(value, "item assignment", "value");
        rebind_handle(reinterpret_cast<TensorObject*>(self), index_update(x, items, v),
                      "item assignment");
        return 0;
      },
      -1);
}

Py_ssize_t length(PyObject* self) noexcept {
  return guarded(
      [&]() -> Py_ssize_t {
        const Tensor& x = tensor_of(self);
        if (x.rank() == 0) fail(ErrorKind::type, "len() of a 0-d tensor");
        return x.shape()[0];
      },
      -1);
}

PyObject* element(PyObject* self, Py_ssize_t i) noexcept {
  const Tensor& x = tensor_of(self);
  if (x.rank() == 0 || i < 0 || i >= x.shape()[0]) {  // how the end of an iteration is told
    PyErr_SetString(PyExc_IndexError, "tensor index out of range");
    return nullptr;
  }
  return guarded([&] {
    const IndexItem item = item_of(IndexItem::integer, i);
    return wrap_selection(self, index(Tensor(x), std::span(&item, 1)), {item});
  });
}

PyObject* iterate(PyObject* self) noexcept {
  if (tensor_of(self).rank() == 0) {
    PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor");
    return nullptr;
  }
  return PySeqIter_New(self);
}

int contains(PyObject* self, PyObject* value) noexcept {
  return guarded(
      [&] {
        const Tensor x = tensor_of(self);
        Tensor wanted;
        if (is_tensor(value)) {
          wanted = tensor_of(value);
        } else if (!find_operand(value, wanted)) {
          return 0;
        }
        const Tensor same = equal(x, wanted);
        return int(item_as_int(any(same, all_axes(same), false)) != 0);
      },
      -1);
}

template <class F>
PyType_Slot slot(int id, F* function) {
  return {id, reinterpret_cast<void*>(function)};
}

}  // namespace

std::span<const PyType_Slot> indexing_slots() {
  static const std::array slots = {
      slot(Py_mp_subscript, subscript), slot(Py_mp_ass_subscript, assign_subscript),
      slot(Py_mp_length, length),       slot(Py_sq_length, length),
      slot(Py_sq_item, element),        slot(Py_sq_contains, contains),
      slot(Py_tp_iter, iterate),
  };
  return slots;
}

}  // namespace tegula::python
