// tg.graph: a traced function to look at, and to run in part.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <unordered_map>

#include "plan/describe.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/described_nodes.h"
#include "python/specialization.h"
#include "transform/extract.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

class TracedGraph {
 public:
  TracedGraph(const nb::object& function, const nb::tuple& args, const nb::dict& kwargs)
      : traced_(trace_call(function.ptr(), flatten_call(args, kwargs))),
        snapshot_(graph().nodes.empty() ? Snapshot{} : snapshot_of(graph())) {
    for (size_t i = 0; i < snapshot_.leaves.size(); ++i)
      leaf_of_[snapshot_.leaves[i].node] = int32_t(i);
    for (size_t i = 0; i < snapshot_.nodes.size(); ++i) node_of_[snapshot_.nodes[i]] = int32_t(i);
  }

  // (name, content, what it is, leaf of the arguments or -1) of each value that is there before.
  nb::list leaves() const {
    std::vector<std::pair<const char*, int32_t>> origin(snapshot_.leaves.size(), {"constant", -1});
    const auto set = [&](const Node* node, const char* what, int32_t leaf) {
      if (const auto found = leaf_of_.find(node); found != leaf_of_.end())
        origin[size_t(found->second)] = {what, leaf};
    };
    for (size_t i = 0; i < graph().inputs.size(); ++i) {
      const Specialization::Input& input = traced_->inputs[i];
      const bool gradient = input.kind == Specialization::Input::gradient;
      const int32_t leaf = gradient ? -1 : traced_->handles[input.index].leaf;
      set(graph().inputs[i].get(),
          gradient    ? "gradient"
          : leaf >= 0 ? "argument"
                      : "captured",
          leaf);
    }
    for (const Graph::Number& n : graph().numbers) {
      const int32_t leaf = traced_->numbers[size_t(n.slot)].leaf;
      set(n.node.get(), leaf >= 0 ? "argument" : "setting", leaf);
    }
    nb::list result;
    for (size_t i = 0; i < snapshot_.leaves.size(); ++i)
      result.append(nb::make_tuple(value_name(snapshot_, {-1, int32_t(i)}),
                                   leaf_text(snapshot_.leaves[i]), origin[i].first,
                                   origin[i].second));
    return result;
  }

  nb::list nodes() const { return described_nodes(describe_nodes(snapshot_)); }

  // Names of the tensors that the function returns.
  std::vector<std::string> results() const {
    std::vector<std::string> names;
    for (const Specialization::Result& r : traced_->results)
      if (r.output >= 0) names.push_back(name(graph().outputs[size_t(r.output)]));
      else if (r.handle >= 0) names.push_back(handle_name(size_t(r.handle)));
    return names;
  }

  // What is written to tensors from outside: (name of the tensor, name of its new value).
  nb::list writes() const {
    nb::list result;
    for (size_t i = 0; i < traced_->handles.size(); ++i)
      if (const int32_t k = traced_->handles[i].output; k >= 0)
        result.append(nb::make_tuple(handle_name(i), name(graph().outputs[size_t(k)])));
    return result;
  }

  // A value as (its node or -1, which output or which leaf).
  using Place = std::tuple<int32_t, int32_t>;

  Tensors evaluate(const std::vector<Place>& given, const Tensors& values,
                   const std::vector<Place>& wanted) const {
    std::vector<Value> fed, fetched;
    for (const Place& place : given) fed.push_back(value(place));
    for (const Place& place : wanted) fetched.push_back(value(place));
    const Graph part = extract(graph(), fed, std::move(fetched));
    Tensors inputs;
    for (const Ref<Node>& input : part.inputs) {
      const auto place =
          std::find_if(fed.begin(), fed.end(), [&](const Value& v) { return v.node == input; });
      inputs.push_back(place == fed.end() ? captured(*input) : values[size_t(place - fed.begin())]);
    }
    Tensors numbers(traced_->numbers.size());
    for (const Graph::Number& n : graph().numbers) numbers[size_t(n.slot)] = Tensor(n.node);
    return record_graph(part, inputs, numbers);
  }

 private:
  const Graph& graph() const { return traced_->replay->graph(); }

  Value value(const Place& place) const {
    const auto [node, index] = place;
    if (node >= 0) return {Ref<Node>(snapshot_.nodes.at(size_t(node))), uint32_t(index)};
    const Leaf& leaf = snapshot_.leaves.at(size_t(index));
    return {Ref<Node>(leaf.node), leaf.index};
  }

  std::string name(const Value& v) const {
    if (const auto node = node_of_.find(v.node.get()); node != node_of_.end())
      return value_name(snapshot_, {node->second, int32_t(v.index)});
    if (const auto leaf = leaf_of_.find(v.node.get()); leaf != leaf_of_.end())
      return value_name(snapshot_, {-1, leaf->second});
    return "unread";
  }
  std::string handle_name(size_t handle) const {
    for (size_t i = 0; i < graph().inputs.size(); ++i)
      if (traced_->inputs[i].kind == Specialization::Input::handle &&
          traced_->inputs[i].index == handle)
        return name({graph().inputs[i], 0});
    return "unread";
  }

  // The tensor from outside that an input stands for, as it is now.
  Tensor captured(const Node& input) const {
    for (size_t i = 0; i < graph().inputs.size(); ++i) {
      if (graph().inputs[i].get() != &input) continue;
      const Specialization::Input& from = traced_->inputs[i];
      const auto& handle = traced_->handles[from.index];
      if (from.kind == Specialization::Input::handle && handle.object)
        return tensor_of(handle.object);
    }
    fail(ErrorKind::value, "graph: ", name({Ref<Node>(const_cast<Node*>(&input)), 0}),
         " is needed and must be given");
  }

  std::shared_ptr<Specialization> traced_;
  Snapshot snapshot_;
  std::unordered_map<const Node*, int32_t> leaf_of_, node_of_;
};

}  // namespace

void add_graph(nb::module_& m) {
  nb::class_<TracedGraph>(m, "_Graph", "A traced function: see tegula/_graph.py.")
      .def(nb::init<const nb::object&, const nb::tuple&, const nb::dict&>(), nb::arg("function"),
           nb::arg("args"), nb::arg("kwargs"),
           nb::sig("def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], "
                   "kwargs: dict[str, Any]) -> None"))
      .def("leaves", &TracedGraph::leaves,
           nb::sig("def leaves(self) -> list[tuple[str, str, str, int]]"),
           "Name, content, origin and leaf of the arguments of each value that was there before.")
      .def("nodes", &TracedGraph::nodes, nb::sig("def nodes(self) -> list[tuple[Any, ...]]"),
           "The nodes, as tg.explain has them.")
      .def("results", &TracedGraph::results, "Names of the tensors that it returns.")
      .def("writes", &TracedGraph::writes, nb::sig("def writes(self) -> list[tuple[str, str]]"),
           "Names of the tensors that it writes to, and of their new values.")
      .def("evaluate", &TracedGraph::evaluate, nb::arg("given"), nb::arg("values"),
           nb::arg("wanted"),
           nb::sig("def evaluate(self, given: Sequence[tuple[int, int]], values: Sequence[Tensor], "
                   "wanted: Sequence[tuple[int, int]]) -> list[Tensor]"),
           "Records what computes the values wanted from those given: see record_graph.");
}

}  // namespace tegula::python
