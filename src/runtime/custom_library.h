// Operations compiled apart from the engine, against tegula/custom_op.h, and loaded by path.
#pragma once

#include <tegula/custom_op.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/kernel.h"

namespace tegula {

// One operation of a library. It is there as long as the process, at the same address.
struct CustomKernel {
  std::string name;  // with its library's: "mine.twice"
  const tegula_operation* declared;

  bool has(uint32_t flag) const { return declared->flags & flag; }
  // The outputs as its shape rule has them: views without data. Throws what the rule says.
  std::vector<View> infer(std::span<const View> inputs, std::span<const int64_t> attributes) const;
  // Throws what the kernel says, the first of its pieces by index.
  void run(std::span<const View> inputs, std::span<const View> outputs,
           std::span<const int64_t> attributes) const;
};

struct CustomLibrary {
  std::string name, path;
  std::vector<std::unique_ptr<const CustomKernel>> kernels;
};

// Loads a library, for good; one that is loaded already is given again. Throws ValueError for a
// file that is no such library, that was built for another ABI, or whose name is taken.
const CustomLibrary& load_custom_library(const std::string& path);

}  // namespace tegula
