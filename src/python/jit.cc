// tg.jit: a function is traced once for each kind of arguments, and replayed from then on.
#include <algorithm>
#include <list>

#include "python/bindings.h"
#include "python/casters.h"
#include "python/convert.h"
#include "python/errors.h"
#include "python/specialization.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

class JitFunction {
 public:
  // Every check_every-th call that could be replayed is checked; 0 for none.
  JitFunction(nb::object function, size_t limit, int64_t check_every)
      : function_(std::move(function)), limit_(limit), check_every_(check_every) {}
  JitFunction(const JitFunction&) = delete;
  JitFunction& operator=(const JitFunction&) = delete;

  nb::object call(const nb::tuple& args, const nb::dict& kwargs) {
    if (Trace::current())
      return nb::steal(checked(PyObject_Call(function_.ptr(), args.ptr(), kwargs.ptr())));
    Tree arguments = flatten_call(args, kwargs);
    const std::vector<int32_t> repeats = repeats_of(arguments);
    for (auto it = known_.begin(); it != known_.end(); ++it) {
      if (!fits(**it, arguments, repeats)) continue;
      ++hits_;
      known_.splice(known_.begin(), known_, it);
      if (check_every_ > 0 && hits_ % check_every_ == 0) return check(*it, arguments);
      return replay(*it, arguments, false);
    }
    ++misses_;
    known_.push_front(trace_call(function_.ptr(), arguments));
    if (known_.size() > limit_) known_.pop_back();
    return replay(known_.front(), arguments, true);
  }

  nb::dict info() const {
    nb::dict result;
    size_t plans = 0;
    for (const auto& s : known_) plans += s->replay->plan_count();
    result["hits"] = hits_;
    result["misses"] = misses_;
    result["traces"] = known_.size();
    result["plans"] = plans;
    result["limit"] = limit_;
    return result;
  }
  void clear() {
    const auto dropped = std::move(known_);
    known_.clear();
  }

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(function_.ptr());
    for (const auto& s : known_) {
      for (const Objects* group :
           {&s->objects, &s->constants, &s->arguments.statics, &s->result.statics})
        for (const nb::object& object : *group) Py_VISIT(object.ptr());
    }
    return 0;
  }
  void drop() {
    clear();
    function_.reset();
  }

 private:
  // Traces the function again, which must do what it did before. The new trace, which has done what
  // happens on the host, is the one that runs.
  nb::object check(std::shared_ptr<Specialization> known, const Tree& arguments) {
    const auto fresh = trace_call(function_.ptr(), arguments);
    if (const std::string found = difference(*known, *fresh); !found.empty())
      fail(
          ErrorKind::trace,
          "jit: trace_check: the function has changed since it was traced: ", found,
          ". It depends on Python state that a trace does not follow; pass that as an argument, or "
          "keep it in a tensor");
    std::replace(known_.begin(), known_.end(), known, fresh);
    return replay(fresh, arguments, true);
  }

  // Held: what runs may forget it, here or in another thread.
  static nb::object replay(std::shared_ptr<Specialization> known, const Tree& arguments,
                           bool first) {
    return replay_call(*known, arguments, first);
  }

  nb::object function_;
  size_t limit_;
  int64_t check_every_;
  std::list<std::shared_ptr<Specialization>> known_;  // latest used first
  int64_t hits_ = 0, misses_ = 0;
};

int traverse_jit(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<JitFunction>(self)->traverse(visit, arg) : 0;
}
int clear_jit(PyObject* self) {
  nb::inst_ptr<JitFunction>(self)->drop();
  return 0;
}

Capture& capturing() {
  Capture* capture = Capture::current();
  if (!capture) fail(ErrorKind::runtime, "internal: no function is being traced");
  return *capture;
}

}  // namespace

void add_jit(nb::module_& m) {
  PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_jit)},
                         {Py_tp_clear, reinterpret_cast<void*>(clear_jit)},
                         {0, nullptr}};
  nb::class_<JitFunction>(m, "_Jit", nb::type_slots(slots), "A function that tg.jit replays.")
      .def(nb::init<nb::object, size_t, int64_t>(), nb::arg("function"), nb::arg("limit"),
           nb::arg("check_every"))
      .def("call", &JitFunction::call, nb::arg("args"), nb::arg("kwargs"),
           nb::sig("def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any"),
           "What the function returns, traced or replayed.")
      .def("info", &JitFunction::info, nb::sig("def info(self) -> dict[str, int]"),
           "Calls that were replayed and traced; traces and plans kept.")
      .def("clear", &JitFunction::clear, "Forgets all traces.");
  m.def(
      "_is_tracing", [] { return Capture::current() != nullptr; },
      "Whether this thread is tracing a function.");
  m.def(
      "_setting",
      [](const nb::dict& container, const nb::str& key) {
        return nb::steal(checked(wrap(capturing().setting(container.ptr(), key.ptr()))));
      },
      nb::arg("container"), nb::arg("key"),
      nb::sig("def _setting(container: dict[str, Any], key: str) -> Tensor"),
      "container[key], a number, as it is whenever the function being traced runs.");
  m.def(
      "_at_each_run", [](const nb::object& function) { capturing().call(function.ptr()); },
      nb::arg("function"), nb::sig("def _at_each_run(function: Callable[[], Any]) -> None"),
      "Calls it again whenever the function being traced is replayed.");
  m.def(
      "_depend",
      [](const nb::object& object, const nb::str& name, const nb::object& value, bool is_mode) {
        capturing().depend(object.ptr(), name.ptr(), value.ptr(), is_mode);
      },
      nb::arg("object"), nb::arg("name"), nb::arg("value"), nb::arg("is_mode") = false,
      nb::sig("def _depend(object: object, name: str, value: Any, is_mode: bool = False) -> None"),
      "Has the function traced anew when object.name, or object[name] of a dict, is no longer\n"
      "value. A mode is looked at only after _note_mode_change().");
  m.def(
      "_note_mode_change", [] { ++mode_changes; },
      "Has traced functions look again at what they depend on.");
}

}  // namespace tegula::python
