// A tree beside another of the same structure.
#pragma once

#include "python/tree.h"

namespace tegula::python {

struct MatchOptions {
  const char* op;       // begins errors
  std::string name;     // of the object, as errors write it
  std::string like;     // what has the structure
  bool exact = true;    // leaves stand where leaves are; otherwise anything may
  PyObject* is_leaf = nullptr;
};

// What of `object` stands at each leaf of the structure. Dicts are matched by their keys. Throws
// ValueError that names the first place where the object is built otherwise.
Objects match(const Tree& structure, PyObject* object, const MatchOptions& options);

}  // namespace tegula::python
