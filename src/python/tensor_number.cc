// Operators of Tensor: the hot path from a line of Python to a recorded node.
#include <array>

#include "graph/trace.h"
#include "ops/ops.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace tegula::python {
namespace {

using Binary = Tensor (*)(const Tensor&, const Tensor&);
using Unary = Tensor (*)(const Tensor&);

PyObject* compat_binary(PyObject* a, PyObject* b, Binary function, Promotion promotion) {
  Tensor x, y;
  if (is_tensor(a)) x = tensor_of(a);
  else if (!find_operand(a, x)) return Py_NewRef(Py_NotImplemented);
  if (is_tensor(b)) y = tensor_of(b);
  else if (!find_operand(b, y)) return Py_NewRef(Py_NotImplemented);
  const std::array operands = {&x, &y};
  promote_operands(operands, promotion);
  return wrap_like(true, function(x, y));
}

// `kOperator` is tegula's function; either operand may be the Tensor.
// A compat tensor among the operands makes it PyTorch's operator: see compat.h.
template <Binary kOperator, Promotion kPromotion = Promotion::common>
PyObject* binary(PyObject* a, PyObject* b) noexcept {
  return guarded([&]() -> PyObject* {
    const bool left = is_tensor(a), right = is_tensor(b);
    if ((left && is_compat(a)) || (right && is_compat(b)))
      return compat_binary(a, b, kOperator, kPromotion);
    if (left && right) return wrap(kOperator(tensor_of(a), tensor_of(b)));
    Tensor other;
    if (!find_operand(left ? b : a, other)) return Py_NewRef(Py_NotImplemented);
    return wrap(left ? kOperator(tensor_of(a), other) : kOperator(other, tensor_of(b)));
  });
}

template <Unary kOperator>
PyObject* unary(PyObject* self) noexcept {
  return guarded([&] { return wrap_like(is_compat(self), kOperator(tensor_of(self))); });
}

const char* const kInPlace = "an in-place operation";

// `fresh` is what the operator gave; takes over the reference.
PyObject* compat_in_place(PyObject* self, PyObject* fresh) noexcept {
  if (!fresh || fresh == Py_NotImplemented) return fresh;
  PyObject* result = guarded([&] {
    write_compat(self, tensor_of(fresh), kInPlace);
    return Py_NewRef(self);
  });
  Py_DECREF(fresh);
  return result;
}

template <Binary kOperator, Promotion kPromotion = Promotion::common>
PyObject* in_place(PyObject* self, PyObject* b) noexcept {
  if (is_compat(self)) return compat_in_place(self, binary<kOperator, kPromotion>(self, b));
  return guarded([&]() -> PyObject* {
    Tensor other;
    if (is_tensor(b)) {
      other = tensor_of(b);
    } else if (!find_operand(b, other)) {
      return Py_NewRef(Py_NotImplemented);
    }
    rebind_handle(reinterpret_cast<TensorObject*>(self), kOperator(tensor_of(self), other),
                  kInPlace);
    return Py_NewRef(self);
  });
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) noexcept {
  if (modulus != Py_None) return Py_NewRef(Py_NotImplemented);
  return binary<tegula::pow>(a, b);
}
PyObject* power_in_place(PyObject* self, PyObject* b, PyObject*) noexcept {
  return in_place<tegula::pow>(self, b);
}

PyObject* divmod(PyObject* a, PyObject* b) noexcept {
  PyObject* quotient = binary<floor_divide>(a, b);
  if (!quotient || quotient == Py_NotImplemented) return quotient;
  PyObject* rest = binary<tegula::remainder>(a, b);
  PyObject* pair = rest ? PyTuple_Pack(2, quotient, rest) : nullptr;
  Py_DECREF(quotient);
  Py_XDECREF(rest);
  return pair;
}

PyObject* positive(PyObject* self) noexcept { return wrap_like(is_compat(self), tensor_of(self)); }

// ---- one value -------------------------------------------------------------------------------

void require_one(const Tensor& x, const char* what) {
  if (x.size() == 1) return;
  fail(ErrorKind::value, what, ": needs exactly one element, the tensor has shape ", x.shape());
}

void require_real(const Tensor& x, const char* what) {
  if (is_complex(x.dtype()))
    fail(ErrorKind::type, what, ": a complex number has no ", what, "; take real() or abs()");
}

int truth(PyObject* self) noexcept {
  return guarded(
      [&] {
        const Tensor x = tensor_of(self);
        if (x.size() != 1)
          fail(ErrorKind::value, "bool: the truth of a tensor of shape ", x.shape(),
               " is ambiguous; use any() or all()");
        return int(item_as_complex(require_known(x, "bool (of an if, while, and, or, not)")) !=
                   0.0);
      },
      -1);
}

bool is_wide_unsigned(DType dtype) { return dtype == DType::uint64; }

PyObject* integer_item(const Tensor& x) {
  const int64_t value = item_as_int(x);
  return is_wide_unsigned(x.dtype()) ? PyLong_FromUnsignedLongLong(uint64_t(value))
                                     : PyLong_FromLongLong(value);
}

PyObject* to_int_object(PyObject* self) noexcept {
  return guarded([&] {
    const Tensor x = require_known(tensor_of(self), "int");
    require_one(x, "int");
    require_real(x, "int");
    if (is_floating(x.dtype())) return PyLong_FromDouble(item_as_double(x));
    return integer_item(x);
  });
}

PyObject* to_float_object(PyObject* self) noexcept {
  return guarded([&] {
    const Tensor x = require_known(tensor_of(self), "float");
    require_one(x, "float");
    require_real(x, "float");
    return PyFloat_FromDouble(item_as_double(x));
  });
}

PyObject* to_index(PyObject* self) noexcept {
  return guarded([&] {
    const Tensor x = tensor_of(self);
    if (x.rank() != 0 || !is_integer(x.dtype()))
      fail(ErrorKind::type, "only a 0-d integer tensor can be an index or a size, this one is ",
           x.dtype(), " of shape ", x.shape());
    return integer_item(x);
  });
}

// ---- comparison ------------------------------------------------------------------------------

PyObject* compare(PyObject* a, PyObject* b, int how) noexcept {
  switch (how) {
    case Py_LT:
      return binary<less>(a, b);
    case Py_LE:
      return binary<less_equal>(a, b);
    case Py_EQ:
      return binary<equal>(a, b);
    case Py_NE:
      return binary<not_equal>(a, b);
    case Py_GT:
      return binary<greater>(a, b);
    default:
      return binary<greater_equal>(a, b);
  }
}

template <class F>
PyType_Slot slot(int id, F* function) {
  return {id, reinterpret_cast<void*>(function)};
}

}  // namespace

std::span<const PyType_Slot> number_slots() {
  static const std::array slots = {
      slot(Py_nb_add, binary<add>),
      slot(Py_nb_subtract, binary<subtract>),
      slot(Py_nb_multiply, binary<multiply>),
      slot(Py_nb_true_divide, binary<divide, Promotion::quotient>),
      slot(Py_nb_floor_divide, binary<floor_divide>),
      slot(Py_nb_remainder, binary<tegula::remainder>),
      slot(Py_nb_divmod, divmod),
      slot(Py_nb_power, power),
      slot(Py_nb_matrix_multiply, binary<matmul, Promotion::none>),
      slot(Py_nb_and, binary<bitwise_and>),
      slot(Py_nb_or, binary<bitwise_or>),
      slot(Py_nb_xor, binary<bitwise_xor>),
      slot(Py_nb_lshift, binary<bitwise_left_shift>),
      slot(Py_nb_rshift, binary<bitwise_right_shift>),
      slot(Py_nb_inplace_add, in_place<add>),
      slot(Py_nb_inplace_subtract, in_place<subtract>),
      slot(Py_nb_inplace_multiply, in_place<multiply>),
      slot(Py_nb_inplace_true_divide, in_place<divide, Promotion::quotient>),
      slot(Py_nb_inplace_floor_divide, in_place<floor_divide>),
      slot(Py_nb_inplace_remainder, in_place<tegula::remainder>),
      slot(Py_nb_inplace_power, power_in_place),
      slot(Py_nb_inplace_matrix_multiply, in_place<matmul, Promotion::none>),
      slot(Py_nb_inplace_and, in_place<bitwise_and>),
      slot(Py_nb_inplace_or, in_place<bitwise_or>),
      slot(Py_nb_inplace_xor, in_place<bitwise_xor>),
      slot(Py_nb_inplace_lshift, in_place<bitwise_left_shift>),
      slot(Py_nb_inplace_rshift, in_place<bitwise_right_shift>),
      slot(Py_nb_negative, unary<negative>),
      slot(Py_nb_positive, positive),
      slot(Py_nb_absolute, unary<tegula::abs>),
      slot(Py_nb_invert, unary<bitwise_invert>),
      slot(Py_nb_bool, truth),
      slot(Py_nb_int, to_int_object),
      slot(Py_nb_float, to_float_object),
      slot(Py_nb_index, to_index),
      slot(Py_tp_richcompare, compare),
  };
  return slots;
}

}  // namespace tegula::python
