// From Python's objects to the engine's. Everything here throws: Error for a wrong argument, naming
// operation and argument, or the Python exception that conversion raised.
#pragma once

#include <Python.h>

#include <optional>
#include <string>

#include "graph/tensor.h"

namespace tegula::python {

std::string type_name(PyObject* object);  // "numpy.ndarray", "str"
std::string repr(PyObject* object);

// An int, or what has __index__; bools are refused.
int64_t to_int(PyObject* object, const char* op, const char* argument);
double to_double(PyObject* object, const char* op, const char* argument);
bool to_bool(PyObject* object, const char* op, const char* argument);
std::string to_text(PyObject* object, const char* op, const char* argument);
// An int or a sequence of ints.
Dims to_dims(PyObject* object, const char* op, const char* argument);
// A dtype object, its name, a NumPy dtype or scalar type, or Python's float, int or bool.
DType to_dtype(PyObject* object, const char* op, const char* argument);
// A device name; the default device for None.
Backend& to_device(PyObject* object, const char* op);
// A Tensor or what asarray takes; a Python number stays weakly typed.
Tensor to_tensor(PyObject* object, const char* op, const char* argument);
Tensors to_tensors(PyObject* object, const char* op, const char* argument);

// The operand of an operator: a Tensor, a number, a NumPy scalar or array. False for anything
// else, so that Python can ask the other operand.
bool find_operand(PyObject* object, Tensor& operand);

PyObject* to_tuple(const Dims& dims);
PyObject* to_string_object(std::string_view text);

// ---- dtype_object.cc -------------------------------------------------------------------------
void add_dtypes(PyObject* module);
PyObject* dtype_object(DType dtype);  // borrowed
bool is_dtype_object(PyObject* object);
PyObject* numpy_dtype(DType dtype);  // new; null without exception for bfloat16
                                     // where ml_dtypes is not installed
std::optional<DType> dtype_of_numpy(PyObject* numpy_dtype);

// ---- interop_numpy.cc ------------------------------------------------------------------------
void init_numpy();
bool is_numpy_array(PyObject* object);
bool is_numpy_scalar(PyObject* object);
PyObject* numpy_function(const char* name);  // new
enum class Copy : uint8_t { if_needed, always, never };
// A NumPy array or scalar as a tensor of the same dtype. A 0-d one becomes a scalar.
Tensor from_numpy(PyObject* array, Backend& device, Copy copy = Copy::always);
// Read-only NumPy array of the values; waits for them.
PyObject* to_numpy(const Tensor& x);
// The same for a value in host memory, of a dtype that NumPy has.
PyObject* numpy_around(const Tensor& x);

// ---- interop_lists.cc ------------------------------------------------------------------------
// What tg.asarray does.
Tensor asarray(PyObject* object, std::optional<DType> dtype, Copy copy, Backend& device);

// ---- arguments.cc ----------------------------------------------------------------------------
// Sorts the arguments of a vectorcall by parameter name: values[i] is null where not given.
// `required` first ones must be given; parameters from `positional` on go by keyword alone, the
// first `positional_only` never by keyword. A keyword may also be the synonym of a name.
void parse_arguments(const char* op, std::span<const char* const> names, size_t positional,
                     size_t required, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                     PyObject** values, size_t positional_only = 0,
                     std::span<const char* const> synonyms = {});

}  // namespace tegula::python
