// Tracing a call of a jitted function.
#include <algorithm>
#include <unordered_map>

#include "ops/ops.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/specialization.h"
#include "transform/anomaly.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

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

class Tracer {
 public:
  Tracer(PyObject* function, const Tree& arguments) : function_(function), arguments_(arguments) {}

  std::shared_ptr<Specialization> run() {
    auto s = std::make_shared<Specialization>();
    s->grad_mode = grad_enabled();
    s->detects_anomaly = detecting_anomaly();
    s->repeats = repeats_of(arguments_);
    s->modes = mode_changes;
    Outputs outputs;
    Capture capture;
    read_result(*s, capture, call(capture), outputs);
    capture.finish();
    take_state(*s, capture, outputs);
    refuse_escapes(capture.trace().list(), "jit");
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
  nb::object call(Capture& capture) {
    for (size_t i = 0; i < arguments_.leaves.size(); ++i)
      if (arguments_.leaf_kinds[i] == Tree::tensor)
        capture.use(arguments_.leaves[i].ptr(), int32_t(i));
    const nb::tuple given(arguments_.rebuild([&](size_t i) -> nb::object {
      const nb::object& leaf = arguments_.leaves[i];
      if (arguments_.leaf_kinds[i] == Tree::tensor) return leaf;
      const bool real = arguments_.leaf_kinds[i] == Tree::real;
      return nb::steal(checked(wrap(capture.argument(int32_t(i), leaf.ptr(), real))));
    }));
    const nb::tuple positional(given[0]);
    const nb::dict named(given[1]);
    return nb::steal(checked(PyObject_Call(function_, positional.ptr(), named.ptr())));
  }

  // A number that goes out as it came in is known at each run only: it becomes a value.
  static Tensor computed(const Tensor& x) {
    const bool number = x.node().state == NodeState::scalar && !x.node().attrs.empty();
    return number ? multiply(x, scalar(int64_t(1), x.dtype())) : x;
  }

  // `result` goes before it is looked who else holds what was traced.
  void read_result(Specialization& s, Capture& capture, nb::object result, Outputs& outputs) {
    Tree tree(Tree::Rule::constants);
    tree.add(result.ptr());
    for (size_t i = 0; i < tree.leaves.size(); ++i) {
      PyObject* leaf = tree.leaves[i].ptr();
      Specialization::Result r;
      if (tree.leaf_kinds[i] != Tree::tensor) {
        r.constant = int32_t(s.constants.size());
        s.constants.push_back(tree.leaves[i]);
      } else if (const int32_t handle = capture.handle_of(leaf); handle >= 0) {
        r.handle = handle;
      } else if (!capture.trace().made(raw_tensor(leaf).node())) {  // from outside, untouched
        capture.use(leaf);
        r.handle = capture.handle_of(leaf);
      } else {
        const Tensor x = computed(raw_tensor(leaf));
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
      Specialization::Handle handle{h.leaf < 0 ? h.object : nullptr, h.leaf,
                                    Spec(raw_tensor(h.object))};
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
    for (size_t i = 0; i < capture.numbers.size(); ++i)
      capture.numbers[i].constant = capture.trace().is_constant(i);
    for (const HostAction& action : capture.actions) {
      if (action.number < 0) continue;
      const Number& setting = capture.numbers[size_t(action.number)];
      if (!setting.constant) continue;
      const nb::object value = nb::float_(std::get<double>(setting.value));
      capture.depend(capture.objects[size_t(action.container)].ptr(),
                     capture.objects[size_t(action.key)].ptr(), value.ptr(), false);
    }
    s.numbers = std::move(capture.numbers);
    s.actions = std::move(capture.actions);
    s.conditions = std::move(capture.conditions);
  }

  Tree structure_only() const {
    Tree tree = arguments_;
    tree.leaves.clear();
    return tree;
  }

  PyObject* function_;
  const Tree& arguments_;
};

}  // namespace

std::shared_ptr<Specialization> trace_call(PyObject* function, const Tree& arguments) {
  return Tracer(function, arguments).run();
}

}  // namespace tegula::python
