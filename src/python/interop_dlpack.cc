// DLPack in both directions. Exported memory is not donated while the consumer holds it; borrowed
// memory must not be written by its owner while a tensor lives in it.
#include <array>
#include <memory>

#include "python/convert.h"
#include "python/dlpack.h"
#include "python/dlpack_bindings.h"
#include "python/errors.h"
#include "python/lend.h"
#include "python/tensor_object.h"
#include "runtime/backend.h"

namespace tegula::python {
namespace {

using namespace dlpack;

DataType type_code(DType dtype) {
  const uint8_t bits = uint8_t(8 * itemsize(dtype));
  if (dtype == DType::bool_) return {kBool, 8, 1};
  if (dtype == DType::bfloat16) return {kBfloat, bits, 1};
  if (is_floating(dtype)) return {kFloat, bits, 1};
  if (is_complex(dtype)) return {kComplex, bits, 1};
  return {uint8_t(is_signed_integer(dtype) ? kInt : kUInt), bits, 1};
}

DType dtype_of_code(DataType type) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DataType ours = type_code(DType(i));
    if (ours.code == type.code && ours.bits == type.bits && type.lanes == 1) return DType(i);
  }
  fail(ErrorKind::type, "from_dlpack: no tensor dtype for DLPack type code ", int(type.code),
       " with ", int(type.bits), " bits and ", type.lanes, " lanes");
}

// ---- export ----------------------------------------------------------------------------------

template <class M>
struct Export {
  M managed{};
  Ref<Buffer> buffer;
  Shape shape;
  Strides strides;

  explicit Export(const Tensor& x) : buffer(x.output().buffer), shape(x.shape()) {
    const Layout& layout = x.output().layout;
    strides = layout.strides;
    buffer->add_export();
    managed.context = this;
    managed.deleter = [](M* m) { delete static_cast<Export*>(m->context); };
    managed.view = {buffer->data() + layout.offset * int64_t(itemsize(x.dtype())),
                    {kCpu, 0},
                    int32_t(shape.size()),
                    type_code(x.dtype()),
                    shape.data(),
                    strides.data(),
                    0};
  }
  ~Export() { buffer->drop_export(); }
};

template <class M>
constexpr const char* kCapsuleName = "dltensor";
template <>
constexpr const char* kCapsuleName<ManagedVersioned> = "dltensor_versioned";
template <class M>
constexpr const char* kUsedName = "used_dltensor";
template <>
constexpr const char* kUsedName<ManagedVersioned> = "used_dltensor_versioned";

template <class M>
void delete_unused(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, kCapsuleName<M>)) return;
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, kCapsuleName<M>));
  managed->deleter(managed);
}

template <class M>
PyObject* make_capsule(const Tensor& x, [[maybe_unused]] uint64_t flags) {
  auto owner = std::make_unique<Export<M>>(x);
  if constexpr (std::is_same_v<M, ManagedVersioned>) {
    owner->managed.version = {1, 0};
    owner->managed.flags = flags;
  }
  PyObject* capsule = checked(PyCapsule_New(&owner->managed, kCapsuleName<M>, delete_unused<M>));
  owner.release();
  return capsule;
}

PyObject* dlpack_method(PyObject* self, PyObject* const* args, Py_ssize_t count,
                        PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"stream", "max_version", "dl_device", "copy"};
    PyObject* values[4];
    parse_arguments("__dlpack__", names, 0, 0, args, count, keywords, values);
    const Tensor given = tensor_of(self);
    if (values[0] && values[0] != Py_None)
      fail(ErrorKind::value, "__dlpack__: stream must be None for memory of the cpu");
    const bool device_given = values[2] && values[2] != Py_None;
    if (device_given &&
        !(PyTuple_Check(values[2]) && PyTuple_GET_SIZE(values[2]) == 2 &&
          to_int(PyTuple_GET_ITEM(values[2], 0), "__dlpack__", "dl_device") == kCpu))
      fail(ErrorKind::device, "__dlpack__: only memory of the cpu can be exported");
    const bool copy = values[3] == Py_True;
    const Tensor x = copy ? host_copy(given) : readable(given);
    const uint64_t flags = copy ? kIsCopied : kReadOnly;
    bool versioned = false;
    if (values[1] && PyTuple_Check(values[1]) && PyTuple_GET_SIZE(values[1]) == 2)
      versioned = to_int(PyTuple_GET_ITEM(values[1], 0), "__dlpack__", "max_version") >= 1;
    return versioned ? make_capsule<ManagedVersioned>(x, flags) : make_capsule<Managed>(x, flags);
  });
}

PyObject* dlpack_device(PyObject* self, PyObject*) {
  return guarded([&] {
    if (!tensor_of(self).device().host_memory())
      fail(ErrorKind::device, "__dlpack_device__: the device '", tensor_of(self).device().name(),
           "' has no memory to share");
    return checked(Py_BuildValue("(ii)", int(kCpu), 0));
  });
}

// ---- import ----------------------------------------------------------------------------------

Tensor borrow_view(const TensorView& view, std::function<void()> release) {
  if (view.device.type != kCpu)
    fail(ErrorKind::device, "from_dlpack: the array is not in the cpu's memory");
  require(view.ndim >= 0 && view.ndim <= 64, "from_dlpack: a rank of ", view.ndim);
  const DType dtype = dtype_of_code(view.dtype);
  const Shape shape(view.shape, view.shape + view.ndim);
  checked_numel(shape, "from_dlpack");
  Strides strides =
      view.strides ? Strides(view.strides, view.strides + view.ndim) : contiguous_strides(shape);
  return borrow(static_cast<std::byte*>(view.data) + view.byte_offset, dtype, shape,
                std::move(strides), "from_dlpack", std::move(release));
}

template <class M>
Tensor consume(PyObject* capsule) {
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, kCapsuleName<M>));
  if (!managed) throw_python_error();
  Tensor result = borrow_view(managed->view, [managed] {
    if (managed->deleter) managed->deleter(managed);
  });
  check_status(PyCapsule_SetName(capsule, kUsedName<M>));
  return result;
}

PyObject* call_dlpack(PyObject* object) {
  PyObject* method = checked(PyObject_GetAttrString(object, "__dlpack__"));
  PyObject* keywords = Py_BuildValue("{s:(ii)}", "max_version", 1, 0);
  PyObject* none = PyTuple_New(0);
  PyObject* capsule = PyObject_Call(method, none, keywords);
  if (!capsule && PyErr_ExceptionMatches(PyExc_TypeError)) {  // older than version 1.0
    PyErr_Clear();
    capsule = PyObject_CallNoArgs(method);
  }
  Py_DECREF(none);
  Py_DECREF(keywords);
  Py_DECREF(method);
  return checked(capsule);
}

const PyMethodDef kMethods[] = {
    {"__dlpack__", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(dlpack_method)),
     METH_FASTCALL | METH_KEYWORDS,
     "__dlpack__($self, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
     "A DLPack capsule of the values, read-only; waits for them."},
    {"__dlpack_device__", dlpack_device, METH_NOARGS,
     "__dlpack_device__($self)\n--\n\nThe DLPack device, (1, 0) for the cpu."},
};

}  // namespace

Tensor from_dlpack(PyObject* object) {
  if (!PyObject_HasAttrString(object, "__dlpack__"))
    fail(ErrorKind::type, "from_dlpack: needs an object with __dlpack__, got ", type_name(object));
  if (is_tensor(object)) return tensor_of(object);
  PyObject* capsule = call_dlpack(object);
  Tensor result;
  try {
    if (PyCapsule_IsValid(capsule, kCapsuleName<ManagedVersioned>))
      result = consume<ManagedVersioned>(capsule);
    else result = consume<Managed>(capsule);
  } catch (...) {
    Py_DECREF(capsule);
    throw;
  }
  Py_DECREF(capsule);
  return result;
}

std::span<const PyMethodDef> interop_methods() { return kMethods; }

}  // namespace tegula::python
