// Views of tegula.compat.torch. A value never changes, so a write through a view computes the value
// of its base, binds the base's handle to it, and binds every other view that is alive anew: reads
// cost nothing.
#include <Python.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "python/compat.h"
#include "python/errors.h"

namespace tegula::python {
namespace {

struct Storage;

}  // namespace

// Of one handle; a base's has no chain.
struct Aliases {
  Storage* storage;
  TensorObject* self;
  std::shared_ptr<const ViewStep> chain;
  Aliases* next = nullptr;
  Aliases* previous = nullptr;
};

namespace {

struct Storage {
  TensorObject* owner = nullptr;  // the base's handle, null once it is gone
  Tensor value;  // the base's, while it is gone and there are several views
  Aliases* first = nullptr;  // of the views
  size_t views = 0;
};

void link(Aliases* view) {
  Storage& s = *view->storage;
  view->next = s.first;
  view->previous = nullptr;
  if (s.first) s.first->previous = view;
  s.first = view;
  ++s.views;
}

void unlink(Aliases* view) {
  Storage& s = *view->storage;
  (view->previous ? view->previous->next : s.first) = view->next;
  if (view->next) view->next->previous = view->previous;
  --s.views;
}

// A single view of a base that nobody holds is as good as a base.
void let_go(Storage* s) {
  if (s->owner) return;
  if (s->views <= 1) s->value = {};
  if (s->views == 0) delete s;
}

Aliases* make_base(TensorObject* self) {
  auto* storage = new Storage;
  storage->owner = self;
  self->aliases = new Aliases{storage, self, nullptr};
  return self->aliases;
}

bool is_orphan(const Aliases& a) { return a.chain && !a.storage->owner && !a.storage->value; }

Tensor apply_step(const ViewStep& step, const Tensor& x) {
  switch (step.kind) {
    case ViewStep::detached:
      return detach(x);
    case ViewStep::subscript:
      return index(x, step.items);
    case ViewStep::operation:
      break;
  }
  std::vector<Arg> arguments = step.arguments;
  arguments[0] = x;
  return step.op->call(Args(arguments)).at(step.output);
}

Tensor apply_chain(const ViewStep* step, const Tensor& base) {
  return step ? apply_step(*step, apply_chain(step->before.get(), base)) : base;
}

Dims inverse(const Dims& axes) {
  Dims back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i)
    back[size_t(axes[i] < 0 ? axes[i] + int64_t(axes.size()) : axes[i])] = int64_t(i);
  return back;
}

// `x` with the elements that the step selects replaced by `fresh`.
Tensor undo_step(const ViewStep& step, const Tensor& x, const Tensor& fresh) {
  if (step.kind == ViewStep::detached) return detach(fresh);
  if (step.kind == ViewStep::subscript) return index_update(x, step.items, fresh);
  const std::string_view name = step.op->name;
  if (name == "swapaxes" || name == "matrix_transpose") return apply_step(step, fresh);
  if (name == "permute_dims")
    return permute_dims(fresh, inverse(std::get<Dims>(step.arguments[1])));
  const std::array in_order = {"reshape", "flatten", "squeeze", "expand_dims", "broadcast_to"};
  if (fresh.size() == x.size() &&
      std::find(in_order.begin(), in_order.end(), name) != in_order.end())
    return reshape(fresh, x.shape());
  // Which elements of x it takes is what it makes of their numbers.
  std::vector<int64_t> count(size_t(x.size()));
  std::iota(count.begin(), count.end(), int64_t(0));
  const Tensor numbers = from_host(count.data(), DType::int64, x.shape(), x.device());
  const Tensor taken = apply_step(step, numbers);
  IndexItem item{};
  item.kind = IndexItem::array;
  item.array_value = reshape(taken, {taken.size()});
  const Tensor flat =
      index_update(reshape(x, {x.size()}), std::span(&item, 1), reshape(fresh, {fresh.size()}));
  return reshape(flat, x.shape());
}

Tensor undo_chain(const ViewStep* step, const Tensor& base, const Tensor& fresh) {
  if (!step) return fresh;
  const Tensor below = apply_chain(step->before.get(), base);
  return undo_chain(step->before.get(), base, undo_step(*step, below, fresh));
}

bool is_detached(const ViewStep* step) {
  for (; step; step = step->before.get())
    if (step->kind == ViewStep::detached) return true;
  return false;
}

void push(Storage& s, const Tensor& base, const TensorObject* writer) {
  for (Aliases* view = s.first; view; view = view->next) {
    if (view->self == writer) continue;
    Tensor& handle = view->self->tensor;
    const Tensor fresh = apply_chain(view->chain.get(), base);
    if (handle.requires_grad() && handle.is_leaf()) {
      GradMode off(false);
      rebind(handle, fresh, "a view");
    } else {
      handle = fresh;
    }
  }
}

}  // namespace

void note_view(PyObject* of, PyObject* view, ViewStep step) {
  auto* from = reinterpret_cast<TensorObject*>(of);
  auto* to = reinterpret_cast<TensorObject*>(view);
  if (to->aliases || from == to) return;
  Aliases* base = from->aliases ? from->aliases : make_base(from);
  if (is_orphan(*base)) {
    unlink(base);
    base->chain = nullptr;
    base->storage->owner = from;
  }
  step.before = base->chain;
  step.repeats = to->tensor.size() > from->tensor.size();
  to->aliases = new Aliases{base->storage, to, std::make_shared<const ViewStep>(std::move(step))};
  link(to->aliases);
}

void drop_aliases(TensorObject* self) {
  Aliases* a = std::exchange(self->aliases, nullptr);
  Storage* s = a->storage;
  if (a->chain) {
    unlink(a);
  } else {
    s->owner = nullptr;
    if (s->views > 1) s->value = self->tensor;
  }
  delete a;
  let_go(s);
}

bool is_view(const TensorObject* self) {
  return self->aliases && self->aliases->chain && !is_orphan(*self->aliases);
}

void write_aliased(TensorObject* self, const Tensor& fresh, const char* op) {
  Aliases& a = *self->aliases;
  Storage& s = *a.storage;
  if (!a.chain) {
    rebind(self->tensor, fresh, op);
    push(s, self->tensor, self);
    return;
  }
  if (a.chain->repeats)
    fail(ErrorKind::runtime, op,
         ": more than one element of the written-to tensor refers to a single memory location; "
         "clone() it first");
  if (is_orphan(a)) return rebind(self->tensor, fresh, op);
  require(self->tensor.shape() == fresh.shape(), op, ": the tensor has shape ",
          self->tensor.shape(), " and cannot become shape ", fresh.shape(), " in place");
  const bool detached = is_detached(a.chain.get());
  std::optional<GradMode> off;
  if (detached) off.emplace(false);
  Tensor& base = s.owner ? s.owner->tensor : s.value;
  const Tensor before = base;
  rebind(base, undo_chain(a.chain.get(), before, fresh), op);
  rebind(self->tensor, detached ? detach(fresh) : fresh, op);
  push(s, base, self);
}

}  // namespace tegula::python
