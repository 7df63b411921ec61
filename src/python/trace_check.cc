// Comparing a trace with another of the same call, to find what the function depends on that a
// trace does not follow.
#include <map>
#include <set>
#include <tuple>

#include "graph/compare.h"
#include "python/specialization.h"

namespace tegula::python {
namespace {

// What an input stands for: a tensor from outside or an argument, or its gradient.
using Origin = std::tuple<PyObject*, int32_t, int>;
Origin origin(const Specialization& s, const Specialization::Input& input) {
  const bool gradient = input.kind == Specialization::Input::gradient;
  const auto& handle = s.handles[gradient ? s.cells[input.index].owner : input.index];
  return {handle.object, handle.leaf, input.kind};
}

std::vector<int32_t> counterparts(const Specialization& before, const Specialization& now) {
  std::map<Origin, int32_t> known;
  for (size_t i = 0; i < before.inputs.size(); ++i)
    known[origin(before, before.inputs[i])] = int32_t(i);
  std::vector<int32_t> result;
  for (const Specialization::Input& input : now.inputs) {
    const auto found = known.find(origin(now, input));
    result.push_back(found == known.end() ? -1 : found->second);
  }
  return result;
}

// The tensors that the function writes to.
std::set<std::pair<PyObject*, int32_t>> written(const Specialization& s) {
  std::set<std::pair<PyObject*, int32_t>> result;
  for (const Specialization::Handle& h : s.handles)
    if (h.output >= 0) result.emplace(h.object, h.leaf);
  return result;
}

}  // namespace

std::string difference(const Specialization& before, const Specialization& now) {
  const std::vector<int32_t> counterpart = counterparts(before, now);
  std::string text = difference(before.replay->graph(), now.replay->graph(), counterpart);
  if (!text.empty()) return text;
  if (written(before) != written(now)) return "it now writes to other tensors";
  if (!before.result.same_structure(now.result)) return "it now returns something else";
  return "";
}

}  // namespace tegula::python
