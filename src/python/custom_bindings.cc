// Operations that users write: loading libraries of them, recording calls, their rules.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <bit>

#include "graph/custom.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/host_function.h"
#include "python/lend.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

using Names = std::vector<std::string>;
using Specs = std::vector<std::pair<nb::object, nb::object>>;

// The rules of one call, which an object of tegula/_custom_rules.py holds and checks. What they
// raise gets a note that names the line of the call.
class PythonRules : public CustomRules {
 public:
  explicit PythonRules(nb::handle call)
      : vjp_uses_(nb::cast<uint32_t>(call.attr("vjp_uses"))),
        call_(Py_NewRef(call.ptr())),
        where_(source_hooks().capture()) {}
  ~PythonRules() override {
    with_gil([this] {
      Py_DECREF(call_);
      if (where_.token) source_hooks().release(where_.token);
    });
  }

  uint32_t vjp_uses() const override { return vjp_uses_; }
  bool has_vjp() const override { return has("vjp"); }
  bool has_jvp() const override { return has("jvp"); }
  bool has_batch() const override { return has("batch"); }
  Tensors vjp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
              std::span<const Tensor> upstream) override {
    return noted([&] { return handle().attr("vjp")(list(inputs), list(outputs), list(upstream)); });
  }
  Tensors jvp(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
              std::span<const Tensor> tangents) override {
    return noted([&] { return handle().attr("jvp")(list(inputs), list(outputs), list(tangents)); });
  }
  Tensors batch(std::span<const Tensor> inputs, std::span<const int64_t> axes,
                int64_t size) override {
    nb::list numbers;
    for (const int64_t axis : axes)
      numbers.append(axis < 0 ? nb::none() : nb::object(nb::int_(axis)));
    return noted([&] { return handle().attr("batch")(list(inputs), numbers, size); });
  }

 private:
  nb::handle handle() const { return call_; }
  bool has(const char* rule) const { return nb::cast<bool>(handle().attr("has")(rule)); }
  static nb::object list(std::span<const Tensor> items) {
    return nb::steal(checked(wrap_list(Tensors(items.begin(), items.end()))));
  }
  template <class F>
  Tensors noted(F&& rule) const {
    try {
      Tensors result;
      for (nb::handle item : nb::object(rule()))
        result.push_back(item.is_none() ? Tensor() : tensor_of(item.ptr()));
      return result;
    } catch (...) {
      std::rethrow_exception(carry_current("a rule for the call at " + describe(where_)));
    }
  }

  uint32_t vjp_uses_;
  PyObject* call_;
  SourceLocation where_;
};

Ref<CustomRules> rules_of(nb::handle call) {
  return call.is_none() ? Ref<CustomRules>() : Ref<CustomRules>(new PythonRules(call));
}

// The tensors of a call. A Python number has the dtype of the first tensor, if that can hold it.
Tensors to_inputs(const std::string& op, const Names& names, const nb::sequence& objects) {
  Tensors inputs;
  const Tensor* first = nullptr;
  for (size_t i = 0; i < names.size(); ++i)
    inputs.push_back(to_tensor(nb::object(objects[i]).ptr(), op.c_str(), names[i].c_str()));
  for (const Tensor& x : inputs)
    if (!first && !x.node().weak_scalar) first = &x;
  for (Tensor& x : inputs) {
    if (!x.node().weak_scalar) continue;
    const bool adapts = first && first->dtype() != DType::bool_ &&
                        is_floating(first->dtype()) >= is_floating(x.dtype());
    x = cast_scalar(x, adapts ? first->dtype() : x.dtype());
  }
  return inputs;
}

struct Declared {
  const CustomKernel* kernel;
};

nb::object load(const std::string& path) {
  const CustomLibrary& library = load_custom_library(path);
  nb::list operations;
  for (const auto& kernel : library.kernels) {
    const tegula_operation& declared = *kernel->declared;
    operations.append(nb::make_tuple(Declared{kernel.get()}, kernel->name, declared.parameters,
                                     declared.doc ? declared.doc : "", declared.output_count));
  }
  return nb::make_tuple(library.name, library.path, operations);
}

Tensors record_kernel(const Declared& operation, const Tensors& inputs,
                      const nb::sequence& attributes, const nb::object& call) {
  SmallVector<int64_t, 4> words;
  for (nb::handle value : attributes)
    words.push_back(PyFloat_Check(value.ptr())
                        ? std::bit_cast<int64_t>(PyFloat_AS_DOUBLE(value.ptr()))
                        : nb::cast<int64_t>(value));
  return custom_kernel(*operation.kernel, inputs, words, rules_of(call));
}

Tensors record_function(const std::string& name, const nb::object& function, const Tensors& inputs,
                        const Specs& results, const nb::object& call) {
  OutputSpecs specs;
  for (const auto& [dtype, shape] : results)
    specs.push_back({to_dtype(dtype.ptr(), name.c_str(), "infer"),
                     to_dims(shape.ptr(), name.c_str(), "infer")});
  return custom_call(name, Ref<HostFunction>(new PythonFunction(function.ptr())), inputs, specs,
                     rules_of(call));
}

}  // namespace

void add_custom(nb::module_& m) {
  nb::class_<Declared>(m, "_CustomKernel", "One operation of a library that was loaded.");
  m.def("_load_custom_library", load, nb::arg("path"),
        nb::sig("def _load_custom_library(path: str) -> tuple[str, str, list[Any]]"),
        "Loads a library of kernels. Gives its name, where it lies, and of each operation: what\n"
        "_custom_kernel takes, its name, parameters, documentation and number of outputs.");
  m.def("_custom_inputs", to_inputs, nb::arg("op"), nb::arg("names"), nb::arg("values"),
        nb::sig("def _custom_inputs(op: str, names: Sequence[str], values: Sequence[Any]) "
                "-> list[Tensor]"),
        "The arguments of a call that are tensors.");
  m.def(
      "_with_rules",
      [](const Tensors& values, const Tensors& inputs, const nb::object& call) {
        return with_rules(values, inputs, rules_of(call));
      },
      nb::arg("values"), nb::arg("inputs"), nb::arg("call"),
      nb::sig("def _with_rules(values: Sequence[Tensor], inputs: Sequence[Tensor], call: Any) "
              "-> list[Tensor]"),
      "The values, as results whose derivatives are what `call` says of the inputs.");
  m.def("_custom_kernel", record_kernel, nb::arg("operation"), nb::arg("inputs"),
        nb::arg("attributes"), nb::arg("call").none(),
        nb::sig("def _custom_kernel(operation: Any, inputs: Sequence[Tensor], "
                "attributes: Sequence[int | float], call: Any) -> list[Tensor]"),
        "Records a call of a kernel; `call` has its rules.");
  m.def("_custom_call", record_function, nb::arg("name"), nb::arg("function"), nb::arg("inputs"),
        nb::arg("results"), nb::arg("call").none(),
        nb::sig("def _custom_call(name: str, function: Callable[..., Any], "
                "inputs: Sequence[Tensor], results: Sequence[tuple[DTypeLike, Sequence[int]]], "
                "call: Any) -> list[Tensor]"),
        "Records a call of a function that gets arrays and returns arrays.");
}

}  // namespace tegula::python
