// The parts of the module tegula._core that are plain functions.
#pragma once

#include <nanobind/nanobind.h>

namespace tegula::python {

void add_array_functions(nanobind::module_& m);      // array_bindings.cc
void add_custom(nanobind::module_& m);               // custom_bindings.cc
void add_effects(nanobind::module_& m);              // effect_bindings.cc
void add_gradient_functions(nanobind::module_& m);   // gradient_bindings.cc
void add_graph(nanobind::module_& m);                // graph_bindings.cc
void add_runtime_functions(nanobind::module_& m);    // runtime_bindings.cc
void add_control(nanobind::module_& m);              // control.cc
void add_jit(nanobind::module_& m);                  // jit.cc
void add_plan_functions(nanobind::module_& m);       // plan_bindings.cc
void add_transforms(nanobind::module_& m);           // transform_bindings.cc

void add_tree(nanobind::module_& m);                 // tree_bindings.cc

}  // namespace tegula::python
