#include "python/host_function.h"

#include <nanobind/nanobind.h>

#include <cstring>

#include "backend/cpu/strided_copy.h"
#include "graph/trace.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/hooks.h"
#include "python/lend.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

Ref<Buffer> copy_of(const View& view) {
  auto buffer =
      make_ref<Buffer>(find_backend("cpu"), size_t(numel(view.shape)) * itemsize(view.dtype));
  buffer->allocate();
  cpu::copy_dense(buffer->data(), view);
  return buffer;
}

void store(PyObject* array, const View& output) {
  const Tensor result = from_numpy(array, find_backend("cpu"));
  const bool scalar = result.node().state == NodeState::scalar;
  const size_t bytes = size_t(result.size()) * itemsize(result.dtype());
  if (result.dtype() != output.dtype || !(result.shape() == output.shape))
    fail(ErrorKind::runtime, "internal: host_call: a result of another dtype or shape");
  if (bytes == 0) return;
  if (scalar) std::memcpy(output.data, scalar_element(result.node()).data(), bytes);
  else std::memcpy(output.data, result.output().buffer->data(), bytes);
}

nb::object array_of(Ref<Buffer> copy, const View& view) {
  const Layout layout{contiguous_strides(view.shape), 0};
  return nb::steal(numpy_around(from_buffer(std::move(copy), view.dtype, view.shape, layout)));
}

}  // namespace

PythonFunction::PythonFunction(PyObject* function)
    : function_(Py_NewRef(function)), where_(source_hooks().capture()) {}

PythonFunction::~PythonFunction() {
  with_gil([this] {
    Py_DECREF(function_);
    if (where_.token) source_hooks().release(where_.token);
  });
}

void PythonFunction::call(std::span<const View> inputs, std::span<const View> outputs) {
  // Several threads may make the copies, and would wait for the GIL if this one had it.
  std::vector<Ref<Buffer>> copies;
  for (const View& input : inputs) copies.push_back(copy_of(input));
  std::exception_ptr failure;
  bool called = false;
  with_gil([&] {
    called = true;
    const TracePause pause;
    try {
      nb::list arguments;
      for (size_t i = 0; i < inputs.size(); ++i)
        arguments.append(array_of(std::move(copies[i]), inputs[i]));
      const nb::tuple positional(arguments);
      const nb::object result =
          nb::steal(checked(PyObject_CallObject(function_, positional.ptr())));
      for (size_t k = 0; k < outputs.size(); ++k)
        if (outputs[k].data) store(nb::object(result[k]).ptr(), outputs[k]);
    } catch (...) {
      failure = carry_current("called for " + describe(where_));
    }
  });
  if (failure) std::rethrow_exception(failure);
  if (!called) fail(ErrorKind::interrupted, "the interpreter is going down");
}

void PythonCheck::call(std::span<const View> inputs, std::span<const View> outputs) {
  if (!*reinterpret_cast<const bool*>(inputs[0].data)) PythonFunction::call(inputs, outputs);
}

}  // namespace tegula::python
