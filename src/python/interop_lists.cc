// tg.asarray: from Python numbers, nested lists and whatever exports an array.
#include <cstring>
#include <limits>
#include <vector>

#include "base/overflow.h"
#include "ops/ops.h"
#include "python/convert.h"
#include "python/dlpack_bindings.h"
#include "python/errors.h"
#include "python/lend.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

constexpr size_t kMaxDepth = 64;

bool is_nested(PyObject* object) { return PyList_Check(object) || PyTuple_Check(object); }

// The shape of a nested list and its numbers in row-major order, borrowed from it.
struct NestedList {
  Shape shape;
  std::vector<PyObject*> numbers;
  bool has_float = false, has_int = false, has_complex = false;
  bool has_tensor = false, has_other = false;

  explicit NestedList(PyObject* list) { read(list, 0); }

 private:
  size_t depth_ = SIZE_MAX;  // at which the numbers are

  [[noreturn]] static void ragged(size_t axis) {
    fail(ErrorKind::value,
         "asarray: the nested list is ragged: its parts differ in length, or in "
         "depth, at axis ",
         axis);
  }

  void read(PyObject* object, size_t depth) {
    if (!is_nested(object)) return read_number(object, depth);
    require(depth < kMaxDepth, "asarray: lists are nested more than ", kMaxDepth, " deep");
    if (depth >= depth_) ragged(depth);
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
    if (depth == shape.size()) {
      shape.push_back(count);
    } else if (shape[depth] != count) {
      ragged(depth);
    }
    for (Py_ssize_t i = 0; i < count; ++i) read(PySequence_Fast_GET_ITEM(object, i), depth + 1);
  }

  void read_number(PyObject* object, size_t depth) {
    if (depth_ == SIZE_MAX) depth_ = depth;
    if (depth != depth_ || depth != shape.size()) ragged(depth - 1);
    if (PyFloat_CheckExact(object)) has_float = true;
    else if (PyBool_Check(object)) {
    } else if (PyLong_CheckExact(object)) has_int = true;
    else if (PyComplex_CheckExact(object)) has_complex = true;
    else if (is_tensor(object)) has_tensor = true;
    else has_other = true;
    numbers.push_back(object);
  }
};

template <class T>
T number_as(PyObject* object) {
  if (PyBool_Check(object)) return T(object == Py_True);
  if (PyFloat_CheckExact(object)) return T(PyFloat_AS_DOUBLE(object));
  if constexpr (std::is_same_v<T, complex128>) {
    if (PyComplex_CheckExact(object)) {
      const Py_complex value = PyComplex_AsCComplex(object);
      return {value.real, value.imag};
    }
    return number_as<double>(object);
  } else if constexpr (std::is_floating_point_v<T>) {
    const double value = PyLong_AsDouble(object);
    if (value == -1 && PyErr_Occurred()) throw_python_error();
    return T(value);
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    const uint64_t value = PyLong_AsUnsignedLongLong(object);
    if (!PyErr_Occurred()) return value;
    PyErr_Clear();
    fail_overflow("asarray: the Python integer ", repr(object), " does not fit uint64");
  } else {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow)
      fail_overflow("asarray: the Python integer ", repr(object), " does not fit int64");
    return T(value);
  }
}

template <class T>
Tensor filled(const NestedList& list, DType dtype, Backend& device) {
  std::vector<std::byte> values(list.numbers.size() * sizeof(T));
  auto* out = reinterpret_cast<T*>(values.data());
  for (PyObject* number : list.numbers) *out++ = number_as<T>(number);
  return from_host(values.data(), dtype, list.shape, device);
}

void check_range(const NestedList& list, DType dtype) {
  for (PyObject* number : list.numbers)
    if (PyLong_CheckExact(number))
      scalar(number_as<int64_t>(number), dtype);  // throws where it does not fit
}

Tensor from_numbers(const NestedList& list, std::optional<DType> wanted, Backend& device) {
  DType natural = list.has_float ? DType::float32 : list.has_int ? DType::int64 : DType::bool_;
  if (list.has_complex) natural = DType::complex64;
  if (list.numbers.empty()) natural = DType::float32;
  const DType dtype = wanted.value_or(natural);
  if (list.has_complex || is_complex(dtype))
    return astype(filled<complex128>(list, DType::complex128, device), dtype);
  if (dtype == DType::float32) return filled<float>(list, dtype, device);
  if (dtype == DType::float64) return filled<double>(list, dtype, device);
  if (list.has_float || is_floating(dtype))
    return astype(filled<double>(list, DType::float64, device), dtype);
  if (dtype == DType::bool_) return filled<bool>(list, dtype, device);
  if (dtype == DType::int64) return filled<int64_t>(list, dtype, device);
  if (dtype == DType::uint64) return filled<uint64_t>(list, dtype, device);
  check_range(list, dtype);
  return astype(filled<int64_t>(list, DType::int64, device), dtype);
}

// A list with tensors in it: stacked, so that gradients flow through.
Tensor stacked(PyObject* object, std::optional<DType> dtype, Backend& device) {
  if (!is_nested(object)) return asarray(object, dtype, Copy::if_needed, device);
  Tensors parts;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); ++i)
    parts.push_back(stacked(PySequence_Fast_GET_ITEM(object, i), dtype, device));
  DType common = parts.at(0).dtype();
  for (const Tensor& part : parts) common = promote(common, part.dtype());
  for (Tensor& part : parts) part = astype(part, common);
  return stack(parts, 0);
}

Tensor through_numpy(PyObject* object, Copy copy, Backend& device) {
  PyObject* convert = numpy_function("asarray");
  PyObject* array = PyObject_CallOneArg(convert, object);
  Py_DECREF(convert);
  checked(array);
  Tensor result;
  try {
    result = from_numpy(array, device, copy);
  } catch (...) {
    Py_DECREF(array);
    throw;
  }
  Py_DECREF(array);
  return result;
}

Tensor in_any_dtype(PyObject* object, std::optional<DType> wanted, Copy copy, Backend& device) {
  if (is_tensor(object)) {
    const Tensor& x = tensor_of(object);
    if (copy != Copy::never) return on_device(x, device);
    require(&x.device() == &device, "asarray: copy=False cannot move the tensor to ",
            device.name());
    return x;
  }
  if (is_numpy_array(object))
    return from_numpy(object, device, copy == Copy::never ? copy : Copy::always);
  if (copy == Copy::never && !PyObject_HasAttrString(object, "__dlpack__") &&
      !PyObject_CheckBuffer(object))
    fail(ErrorKind::value, "asarray: copy=False needs an array, a ", type_name(object),
         " has no memory to share");
  Tensor number;
  if (find_operand(object, number)) {
    // No longer weak.
    if (is_complex(number.dtype())) return astype(number, wanted.value_or(DType::complex64));
    if (number.node().weak_scalar && number.dtype() == DType::uint64 && !wanted)
      fail_overflow("asarray: the Python integer ", repr(object), " does not fit int64");
    const bool both_floats = wanted && is_floating(*wanted) && is_floating(number.dtype());
    return cast_scalar(number, both_floats ? *wanted : number.dtype());
  }
  if (PyObject_CheckBuffer(object) || PyObject_HasAttrString(object, "__array__"))
    return through_numpy(object, copy, device);
  if (PyObject_HasAttrString(object, "__dlpack__")) {
    const Tensor x = from_dlpack(object);
    return copy == Copy::never ? x : host_copy(x);
  }
  fail(ErrorKind::type, "asarray: cannot make a tensor from ", type_name(object));
}

}  // namespace

Tensor asarray(PyObject* object, std::optional<DType> dtype, Copy copy, Backend& device) {
  if (is_nested(object)) {
    require(copy != Copy::never,
            "asarray: copy=False needs an array, a list has no memory to "
            "share");
    const NestedList list(object);
    if (list.has_tensor) return stacked(object, dtype, device);
    if (!list.has_other) return from_numbers(list, dtype, device);
    const Tensor x = through_numpy(object, Copy::always, device);
    return astype(x, dtype.value_or(x.dtype()));
  }
  if (PyLong_CheckExact(object) && dtype == DType::uint64 && copy != Copy::never) {
    const uint64_t value = number_as<uint64_t>(object);
    return from_host(&value, DType::uint64, {}, device);
  }
  const Tensor x = in_any_dtype(object, dtype, copy, device);
  const DType wanted = dtype.value_or(x.dtype());
  require(copy != Copy::never || wanted == x.dtype(),
          "asarray: copy=False cannot change the "
          "dtype from ",
          x.dtype(), " to ", wanted);
  return astype(x, wanted);
}

}  // namespace tegula::python
