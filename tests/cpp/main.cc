// The one main of the C++ tests. The devices are made known once, for every test file.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "backend/cpu/cpu_backend.h"
#include "backend/null/null_backend.h"
#include "runtime/thread_pool.h"

int main(int argc, char** argv) {
  try {
    tegula::register_cpu_backend();
    tegula::register_null_backend();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  const int result = doctest::Context(argc, argv).run();
  tegula::stop_threads();  // what they keep for themselves would look like leaks
  return result;
}
