// Functions that make tensors from other things, and the optimizer updates.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "ops/einsum.h"
#include "ops/ops.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/dlpack_bindings.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

bool given(PyObject* argument) { return argument && argument != Py_None; }

Copy parse_copy(PyObject* copy, const char* op) {
  if (!given(copy)) return Copy::if_needed;
  return to_bool(copy, op, "copy") ? Copy::always : Copy::never;
}

PyObject* make_array(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"obj", "dtype", "copy", "device", "requires_grad"};
    PyObject* values[5];
    parse_arguments("asarray", names, 5, 1, args, count, keywords, values);
    PyObject* object = values[0];
    std::optional<DType> wanted;
    if (given(values[1])) wanted = to_dtype(values[1], "asarray", "dtype");
    const Copy how = parse_copy(values[2], "asarray");
    const bool tensor = is_tensor(object);
    Backend& where = !given(values[3]) && tensor
                         ? tensor_of(object).device()
                         : to_device(values[3] ? values[3] : Py_None, "asarray");
    const bool grad = values[4] && to_bool(values[4], "asarray", "requires_grad");
    Tensor result = asarray(object, wanted, how, where);
    if (tensor && !grad && how != Copy::always && result == tensor_of(object))
      return Py_NewRef(object);
    if (grad) result.set_requires_grad(true);
    return checked(wrap(std::move(result)));
  });
}

PyObject* import_dlpack(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"x", "device", "copy"};
    PyObject* values[3];
    parse_arguments("from_dlpack", names, 1, 1, args, count, keywords, values);
    const Copy how = parse_copy(values[2], "from_dlpack");
    Tensor x = from_dlpack(values[0]);
    Backend& where = given(values[1]) ? to_device(values[1], "from_dlpack") : x.device();
    if (is_tensor(values[0]) && how != Copy::always && &x.device() == &where)
      return Py_NewRef(values[0]);
    if (how == Copy::always || &x.device() != &where) {
      require(how != Copy::never, "from_dlpack: copy=False cannot move the array to ",
              where.name());
      std::vector<std::byte> bytes(size_t(x.size()) * itemsize(x.dtype()));
      copy_to_host(x, bytes.data());
      x = from_host(bytes.data(), x.dtype(), x.shape(), where);
    }
    return checked(wrap(std::move(x)));
  });
}

PyCFunction with_keywords(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t,
                                                PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function));
}

// Plain functions: inspect reads their signatures, which nanobind's do not give.
PyMethodDef* functions() {
  static PyMethodDef all[] = {
      {"asarray", with_keywords(make_array), METH_FASTCALL | METH_KEYWORDS,
       "asarray($module, obj, dtype=None, copy=None, device=None, requires_grad=False)\n--\n\n"
       "A tensor of the values of obj: a number, nested lists, a NumPy array, whatever exports\n"
       "an array or DLPack, or a Tensor, which comes back as it is.\n\n"
       "Python floats become float32 and ints int64 unless dtype says otherwise; arrays keep\n"
       "their dtype. Arrays are copied; copy=False borrows their memory instead, which nobody\n"
       "may write while the tensor lives.\n\n"
       "Raises ValueError for ragged lists, numbers that do not fit, and where copy=False is\n"
       "not possible; TypeError for anything else that is no array."},
      {"from_dlpack", with_keywords(import_dlpack), METH_FASTCALL | METH_KEYWORDS,
       "from_dlpack($module, x, *, device=None, copy=None)\n--\n\n"
       "A tensor in the memory of any object with __dlpack__, borrowed: nobody may write it\n"
       "while the tensor lives. copy=True copies instead."},
      {},
  };
  return all;
}

// ---- optimizers ------------------------------------------------------------------------------

Tensor hyper(const nb::object& value, const char* op, const char* name) {
  if (is_tensor(value.ptr())) {
    const Tensor& x = tensor_of(value.ptr());
    return x.node().weak_scalar ? cast_scalar(x, DType::float64) : x;
  }
  return scalar(to_double(value.ptr(), op, name), DType::float64);
}

int64_t flag(bool on, OptimizerFlags which) { return on ? int64_t(which) : 0; }

nb::object slice_list(const Tensors& all, size_t part, size_t count) {
  const auto begin = all.begin() + std::ptrdiff_t(part * count);
  return nb::steal(wrap_list(Tensors(begin, begin + std::ptrdiff_t(count))));
}

nb::tuple sgd(const Tensors& params, const Tensors& grads, const Tensors& velocities,
              const nb::object& lr, const nb::object& momentum, const nb::object& dampening,
              const nb::object& weight_decay, bool nesterov, bool maximize) {
  const char* op = "sgd_update";
  const Tensors settings = {hyper(lr, op, "lr"), hyper(momentum, op, "momentum"),
                            hyper(dampening, op, "dampening"),
                            hyper(weight_decay, op, "weight_decay")};
  const int64_t flags = flag(nesterov, kNesterov) | flag(maximize, kMaximize);
  const Tensors all = sgd_update(settings, params, grads, velocities, flags);
  return nb::make_tuple(slice_list(all, 0, params.size()), slice_list(all, 1, velocities.size()));
}

nb::tuple adam(const Tensors& params, const Tensors& grads, const Tensors& m, const Tensors& v,
               const nb::object& step, const nb::object& lr, const nb::object& beta1,
               const nb::object& beta2, const nb::object& eps, const nb::object& weight_decay,
               bool decoupled, bool maximize) {
  const char* op = "adam_update";
  const Tensors settings = {hyper(lr, op, "lr"),
                            hyper(beta1, op, "beta1"),
                            hyper(beta2, op, "beta2"),
                            hyper(eps, op, "eps"),
                            hyper(weight_decay, op, "weight_decay"),
                            hyper(step, op, "step")};
  const int64_t flags = flag(decoupled, kDecoupledDecay) | flag(maximize, kMaximize);
  const Tensors all = adam_update(settings, params, grads, m, v, flags);
  const size_t count = params.size();
  return nb::make_tuple(slice_list(all, 0, count), slice_list(all, 1, count),
                        slice_list(all, 2, count));
}

}  // namespace

void add_array_functions(nb::module_& m) {
  check_status(PyModule_AddFunctions(m.ptr(), functions()));
  m.def(
      "promote_types",
      [](const nb::object& a, const nb::object& b) {
        return nb::borrow(dtype_object(promote(to_dtype(a.ptr(), "promote_types", "a"),
                                               to_dtype(b.ptr(), "promote_types", "b"))));
      },
      nb::arg("a"), nb::arg("b"), nb::sig("def promote_types(a: DTypeLike, b: DTypeLike) -> DType"),
      "The smallest dtype to which both convert.");
  m.def(
      "_einsum_order",
      [](const std::string& subscripts, const std::vector<std::vector<int64_t>>& shapes) {
        std::vector<Shape> given;
        for (const auto& shape : shapes) given.emplace_back(shape.begin(), shape.end());
        const ContractionOrder order = einsum_order(subscripts, given);
        return std::make_pair(order.path, order.operations);
      },
      nb::arg("subscripts"), nb::arg("shapes"),
      nb::sig("def _einsum_order(subscripts: str, shapes: Sequence[Sequence[int]]) -> "
              "tuple[list[tuple[int, int]], float]"),
      "The steps of einsum, and how many operations they are.");
  m.def("sgd_update", sgd, nb::arg("params"), nb::arg("grads"), nb::arg("velocities"),
        nb::arg("lr"), nb::arg("momentum"), nb::arg("dampening"), nb::arg("weight_decay"),
        nb::arg("nesterov") = false, nb::arg("maximize") = false,
        nb::sig("def sgd_update(params: Sequence[Tensor], grads: Sequence[Tensor], "
                "velocities: Sequence[Tensor], lr: float | Tensor, momentum: float | Tensor, "
                "dampening: float | Tensor, weight_decay: float | Tensor, nesterov: bool = False, "
                "maximize: bool = False) -> tuple[list[Tensor], list[Tensor]]"),
        "One node that updates all parameters by SGD: (params, velocities) as they become.");
  m.def("adam_update", adam, nb::arg("params"), nb::arg("grads"), nb::arg("m"), nb::arg("v"),
        nb::arg("step"), nb::arg("lr"), nb::arg("beta1"), nb::arg("beta2"), nb::arg("eps"),
        nb::arg("weight_decay"), nb::arg("decoupled") = false, nb::arg("maximize") = false,
        nb::sig("def adam_update(params: Sequence[Tensor], grads: Sequence[Tensor], "
                "m: Sequence[Tensor], v: Sequence[Tensor], step: float | Tensor, "
                "lr: float | Tensor, beta1: float | Tensor, beta2: float | Tensor, "
                "eps: float | Tensor, weight_decay: float | Tensor, decoupled: bool = False, "
                "maximize: bool = False) -> tuple[list[Tensor], list[Tensor], list[Tensor]]"),
        "One node that updates all parameters by Adam: (params, m, v) as they become. step is\n"
        "counted from 1; decoupled makes it AdamW.");
}

}  // namespace tegula::python
