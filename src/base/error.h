// Errors a user can be shown. Every message names the operation, the argument and what would be
// right; the bindings map each kind to the Python exception of the same meaning.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace tegula {

enum class ErrorKind {
  value,          // ValueError
  type,           // TypeError
  index,          // IndexError
  runtime,        // RuntimeError
  unsupported,    // NotImplementedError
  device,         // tegula.DeviceError
  out_of_memory,  // tegula.OutOfMemoryError
  floating,       // FloatingPointError
  interrupted,    // KeyboardInterrupt
  trace,          // tegula.TraceError
  linear_algebra, // tegula.linalg.LinAlgError
  missing,        // ImportError
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// Joins the printed forms of its arguments.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, cat(parts...));
}

// Throws ValueError unless `ok`. The message is built only on failure.
template <class... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) fail(ErrorKind::value, parts...);
}

}  // namespace tegula
