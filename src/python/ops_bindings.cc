// Every operation of src/ops as a Python callable: one type, driven by the declarations.
#include "python/ops_bindings.h"

#include <nanobind/nanobind.h>
#include <structmember.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/overflow.h"
#include "ops/op.h"
#include "python/compat.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/op_docs.h"
#include "python/tensor_object.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

constexpr size_t kMaxParameters = 16;

// What calls of one operation share.
struct Callable {
  explicit Callable(const Op& declared)
      : op(&declared), parameters(&tegula::parameters(declared)), name(declared.name) {}

  const Op* op;
  const std::vector<Parameter>* parameters;
  std::string name;
  std::vector<const char*> names;
  std::vector<Arg> defaults;
  size_t positional = 0;       // parameters that go without their name
  size_t positional_only = 0;  // those that never go with it
  bool gathers = false;        // the last positional one is a shape, which may be given as ints
  size_t variadic = SIZE_MAX;  // the parameter that takes all the others given by position
  PyObject* result_type = nullptr;  // of a named tuple
  // Under PyTorch's names (renamed_operation): parameter i is number places[i] of the operation,
  // which may also be given by the operation's name for it.
  bool compat = false;
  std::vector<size_t> places;
  std::vector<const char*> synonyms;
  std::vector<size_t> promoted;
  Promotion promotion = Promotion::none;
  bool gives_view = false;
  bool lifts = false;      // takes a tensor without axes as one of one axis
  size_t axis = SIZE_MAX;  // the place of the optional axes, of which () means all
};

struct OpObject {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Callable* callable;  // lives as long as the process
};

const Callable& callable_of(PyObject* object) {
  return *reinterpret_cast<OpObject*>(object)->callable;
}

// ---- arguments -------------------------------------------------------------------------------

Arg parse_default(const Parameter& p) {
  const std::string& text = p.default_text;
  if (text == "None") return {};
  switch (p.kind) {
    case ArgKind::integer:
      return int64_t(std::stoll(text));
    case ArgKind::real:
      return std::stod(text);
    case ArgKind::boolean:
      return text == "True";
    case ArgKind::dtype:
      return dtype_named(text);
    case ArgKind::text:
    case ArgKind::order:
      return text.substr(1, text.size() - 2);
    case ArgKind::ints: {
      Dims dims;
      std::string digits;
      for (const char c : text + ",") {
        if (c == '-' || (c >= '0' && c <= '9')) {
          digits += c;
        } else if (!digits.empty()) {
          dims.push_back(std::stoll(digits));
          digits.clear();
        }
      }
      return dims;
    }
    case ArgKind::tensor: {
      if (text == "True" || text == "False")
        return scalar(int64_t(text == "True"), DType::bool_, true);
      if (text.find_first_of(".einf") == text.npos)
        return scalar(int64_t(std::stoll(text)), DType::int64, true);
      return scalar(std::stod(text), DType::float32, true);
    }
    case ArgKind::tensors:
    case ArgKind::device:
      break;
  }
  fail(ErrorKind::runtime, "an operation declares the default ", text, " of unknown form");
}

Arg convert(PyObject* object, const Parameter& p, const char* op) {
  const char* name = p.name.c_str();
  if (object == Py_None && p.optional) return {};
  switch (p.kind) {
    case ArgKind::tensor:
      return to_tensor(object, op, name);
    case ArgKind::tensors:
      return to_tensors(object, op, name);
    case ArgKind::integer:
      return to_int(object, op, name);
    case ArgKind::real:
      return to_double(object, op, name);
    case ArgKind::boolean:
      return to_bool(object, op, name);
    case ArgKind::ints:
      return to_dims(object, op, name);
    case ArgKind::dtype:
      return to_dtype(object, op, name);
    case ArgKind::text:
      return to_text(object, op, name);
    case ArgKind::order:
      if (PyUnicode_Check(object)) return to_text(object, op, name);
      return to_double(object, op, name);
    case ArgKind::device:
      return &to_device(object, op);
  }
  return {};
}

// Where an operation's own constants belong.
Backend& device_of_arguments(const std::vector<Arg>& arguments) {
  for (const Arg& argument : arguments)
    if (Backend* const* device = std::get_if<Backend*>(&argument)) return **device;
  const auto is_placed = [](const Tensor& x) { return x && x.node().state != NodeState::scalar; };
  for (const Arg& argument : arguments) {
    if (const Tensor* x = std::get_if<Tensor>(&argument); x && is_placed(*x)) return x->device();
    if (const Tensors* xs = std::get_if<Tensors>(&argument))
      for (const Tensor& x : *xs)
        if (is_placed(x)) return x.device();
  }
  return default_device();
}

bool any_compat(PyObject* const* values, size_t count) {
  const auto is_one = [](PyObject* object) { return is_tensor(object) && is_compat(object); };
  for (size_t i = 0; i < count; ++i) {
    PyObject* value = values[i];
    if (!value) continue;
    if (is_one(value)) return true;
    if (!PyList_Check(value) && !PyTuple_Check(value)) continue;
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(value); ++k)
      if (is_one(PySequence_Fast_GET_ITEM(value, k))) return true;
  }
  return false;
}

const char* shown_name(const Callable& c, size_t place) {
  for (size_t i = 0; i < c.places.size(); ++i)
    if (c.places[i] == place) return c.names[i];
  return (*c.parameters)[place].name.c_str();
}

void promote_arguments(const Callable& c, std::vector<Arg>& arguments) {
  std::array<Tensor*, kMaxParameters> operands;
  size_t count = 0;
  for (const size_t place : c.promoted)
    if (Tensor* x = std::get_if<Tensor>(&arguments[place])) operands[count++] = x;
  promote_operands(std::span(operands.data(), count), c.promotion);
}

// PyTorch: no axes given are all of them; a tensor without axes has the axes 0 and -1.
bool settle_axes(const Callable& c, std::vector<Arg>& arguments) {
  const Tensor* x = std::get_if<Tensor>(&arguments[0]);
  const bool flat = x && *x && x->rank() == 0;
  if (c.axis != SIZE_MAX) {
    Arg& axis = arguments[c.axis];
    const auto is_only = [](int64_t i) { return i == 0 || i == -1; };
    if (const Dims* several = std::get_if<Dims>(&axis)) {
      if (several->empty() || (flat && std::all_of(several->begin(), several->end(), is_only)))
        axis = {};
    } else if (const int64_t* one = std::get_if<int64_t>(&axis); one && flat && is_only(*one)) {
      axis = {};
    }
  }
  if (!c.lifts || !flat) return false;
  arguments[0] = reshape(*x, {1});
  return true;
}

void note_result(const Callable& c, PyObject* of, PyObject* view, const std::vector<Arg>& arguments,
                 size_t output) {
  if (!is_tensor(of) || !is_compat(of)) return;
  ViewStep step;
  step.op = c.op;
  step.arguments = arguments;
  step.arguments[0] = {};
  step.output = output;
  note_view(of, view, std::move(step));
}

// What f returns. An error of the operations that make this one up names this one first.
template <class F>
auto naming(const std::string& name, F&& f) {
  const auto words = [&](const Error& error) {
    const std::string said = error.what();
    return said.starts_with(name + ":") ? said : name + ": " + said;
  };
  try {
    return f();
  } catch (const OverflowError& error) {
    throw OverflowError(words(error));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::interrupted) throw;
    throw Error(error.kind(), words(error));
  }
}

// Calls with the arguments already sorted by parameter; null where not given.
PyObject* run(const Callable& c, PyObject* const* values) {
  const size_t count = c.parameters->size();
  std::vector<Arg> arguments;
  arguments.reserve(count);
  const bool compat = c.compat || (compat_type && any_compat(values, count));
  const Tensors results = naming(c.name, [&] {
    for (size_t i = 0; i < count; ++i) {
      if (values[i]) {
        arguments.push_back(convert(values[i], (*c.parameters)[i], c.name.c_str()));
      } else if ((*c.parameters)[i].has_default) {
        arguments.push_back(c.defaults[i]);
      } else {
        fail(ErrorKind::type, c.name, ": argument '", shown_name(c, i), "' is missing");
      }
    }
    if (c.promotion != Promotion::none) promote_arguments(c, arguments);
    const bool lifted = c.compat && settle_axes(c, arguments);
    const DeviceScope scope(device_of_arguments(arguments));
    const OperationScope operation;
    Tensors found = c.op->call(Args(arguments));
    if (lifted)
      for (Tensor& result : found) result = reshape(result, {});
    return found;
  });
  if (!c.op->returns_tuple) {
    PyObject* result = wrap_like(compat, results.at(0));
    if (c.gives_view && result) note_result(c, values[0], result, arguments, 0);
    return result;
  }
  PyObject* tuple = checked(PyTuple_New(Py_ssize_t(results.size())));
  for (size_t i = 0; i < results.size(); ++i) {
    PyObject* item = results[i] ? wrap_like(compat, results[i]) : Py_NewRef(Py_None);
    PyTuple_SET_ITEM(tuple, Py_ssize_t(i), checked(item));
    if (c.gives_view) note_result(c, values[0], item, arguments, i);
  }
  if (c.op->returns_list()) {
    PyObject* list = tuple ? PySequence_List(tuple) : nullptr;
    Py_XDECREF(tuple);
    return checked(list);
  }
  if (!c.result_type) return checked(tuple);
  PyObject* named = tuple ? PyObject_Call(c.result_type, tuple, nullptr) : nullptr;
  Py_XDECREF(tuple);
  return checked(named);
}

PyObject* place_and_run(const Callable& c, PyObject* const* values) {
  if (c.places.empty()) return run(c, values);
  std::array<PyObject*, kMaxParameters> placed{};
  for (size_t i = 0; i < c.places.size(); ++i) placed[c.places[i]] = values[i];
  return run(c, placed.data());
}

// x.reshape(2, 3) means x.reshape((2, 3)).
PyObject* run_gathered(const Callable& c, PyObject* const* args, Py_ssize_t count,
                       PyObject* keywords) {
  const Py_ssize_t first = Py_ssize_t(c.positional) - 1;
  PyObject* ints = checked(PyTuple_New(count - first));
  for (Py_ssize_t i = first; i < count; ++i) PyTuple_SET_ITEM(ints, i - first, Py_NewRef(args[i]));
  std::array<PyObject*, kMaxParameters> front{}, values{};
  try {
    for (Py_ssize_t i = 0; i < first; ++i) front[size_t(i)] = args[i];
    front[size_t(first)] = ints;
    if (keywords && PyTuple_GET_SIZE(keywords))
      fail(ErrorKind::type, c.name, ": give ", c.names[size_t(first)],
           " as a tuple, beside keyword arguments");
    parse_arguments(c.name.c_str(), c.names, c.positional, 0, front.data(), first + 1, nullptr,
                    values.data());
    PyObject* result = place_and_run(c, values.data());
    Py_DECREF(ints);
    return result;
  } catch (...) {
    Py_DECREF(ints);
    throw;
  }
}

// meshgrid(x, y, indexing="ij"): the tensors are what is given by position; einsum("ij->i", x):
// after the subscripts.
PyObject* run_variadic(const Callable& c, PyObject* const* args, Py_ssize_t count,
                       PyObject* keywords) {
  const size_t at = c.variadic;
  if (size_t(count) < at)
    fail(ErrorKind::type, c.name, ": argument '", c.names[size_t(count)], "' is missing");
  std::array<PyObject*, kMaxParameters> values;
  std::copy_n(args, at, values.data());
  parse_arguments(c.name.c_str(), std::span(c.names).subspan(at + 1), 0, 0, args + count, 0,
                  keywords, values.data() + at + 1);
  const Py_ssize_t rest = count - Py_ssize_t(at);
  values[at] = checked(PyTuple_New(rest));
  for (Py_ssize_t i = 0; i < rest; ++i)
    PyTuple_SET_ITEM(values[at], i, Py_NewRef(args[at + size_t(i)]));
  try {
    PyObject* result = run(c, values.data());
    Py_DECREF(values[at]);
    return result;
  } catch (...) {
    Py_DECREF(values[at]);
    throw;
  }
}

PyObject* call(PyObject* self, PyObject* const* args, size_t flags, PyObject* keywords);

// A compat function given `out=`: called without it, its result written there. Null without one.
PyObject* call_with_out(PyObject* self, PyObject* const* args, Py_ssize_t count,
                        PyObject* keywords) {
  const Py_ssize_t given = PyTuple_GET_SIZE(keywords);
  Py_ssize_t at = 0;
  while (at < given && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, at), "out"))
    ++at;
  if (at == given) return nullptr;
  std::vector<PyObject*> rest(args, args + count + given);
  rest.erase(rest.begin() + count + at);
  const nb::object others = nb::steal(checked(PyTuple_New(given - 1)));
  for (Py_ssize_t i = 0; i < given - 1; ++i)
    PyTuple_SET_ITEM(others.ptr(), i, Py_NewRef(PyTuple_GET_ITEM(keywords, i + (i >= at))));
  const nb::object result =
      nb::steal(checked(call(self, rest.data(), size_t(count), others.ptr())));
  PyObject* out = args[count + at];
  return out == Py_None ? Py_NewRef(result.ptr())
                        : write_out(out, result.ptr(), callable_of(self).name.c_str());
}

PyObject* call(PyObject* self, PyObject* const* args, size_t flags, PyObject* keywords) {
  return guarded([&] {
    const Callable& c = callable_of(self);
    const Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (c.compat && keywords)
      if (PyObject* written = call_with_out(self, args, count, keywords)) return written;
    if (c.variadic != SIZE_MAX) return run_variadic(c, args, count, keywords);
    if (c.gathers && size_t(count) > c.positional) return run_gathered(c, args, count, keywords);
    std::array<PyObject*, kMaxParameters> values;
    parse_arguments(c.name.c_str(), c.names, c.positional, 0, args, count, keywords, values.data(),
                    c.positional_only, c.synonyms);
    return place_and_run(c, values.data());
  });
}

// ---- the types -------------------------------------------------------------------------------

PyObject* get_name(PyObject* self, void*) {
  return to_string_object(callable_of(self).op->short_name());
}
PyObject* get_module(PyObject* self, void*) {
  return to_string_object(callable_of(self).op->module());
}
PyObject* get_doc(PyObject* self, void*) { return to_string_object(callable_of(self).op->doc); }
PyObject* get_text_signature(PyObject* self, void*) {
  return guarded([&] { return to_string_object(text_signature(*callable_of(self).op)); });
}
PyObject* get_signature(PyObject* self, void*) {
  return guarded([&] { return make_signature(*callable_of(self).op); });
}
PyObject* print(PyObject* self) {
  return PyUnicode_FromFormat("<tegula operation %s>", callable_of(self).name.c_str());
}
// By name: `tegula.exp` or `Tensor.exp` is found again.
PyObject* reduce(PyObject* self, PyObject*) { return get_name(self, nullptr); }

PyObject* bind_to(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

PyTypeObject* make_type(const char* name, bool is_method) {
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, vectorcall), READONLY, nullptr},
      {},
  };
  static PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {}};
  static PyGetSetDef attributes[] = {
      {"__name__", get_name, nullptr, nullptr, nullptr},
      {"__qualname__", get_name, nullptr, nullptr, nullptr},
      {"__module__", get_module, nullptr, nullptr, nullptr},
      {"__doc__", get_doc, nullptr, nullptr, nullptr},
      {"__text_signature__", get_text_signature, nullptr, nullptr, nullptr},
      {"__signature__", get_signature, nullptr, nullptr, nullptr},
      {},
  };
  PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
      {Py_tp_repr, reinterpret_cast<void*>(print)},
      {Py_tp_members, members},
      {Py_tp_methods, methods},
      {Py_tp_getset, attributes},
      {is_method ? Py_tp_descr_get : 0, reinterpret_cast<void*>(bind_to)},  // 0 ends the list
      {0, nullptr},
  };
  unsigned flags =
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  if (is_method) flags |= Py_TPFLAGS_METHOD_DESCRIPTOR;
  PyType_Spec spec = {name, int(sizeof(OpObject)), 0, flags, slots};
  return reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
}

PyObject* make_object(PyTypeObject* type, const Callable* callable) {
  PyObject* object = checked(type->tp_alloc(type, 0));
  reinterpret_cast<OpObject*>(object)->vectorcall = call;
  reinterpret_cast<OpObject*>(object)->callable = callable;
  return object;
}

PyTypeObject* function_type = nullptr;
PyTypeObject* method_type = nullptr;

const Callable* make_callable(const Op& op) {
  auto* c = new Callable(op);
  const std::vector<Parameter>& all = *c->parameters;
  if (all.size() > kMaxParameters)
    fail(ErrorKind::runtime, op.name, ": declares more than ", kMaxParameters, " parameters");
  for (const Parameter& p : all) {
    c->names.push_back(p.name.c_str());
    c->defaults.push_back(p.has_default ? parse_default(p) : Arg());
    if (!p.keyword_only) ++c->positional;
    if (p.positional_only) ++c->positional_only;
    if (p.variadic) c->variadic = size_t(&p - all.data());
  }
  c->gathers = gathers_ints(op);
  if (!op.result.empty() && !op.returns_list()) c->result_type = make_result_type(op);
  return c;
}

size_t place_of(const Callable& c, const std::string& parameter) {
  for (size_t i = 0; i < c.parameters->size(); ++i)
    if ((*c.parameters)[i].name == parameter) return i;
  fail(ErrorKind::value, c.name, ": has no parameter '", parameter, "'");
}

// A tuple (PyTorch's name, the operation's name[, default]), or "*": the rest go by name.
void add_renamed(Callable& c, PyObject* item) {
  if (PyUnicode_Check(item)) {
    c.positional = c.names.size();
    return;
  }
  const auto text = [&](Py_ssize_t i) {
    return to_text(checked(PySequence_GetItem(item, i)), c.name.c_str(), "parameters");
  };
  const size_t place = place_of(c, text(1));
  c.places.push_back(place);
  c.names.push_back((new std::string(text(0)))->c_str());
  c.synonyms.push_back((*c.parameters)[place].name.c_str());
  if (PySequence_Size(item) > 2) {
    Parameter& p = const_cast<std::vector<Parameter>&>(*c.parameters)[place];
    p.has_default = true;
    PyObject* value = checked(PySequence_GetItem(item, 2));
    c.defaults[place] = convert(value, p, c.name.c_str());
    Py_DECREF(value);
  }
}

}  // namespace

PyObject* renamed_operation(PyObject*, PyObject* const* args, Py_ssize_t count,
                            PyObject* keywords) {
  return guarded([&] {
    static constexpr const char* names[] = {"name",   "operation", "parameters",
                                            "method", "promotes",  "promotion",
                                            "view",   "gathers",   "lifts"};
    PyObject* values[9];
    parse_arguments("_renamed_operation", names, 3, 3, args, count, keywords, values);
    const auto is_set = [&](size_t i) { return values[i] && PyObject_IsTrue(values[i]); };
    const std::string wanted = to_text(values[1], "_renamed_operation", "operation");
    const Op* found = nullptr;
    for (const Op* op : ops())
      if (op->name == wanted) found = op;
    if (!found) fail(ErrorKind::value, "_renamed_operation: there is no operation ", wanted);
    auto* c = new Callable(*found);
    c->parameters = new std::vector<Parameter>(*c->parameters);
    c->name = to_text(values[0], "_renamed_operation", "name");
    c->compat = true;
    for (const Parameter& p : *c->parameters)
      c->defaults.push_back(p.has_default ? parse_default(p) : Arg());
    c->positional = kMaxParameters;
    for (Py_ssize_t i = 0; i < PySequence_Size(values[2]); ++i) {
      PyObject* item = checked(PySequence_GetItem(values[2], i));
      add_renamed(*c, item);
      Py_DECREF(item);
    }
    c->positional = std::min(c->positional, c->names.size());
    if (values[4])
      for (Py_ssize_t i = 0; i < PySequence_Size(values[4]); ++i) {
        PyObject* item = checked(PySequence_GetItem(values[4], i));
        c->promoted.push_back(place_of(*c, to_text(item, "_renamed_operation", "promotes")));
        Py_DECREF(item);
      }
    if (values[5]) c->promotion = promotion_named(to_text(values[5], "_", "promotion"));
    c->gives_view = is_set(6);
    c->gathers = is_set(7);
    c->lifts = is_set(8);
    const std::vector<Parameter>& all = *c->parameters;
    const bool reduces = std::any_of(all.begin(), all.end(),
                                     [](const Parameter& p) { return p.name == "keepdims"; });
    for (size_t i = 0; i < all.size() && reduces; ++i)
      if (all[i].optional && all[i].name == "axis") c->axis = i;
    return make_object(is_set(3) ? method_type : function_type, c);
  });
}

void add_operations(PyObject* module) {
  function_type = make_type("tegula.Operation", false);
  method_type = make_type("tegula.OperationMethod", true);
  for (const Op* op : ops()) {
    const Callable* callable = make_callable(*op);
    PyObject* function = make_object(function_type, callable);
    check_status(PyModule_AddObjectRef(module, op->attribute().c_str(), function));
    Py_DECREF(function);
    if (callable->result_type) {
      const std::string name(op->result.substr(0, op->result.find(':')));
      check_status(PyModule_AddObjectRef(module, name.c_str(), callable->result_type));
    }
    if (!op->method || op->in_module()) continue;
    PyObject* method = make_object(method_type, callable);
    check_status(PyObject_SetAttrString(reinterpret_cast<PyObject*>(tensor_type),
                                        callable->name.c_str(), method));
    Py_DECREF(method);
  }
}

}  // namespace tegula::python
