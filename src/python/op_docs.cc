#include "python/op_docs.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "python/convert.h"
#include "python/errors.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

const char* kind_text(ArgKind kind) {
  switch (kind) {
    case ArgKind::tensor:
      return "TensorLike";
    case ArgKind::tensors:
      return "Sequence[TensorLike]";
    case ArgKind::integer:
      return "int";
    case ArgKind::real:
      return "float";
    case ArgKind::boolean:
      return "bool";
    case ArgKind::ints:
      return "int | Sequence[int]";
    case ArgKind::dtype:
      return "DTypeLike";
    case ArgKind::text:
    case ArgKind::device:
      return "str";
    case ArgKind::order:
      return "float | str";
  }
  return "Any";
}

std::string annotation(const Parameter& p) {
  if (p.variadic) return "TensorLike";
  return std::string(kind_text(p.kind)) + (p.optional ? " | None" : "");
}

// The signature with `render` for each parameter.
template <class Render>
std::string signature(const Op& op, Render&& render) {
  std::string text = "(";
  bool keywords = false, positional_only = false;
  for (const Parameter& p : parameters(op)) {
    if (text.size() > 1) text += ", ";
    if (positional_only && !p.positional_only) text += "/, ";
    positional_only = p.positional_only;
    if (p.keyword_only && !keywords) text += "*, ";
    keywords |= p.keyword_only || p.variadic;
    if (p.variadic) text += "*";
    text += render(p);
  }
  return text + (positional_only ? ", /)" : ")");
}

std::string stub_signature(const Op& op) {
  const std::string arguments = signature(op, [](const Parameter& p) {
    return p.name + ": " + annotation(p) + (p.has_default ? " = ..." : "");
  });
  const std::string named(op.result.substr(0, op.result.find(':')));
  return arguments + " -> " +
         (op.returns_list()  ? "list[Tensor]"
          : !named.empty()   ? named
          : op.returns_tuple ? "tuple[Tensor, ...]"
                             : "Tensor");
}

nb::str str(std::string_view text) { return nb::str(text.data(), text.size()); }

}  // namespace

bool gathers_ints(const Op& op) {
  const Parameter* last = nullptr;
  for (const Parameter& p : parameters(op))
    if (!p.keyword_only) last = &p;
  return last && op.method && !op.in_module() && last->kind == ArgKind::ints && !last->has_default;
}

std::string text_signature(const Op& op) {
  return signature(
      op, [](const Parameter& p) { return p.name + (p.has_default ? "=" + p.default_text : ""); });
}

PyObject* make_signature(const Op& op) {
  const nb::module_ inspect = nb::module_::import_("inspect");
  const nb::object kinds = inspect.attr("Parameter");
  const nb::object literal = nb::module_::import_("ast").attr("literal_eval");
  nb::list list;
  for (const Parameter& p : parameters(op)) {
    const nb::object kind = kinds.attr(p.variadic          ? "VAR_POSITIONAL"
                                       : p.keyword_only    ? "KEYWORD_ONLY"
                                       : p.positional_only ? "POSITIONAL_ONLY"
                                                           : "POSITIONAL_OR_KEYWORD");
    nb::object value = kinds.attr("empty");
    if (p.has_default && p.kind == ArgKind::dtype && p.default_text != "None")
      value = nb::borrow(dtype_object(dtype_named(p.default_text)));
    else if (p.has_default) value = literal(p.default_text);
    list.append(
        kinds(p.name, kind, nb::arg("default") = value, nb::arg("annotation") = annotation(p)));
  }
  return nb::object(inspect.attr("Signature")(list)).release().ptr();
}

PyObject* make_result_type(const Op& op) {
  const nb::object make = nb::module_::import_("collections").attr("namedtuple");
  const size_t colon = op.result.find(':');
  const nb::object type = make(str(op.result.substr(0, colon)), str(op.result.substr(colon + 1)),
                               nb::arg("module") = op.in_module() ? op.module() : "tegula._core");
  type.attr("__doc__") = "What " + std::string(op.name) + " returns.";
  return nb::object(type).release().ptr();
}

PyObject* describe_operations() {
  const nb::object make_row = nb::module_::import_("types").attr("SimpleNamespace");
  nb::list list;
  for (const FamilyInfo* family : families()) {
    for (const Op& op : family->ops) {
      nb::list names;
      for (const Parameter& p : parameters(op)) names.append(p.name);
      nb::dict row;  // becomes the attributes of a SimpleNamespace
      row["name"] = str(op.name);
      row["attribute"] = op.attribute();
      row["family"] = str(family->title);
      row["doc"] = str(op.doc);
      row["signature"] = text_signature(op);
      row["declaration"] = str(op.parameters);
      row["stub"] = stub_signature(op);
      row["parameters"] = names;
      row["gathers"] = gathers_ints(op);
      row["samples"] = str(op.samples);
      row["reference"] = str(op.reference);
      row["method"] = op.method && !op.in_module();
      row["differentiable"] = op.differentiable;
      row["tolerance"] = op.tolerance;
      row["returns_tuple"] = op.returns_tuple;
      row["returns_list"] = op.returns_list();
      list.append(make_row(**row));
    }
  }
  return list.release().ptr();
}

}  // namespace tegula::python
