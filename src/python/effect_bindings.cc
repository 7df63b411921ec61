// Calls of Python from within plans, and values that wait for others.
#include <nanobind/stl/pair.h>

#include "graph/effects.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/host_function.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

using Specs = std::vector<std::pair<nb::object, nb::object>>;

Tensors call_host(const nb::object& function, const Tensors& inputs, const Specs& results,
                  bool ordered) {
  OutputSpecs specs;
  for (const auto& [dtype, shape] : results)
    specs.push_back({to_dtype(dtype.ptr(), "host_call", "result"),
                     to_dims(shape.ptr(), "host_call", "result")});
  return host_call(Ref<HostFunction>(new PythonFunction(function.ptr())), inputs, specs, ordered);
}

Tensor wait_for(const Tensor& x, const nb::args& earlier) {
  Tensors others;
  for (nb::handle item : earlier) others.push_back(to_tensor(item.ptr(), "after", "earlier"));
  return after(x, others);
}

}  // namespace

void add_effects(nb::module_& m) {
  m.def("_host_call", call_host, nb::arg("function"), nb::arg("inputs"), nb::arg("results"),
        nb::arg("ordered"),
        nb::sig("def _host_call(function: Callable[..., Any], inputs: Sequence[Tensor], "
                "results: Sequence[tuple[DTypeLike, Sequence[int]]], ordered: bool) "
                "-> list[Tensor]"),
        "Has the plan call function with the inputs as NumPy arrays; it returns the results.");
  m.def(
      "_host_check",
      [](const nb::object& function, const Tensors& inputs) {
        host_call(Ref<HostFunction>(new PythonCheck(function.ptr())), inputs, {}, true);
      },
      nb::arg("function"), nb::arg("inputs"),
      nb::sig("def _host_check(function: Callable[..., Any], inputs: Sequence[Tensor]) -> None"),
      "Has the plan call function, an effect, if the first input, a 0-d bool, is false.");
  m.def(
      "after", wait_for, nb::arg("x"), nb::arg("earlier"),
      nb::sig("def after(x: Tensor, *earlier: TensorLike) -> Tensor"),
      "x as a value that is there only after the tensors `earlier` have been computed, and after\n"
      "the effects recorded so far (tg.debug.print, tg.debug.callback, ordered host calls). It\n"
      "has x's shape, dtype and gradient. Raises DeviceError for tensors on several devices.");
}

}  // namespace tegula::python
