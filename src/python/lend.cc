#include "python/lend.h"

#include <algorithm>

#include "python/errors.h"
#include "python/hooks.h"
#include "runtime/backend.h"

namespace tegula::python {
namespace {

struct MemoryObject {
  PyObject_HEAD Ref<Buffer> buffer;
};

PyTypeObject* memory_type = nullptr;

void deallocate(PyObject* object) {
  auto* self = reinterpret_cast<MemoryObject*>(object);
  self->buffer->drop_export();
  self->buffer.~Ref<Buffer>();
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

int get_buffer(PyObject* object, Py_buffer* view, int flags) {
  const Buffer& buffer = *reinterpret_cast<MemoryObject*>(object)->buffer;
  return PyBuffer_FillInfo(view, object, buffer.data(), Py_ssize_t(buffer.bytes()), /*readonly=*/1,
                           flags);
}

}  // namespace

void with_gil(const std::function<void()>& function) {
  if (interpreter_is_ending()) return;
  const PyGILState_STATE state = ensure_gil();
  function();
  PyGILState_Release(state);
}

Tensor borrow(void* data, DType dtype, Shape shape, Strides strides, const char* op,
              std::function<void()> release) {
  const int64_t item = int64_t(itemsize(dtype));
  checked_numel(shape, op);
  int64_t lowest = 0, highest = 0;
  const bool empty = numel(shape) == 0;
  for (size_t i = 0; i < shape.size() && !empty; ++i) {
    const int64_t reach = strides[i] * (shape[i] - 1);
    (reach < 0 ? lowest : highest) += reach;
  }
  const size_t alignment = itemsize(real_dtype(dtype));
  require(reinterpret_cast<uintptr_t>(data) % alignment == 0, op,
          ": the memory is not aligned to its elements; copy it instead");
  const size_t bytes = empty ? 0 : size_t((highest - lowest + 1) * item);
  auto* begin = static_cast<std::byte*>(data) + lowest * item;
  auto buffer = make_ref<Buffer>(find_backend("cpu"), begin, bytes,
                                 [release = std::move(release)] { with_gil(release); });
  return from_buffer(std::move(buffer), dtype, std::move(shape), {std::move(strides), -lowest});
}

PyObject* export_memory(Ref<Buffer> buffer) {
  PyObject* object = checked(memory_type->tp_alloc(memory_type, 0));
  buffer->add_export();
  new (&reinterpret_cast<MemoryObject*>(object)->buffer) Ref<Buffer>(std::move(buffer));
  return object;
}

void init_memory_type() {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("Memory of a tensor, as NumPy sees it.")},
      {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
      {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
      {0, nullptr},
  };
  PyType_Spec spec = {"tegula._core.Memory", int(sizeof(MemoryObject)), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  memory_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

Tensor readable(const Tensor& x) {
  const bool scalar = x.node().state == NodeState::scalar;
  if (!scalar) evaluate(x);
  const Ref<Buffer>& buffer = x.output().buffer;
  return !scalar && buffer && buffer->backend().host_memory() ? x : host_copy(x);
}

Tensor host_copy(const Tensor& x) {
  auto copy = make_ref<Buffer>(find_backend("cpu"), size_t(x.size()) * itemsize(x.dtype()));
  copy->allocate();
  copy_to_host(x, copy->data());
  return from_buffer(std::move(copy), x.dtype(), x.shape(), {contiguous_strides(x.shape()), 0});
}

}  // namespace tegula::python
