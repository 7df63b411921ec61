#include "python/capture.h"

#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {

int captures_active = 0;

namespace {

thread_local Capture* current_capture = nullptr;

TensorObject* raw(PyObject* object) { return reinterpret_cast<TensorObject*>(object); }

}  // namespace

void note_use(PyObject* tensor) {
  if (Capture* capture = Capture::current()) capture->use(tensor);
}

Capture* Capture::current() { return Trace::current() ? current_capture : nullptr; }

Capture::Capture() : outer_(current_capture) {
  current_capture = this;
  ++captures_active;
}

Capture::~Capture() { finish(); }

void Capture::use(PyObject* object, int32_t leaf) {
  Tensor& tensor = raw(object)->tensor;
  if (!tensor || trace_.made(tensor.node())) return;
  const Tensor input = trace_.input(tensor);
  objects.push_back(object);
  number_of_[object] = int32_t(handles.size());
  const Ref<GradCell> cell = tensor.output().cell;
  handles.push_back({object, leaf, input.value().node, tensor, {}});
  tensor = input;
  if (!cell || !cell_of_.try_emplace(cell.get(), cells.size()).second) return;
  Cell captured;
  captured.cell = cell;
  captured.owner = handles.size() - 1;
  captured.before = std::move(cell->grad);
  if (captured.before) {
    const Tensor gradient = trace_.input(*captured.before);
    captured.input = gradient.value().node;
    cell->grad = std::make_unique<Tensor>(gradient);
  }
  cell->entry = GradCell::Entry::unasked;
  cells.push_back(std::move(captured));
}

int32_t Capture::handle_of(PyObject* object) const {
  const auto found = number_of_.find(object);
  return found == number_of_.end() ? -1 : found->second;
}

Tensor Capture::number(Slot slot) {
  slots.push_back(slot);
  return slot.is_real ? trace_.number(slot.real) : trace_.number(slot.integer);
}

Tensor Capture::argument(int32_t leaf, double value) {
  return number({.leaf = leaf, .is_real = true, .real = value});
}
Tensor Capture::argument(int32_t leaf, int64_t value) {
  return number({.leaf = leaf, .integer = value});
}

int32_t Capture::keep(PyObject* object) {
  objects.push_back(object);
  return int32_t(objects.size()) - 1;
}

Tensor Capture::setting(PyObject* container, PyObject* key) {
  Objects value;
  value.take(checked(PyObject_GetItem(container, key)));
  HostAction action;
  action.slot = int32_t(slots.size());
  action.container = keep(container);
  action.key = keep(key);
  const int32_t read = int32_t(actions.size());
  actions.push_back(action);
  if (PyFloat_Check(value[0]))
    return number({.read = read, .is_real = true, .real = PyFloat_AS_DOUBLE(value[0])});
  const int64_t integer = PyLong_AsLongLong(value[0]);
  if (integer == -1 && PyErr_Occurred()) throw_python_error();
  return number({.read = read, .integer = integer});
}

void Capture::call(PyObject* function) {
  HostAction action;
  action.function = keep(function);
  actions.push_back(action);
}

void Capture::depend(PyObject* object, PyObject* name, PyObject* value, bool is_mode) {
  for (const Condition& c : conditions)
    if (objects[size_t(c.object)] == object &&
        PyUnicode_Compare(objects[size_t(c.name)], name) == 0)
      return;
  const int32_t kept = keep(object), kept_name = keep(name);
  conditions.push_back({kept, kept_name, keep(value), is_mode});
}

void Capture::finish() {
  if (finished_) return;
  finished_ = true;
  trace_.end();
  current_capture = outer_;
  --captures_active;
  for (Handle& handle : handles) {
    Tensor& tensor = raw(handle.object)->tensor;
    handle.after = tensor.value();
    handle.written = tensor.value().node != handle.input;
    tensor = std::move(handle.before);
  }
  for (Cell& cell : cells) {
    const bool replaced = cell.cell->entry == GradCell::Entry::replaced;
    cell.asked = cell.cell->entry == GradCell::Entry::asked;
    cell.cell->entry = GradCell::Entry::ignored;
    std::unique_ptr<Tensor> after = std::move(cell.cell->grad);
    if (after && after->value().node != cell.input) {
      cell.after = Cell::value;
      cell.gradient = after->value();
    } else if (!after && (cell.input || replaced)) {
      cell.after = Cell::none;
    }
    cell.cell->grad = std::move(cell.before);
  }
}

}  // namespace tegula::python
