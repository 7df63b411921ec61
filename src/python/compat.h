// What the extension does for tegula.compat.torch: its tensor type, PyTorch's promotion of dtypes,
// and views that are written through.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ops/op.h"
#include "ops/ops.h"
#include "python/tensor_object.h"

namespace tegula::python {

// tegula.compat.torch.Tensor; null until that module is imported. An operation given one gives one.
extern PyTypeObject* compat_type;
// Its torch.Size, which its shapes are.
extern PyObject* compat_size_type;

// Of what is_tensor().
inline bool is_compat(PyObject* tensor) {
  return Py_TYPE(tensor) != tensor_type && compat_type &&
         PyType_IsSubtype(Py_TYPE(tensor), compat_type);
}
// Has its handles pooled as those of the main type are, if they have the same layout.
void pool_compat_type();
PyObject* wrap_like(bool compat, Tensor tensor) noexcept;

// ---- compat_promotion.cc ---------------------------------------------------------------------
enum class Promotion : uint8_t {
  none,
  common,    // to the common dtype
  quotient,  // and to the default floating dtype where that is an integer or bool
};
Promotion promotion_named(const std::string& name);
// PyTorch's rule: tensors with axes, tensors without and Python numbers are three ranks; a lower
// one counts only where its category (bool, integer, floating, complex) is higher.
DType compat_result_type(std::span<const Tensor> operands);
DType compat_default_dtype();
void set_compat_default_dtype(DType dtype);
// Whether an in-place operation may store the one in the other.
bool compat_can_cast(DType from, DType to);
void promote_operands(std::span<Tensor* const> operands, Promotion how);

// ---- compat_views.cc -------------------------------------------------------------------------
// How a view is computed from what it is a view of.
struct ViewStep {
  std::shared_ptr<const ViewStep> before;
  enum Kind : uint8_t { operation, subscript, detached } kind = operation;
  const Op* op = nullptr;
  std::vector<Arg> arguments;  // the first one is the tensor; empty here
  size_t output = 0;           // of an operation with several
  std::vector<IndexItem> items;
  bool repeats = false;  // several elements of the view are one of what it is a view of
};

// From now on writing in place into one of them reaches the other.
void note_view(PyObject* of, PyObject* view, ViewStep step);
// A handle ends.
void drop_aliases(TensorObject* self);
bool is_view(const TensorObject* self);
// rebind_handle() of a handle that shares its storage with others.
void write_aliased(TensorObject* self, const Tensor& fresh, const char* op);

// Writes into a compat tensor as PyTorch's in-place operations do: the value is cast, where its
// category is not higher, and has the tensor's shape.
void write_compat(PyObject* self, Tensor fresh, const char* op);

// PyTorch's `out=`: writes results into the tensor or tensors given for them, and returns those.
PyObject* write_out(PyObject* out, PyObject* result, const char* op);

// Adds the functions that the Python side calls.
void add_compat(PyObject* module);
// ops_bindings.cc: an operation under other parameter names.
PyObject* renamed_operation(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords);

}  // namespace tegula::python
