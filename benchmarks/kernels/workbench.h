// Tensors by name and a list of steps on them, run as the engine's plans run them but without any
// recording or planning before.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plan/tile.h"
#include "recorded.h"
#include "runtime/backend.h"
#include "runtime/thread_pool.h"

namespace tegula::bench {

// Seconds per call over many calls, or per batch of calls where one is too short to be timed.
struct Timing {
  double median, low, high;
  int64_t calls;
};

// Calls f over and over for so long.
Timing time_calls(FunctionRef<void()> f, double seconds);

class Workbench {
 public:
  Workbench();
  ~Workbench();
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;

  // Strides count elements and may be zero or negative. The memory starts as zeros.
  void add_tensor(const std::string& name, DType dtype, const Shape& shape, const Strides& strides);
  // Elements come from, or go to, a file in row-major order. A file written by np.save, of the
  // same dtype and shape, or of integers as wide where NumPy lacks the dtype.
  void load(const std::string& name, const std::string& path);
  void save(const std::string& name, const std::string& path) const;
  // Uniform random numbers in [low, high).
  void fill(const std::string& name, double low, double high);

  // Appends a step. `kind` is a primitive's name, or "reference.<name>" for a loop of
  // reference_loops.h. Throws ErrorKind::unsupported if there is no such kernel.
  void add_step(const std::string& kind, const std::vector<std::string>& inputs,
                const std::vector<std::string>& outputs, const Attrs& attrs,
                const std::vector<int64_t>& dynamic);
  void add_tile(const std::string& program, const std::vector<std::string>& inputs,
                const std::vector<std::string>& outputs);
  // Appends the steps that a plan of these lines has (recorded.h). Until the steps are forgotten,
  // its outputs' names mean their results.
  void add_recorded(const std::vector<std::string>& lines, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs);
  // Runs all steps in order.
  void run() const;
  // Forgets all steps; then also all tensors.
  void clear_steps();
  void clear();

 private:
  struct Memory {
    std::byte* data;
    size_t bytes;
    View view;
  };
  struct Step {
    std::vector<View> inputs, outputs;
    Attrs attrs;
    std::vector<int64_t> dynamic;
    std::unique_ptr<TileProgram> program;
    const Kernel* kernel = nullptr;
    std::shared_ptr<void> prepared;
  };

  const Memory& find(const std::string& name) const;
  const View& view(const std::string& name) const;
  std::vector<View> views(const std::vector<std::string>& names) const;
  void add(const std::string& kind, Step step);

  Backend& backend_;
  std::map<std::string, Memory> tensors_;
  std::vector<Step> steps_;
  std::vector<std::unique_ptr<Recorded>> recorded_;
  std::map<std::string, View> results_;  // of recorded steps
};

}  // namespace tegula::bench
