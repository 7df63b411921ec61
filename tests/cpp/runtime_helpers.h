// What several of the runtime's test files need.
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "base/error.h"
#include "runtime/thread_pool.h"

namespace tegula::test {

// The kind and message of the Error that `f` throws; fails the test if it throws none.
template <class F>
std::pair<ErrorKind, std::string> error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  FAIL("no error was thrown");
  return {ErrorKind::runtime, ""};
}

inline bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// Sets the number of threads for a test and restores it.
class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }

 private:
  int before_;
};

// Runs one (skipped) test case of this binary in a fresh process; its exit status and output.
inline std::pair<int, std::string> in_fresh_process(const std::string& environment,
                                                    const std::string& test_case) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      environment + " '" + program + "' --no-skip --test-case='" + test_case + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  std::array<char, 512> chunk;
  while (std::fgets(chunk.data(), chunk.size(), pipe)) output += chunk.data();
  return {WEXITSTATUS(pclose(pipe)), output};
}

}  // namespace tegula::test
