#include "python/capture.h"

#include "graph/primitive.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {

int captures_active = 0;

namespace {

thread_local Capture* current_capture = nullptr;

}  // namespace

void note_use(PyObject* tensor) {
  if (Capture* capture = Capture::current()) capture->use(tensor);
}

void refuse_escapes(PendingList& list, const char* op) {
  const auto find = [&]() -> Node* {
    for (Node* node = list.first(); node; node = PendingList::next(node))
      for (const Output& output : node->outputs)
        if (output.handles) return node;
    return nullptr;
  };
  if (!find()) return;
  PyGC_Collect();
  if (const Node* node = find())
    fail(ErrorKind::trace, op, ": a tensor of the traced function (", operation_name(*node),
         node->where.token ? ", computed at " + describe(node->where) : "",
         ") is still referred to afterwards, but was neither returned nor written to a tensor that "
         "was there before; return it, or write x[...] = value");
}

Capture* Capture::current() { return Trace::current() ? current_capture : nullptr; }

Capture::Capture(Kind kind) : kind_(kind), outer_(current_capture) {
  current_capture = this;
  ++captures_active;
}

Capture::~Capture() { finish(); }

void Capture::use(PyObject* object, int32_t leaf) {
  Tensor& tensor = raw_tensor(object);
  // Traces that began later are within this one.
  if (!tensor || tensor.node().trace >= trace_.id()) return;
  if (kind_ == Kind::body && outer_) outer_->use(object);
  // A number that a body reads is an operand as it is.
  const bool number = kind_ == Kind::body && tensor.node().state == NodeState::scalar;
  if (number && number_of_.count(object)) return;
  const Tensor input = number ? tensor : trace_.input(tensor);
  keep(object);
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

Number::Value Number::read(PyObject* object, bool real) {
  if (real) return to_double(object, "jit", "a number");
  return to_int(object, "jit", "a number");
}

Tensor Number::tensor(const Value& value) {
  if (const double* real = std::get_if<double>(&value)) return scalar(*real, DType::float32, true);
  return scalar(std::get<int64_t>(value), DType::int64, true);
}

Tensor Capture::number(Number number) {
  numbers.push_back(number);
  return trace_.number(Number::tensor(number.value));
}

Tensor Capture::argument(int32_t leaf, PyObject* object, bool real) {
  return number({Number::read(object, real), leaf});
}

int32_t Capture::keep(PyObject* object) {
  objects.push_back(nb::borrow(object));
  return int32_t(objects.size()) - 1;
}

Tensor Capture::setting(PyObject* container, PyObject* key) {
  if (kind_ == Kind::body && outer_) return outer_->setting(container, key);
  const nb::object value = nb::steal(checked(PyObject_GetItem(container, key)));
  HostAction action;
  action.number = int32_t(numbers.size());
  action.container = keep(container);
  action.key = keep(key);
  actions.push_back(action);
  return number({Number::read(value.ptr(), true)});
}

void Capture::call(PyObject* function) {
  if (kind_ == Kind::body)
    fail(ErrorKind::trace,
         "control flow: a schedule steps outside of branches and loops, which run "
         "without Python; call step() after them");
  HostAction action;
  action.function = keep(function);
  actions.push_back(action);
}

void Capture::depend(PyObject* object, PyObject* name, PyObject* value, bool is_mode) {
  if (kind_ == Kind::body && outer_) return outer_->depend(object, name, value, is_mode);
  for (const Condition& c : conditions)
    if (objects[size_t(c.object)].ptr() == object &&
        PyUnicode_Compare(objects[size_t(c.name)].ptr(), name) == 0)
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
    Tensor& tensor = raw_tensor(handle.object);
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
