// One trace of a jitted function: what it takes for granted, its graph, and where inputs come from
// and outputs go.
#pragma once

#include <memory>
#include <vector>

#include "plan/replay.h"
#include "python/capture.h"
#include "python/tensor_object.h"
#include "python/tree.h"

namespace tegula::python {

// What a traced function takes for granted of a tensor.
struct Spec {
  DType dtype = DType::float32;
  Backend* device = nullptr;
  bool requires_grad = false;
  Shape shape;

  explicit Spec(const Tensor& x)
      : dtype(x.dtype()),
        device(x.node().device),
        requires_grad(x.requires_grad()),
        shape(x.shape()) {}
  bool fits(const Tensor& x) const {
    return x.dtype() == dtype && x.requires_grad() == requires_grad && x.node().device == device &&
           x.shape() == shape;
  }
};

// One trace of the function.
struct Specialization {
  struct Handle {
    PyObject* object;  // null where it is a leaf of the arguments
    int32_t leaf;
    Spec spec;
    int32_t output = -1;  // what it is bound to afterwards
  };
  struct Cell {
    size_t owner;
    bool asked, had_gradient;
    Capture::Cell::After after;
    int32_t output = -1;
  };
  struct Input {
    enum : uint8_t { handle, gradient } kind;
    size_t index;
  };
  struct Result {
    int32_t output = -1, handle = -1, constant = -1;
  };
  Tree arguments;
  bool grad_mode = false, detects_anomaly = false;
  std::vector<int32_t> repeats;  // by leaf: the first leaf that is the same object
  std::vector<Handle> handles;
  std::vector<Cell> cells;
  std::vector<Number> numbers;
  std::vector<HostAction> actions;
  std::vector<Capture::Condition> conditions;
  Objects objects, constants;
  std::vector<Input> inputs;    // of the graph
  std::vector<uint8_t> shared;  // by output: whether several handles are bound to it
  Tree result;
  std::vector<Result> results;
  bool differentiable = false;
  std::unique_ptr<Replay> replay;
  uint64_t modes = 0;  // the count of mode changes at which the conditions were last seen to hold
};

// Counts changes of the modes that traces depend on.
extern uint64_t mode_changes;

// The arguments of a call; NumPy arrays are copied in, as operations do.
Tree flatten_call(const nanobind::tuple& args, const nanobind::dict& kwargs);
// By leaf: the first leaf that is the same tensor.
std::vector<int32_t> repeats_of(const Tree& arguments);
// The object a handle stands for in a call.
PyObject* object_of(const Specialization::Handle& handle, const Tree& arguments);
// Whether the trace is that of a call with these arguments, as things are now.
bool fits(Specialization& s, const Tree& arguments, const std::vector<int32_t>& repeats);

// Calls the function to trace it. Arguments are a tuple and a dict, flattened. (jit_trace.cc)
std::shared_ptr<Specialization> trace_call(PyObject* function, const Tree& arguments);
// What the function did in one trace and not in the other, in words; "" if it did the same.
// (trace_check.cc)
std::string difference(const Specialization& before, const Specialization& now);
// Does what the function does, without calling it. `first`: right after the trace, which has done
// what happens on the host. (jit_replay.cc)
nanobind::object replay_call(Specialization& s, const Tree& arguments, bool first);

}  // namespace tegula::python
