// The state of random numbers. Recording reserves a range of a generator's counters, so what is
// drawn depends on the order of the program and never on when, or whether, it is evaluated.
#pragma once

#include <cstdint>

#include "base/ref.h"

namespace tegula {

// Counter-based: a key and the next free counter block.
struct Generator : RefCounted<Generator> {
  uint64_t key = 0;
  uint64_t offset = 0;

  Generator() = default;
  Generator(uint64_t key, uint64_t offset) : key(key), offset(offset) {}
  void set(uint64_t fresh_key, uint64_t fresh_offset) {
    key = fresh_key;
    offset = fresh_offset;
  }
};

Generator& default_generator();

// While it lives, `generator` is this thread's default.
class GeneratorScope {
 public:
  explicit GeneratorScope(Generator& generator);
  ~GeneratorScope();
  GeneratorScope(const GeneratorScope&) = delete;
  GeneratorScope& operator=(const GeneratorScope&) = delete;

 private:
  Generator* before_;
};

}  // namespace tegula
