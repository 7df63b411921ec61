// What a function uses from outside itself while it is traced: tensors by their handles, gradients,
// settings read anew at each run.
#pragma once

#include <Python.h>

#include <memory>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graph/trace.h"
#include "python/tree.h"

namespace tegula::python {

// A number that is known when the function runs.
struct Number {
  using Value = std::variant<double, int64_t>;

  // What a Python object is as a float or as an int.
  static Value read(PyObject* object, bool real);
  static Tensor tensor(const Value& value);  // a weak scalar

  Value value;  // in the trace
  int32_t leaf = -1;  // of the arguments; -1 for a setting
  bool constant = false;  // the trace holds for this value alone
};

// What runs on the host with each run, in order: settings read, Python functions called.
struct HostAction {
  int32_t number = -1;  // read container[key] into it, or
  int32_t function = -1;
  int32_t container = -1, key = -1;  // these three number Capture::objects
};

// From its making to finish(), every tensor that the thread touches and that was there before
// stands for an input of the graph. Afterwards all of them are what they were.
class Capture {
 public:
  struct Handle {
    PyObject* object;  // a TensorObject
    int32_t leaf;  // of the arguments, -1 for one from outside
    Ref<Node> input;
    Tensor before;
    Value after;
    bool written = false;
  };
  struct Cell {
    enum After : uint8_t { unchanged, none, value };
    Ref<GradCell> cell;
    size_t owner;  // a handle
    Ref<Node> input;  // null where there was no gradient
    std::unique_ptr<Tensor> before;
    bool asked = false;  // whether it mattered that there was one or not
    After after = unchanged;
    Value gradient;
  };

  // A function that tg.jit replays, or one that a node of control flow calls.
  enum class Kind : uint8_t { jit, body };
  explicit Capture(Kind kind = Kind::jit);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  static Capture* current();  // this thread's, or null

  void use(PyObject* tensor, int32_t leaf = -1);
  // A leaf of the arguments that is a float or an int.
  Tensor argument(int32_t leaf, PyObject* object, bool real);
  // container[key], a number, as it is when the function runs.
  Tensor setting(PyObject* container, PyObject* key);
  // Called now, and again at each run.
  void call(PyObject* function);
  // The trace holds only where object.name, or object[name] of a dict, has the value it has now.
  // A mode is looked at only after mode changes.
  void depend(PyObject* object, PyObject* name, PyObject* value, bool is_mode);

  // Ends the trace and gives every handle back what it held.
  void finish();

  Trace& trace() { return trace_; }
  // The handle an object is captured as; -1 if it is not.
  int32_t handle_of(PyObject* object) const;

  std::vector<Handle> handles;
  std::vector<Cell> cells;
  std::vector<Number> numbers;
  std::vector<HostAction> actions;
  struct Condition {
    int32_t object, name, value;
    bool is_mode;
  };
  std::vector<Condition> conditions;
  Objects objects;

 private:
  Tensor number(Number number);
  int32_t keep(PyObject* object);

  Kind kind_;
  Trace trace_;
  bool finished_ = false;
  Capture* outer_;  // of the function that calls this one, or null
  std::unordered_map<PyObject*, int32_t> number_of_;
  std::unordered_map<GradCell*, size_t> cell_of_;
};

// After a trace: throws if a tensor of it is still referred to. `op` begins the message.
void refuse_escapes(PendingList& list, const char* op);

}  // namespace tegula::python
