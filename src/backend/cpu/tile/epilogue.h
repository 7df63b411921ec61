// The tile program that rides on another step: a kernel that honours Kernel::takes_epilogue runs it
// over each part of its result as soon as that is finished, while the part is in the caches.
#pragma once

#include "runtime/kernel.h"

namespace tegula::cpu {

class Epilogue {
 public:
  // What Kernel::prepare is to return for a step whose result has rows of `columns` elements, in
  // the order they lie in memory. Null where the step has no program.
  static std::shared_ptr<void> prepare(const StepSpec& step, int64_t columns);

  // Without a program unless the step was prepared with one.
  explicit Epilogue(const KernelArgs& args);

  explicit operator bool() const { return prepared_ != nullptr; }
  // Runs over columns [column, column + columns) of some rows of the result. Threads may run
  // different parts at the same time.
  void run(int64_t row, int64_t rows, int64_t column, int64_t columns) const;
  // Runs over the whole result, on all threads.
  void run() const;
  double microseconds() const;  // that one thread takes for all of it, about

 private:
  struct Prepared;

  const Prepared* prepared_;
  SmallVector<View, 4> inputs_;
  std::span<const View> outputs_;
};

}  // namespace tegula::cpu
