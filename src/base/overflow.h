// A number that does not fit the dtype it is to have: in Python an OverflowError, as the array API
// standard has it, that is a ValueError too.
#pragma once

#include "base/error.h"

namespace tegula {

class OverflowError : public Error {
 public:
  explicit OverflowError(const std::string& message) : Error(ErrorKind::value, message) {}
};

template <class... Parts>
[[noreturn]] void fail_overflow(const Parts&... parts) {
  throw OverflowError(cat(parts...));
}

}  // namespace tegula
