#include "python/hooks.h"

#include <cxxabi.h>
#include <frameobject.h>
#include <unistd.h>

#include <array>

#include "graph/node.h"
#include "python/errors.h"
#include "runtime/host.h"

namespace tegula::python {
namespace {

std::string internal_folder;

// ---- the GIL and Ctrl-C ----------------------------------------------------------------------

// Until 3.14 Python ends a daemon thread that comes for the lock while the process ends by
// unwinding its stack, which would run our destructors without the lock: it sleeps instead.
template <class F>
auto unless_ending(F&& take) {
  try {
    return take();
  } catch (const abi::__forced_unwind&) {
    while (true) pause();
  }
}

void* release_gil() { return PyGILState_Check() ? PyEval_SaveThread() : nullptr; }
void take_gil(void* state) {
  if (state) unless_ending([&] { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); });
}

bool enter_gil(int* state) {
  if (interpreter_is_ending()) return false;
  *state = int(ensure_gil());
  return true;
}
void leave_gil(int state) { PyGILState_Release(PyGILState_STATE(state)); }

// Python runs signal handlers on its main thread alone; elsewhere nothing is ever pending.
bool interrupted() {
  if (interpreter_is_ending()) return false;
  const PyGILState_STATE state = ensure_gil();
  const bool stop = PyErr_CheckSignals() < 0;
  if (stop) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) PyException_SetTraceback(value, traceback);
    keep_interruption(value);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
  }
  PyGILState_Release(state);
  return stop;
}

// ---- source locations ------------------------------------------------------------------------

// Whether a file is the framework's own. Code objects of a module share their file name's object,
// so a small table by its address answers nearly always; it keeps the objects alive.
bool is_internal(PyObject* filename) {
  struct Entry {
    PyObject* filename = nullptr;
    bool internal = false;
  };
  static std::array<Entry, 256> table;
  Entry& entry = table[(reinterpret_cast<uintptr_t>(filename) >> 4) % table.size()];
  if (entry.filename == filename) return entry.internal;
  const char* path = PyUnicode_AsUTF8(filename);
  if (!path) PyErr_Clear();
  const bool internal = path && !internal_folder.empty() &&
                        std::string_view(path).substr(0, internal_folder.size()) == internal_folder;
  PyObject* before = std::exchange(entry.filename, Py_NewRef(filename));
  entry.internal = internal;
  Py_XDECREF(before);
  return internal;
}

// In bytes, as PyCode_Addr2Line takes it.
int instruction(PyFrameObject* frame) {
#if PY_VERSION_HEX >= 0x030b0000
  return PyFrame_GetLasti(frame);
#else
  return frame->f_lasti * 2;
#endif
}

SourceLocation capture() {
  PyFrameObject* frame = PyThreadState_GetFrame(PyThreadState_Get());
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    if (!is_internal(code->co_filename)) {
      const SourceLocation where{code, instruction(frame)};
      Py_DECREF(frame);
      return where;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  return {};
}

PyObject* code_of(const void* token) { return static_cast<PyObject*>(const_cast<void*>(token)); }
void retain(const void* token) { Py_INCREF(code_of(token)); }
void release(const void* token) { Py_DECREF(code_of(token)); }

std::string text_of(PyObject* object) {
  const char* text = object ? PyUnicode_AsUTF8(object) : nullptr;
  if (!text) PyErr_Clear();
  return text ? text : "?";
}

std::string describe_location(SourceLocation where) {
  if (interpreter_is_ending()) return "";
  const PyGILState_STATE state = ensure_gil();
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  auto* code = static_cast<PyCodeObject*>(const_cast<void*>(where.token));
  std::string file = text_of(code->co_filename);
  file = file.substr(file.rfind('/') + 1);
  std::string result = cat(file, ':', PyCode_Addr2Line(code, where.offset));
  const std::string function = text_of(code->co_name);
  if (function != "<module>") result += " in " + function;
  PyErr_Restore(type, value, traceback);
  PyGILState_Release(state);
  return result;
}

std::string rewrite_statement(SourceLocation where) {
  std::string text;
  PyObject* module = PyImport_ImportModule("tegula._rewrite");
  PyObject* result =
      module ? PyObject_CallMethod(module, "rewrite", "Oi", code_of(where.token), int(where.offset))
             : nullptr;
  if (result) text = text_of(result);
  Py_XDECREF(result);
  Py_XDECREF(module);
  PyErr_Clear();  // an error without advice is still an error
  return text;
}

}  // namespace

bool interpreter_is_ending() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsFinalizing() || !Py_IsInitialized();
#else
  return _Py_IsFinalizing() || !Py_IsInitialized();
#endif
}

void set_internal_folder(std::string folder) {
  if (!folder.empty() && folder.back() != '/') folder += '/';
  internal_folder = std::move(folder);
}

PyGILState_STATE ensure_gil() {
  return unless_ending([] { return PyGILState_Ensure(); });
}

void install_hooks() {
  host_hooks() = {release_gil, take_gil, interrupted, enter_gil, leave_gil};
  source_hooks() = {capture, retain, release, describe_location, rewrite_statement};
}

}  // namespace tegula::python
