// Control flow: Python functions are traced into bodies (graph/body.h) that nodes call.
#include <nanobind/stl/optional.h>

#include "ops/ops.h"
#include "python/bindings.h"
#include "python/body_tracer.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/tensor_object.h"
#include "transform/control.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

nb::object call(PyObject* function, const nb::tuple& arguments) {
  return nb::steal(checked(PyObject_CallObject(function, arguments.ptr())));
}

// Throws unless two functions, or a carry and what replaces it, are alike.
void require_alike(const char* op, const Results& a, const std::string& first, const Results& b,
                   const std::string& second) {
  if (!a.structure.same_structure(b.structure))
    fail(ErrorKind::type, op, ": ", first, " and ", second, " differ in structure: they have ",
         a.specs.size(), " and ", b.specs.size(),
         " tensors, in containers, keys or constants that are not the same");
  for (size_t i = 0; i < a.specs.size(); ++i) {
    if (a.specs[i].dtype == b.specs[i].dtype && a.specs[i].shape == b.specs[i].shape) continue;
    const std::string path = a.structure.path(i);
    fail(a.specs[i].dtype == b.specs[i].dtype ? ErrorKind::value : ErrorKind::type, op, ": ", first,
         " and ", second, " differ", path.empty() ? "" : " at " + path, ": ", a.describe(i),
         " and ", b.describe(i));
  }
}

nb::object rebuilt(const Tree& structure, const Tensors& values, size_t first = 0) {
  return structure.rebuild([&](size_t i) { return nb::steal(checked(wrap(values[first + i]))); });
}

// What a carry is before the loop.
Results results_of(const Tree& tree, const Tensors& leaves) {
  Results results;
  results.structure = tree;
  results.structure.leaves.clear();
  for (size_t i = 0; i < leaves.size(); ++i) {
    results.structure.leaf_kinds[i] = Tree::tensor;
    results.specs.push_back({leaves[i].dtype(), leaves[i].shape()});
  }
  return results;
}

nb::object rebuilt_parameters(const Tree& tree, const BodyTracer& tracer, size_t first = 0) {
  return tree.rebuild([&](size_t i) { return tracer.parameter(first + i); });
}

// ---- cond and switch -------------------------------------------------------------------------

nb::object branch(const char* op, const Tensor& index, const Objects& functions,
                  const std::vector<std::string>& names, const nb::tuple& operands) {
  const Tree tree = flatten(op, operands);
  const Tensors leaves = leaf_tensors(tree, op);
  std::vector<BodyDraft> drafts;
  Results results;
  for (size_t b = 0; b < names.size(); ++b) {
    BodyTracer tracer(op, names[b]);
    for (const Tensor& x : leaves) tracer.add_parameter(x);
    Results found =
        tracer.add_results(call(functions[b].ptr(), nb::tuple(rebuilt_parameters(tree, tracer))),
                           b ? &results : nullptr);
    drafts.push_back(tracer.take());
    if (b == 0) results = std::move(found);
    else require_alike(op, results, names[0], found, names[b]);
  }
  if (results.specs.empty()) return rebuilt(results.structure, {});
  return rebuilt(results.structure, cond(index, leaves, std::move(drafts)));
}

Tensor scalar_operand(nb::handle object, const char* op, const char* argument) {
  if (PyBool_Check(object.ptr())) return scalar(int64_t(object.is(Py_True)), DType::bool_);
  Tensor x = to_tensor(object.ptr(), op, argument);
  if (x.rank() != 0)
    fail(ErrorKind::value, op, ": ", argument, " must be 0-d, it has shape ", x.shape());
  return x.node().weak_scalar ? cast_scalar(x, x.dtype()) : x;
}

nb::object python_cond(nb::handle pred, nb::object if_true, nb::object if_false,
                       const nb::tuple& operands) {
  const Tensor p = scalar_operand(pred, "cond", "pred");
  if (p.dtype() != DType::bool_)
    fail(ErrorKind::type, "cond: pred must be a bool, it is ", p.dtype(), "; compare it first");
  return branch("cond", astype(p, DType::int64), {if_false, if_true}, {"false_fn", "true_fn"},
                operands);
}

nb::object python_switch(nb::handle index, const nb::sequence& branches,
                         const nb::tuple& operands) {
  const Tensor i = scalar_operand(index, "switch", "index");
  if (!is_integer(i.dtype()))
    fail(ErrorKind::type, "switch: index must be an integer, it is ", i.dtype());
  Objects functions;
  std::vector<std::string> names;
  for (nb::handle f : branches) {
    names.push_back(cat("branch ", functions.size()));
    functions.push_back(nb::borrow(f));
  }
  require(!names.empty(), "switch: needs at least one branch");
  return branch("switch", astype(i, DType::int64), functions, names, operands);
}

// ---- loops -----------------------------------------------------------------------------------

nb::object python_while(nb::object condition, nb::object function, nb::handle init,
                        std::optional<int64_t> max_iters) {
  const char* op = "while_loop";
  require(!max_iters || *max_iters >= 0, "while_loop: max_iters must not be negative, got ",
          max_iters.value_or(0));
  const Tree tree = flatten(op, init);
  const Tensors leaves = leaf_tensors(tree, op);
  const Results before = results_of(tree, leaves);

  BodyTracer until(op, "cond_fn");
  for (const Tensor& x : leaves) until.add_parameter(x);
  const Results verdict =
      until.add_results(call(condition.ptr(), nb::make_tuple(rebuilt_parameters(tree, until))));
  BodyDraft condition_draft = until.take();
  if (verdict.specs.size() != 1 || verdict.specs[0].dtype != DType::bool_ ||
      !verdict.specs[0].shape.empty())
    fail(ErrorKind::type, "while_loop: cond_fn must return one 0-d bool, it returned ",
         verdict.specs.size() == 1 ? verdict.describe(0) : cat(verdict.specs.size(), " tensors"));

  BodyTracer tracer(op, "body_fn");
  for (const Tensor& x : leaves) tracer.add_parameter(x);
  const Results after = tracer.add_results(
      call(function.ptr(), nb::make_tuple(rebuilt_parameters(tree, tracer))), &before);
  BodyDraft body = tracer.take();
  require_alike(op, before, "the carry", after, "what body_fn makes of it");
  if (leaves.empty()) fail(ErrorKind::value, "while_loop: init holds no tensor");
  return rebuilt(after.structure, while_loop(leaves, max_iters.value_or(-1),
                                             std::move(condition_draft), std::move(body)));
}

int64_t scan_length(const Tree& tree, const Tensors& rows, std::optional<int64_t> length) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string path = "xs" + tree.path(i);
    require(rows[i].rank() > 0, "scan: ", path, " is 0-d and has no axis to go along");
    const int64_t size = rows[i].shape()[0];
    require(!length || *length == size, "scan: ", path, " has ", size, " rows, but ",
            i ? "xs" + tree.path(0) : std::string("length"), " is ", length.value_or(0));
    length = size;
  }
  require(length.has_value(), "scan: without xs the number of iterations is needed; pass length=");
  require(*length >= 0, "scan: length must not be negative, got ", *length);
  return *length;
}

nb::object python_scan(nb::object function, nb::handle init, nb::handle xs,
                       std::optional<int64_t> length, bool reverse) {
  const char* op = "scan";
  const Tree carry_tree = flatten(op, init), xs_tree = flatten(op, xs);
  const Tensors carries = leaf_tensors(carry_tree, op), rows = leaf_tensors(xs_tree, op);
  const int64_t count = scan_length(xs_tree, rows, length);
  const Results before = results_of(carry_tree, carries);

  BodyTracer tracer(op, "f");
  for (const Tensor& x : carries) tracer.add_parameter(x);
  for (const Tensor& x : rows) tracer.add_parameter(x, true);
  Results after, results;
  {
    const nb::object pair =
        call(function.ptr(), nb::make_tuple(rebuilt_parameters(carry_tree, tracer),
                                            rebuilt_parameters(xs_tree, tracer, carries.size())));
    if (!PyTuple_Check(pair.ptr()) || PyTuple_GET_SIZE(pair.ptr()) != 2)
      fail(ErrorKind::type, "scan: f must return a pair, the new carry and this row's result");
    after = tracer.add_results(nb::borrow(PyTuple_GET_ITEM(pair.ptr(), 0)), &before);
    results = tracer.add_results(nb::borrow(PyTuple_GET_ITEM(pair.ptr(), 1)));
  }
  BodyDraft body = tracer.take();
  require_alike(op, before, "the carry", after, "what f makes of it");
  Tensors outputs;
  if (!after.specs.empty() || !results.specs.empty())
    outputs = scan(carries, rows, count, reverse, std::move(body));
  return nb::make_tuple(rebuilt(after.structure, outputs),
                        rebuilt(results.structure, outputs, carries.size()));
}

}  // namespace

void add_control(nb::module_& m) {
  m.def("_cond", python_cond, nb::arg("pred"), nb::arg("true_fn"), nb::arg("false_fn"),
        nb::arg("operands"),
        nb::sig("def _cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], "
                "operands: tuple[Any, ...]) -> Any"),
        "tg.cond.");
  m.def("_switch", python_switch, nb::arg("index"), nb::arg("branches"), nb::arg("operands"),
        nb::sig("def _switch(index: Any, branches: Sequence[Callable[..., Any]], "
                "operands: tuple[Any, ...]) -> Any"),
        "tg.switch.");
  m.def("_while_loop", python_while, nb::arg("cond_fn"), nb::arg("body_fn"), nb::arg("init").none(),
        nb::arg("max_iters").none(),
        nb::sig("def _while_loop(cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], "
                "init: Any, max_iters: int | None) -> Any"),
        "tg.while_loop.");
  m.def("_scan", python_scan, nb::arg("f"), nb::arg("init").none(), nb::arg("xs").none(),
        nb::arg("length").none(), nb::arg("reverse"),
        nb::sig("def _scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, "
                "length: int | None, reverse: bool) -> tuple[Any, Any]"),
        "tg.scan.");
}

}  // namespace tegula::python
