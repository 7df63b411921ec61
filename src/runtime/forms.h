// Forms of a buffer's contents that kernels have prepared and may use again, such as packed
// weights.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/small_vector.h"
#include "runtime/thread_pool.h"

namespace tegula {

class Backend;

// What tells the forms of one buffer apart: which part of it, and how it is laid out.
using FormKey = SmallVector<int64_t, 8>;

// The forms of one buffer. They are made at their second use, die with the contents, count as live
// memory, and are given up when memory runs short.
class Forms {
 public:
  explicit Forms(Backend& backend);
  ~Forms();
  Forms(const Forms&) = delete;
  Forms& operator=(const Forms&) = delete;

  // The form `key` of `bytes` bytes, valid as long as the pointer is held. From the second call on
  // it is kept, written by make(memory) if it is not there; null at the first, and when there is
  // no memory for it.
  std::shared_ptr<const std::byte> find_or_make(const FormKey& key, size_t bytes,
                                                FunctionRef<void(std::byte*)> make);

 private:
  friend bool release_forms(Backend& backend);
  struct Form {
    FormKey key;
    std::shared_ptr<const std::byte> memory;  // null until the second use, and when given up
  };
  Form* find(const FormKey& key);

  Backend& backend_;
  std::vector<Form> forms_;
};

// Gives up all forms on a device, those that a kernel is using when it has ended. False if there
// were none.
bool release_forms(Backend& backend);

}  // namespace tegula
