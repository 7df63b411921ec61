// Lets nanobind pass tensors, dtypes and devices.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace nanobind::detail {

template <>
struct type_caster<tegula::Tensor> {
  NB_TYPE_CASTER(tegula::Tensor, const_name("Tensor"))

  bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
    if (!tegula::python::is_tensor(source.ptr())) return false;
    value = tegula::python::tensor_of(source.ptr());
    return true;
  }
  static handle from_cpp(const tegula::Tensor& tensor, rv_policy, cleanup_list*) noexcept {
    return tegula::python::wrap_or_none(tensor);
  }
};

}  // namespace nanobind::detail
