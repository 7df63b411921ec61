// Sorting the arguments of a call by name.
#include <cstring>

#include "python/convert.h"
#include "python/errors.h"

namespace tegula::python {

void parse_arguments(const char* op, std::span<const char* const> names, size_t positional,
                     size_t required, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
                     PyObject** values, size_t positional_only,
                     std::span<const char* const> synonyms) {
  if (size_t(count) > positional)
    fail(ErrorKind::type, op, ": takes at most ", positional, " positional argument",
         positional == 1 ? "" : "s", ", got ", count);
  for (size_t i = 0; i < names.size(); ++i) values[i] = i < size_t(count) ? args[i] : nullptr;
  const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t k = 0; k < named; ++k) {
    const char* word = PyUnicode_AsUTF8(PyTuple_GET_ITEM(keywords, k));
    if (!word) throw_python_error();
    size_t i = positional_only;
    while (i < names.size() && std::strcmp(names[i], word) != 0) ++i;
    if (i == names.size() && !synonyms.empty()) {
      i = 0;
      while (i < names.size() && std::strcmp(synonyms[i], word) != 0) ++i;
    }
    if (i == names.size()) {
      std::string known;
      for (const char* name : names.subspan(positional_only))
        known += (known.empty() ? "" : ", ") + std::string(name);
      fail(ErrorKind::type, op, ": unexpected argument '", word, "'; it takes ", known);
    }
    if (values[i]) fail(ErrorKind::type, op, ": argument '", word, "' was given twice");
    values[i] = args[count + k];
  }
  for (size_t i = 0; i < required; ++i)
    if (!values[i]) fail(ErrorKind::type, op, ": argument '", names[i], "' is missing");
}

}  // namespace tegula::python
