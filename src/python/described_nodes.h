// Recorded nodes as tg.explain and tg.graph have them: see nodes_of in tegula/_explain.py.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "plan/describe.h"

namespace tegula::python {

inline nanobind::list described_nodes(const std::vector<PlanDescription::Recorded>& nodes) {
  nanobind::list result;
  for (const PlanDescription::Recorded& n : nodes)
    result.append(nanobind::make_tuple(n.operation, n.attrs, n.inputs, n.types, n.kept, n.line));
  return result;
}

}  // namespace tegula::python
