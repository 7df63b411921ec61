// Reverse mode for tg.grad, the gradient mode, and handles of hooks.
#include "ops/ops.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/grad_hooks.h"
#include "python/hook_handle.h"
#include "python/tensor_object.h"
#include "transform/anomaly.h"
#include "transform/reverse.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

struct HookHandle {
  Ref<GradCell> cell;
  int64_t id;
};

Tensors optional_tensors(const nb::sequence& items) {
  Tensors result;
  for (nb::handle item : items) {
    if (item.is_none()) {
      result.emplace_back();
    } else {
      result.push_back(to_tensor(item.ptr(), "gradients", "seeds"));
    }
  }
  return result;
}

nb::object python_gradients(const Tensors& outputs, const nb::sequence& seeds,
                            const Tensors& inputs, bool retain_graph, bool create_graph) {
  const Tensors given = optional_tensors(seeds);
  require(given.size() == outputs.size(), "gradients: ", outputs.size(), " outputs came with ",
          given.size(), " seeds");
  return nb::steal(wrap_list(gradients(outputs, given, inputs, {retain_graph, create_graph})));
}

// All or none: no Python code runs between the first and the last.
void bind_all(const nb::list& handles, const nb::list& values) {
  require(handles.size() == values.size(), "_bind_all: ", handles.size(), " handles came with ",
          values.size(), " values");
  for (size_t i = 0; i < handles.size(); ++i) {
    const Tensor handle = to_tensor(handles[i].ptr(), "_bind_all", "handles");
    const Tensor value = to_tensor(values[i].ptr(), "_bind_all", "values");
    require(handle.shape() == value.shape() && handle.dtype() == value.dtype(),
            "_bind_all: ", handle.dtype(), handle.shape(), " cannot become ", value.dtype(),
            value.shape());
  }
  for (size_t i = 0; i < handles.size(); ++i) bind_value(handles[i].ptr(), values[i].ptr());
}

// The same value as a value of its own, through which gradients flow back to x.
Tensor alias(const Tensor& x) { return record(reshape_primitive(), {x}, x.shape()); }

}  // namespace

PyObject* make_hook_handle(Ref<GradCell> cell, int64_t id) {
  return nb::cast(HookHandle{std::move(cell), id}).release().ptr();
}

void add_gradient_functions(nb::module_& m) {
  nb::class_<HookHandle>(m, "HookHandle", "What register_hook returns.")
      .def(
          "remove", [](HookHandle& self) { remove_hook(*self.cell, self.id); },
          "Takes the hook away; a second call does nothing.");
  m.def("gradients", python_gradients, nb::arg("outputs"), nb::arg("seeds"), nb::arg("inputs"),
        nb::arg("retain_graph") = false, nb::arg("create_graph") = false,
        nb::sig("def gradients(outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], "
                "inputs: Sequence[Tensor], retain_graph: bool = False, "
                "create_graph: bool = False) -> list[Tensor | None]"),
        "Gradients of the sum of outputs[i] * seeds[i] with respect to inputs; None where\n"
        "nothing flows. A seed of None means 1 and needs a one-element output.");
  m.def(
      "_add_group_hook",
      [](const Tensors& values, const nb::object& function) {
        add_group_hook(values, function.ptr());
      },
      nb::arg("values"), nb::arg("function"),
      nb::sig("def _add_group_hook(values: Sequence[Tensor], function: "
              "Callable[[list[Tensor | None]], Sequence[Tensor | None] | None]) -> None"),
      "Calls function with the gradients of all values at once; they were recorded one right "
      "after\n"
      "the other.");
  m.def("_bind_all", bind_all, nb::arg("handles"), nb::arg("values"),
        nb::sig("def _bind_all(handles: list[Tensor], values: list[Tensor]) -> None"),
        "Binds each handle to a value of its shape and dtype; a signal finds all or none bound.");
  m.def("_detecting_anomaly", &detecting_anomaly,
        "Whether gradients are searched for NaN and infinity as they are recorded.");
  m.def("_set_detecting_anomaly", &set_detecting_anomaly, nb::arg("enabled"), "Sets that.");
  m.def("_alias", alias, nb::arg("x"), "The same value as a value of its own, differentiably.");
  m.def("is_grad_enabled", &grad_enabled, "Whether operations record for gradients here.");
  m.def("set_grad_enabled", &set_grad_enabled, nb::arg("enabled"),
        "Sets whether operations of this thread record for gradients.");
}

}  // namespace tegula::python
