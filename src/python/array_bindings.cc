// Functions that make tensors from other things, and the optimizer updates.
#include "ops/ops.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/dlpack_bindings.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

Copy parse_copy(const nb::object& copy, const char* op) {
  if (copy.is_none()) return Copy::if_needed;
  return to_bool(copy.ptr(), op, "copy") ? Copy::always : Copy::never;
}

std::optional<DType> parse_dtype(const nb::object& dtype, const char* op) {
  if (dtype.is_none()) return std::nullopt;
  return to_dtype(dtype.ptr(), op, "dtype");
}

nb::object make_array(const nb::object& object, const nb::object& dtype, const nb::object& copy,
                      const nb::object& device, const nb::object& requires_grad) {
  const std::optional<DType> wanted = parse_dtype(dtype, "asarray");
  const Copy how = parse_copy(copy, "asarray");
  const bool tensor = is_tensor(object.ptr());
  Backend& where = device.is_none() && tensor ? tensor_of(object.ptr()).device()
                                              : to_device(device.ptr(), "asarray");
  const bool grad = to_bool(requires_grad.ptr(), "asarray", "requires_grad");
  Tensor result = asarray(object.ptr(), wanted, how, where);
  if (tensor && !grad && how != Copy::always && result == tensor_of(object.ptr())) return object;
  if (grad) result.set_requires_grad(true);
  return nb::steal(checked(wrap(std::move(result))));
}

nb::object import_dlpack(const nb::object& object, const nb::object& device,
                         const nb::object& copy) {
  const Copy how = parse_copy(copy, "from_dlpack");
  Backend& where = to_device(device.ptr(), "from_dlpack");
  Tensor x = from_dlpack(object.ptr());
  if (how == Copy::always || &x.device() != &where) {
    require(how != Copy::never, "from_dlpack: copy=False cannot move the array to ", where.name());
    std::vector<std::byte> values(size_t(x.size()) * itemsize(x.dtype()));
    copy_to_host(x, values.data());
    x = from_host(values.data(), x.dtype(), x.shape(), where);
  }
  return nb::steal(checked(wrap(std::move(x))));
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
  m.def("asarray", make_array, nb::arg("obj").none(), nb::arg("dtype") = nb::none(),
        nb::arg("copy") = nb::none(), nb::arg("device") = nb::none(),
        nb::arg("requires_grad") = nb::bool_(false),
        nb::sig("def asarray(obj: TensorLike, dtype: DTypeLike | None = None, "
                "copy: bool | None = None, device: str | None = None, "
                "requires_grad: bool = False) -> Tensor"),
        "A tensor of the values of obj: a number, nested lists, a NumPy array, whatever exports\n"
        "an array or DLPack, or a Tensor, which comes back as it is.\n\n"
        "Python floats become float32 and ints int64 unless dtype says otherwise; arrays keep\n"
        "their dtype. Arrays are copied; copy=False borrows their memory instead, which nobody\n"
        "may write while the tensor lives.\n\n"
        "Raises ValueError for ragged lists, numbers that do not fit, and where copy=False is\n"
        "not possible; TypeError for anything else that is no array.");
  m.def("from_dlpack", import_dlpack, nb::arg("x"), nb::kw_only(), nb::arg("device") = nb::none(),
        nb::arg("copy") = nb::none(),
        nb::sig("def from_dlpack(x: Any, *, device: str | None = None, "
                "copy: bool | None = None) -> Tensor"),
        "A tensor in the memory of any object with __dlpack__, borrowed: nobody may write it\n"
        "while the tensor lives. copy=True copies instead.");
  m.def(
      "promote_types",
      [](const nb::object& a, const nb::object& b) {
        return nb::borrow(dtype_object(promote(to_dtype(a.ptr(), "promote_types", "a"),
                                               to_dtype(b.ptr(), "promote_types", "b"))));
      },
      nb::arg("a"), nb::arg("b"), nb::sig("def promote_types(a: DTypeLike, b: DTypeLike) -> DType"),
      "The smallest dtype to which both convert.");
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
