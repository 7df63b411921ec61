// Gradients on Tensor: requires_grad, grad, backward, hooks; and binding a handle to a new value.
#include "ops/ops.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/grad_hooks.h"
#include "python/hook_handle.h"
#include "python/tensor_object.h"
#include "transform/reverse.h"

namespace tegula::python {
namespace {

TensorObject* self_of(PyObject* object) { return reinterpret_cast<TensorObject*>(object); }

PyObject* get_requires_grad(PyObject* self, void*) {
  return PyBool_FromLong(tensor_of(self).requires_grad());
}
int set_requires_grad(PyObject* self, PyObject* value, void*) {
  return guarded(
      [&] {
        if (!value) fail(ErrorKind::type, "requires_grad cannot be deleted");
        tensor_of(self).set_requires_grad(to_bool(value, "requires_grad", "value"));
        return 0;
      },
      -1);
}

PyObject* get_is_leaf(PyObject* self, void*) { return PyBool_FromLong(tensor_of(self).is_leaf()); }

PyObject* get_grad(PyObject* self, void*) {
  const Ref<GradCell>& cell = tensor_of(self).output().cell;
  if (cell) cell->note_ask();
  if (!cell || !cell->grad) return Py_NewRef(Py_None);
  PyObject* grad = wrap_like(is_compat(self), *cell->grad);
  if (grad) self_of(grad)->grad_of = cell;
  return grad;
}

int set_grad(PyObject* self, PyObject* value, void*) {
  return guarded(
      [&] {
        Tensor& x = tensor_of(self);
        if (!value || value == Py_None) {
          if (const Ref<GradCell>& cell = x.output().cell) {
            cell->note_replace();
            cell->grad.reset();
          }
          return 0;
        }
        if (!is_tensor(value))
          fail(ErrorKind::type, "grad: must be a Tensor or None, got ", type_name(value));
        const Tensor& grad = tensor_of(value);
        require(grad.shape() == x.shape(), "grad: the tensor has shape ", x.shape(),
                ", this gradient ", grad.shape());
        if (grad.dtype() != x.dtype())
          fail(ErrorKind::type, "grad: the tensor is ", x.dtype(), ", this gradient ",
               grad.dtype());
        x.cell().note_replace();
        x.cell().grad = std::make_unique<Tensor>(grad);
        return 0;
      },
      -1);
}

bool flag(PyObject* value, const char* op, const char* name, bool otherwise) {
  return value && value != Py_None ? to_bool(value, op, name) : otherwise;
}

// A tensor or several: those to accumulate gradients into.
Tensors backward_inputs(PyObject* object) {
  Tensors inputs;
  const auto add = [&](PyObject* item) {
    if (!is_tensor(item))
      fail(ErrorKind::type, "backward: inputs must be tensors, got ", type_name(item));
    inputs.push_back(tensor_of(item));
    if (!inputs.back().requires_grad())
      fail(ErrorKind::runtime, "backward: inputs[", inputs.size() - 1, "] does not require grad");
  };
  if (is_tensor(object)) {
    add(object);
    return inputs;
  }
  PyObject* items = checked(PySequence_Tuple(object));
  const std::unique_ptr<PyObject, void (*)(PyObject*)> held(items,
                                                            [](PyObject* o) { Py_DECREF(o); });
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); ++i) add(PyTuple_GET_ITEM(items, i));
  require(!inputs.empty(), "backward: inputs is empty; leave it out for all leaves");
  return inputs;
}

PyObject* run_backward(PyObject* self, PyObject* const* args, Py_ssize_t count,
                       PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"gradient", "retain_graph", "create_graph", "inputs"};
    PyObject* values[4];
    parse_arguments("backward", names, 3, 0, args, count, keywords, values);
    Tensor seed;
    if (values[0] && values[0] != Py_None) seed = to_tensor(values[0], "backward", "gradient");
    ReverseOptions options;
    options.create_graph = flag(values[2], "backward", "create_graph", false);
    options.retain_graph = flag(values[1], "backward", "retain_graph", options.create_graph);
    const bool all = !values[3] || values[3] == Py_None;
    const Tensors inputs = all ? Tensors() : backward_inputs(values[3]);
    backward(Tensor(tensor_of(self)), seed, options, all ? nullptr : &inputs);
    return Py_NewRef(Py_None);
  });
}

PyObject* run_detach(PyObject* self, PyObject*) {
  return guarded([&] {
    const bool compat = is_compat(self);
    PyObject* result = checked(wrap_like(compat, detach(tensor_of(self))));
    if (compat) {
      ViewStep step;
      step.kind = ViewStep::detached;
      note_view(self, result, std::move(step));
    }
    return result;
  });
}

PyObject* set_requires_grad_method(PyObject* self, PyObject* const* args, Py_ssize_t count,
                                   PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"requires_grad"};
    PyObject* values[1];
    parse_arguments("requires_grad_", names, 1, 0, args, count, keywords, values);
    tensor_of(self).set_requires_grad(flag(values[0], "requires_grad_", "requires_grad", true));
    return Py_NewRef(self);
  });
}

PyObject* retain_grad(PyObject* self, PyObject*) {
  return guarded([&] {
    if (!tensor_of(self).requires_grad())
      fail(ErrorKind::runtime, "retain_grad: the tensor does not require grad");
    tensor_of(self).cell().keeps_grad = true;
    return Py_NewRef(Py_None);
  });
}

PyObject* register_hook(PyObject* self, PyObject* function) {
  return guarded([&] {
    const Tensor& x = tensor_of(self);
    if (!x.requires_grad())
      fail(ErrorKind::runtime, "register_hook: the tensor does not require grad");
    x.cell();
    return make_hook_handle(x.output().cell, add_hook(x.cell(), function));
  });
}

PyObject* bind(PyObject* self, PyObject* fresh) {
  return guarded([&] {
    bind_value(self, fresh);
    return Py_NewRef(Py_None);
  });
}

PyCFunction with_keywords(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t,
                                                PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function));
}

}  // namespace

void bind_value(PyObject* handle, PyObject* fresh) {
  if (!is_tensor(fresh)) fail(ErrorKind::type, "_bind: needs a Tensor, got ", type_name(fresh));
  const Tensor& given = tensor_of(fresh);
  const bool shared = !given.node().pending() || given.output().handles > 1;
  const bool leaf = tensor_of(handle).requires_grad();
  GradMode off(false);
  if (leaf && shared) rebind_handle(self_of(handle), detach(given), "_bind");
  else rebind_handle(self_of(handle), given, "_bind");
}

std::span<const PyMethodDef> grad_methods() {
  static const PyMethodDef methods[] = {
      {"backward", with_keywords(run_backward), METH_FASTCALL | METH_KEYWORDS,
       "backward($self, gradient=None, retain_graph=None, create_graph=False, *, "
       "inputs=None)\n--\n\n"
       "Adds the gradient of this value to `.grad` of every leaf it depends on, or of `inputs`.\n\n"
       "gradient has this tensor's shape; only a one-element tensor has 1 by default.\n"
       "retain_graph keeps the recorded graph for another pass; create_graph (which implies it)\n"
       "makes the gradients differentiable. inputs, a tensor or several, are the only ones whose\n"
       "`.grad` changes; they need not be leaves.\n\n"
       "Raises ValueError for a wrong shape, RuntimeError where nothing requires grad or an\n"
       "earlier pass used the graph up."},
      {"detach", run_detach, METH_NOARGS,
       "detach($self)\n--\n\nThe same value without its history: no gradient flows back."},
      {"requires_grad_", with_keywords(set_requires_grad_method), METH_FASTCALL | METH_KEYWORDS,
       "requires_grad_($self, requires_grad=True)\n--\n\nSets requires_grad; returns self."},
      {"retain_grad", retain_grad, METH_NOARGS,
       "retain_grad($self)\n--\n\nLets backward() keep the gradient of a tensor that is no leaf."},
      {"register_hook", register_hook, METH_O,
       "register_hook($self, hook)\n--\n\n"
       "Calls hook(gradient) in each backward pass; a Tensor it returns replaces the gradient.\n"
       "Returns a handle with remove()."},
      {"_bind", bind, METH_O,
       "_bind($self, value)\n--\n\nBinds this handle to a value of its shape and dtype."},
  };
  return methods;
}

std::span<const PyGetSetDef> grad_getset() {
  static const PyGetSetDef attributes[] = {
      {"requires_grad", get_requires_grad, set_requires_grad,
       "Whether gradients flow to, or through, this tensor.", nullptr},
      {"is_leaf", get_is_leaf, nullptr, "Whether it was made by the user, not computed.", nullptr},
      {"grad", get_grad, set_grad, "The gradient so far, or None.", nullptr},
  };
  return attributes;
}

}  // namespace tegula::python
