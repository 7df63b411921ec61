// tg.jit: a function is traced once for each kind of arguments, and replayed from then on.
#include <algorithm>
#include <list>

#include "ops/ops.h"
#include "plan/evaluate.h"
#include "plan/replay.h"
#include "python/bindings.h"
#include "python/capture.h"
#include "python/casters.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

Tensor& raw(PyObject* object) { return reinterpret_cast<TensorObject*>(object)->tensor; }

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
  struct Number : Slot {
    bool constant = false;
  };

  Tree arguments;
  bool grad_mode = false;
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

uint64_t mode_changes = 0;

std::vector<int32_t> repeats_of(const Tree& tree) {
  std::vector<int32_t> repeats;
  for (size_t i = 0; i < tree.leaves.size(); ++i) {
    size_t first = i;
    if (tree.leaf_kinds[i] == Tree::tensor)
      for (first = 0; tree.leaves[first] != tree.leaves[i];) ++first;
    repeats.push_back(int32_t(first));
  }
  return repeats;
}

PyObject* raw_object(const Specialization::Handle& h, const Tree& arguments) {
  return h.object ? h.object : arguments.leaves[size_t(h.leaf)];
}

// object[name] of a dict, object.name of others.
PyObject* member(PyObject* object, PyObject* name) {
  return PyDict_Check(object) ? PyObject_GetItem(object, name) : PyObject_GetAttr(object, name);
}

bool conditions_hold(Specialization& s) {
  const bool modes_changed = s.modes != mode_changes;
  for (const Capture::Condition& c : s.conditions) {
    if (c.is_mode && !modes_changed) continue;
    PyObject* now = member(s.objects[size_t(c.object)], s.objects[size_t(c.name)]);
    if (!now) PyErr_Clear();
    const int same = now ? PyObject_RichCompareBool(now, s.objects[size_t(c.value)], Py_EQ) : 0;
    Py_XDECREF(now);
    if (same < 0) PyErr_Clear();
    if (same != 1) return false;
  }
  s.modes = mode_changes;
  return true;
}

bool numbers_fit(const Specialization& s, const Tree& arguments) {
  for (const Specialization::Number& n : s.numbers) {
    if (n.leaf < 0 || !n.constant) continue;
    PyObject* given = arguments.leaves[size_t(n.leaf)];
    if (n.is_real ? PyFloat_AS_DOUBLE(given) != n.real : PyLong_AsLongLong(given) != n.integer)
      return false;
  }
  return true;
}

bool fits(Specialization& s, const Tree& arguments, const std::vector<int32_t>& repeats) {
  if (s.grad_mode != grad_enabled() || s.repeats != repeats ||
      !s.arguments.same_structure(arguments))
    return false;
  for (const Specialization::Handle& h : s.handles)
    if (!h.spec.fits(raw(raw_object(h, arguments)))) return false;
  for (const Specialization::Cell& c : s.cells) {
    const GradCell* cell = raw(raw_object(s.handles[c.owner], arguments)).output().cell.get();
    if (!cell || (c.asked && bool(cell->grad) != c.had_gradient)) return false;
  }
  return numbers_fit(s, arguments) && conditions_hold(s);
}

// ---- tracing ---------------------------------------------------------------------------------

// Numbers of the outputs of a graph, each value once.
class Outputs {
 public:
  int32_t add(const Value& value) {
    const auto found = std::find(values.begin(), values.end(), value);
    if (found != values.end()) return int32_t(found - values.begin());
    values.push_back(value);
    return int32_t(values.size()) - 1;
  }
  std::vector<Value> values;
};

void refuse_escapes(const Trace& trace, PendingList& list) {
  const auto find = [&]() -> Node* {
    for (Node* node = list.first(); node; node = PendingList::next(node))
      for (const Output& output : node->outputs)
        if (output.handles) return node;
    return nullptr;
  };
  if (!find()) return;
  PyGC_Collect();
  if (const Node* node = find())
    fail(ErrorKind::trace, "jit: a tensor of the traced function (", node->primitive->name,
         node->where.token ? ", computed at " + describe(node->where) : "",
         ") is still referred to afterwards, but was neither returned nor written to a tensor that "
         "was there before; return it, or write x[...] = value");
  (void)trace;
}

class Tracer {
 public:
  Tracer(PyObject* function, const Tree& arguments) : function_(function), arguments_(arguments) {}

  std::shared_ptr<Specialization> run() {
    auto s = std::make_shared<Specialization>();
    s->grad_mode = grad_enabled();
    s->repeats = repeats_of(arguments_);
    s->modes = mode_changes;
    Outputs outputs;
    Capture capture;
    {
      Objects result;
      call(capture, result);
      read_result(*s, capture, result, outputs);
      capture.finish();
    }
    take_state(*s, capture, outputs);
    refuse_escapes(capture.trace(), capture.trace().list());
    Graph graph = capture.trace().graph(outputs.values);
    number_inputs(*s, capture, graph);
    take_numbers(*s, capture);
    // The trace has drawn what the first run is to draw.
    for (const Graph::Stream& stream : graph.streams)
      (stream.generator ? *stream.generator : default_generator()).offset -= stream.length;
    s->objects = std::move(capture.objects);
    s->replay = std::make_unique<Replay>(std::move(graph));
    s->arguments = structure_only();
    return s;
  }

 private:
  void call(Capture& capture, Objects& result) {
    for (size_t i = 0; i < arguments_.leaves.size(); ++i)
      if (arguments_.leaf_kinds[i] == Tree::tensor) capture.use(arguments_.leaves[i], int32_t(i));
    Objects given;
    given.take(arguments_.rebuild([&](size_t i) -> PyObject* {
      PyObject* leaf = arguments_.leaves[i];
      switch (arguments_.leaf_kinds[i]) {
        case Tree::real:
          return wrap(capture.argument(int32_t(i), PyFloat_AS_DOUBLE(leaf)));
        case Tree::integer: {
          const int64_t value = to_int(leaf, "jit", "an argument");
          return wrap(capture.argument(int32_t(i), value));
        }
        default:
          return Py_NewRef(leaf);
      }
    }));
    PyObject* positional = PyTuple_GET_ITEM(given[0], 0);
    PyObject* named = PyTuple_GET_ITEM(given[0], 1);
    result.take(checked(PyObject_Call(function_, positional, named)));
  }

  // A number that goes out as it came in is known at each run only: it becomes a value.
  static Tensor computed(const Tensor& x) {
    const bool number = x.node().state == NodeState::scalar && !x.node().attrs.empty();
    return number ? multiply(x, scalar(int64_t(1), x.dtype())) : x;
  }

  void read_result(Specialization& s, Capture& capture, const Objects& result, Outputs& outputs) {
    Tree tree;
    tree.add(result[0], true);
    for (size_t i = 0; i < tree.leaves.size(); ++i) {
      PyObject* leaf = tree.leaves[i];
      Specialization::Result r;
      if (tree.leaf_kinds[i] != Tree::tensor) {
        r.constant = int32_t(s.constants.size());
        s.constants.push_back(leaf);
      } else if (const int32_t handle = capture.handle_of(leaf); handle >= 0) {
        r.handle = handle;
      } else if (!capture.trace().made(raw(leaf).node())) {  // from outside, untouched
        capture.use(leaf);
        r.handle = capture.handle_of(leaf);
      } else {
        const Tensor x = computed(raw(leaf));
        s.differentiable |= x.node().on_tape;
        r.output = outputs.add(x.value());
      }
      s.results.push_back(r);
    }
    s.result.words = std::move(tree.words);
    s.result.statics = std::move(tree.statics);
    s.result.leaf_kinds = std::move(tree.leaf_kinds);
  }

  void take_state(Specialization& s, Capture& capture, Outputs& outputs) {
    std::vector<int> writers;
    const auto add = [&](const Value& value) {
      const int32_t k = outputs.add(value);
      writers.resize(outputs.values.size(), 0);
      ++writers[size_t(k)];
      return k;
    };
    for (Capture::Handle& h : capture.handles) {
      Specialization::Handle handle{h.leaf < 0 ? h.object : nullptr, h.leaf, Spec(raw(h.object))};
      if (h.written) handle.output = add(h.after);
      h.after = {};
      s.handles.push_back(std::move(handle));
    }
    for (Capture::Cell& c : capture.cells) {
      Specialization::Cell cell{c.owner, c.asked, bool(c.input), c.after};
      if (c.after == Capture::Cell::value) cell.output = add(c.gradient);
      c.gradient = {};
      s.cells.push_back(cell);
    }
    writers.resize(outputs.values.size(), 0);
    for (const Specialization::Result& r : s.results)
      if (r.output >= 0) ++writers[size_t(r.output)];
    for (int count : writers) s.shared.push_back(count > 1);
  }

  static void number_inputs(Specialization& s, const Capture& capture, const Graph& graph) {
    std::unordered_map<const Node*, Specialization::Input> of;
    for (size_t i = 0; i < capture.handles.size(); ++i)
      of[capture.handles[i].input.get()] = {Specialization::Input::handle, i};
    for (size_t i = 0; i < capture.cells.size(); ++i)
      if (capture.cells[i].input)
        of[capture.cells[i].input.get()] = {Specialization::Input::gradient, i};
    for (const Ref<Node>& input : graph.inputs) s.inputs.push_back(of.at(input.get()));
  }

  static void take_numbers(Specialization& s, Capture& capture) {
    for (size_t i = 0; i < capture.slots.size(); ++i) {
      Specialization::Number number{capture.slots[i]};
      number.constant = capture.trace().is_constant(i);
      s.numbers.push_back(number);
    }
    s.actions = std::move(capture.actions);
    s.conditions = std::move(capture.conditions);
  }

  Tree structure_only() const {
    Tree tree;
    tree.words = arguments_.words;
    for (PyObject* fixed : arguments_.statics) tree.statics.push_back(fixed);
    return tree;
  }

  PyObject* function_;
  const Tree& arguments_;
};

// ---- replaying -------------------------------------------------------------------------------

class Replayer {
 public:
  Replayer(Specialization& s, const Tree& arguments) : s_(s), arguments_(arguments) {}

  PyObject* run(bool first) {
    read_numbers(first);
    if (s_.differentiable && grad_enabled()) return record();
    find_inputs();
    Replay::Pending pending = s_.replay->prepare({inputs_, rebound_, numbers_});
    bind(pending.outputs(), &pending);
    PyObject* result = results(pending.outputs());
    pending.submit();
    return result;
  }

 private:
  void read_numbers(bool first) {
    numbers_.resize(s_.numbers.size());
    if (first) {  // the trace has read them, and called what is to be called
      for (size_t i = 0; i < s_.numbers.size(); ++i) numbers_[i] = traced(s_.numbers[i]);
      return;
    }
    for (size_t i = 0; i < s_.numbers.size(); ++i)
      if (const int32_t leaf = s_.numbers[i].leaf; leaf >= 0)
        numbers_[i] = number_of(arguments_.leaves[size_t(leaf)], s_.numbers[i]);
    for (const HostAction& action : s_.actions) {
      if (action.slot >= 0) {
        Objects value;
        value.take(checked(PyObject_GetItem(s_.objects[size_t(action.container)],
                                            s_.objects[size_t(action.key)])));
        numbers_[size_t(action.slot)] = number_of(value[0], s_.numbers[size_t(action.slot)]);
      } else {
        Objects none;
        none.take(checked(PyObject_CallNoArgs(s_.objects[size_t(action.function)])));
      }
    }
  }

  static Tensor traced(const Slot& slot) {
    return slot.is_real ? scalar(slot.real, DType::float32, true)
                        : scalar(slot.integer, DType::int64, true);
  }
  static Tensor number_of(PyObject* object, const Slot& slot) {
    if (slot.is_real) return scalar(to_double(object, "jit", "a number"), DType::float32, true);
    return scalar(to_int(object, "jit", "a number"), DType::int64, true);
  }

  PyObject* object_of(size_t handle) const { return raw_object(s_.handles[handle], arguments_); }
  GradCell& cell_of(const Specialization::Cell& c) const {
    return *raw(object_of(c.owner)).output().cell;
  }

  const Tensor& input(const Specialization::Input& from) const {
    if (from.kind == Specialization::Input::handle) return raw(object_of(from.index));
    const std::unique_ptr<Tensor>& gradient = cell_of(s_.cells[from.index]).grad;
    static const Tensor nothing;
    return gradient ? *gradient : nothing;
  }

  // Values of which a plan can be made: submitted, in memory.
  void find_inputs() {
    Tensors waiting;
    inputs_.reserve(s_.inputs.size());
    rebound_.resize(s_.inputs.size(), false);
    for (size_t i = 0; i < s_.inputs.size(); ++i) {
      const Specialization::Input& from = s_.inputs[i];
      const Tensor& x = input(from);
      inputs_.push_back(&x);
      if (!x) continue;
      if (x.node().pending()) waiting.push_back(x);
      if (x.node().state == NodeState::scalar) {
        made_.push_back(from_host(&x.node().scalar_bits, x.dtype(), {}, *x.node().device));
        inputs_.back() = &made_.back();
      }
      rebound_[i] =
          from.kind == Specialization::Input::handle && s_.handles[from.index].output >= 0;
    }
    if (!waiting.empty()) evaluate(waiting, Wait::no);
  }

  void bind(const Tensors& outputs, Replay::Pending* pending) {
    for (size_t i = 0; i < s_.handles.size(); ++i) {
      const int32_t k = s_.handles[i].output;
      if (k < 0) continue;
      Tensor& handle = raw(object_of(i));
      if (pending && !s_.shared[size_t(k)]) pending->replaces(size_t(k), handle);
      Tensor fresh = s_.shared[size_t(k)] ? detach(outputs[size_t(k)]) : outputs[size_t(k)];
      if (const Ref<GradCell>& cell = handle.output().cell; cell && cell->is_leaf) {
        fresh.output().cell = cell;
        fresh.output().requires_grad = true;
      }
      handle = std::move(fresh);
    }
    for (const Specialization::Cell& c : s_.cells) {
      if (c.after == Capture::Cell::none) cell_of(c).grad.reset();
      if (c.after == Capture::Cell::value)
        cell_of(c).grad = std::make_unique<Tensor>(outputs[size_t(c.output)]);
    }
  }

  PyObject* results(const Tensors& outputs) {
    return s_.result.rebuild([&](size_t i) -> PyObject* {
      const Specialization::Result& r = s_.results[i];
      if (r.output >= 0) return wrap(outputs[size_t(r.output)]);
      if (r.handle >= 0) return Py_NewRef(object_of(size_t(r.handle)));
      return Py_NewRef(s_.constants[size_t(r.constant)]);
    });
  }

  // Gradients are to flow through the results: the operations are recorded anew.
  PyObject* record() {
    Tensors inputs;
    for (const Specialization::Input& from : s_.inputs) inputs.push_back(input(from));
    const Tensors outputs = record_graph(s_.replay->graph(), inputs, numbers_);
    inputs.clear();
    bind(outputs, nullptr);
    return results(outputs);
  }

  Specialization& s_;
  const Tree& arguments_;
  std::vector<const Tensor*> inputs_;
  std::vector<uint8_t> rebound_;
  Tensors numbers_;
  std::list<Tensor> made_;
};

// ---- the callable ----------------------------------------------------------------------------

class JitFunction {
 public:
  explicit JitFunction(nb::object function, size_t limit)
      : function_(std::move(function)), limit_(limit) {}
  JitFunction(const JitFunction&) = delete;
  JitFunction& operator=(const JitFunction&) = delete;

  nb::object call(const nb::tuple& args, const nb::dict& kwargs) {
    if (Trace::current())
      return nb::steal(checked(PyObject_Call(function_.ptr(), args.ptr(), kwargs.ptr())));
    Tree arguments = flatten(args, kwargs);
    const std::vector<int32_t> repeats = repeats_of(arguments);
    for (auto it = known_.begin(); it != known_.end(); ++it) {
      if (!fits(**it, arguments, repeats)) continue;
      ++hits_;
      known_.splice(known_.begin(), known_, it);
      return replay(*it, arguments, false);
    }
    ++misses_;
    known_.push_front(Tracer(function_.ptr(), arguments).run());
    if (known_.size() > limit_) known_.pop_back();
    return replay(known_.front(), arguments, true);
  }

  nb::dict info() const {
    nb::dict result;
    size_t plans = 0;
    for (const auto& s : known_) plans += s->replay->plan_count();
    result["hits"] = hits_;
    result["misses"] = misses_;
    result["traces"] = known_.size();
    result["plans"] = plans;
    result["limit"] = limit_;
    return result;
  }
  void clear() {
    const auto dropped = std::move(known_);
    known_.clear();
  }

  std::string plan_text(bool programs) const {
    const Plan* plan = known_.empty() ? nullptr : known_.front()->replay->plan();
    return plan ? plan->to_string(programs) : "";
  }

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(function_.ptr());
    for (const auto& s : known_) {
      for (const Objects* group :
           {&s->objects, &s->constants, &s->arguments.statics, &s->result.statics})
        for (PyObject* object : *group) Py_VISIT(object);
    }
    return 0;
  }
  void drop() {
    clear();
    function_.reset();
  }

 private:
  // Held: what runs may forget it, here or in another thread.
  static nb::object replay(std::shared_ptr<Specialization> known, const Tree& arguments,
                           bool first) {
    return nb::steal(Replayer(*known, arguments).run(first));
  }

  static Tree flatten(const nb::tuple& args, const nb::dict& kwargs) {
    Objects both;
    both.take(checked(PyTuple_Pack(2, args.ptr(), kwargs.ptr())));
    Tree tree;
    tree.add(both[0]);
    // NumPy arrays are copied in, as operations do.
    Objects leaves;
    for (size_t i = 0; i < tree.leaves.size(); ++i) {
      if (tree.leaf_kinds[i] != Tree::array) {
        leaves.push_back(tree.leaves[i]);
        continue;
      }
      leaves.take(checked(wrap(from_numpy(tree.leaves[i], default_device()))));
      tree.leaf_kinds[i] = Tree::tensor;
    }
    tree.leaves = std::move(leaves);
    return tree;
  }

  nb::object function_;
  size_t limit_;
  std::list<std::shared_ptr<Specialization>> known_;  // latest used first
  int64_t hits_ = 0, misses_ = 0;
};

int traverse_jit(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<JitFunction>(self)->traverse(visit, arg) : 0;
}
int clear_jit(PyObject* self) {
  nb::inst_ptr<JitFunction>(self)->drop();
  return 0;
}

Capture& capturing() {
  Capture* capture = Capture::current();
  if (!capture) fail(ErrorKind::runtime, "internal: no function is being traced");
  return *capture;
}

}  // namespace

void add_jit(nb::module_& m) {
  PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_jit)},
                         {Py_tp_clear, reinterpret_cast<void*>(clear_jit)},
                         {0, nullptr}};
  nb::class_<JitFunction>(m, "_Jit", nb::type_slots(slots), "A function that tg.jit replays.")
      .def(nb::init<nb::object, size_t>(), nb::arg("function"), nb::arg("limit"))
      .def("call", &JitFunction::call, nb::arg("args"), nb::arg("kwargs"),
           nb::sig("def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any"),
           "What the function returns, traced or replayed.")
      .def("info", &JitFunction::info, nb::sig("def info(self) -> dict[str, int]"),
           "Calls that were replayed and traced; traces and plans kept.")
      .def("clear", &JitFunction::clear, "Forgets all traces.")
      .def("plan_text", &JitFunction::plan_text, nb::arg("programs"),
           "The plan of the latest call.");
  m.def(
      "_is_tracing", [] { return Capture::current() != nullptr; },
      "Whether this thread is tracing a function.");
  m.def(
      "_setting",
      [](const nb::dict& container, const nb::str& key) {
        return nb::steal(checked(wrap(capturing().setting(container.ptr(), key.ptr()))));
      },
      nb::arg("container"), nb::arg("key"),
      nb::sig("def _setting(container: dict[str, Any], key: str) -> Tensor"),
      "container[key], a number, as it is whenever the function being traced runs.");
  m.def(
      "_at_each_run", [](const nb::object& function) { capturing().call(function.ptr()); },
      nb::arg("function"), nb::sig("def _at_each_run(function: Callable[[], Any]) -> None"),
      "Calls it again whenever the function being traced is replayed.");
  m.def(
      "_depend",
      [](const nb::object& object, const nb::str& name, const nb::object& value, bool is_mode) {
        capturing().depend(object.ptr(), name.ptr(), value.ptr(), is_mode);
      },
      nb::arg("object"), nb::arg("name"), nb::arg("value"), nb::arg("is_mode") = false,
      nb::sig("def _depend(object: object, name: str, value: Any, is_mode: bool = False) -> None"),
      "Has the function traced anew when object.name, or object[name] of a dict, is no longer\n"
      "value. A mode is looked at only after _note_mode_change().");
  m.def(
      "_note_mode_change", [] { ++mode_changes; },
      "Has traced functions look again at what they depend on.");
}

}  // namespace tegula::python
