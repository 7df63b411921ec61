// NumPy arrays to tensors and back, without NumPy's C API: arrays are read through the buffer
// protocol and made by numpy.ndarray().
#include <cstring>

#include "ops/ops.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/lend.h"
#include "runtime/backend.h"
#include "runtime/host.h"

namespace tegula::python {
namespace {

PyObject* numpy = nullptr;
PyTypeObject* array_type = nullptr;
PyTypeObject* generic_type = nullptr;

// Copies of at least this many bytes let other threads run meanwhile.
constexpr size_t kLongCopy = size_t(1) << 20;

class View {
 public:
  View(PyObject* array, int flags) { check_status(PyObject_GetBuffer(array, &view_, flags)); }
  ~View() {
    if (view_.obj) PyBuffer_Release(&view_);
  }
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  const Py_buffer* operator->() const { return &view_; }
  void keep_exported() { view_.obj = nullptr; }  // somebody else releases it

 private:
  Py_buffer view_;
};

PyObject* call_numpy(const char* function, PyObject* argument) {
  PyObject* callable = numpy_function(function);
  PyObject* result = PyObject_CallOneArg(callable, argument);
  Py_DECREF(callable);
  return checked(result);
}

// The array with elements that the buffer protocol can describe, in this machine's byte order.
PyObject* plain(PyObject* array, DType dtype) {
  if (dtype == DType::bfloat16) return checked(PyObject_CallMethod(array, "view", "s", "uint16"));
  PyObject* descr = checked(PyObject_GetAttrString(array, "dtype"));
  PyObject* native = PyObject_GetAttrString(descr, "isnative");
  const bool swapped = native == Py_False;
  Py_XDECREF(native);
  PyObject* result = Py_NewRef(array);
  if (swapped) {
    Py_DECREF(result);
    PyObject* order = PyObject_CallMethod(descr, "newbyteorder", "s", "=");
    result = order ? PyObject_CallMethod(array, "astype", "O", order) : nullptr;
    Py_XDECREF(order);
  }
  Py_DECREF(descr);
  return checked(result);
}

Tensor scalar_from(const void* data, DType dtype) {
  if (is_complex(dtype)) return from_host(data, dtype, {}, default_device());
  return dispatch(dtype, [&](auto tag) {
    std::memcpy(static_cast<void*>(&tag), data, sizeof(tag));
    if constexpr (std::is_integral_v<decltype(tag)>) {
      if (uint64_t(tag) > uint64_t(INT64_MAX) && std::is_unsigned_v<decltype(tag)>)
        return from_host(data, dtype, {}, default_device());
      return scalar(int64_t(tag), dtype);
    } else {
      return scalar(double(tag), dtype);
    }
  });
}

Shape shape_of(const View& view) { return Shape(view->shape, view->shape + view->ndim); }

Tensor copied(PyObject* array, DType dtype, Backend& device) {
  const View view(array, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT);
  const Shape shape = shape_of(view);
  checked_numel(shape, "asarray");
  const size_t bytes = size_t(view->len);
  auto buffer = make_ref<Buffer>(device, bytes);
  buffer->allocate();
  if (bytes >= kLongCopy) {
    const Unlocked unlocked;
    device.copy_from_host(buffer->data(), view->buf, bytes);
  } else if (bytes) {
    device.copy_from_host(buffer->data(), view->buf, bytes);
  }
  Tensor result = from_buffer(std::move(buffer), dtype, shape, {contiguous_strides(shape), 0});
  note_line(result);
  return result;
}

Tensor borrowed(PyObject* array, DType dtype) {
  View view(array, PyBUF_STRIDES | PyBUF_FORMAT);
  const int64_t item = int64_t(itemsize(dtype));
  Strides strides;
  for (int i = 0; i < view->ndim; ++i) {
    require(view->strides[i] % item == 0, "asarray: copy=False needs strides of whole elements");
    strides.push_back(view->strides[i] / item);
  }
  const Shape shape = shape_of(view);
  auto lent = std::make_shared<Py_buffer>(*view.operator->());
  Tensor result = borrow(lent->buf, dtype, shape, std::move(strides), "asarray",
                         [lent] { PyBuffer_Release(lent.get()); });
  view.keep_exported();
  return result;
}

}  // namespace

void init_numpy() {
  numpy = checked(PyImport_ImportModule("numpy"));
  array_type = reinterpret_cast<PyTypeObject*>(numpy_function("ndarray"));
  generic_type = reinterpret_cast<PyTypeObject*>(numpy_function("generic"));
}

bool is_numpy_array(PyObject* object) {
  return Py_TYPE(object) == array_type || PyType_IsSubtype(Py_TYPE(object), array_type);
}
bool is_numpy_scalar(PyObject* object) { return PyType_IsSubtype(Py_TYPE(object), generic_type); }

PyObject* numpy_function(const char* name) { return checked(PyObject_GetAttrString(numpy, name)); }

Tensor from_numpy(PyObject* object, Backend& device, Copy copy) {
  PyObject* array = is_numpy_array(object) ? Py_NewRef(object) : call_numpy("asarray", object);
  Tensor result;
  try {
    PyObject* descr = checked(PyObject_GetAttrString(array, "dtype"));
    const std::optional<DType> dtype = dtype_of_numpy(descr);
    const std::string dtype_name = repr(descr);
    Py_DECREF(descr);
    if (!dtype) fail(ErrorKind::type, "asarray: no tensor dtype for NumPy's ", dtype_name);
    PyObject* readable = plain(array, *dtype);
    std::swap(array, readable);
    const bool same = array == readable || *dtype == DType::bfloat16;
    Py_DECREF(readable);
    if (copy == Copy::never) {
      require(same, "asarray: copy=False cannot change the byte order");
      require(device.host_memory(), "asarray: copy=False cannot move the array to ", device.name());
      result = borrowed(array, *dtype);
    } else {
      // A 0-d array from ascontiguousarray would be 1-d.
      PyObject* dims = checked(PyObject_GetAttrString(array, "ndim"));
      const bool zero_d = PyLong_AsLong(dims) == 0;
      Py_DECREF(dims);
      if (zero_d) {
        const View view(array, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT);
        result = scalar_from(view->buf, *dtype);
      } else {
        PyObject* dense = call_numpy("ascontiguousarray", array);
        std::swap(array, dense);
        Py_DECREF(dense);
        result = copied(array, *dtype, device);
      }
    }
  } catch (...) {
    Py_DECREF(array);
    throw;
  }
  Py_DECREF(array);
  return result;
}

PyObject* to_numpy(const Tensor& given) {
  Tensor x = given;
  PyObject* dtype = numpy_dtype(x.dtype());
  if (!dtype) {  // bfloat16 without ml_dtypes
    x = astype(detach(x), DType::float32);
  }
  Py_XDECREF(dtype);
  return numpy_around(readable(x));
}

PyObject* numpy_around(const Tensor& x) {
  PyObject* dtype = numpy_dtype(x.dtype());
  const Output& output = x.output();
  const Layout& layout = output.layout;
  const Py_ssize_t item = Py_ssize_t(itemsize(x.dtype()));
  PyObject* shape = to_tuple(output.shape);
  PyObject* array = nullptr;
  if (x.size() == 0) {
    PyObject* make = numpy_function("empty");
    array = PyObject_CallFunctionObjArgs(make, shape, dtype, nullptr);
    Py_DECREF(make);
    PyObject* flags = array ? PyObject_GetAttrString(array, "flags") : nullptr;
    if (!flags || PyObject_SetAttrString(flags, "writeable", Py_False) < 0) Py_CLEAR(array);
    Py_XDECREF(flags);
  } else {
    Strides bytes = layout.strides;
    for (int64_t& stride : bytes) stride *= item;
    PyObject* strides = to_tuple(bytes);
    PyObject* memory = export_memory(output.buffer);
    PyObject* offset = PyLong_FromLongLong(layout.offset * item);
    array = PyObject_CallFunctionObjArgs(reinterpret_cast<PyObject*>(array_type), shape, dtype,
                                         memory, offset, strides, nullptr);
    Py_XDECREF(offset);
    Py_DECREF(memory);
    Py_DECREF(strides);
  }
  Py_DECREF(shape);
  Py_DECREF(dtype);
  return checked(array);
}

}  // namespace tegula::python
