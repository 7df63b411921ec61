// The extension module tegula._core: conversion between Python and the engine, nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/null/null_backend.h"
#include "graph/trace.h"
#include "ops/op.h"
#include "plan/evaluate.h"
#include "python/bindings.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/grad_mode.h"
#include "python/hooks.h"
#include "python/lend.h"
#include "python/op_docs.h"
#include "python/ops_bindings.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

// The engine lives once in a process, and with it the type of its tensors.
void refuse_second_load() {
  static bool loaded = false;
  if (loaded)
    throw nb::import_error(
        "tegula is loaded already, in this or in another interpreter of the "
        "process; it works in one");
  loaded = true;
}

// Work that still runs when the interpreter goes down could no longer call back into Python.
void finish_at_exit() {
  const nb::object function = nb::cpp_function([] {
    try {
      PendingList::current().adopt_effects();
      if (PendingList::current().last_held()) evaluate({}, Wait::no);
      synchronize();
    } catch (...) {  // whoever waited for it has seen it, and nobody else will
    }
  });
  nb::module_::import_("atexit").attr("register")(function);
}

// What `from tegula._core import *` brings into the package: all but what other modules of it wrap.
nb::list public_names(const nb::module_& m) {
  const std::set<std::string> kept_apart = {"HookHandle",         "LinAlgError",    "Memory",
                                            "Structure",          "adam_update",    "bernoulli",
                                            "device_description", "gradients",      "ops",
                                            "permutation",        "randint",        "random_normal",
                                            "random_uniform",     "recorded_nodes", "sgd_update"};
  std::set<std::string> in_modules;
  for (const tegula::Op* op : tegula::ops()) {
    if (op->in_module()) in_modules.insert(op->attribute());
    in_modules.insert(std::string(op->result.substr(0, op->result.find(':'))));
  }
  nb::list names;
  for (nb::handle name : nb::borrow<nb::list>(nb::steal(PyObject_Dir(m.ptr())))) {
    const std::string text = nb::cast<std::string>(name);
    if (text[0] != '_' && !kept_apart.count(text) && !in_modules.count(text)) names.append(name);
  }
  return names;
}

void start_engine() {
  register_cpu_backend();
  register_null_backend();
  install_evaluator();
  install_hooks();
}

}  // namespace
}  // namespace tegula::python

NB_MODULE(_core, m) {
  using namespace tegula::python;
  refuse_second_load();
  nb::set_leak_warnings(false);
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const tegula::Error&) {
      raise_current();
    } catch (const Carried&) {
      raise_current();
    }
  });
  m.doc() = "Tegula's engine.";
  m.attr("__version__") = TEGULA_VERSION;
  init_numpy();
  init_memory_type();
  add_exceptions(m.ptr());
  add_dtypes(m.ptr());
  add_tensor_type(m.ptr());
  add_grad_modes(m.ptr());
  start_engine();
  add_operations(m.ptr());
  add_compat(m.ptr());
  m.def(
      "ops", [] { return nb::steal(describe_operations()); }, nb::sig("def ops() -> list[Any]"),
      "All operations, as objects with name, family, doc, signature, samples, reference, "
      "tolerance and so on: see src/ops/op.h.");
  m.def("_set_internal_folder", &set_internal_folder, nb::arg("folder"),
        "Says where the framework's own Python files are: errors name the user's lines.");
  add_array_functions(m);
  add_custom(m);
  add_effects(m);
  add_gradient_functions(m);
  add_runtime_functions(m);
  add_plan_functions(m);
  add_transforms(m);
  add_jit(m);
  add_graph(m);
  add_control(m);
  add_tree(m);
  m.attr("__all__") = public_names(m);
  finish_at_exit();
}
