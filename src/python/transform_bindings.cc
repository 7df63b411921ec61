// Forward mode and batching for tegula/transforms.py, on flat lists of tensors.
#include "python/bindings.h"
#include "python/body_tracer.h"
#include "python/casters.h"
#include "transform/batch.h"
#include "transform/checkpoint.h"
#include "transform/forward.h"
#include "transform/tape.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

// A function of as many tensors as there are inputs, which returns a list of tensors, for all
// examples at once.
nb::object python_batch(nb::object function, const Tensors& inputs,
                        const std::vector<bool>& has_batch, int64_t size, int64_t axis) {
  BodyTracer tracer("vmap", "the function", BodyTracer::Effects::allowed);
  for (size_t i = 0; i < inputs.size(); ++i) tracer.add_parameter(inputs[i], has_batch[i]);
  {
    nb::list arguments;
    for (size_t i = 0; i < inputs.size(); ++i) arguments.append(tracer.parameter(i));
    tracer.add_results(
        nb::steal(checked(PyObject_CallObject(function.ptr(), nb::tuple(arguments).ptr()))));
  }
  const BodyDraft draft = tracer.take();
  BatchedLeaves leaves;
  for (size_t i = 0; i < inputs.size(); ++i)
    leaves[draft.parameters[i].node.get()] = {inputs[i], has_batch[i]};
  for (const auto& [leaf, outside] : draft.captured) leaves[leaf.node.get()] = {outside, false};
  nb::list values, flags;
  for (const Batched& x : record_batched(draft.graph, leaves, size, axis)) {
    values.append(x.value);
    flags.append(x.has_batch);
  }
  return nb::make_tuple(values, flags);
}

Tensors python_checkpoint(nb::object function, const Tensors& inputs, nb::object keeps) {
  BodyTracer tracer("checkpoint", "the function", BodyTracer::Effects::allowed);
  for (const Tensor& x : inputs) tracer.add_parameter(x);
  {
    nb::list arguments;
    for (size_t i = 0; i < inputs.size(); ++i) arguments.append(tracer.parameter(i));
    tracer.add_results(
        nb::steal(checked(PyObject_CallObject(function.ptr(), nb::tuple(arguments).ptr()))));
  }
  return checkpoint(tracer.take(), inputs, [&](std::string_view name) {
    return nb::cast<bool>(keeps(nb::str(name.data(), name.size())));
  });
}

nb::object list_of(const Tensors& tensors) { return nb::steal(wrap_list(tensors)); }

}  // namespace

void add_transforms(nb::module_& m) {
  m.def("_batch", python_batch, nb::arg("function"), nb::arg("inputs"), nb::arg("has_batch"),
        nb::arg("size"), nb::arg("axis"),
        nb::sig("def _batch(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor], "
                "has_batch: Sequence[bool], size: int, axis: int) -> "
                "tuple[list[Tensor], list[bool]]"),
        "What a function gives for `size` examples, along the first axis of the inputs that have\n"
        "a batch; and which results have one, as their first axis.");
  m.def(
      "_jvp",
      [](const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
         bool create_graph) { return list_of(jvp(outputs, inputs, tangents, create_graph)); },
      nb::arg("outputs"), nb::arg("inputs"), nb::arg("tangents"), nb::arg("create_graph"),
      nb::sig("def _jvp(outputs: Sequence[Tensor], inputs: Sequence[Tensor], "
              "tangents: Sequence[Tensor], create_graph: bool) -> list[Tensor | None]"),
      "The derivatives of outputs along tangents of the inputs; None where nothing flows.");
  m.def(
      "_batched_jvp",
      [](const Tensors& outputs, const Tensors& inputs, const Tensors& tangents,
         bool create_graph) {
        return list_of(batched_jvp(outputs, inputs, tangents, create_graph));
      },
      nb::arg("outputs"), nb::arg("inputs"), nb::arg("tangents"), nb::arg("create_graph"),
      nb::sig("def _batched_jvp(outputs: Sequence[Tensor], inputs: Sequence[Tensor], "
              "tangents: Sequence[Tensor], create_graph: bool) -> list[Tensor | None]"),
      "The same along many tangents, stacked in front.");
  m.def(
      "_batched_gradients",
      [](const Tensors& outputs, const Tensors& seeds, const Tensors& inputs, bool create_graph) {
        return list_of(batched_gradients(outputs, seeds, inputs, create_graph));
      },
      nb::arg("outputs"), nb::arg("seeds"), nb::arg("inputs"), nb::arg("create_graph"),
      nb::sig("def _batched_gradients(outputs: Sequence[Tensor], seeds: Sequence[Tensor], "
              "inputs: Sequence[Tensor], create_graph: bool) -> list[Tensor | None]"),
      "The gradients for many seeds, stacked in front.");
  m.def("_checkpoint", python_checkpoint, nb::arg("function"), nb::arg("inputs"), nb::arg("keeps"),
        nb::sig("def _checkpoint(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor], "
                "keeps: Callable[[str], bool]) -> list[Tensor]"),
        "What a function gives, without keeping for derivatives what lies in between.");
  m.def("_depends_on_others", &depends_on_others, nb::arg("outputs"), nb::arg("variables"),
        nb::sig("def _depends_on_others(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> "
                "bool"),
        "Whether outputs also depend on other tensors that require grad than the variables.");
  m.def("_axis_index", &axis_index, nb::arg("axis"), "tg.axis_index, by the axis's number.");
  m.def("_all_gather", &all_gather, nb::arg("x"), nb::arg("axis"), nb::arg("size"),
        "tg.all_gather, by the axis's number.");
}

}  // namespace tegula::python
