// Evaluation, and looking at plans.
#include "plan/evaluate.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "graph/primitive.h"
#include "plan/check_values.h"
#include "plan/describe.h"
#include "plan/tile.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "python/described_nodes.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

// Tensors in a nest of lists, tuples and dicts.
void collect(nb::handle object, Tensors& found, int depth) {
  if (is_tensor(object.ptr())) {
    found.push_back(tensor_of(object.ptr()));
    return;
  }
  require(depth < 64, "eval: containers are nested more than 64 deep");
  if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) {
    for (nb::handle item : object) collect(item, found, depth + 1);
  } else if (PyDict_Check(object.ptr())) {
    for (auto [key, item] : nb::borrow<nb::dict>(object)) collect(item, found, depth + 1);
  } else if (!object.is_none()) {
    fail(ErrorKind::type, "eval: needs Tensors, or lists, tuples and dicts of them, got ",
         type_name(object.ptr()));
  }
}

void evaluate_all(const nb::args& values) {
  Tensors wanted;
  collect(values, wanted, 0);
  evaluate(wanted, Wait::yes);
}

nb::dict cache_stats() {
  const PlanCacheStats stats = plan_cache_stats();
  nb::dict result;
  result["hits"] = stats.hits;
  result["misses"] = stats.misses;
  result["evictions"] = stats.evictions;
  result["plans"] = stats.plans;
  result["steps"] = stats.steps;
  result["nodes"] = stats.nodes;
  result["arena_bytes"] = stats.arena_bytes;
  return result;
}

std::string explain(const nb::args& values, bool graph, bool programs) {
  Tensors wanted;
  collect(values, wanted, 0);
  return explain_pending(wanted, graph, programs);
}

nb::list described_plans() {
  nb::list plans;
  for (const PlanDescription& plan : stop_describing_plans()) {
    nb::list leaves, steps;
    for (size_t i = 0; i < plan.leaf_names.size(); ++i)
      leaves.append(nb::make_tuple(plan.leaf_names[i], plan.leaf_texts[i]));
    for (const auto& step : plan.steps)
      steps.append(nb::make_tuple(step.kind, step.operations, step.program, step.nodes, step.reads,
                                  step.writes, step.bytes, step.flops, step.predicted_us,
                                  step.stage));
    plans.append(nb::make_tuple(plan.device, leaves, described_nodes(plan.nodes), steps,
                                plan.arena_bytes, plan.in_place));
  }
  return plans;
}

}  // namespace

void add_plan_functions(nb::module_& m) {
  m.def("eval", evaluate_all, nb::arg("values"), nb::sig("def eval(*values: Any) -> None"),
        "Computes all that is pending, and waits for the given tensors (or lists, tuples and\n"
        "dicts of them). Raises what went wrong in computing them.");
  m.def(
      "submit", [] { evaluate({}, Wait::no); },
      "Starts computing all that is pending; does not wait.");
  m.def("synchronize", &synchronize,
        "Waits for everything submitted; raises the first failure nobody has seen.");
  m.def("plan_cache_stats", cache_stats, nb::sig("def plan_cache_stats() -> dict[str, int]"),
        "Hits, misses, evictions and plans of the plan cache; steps, nodes and arena_bytes of\n"
        "the last evaluation.");
  m.def("clear_plan_cache", &clear_plan_cache, "Forgets all plans and zeroes the counters.");
  m.def("set_plan_cache_limit", &set_plan_cache_limit, nb::arg("plans"), "The most plans to keep.");
  m.def("_explain", explain, nb::arg("values"), nb::kw_only(), nb::arg("graph") = false,
        nb::arg("programs") = false,
        nb::sig("def _explain(*values: Any, graph: bool = False, programs: bool = False) -> str"),
        "tg.explain of tensors.");
  m.def("_start_describing_plans", &start_describing_plans,
        "From now on plans that run in a profile are described.");
  m.def("_stop_describing_plans", described_plans,
        nb::sig("def _stop_describing_plans() -> list[tuple[Any, ...]]"),
        "Of each plan (device, leaves, nodes, steps, arena bytes, results in place): see\n"
        "tegula/_explain.py.");
  m.def("_checking_values", &checking_values, "Whether results are searched for NaN and infinity.");
  m.def("_set_checking_values", &set_checking_values, nb::arg("enabled"), "Sets that.");
  m.def("recorded_nodes", &recorded_nodes, "Nodes recorded since the process started.");
  m.def(
      "_normalize_tile_program",
      [](const std::string& text) {
        const TileProgram program = parse_tile(text);
        check(program);
        return print(program);
      },
      nb::arg("text"), "Parses, checks and prints a tile program.");
}

}  // namespace tegula::python
