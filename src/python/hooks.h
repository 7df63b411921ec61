// The engine's hooks into Python: the GIL, Ctrl-C, and where in the user's program a node was
// recorded.
#pragma once

#include <Python.h>

#include <string>

namespace tegula::python {

void install_hooks();
// Frames of files below this folder are the framework's own, not the user's.
void set_internal_folder(std::string folder);
bool interpreter_is_ending();
// PyGILState_Ensure, but for a thread that Python would end there: that sleeps for ever.
PyGILState_STATE ensure_gil();

}  // namespace tegula::python
