// What a backend is asked to run: a step, prepared once when its plan is built and run many times.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/shape.h"

namespace tegula {

class Buffer;
struct TileProgram;

// One operand: `data` points at logical element (0, ..., 0); strides count elements and may be
// zero or negative.
struct View {
  std::byte* data = nullptr;
  DType dtype = DType::float32;
  Shape shape;
  Strides strides;
  // Where an input is kept whose contents stay the same from run to run, as weights do; null for
  // others. Its forms() keep what a kernel made of them.
  Buffer* buffer = nullptr;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

// Integers that describe an operation (axes, strides, flags). See src/graph/attrs.h for the
// layouts; doubles are stored by their bits.
using Attrs = SmallVector<int64_t, 4>;

struct KernelArgs {
  std::span<const View> inputs;
  // Dense, row-major, unless the primitive or Kernel::channels_last says otherwise. See
  // Kernel::optional_outputs.
  std::span<const View> outputs;
  std::span<const int64_t> attrs;
  std::span<const int64_t> dynamic;  // run-time words: random offsets, counters
  const void* prepared = nullptr;    // what Kernel::prepare returned
};

// A step as it is known when the plan is built: views without data.
struct StepSpec {
  std::string_view kind;  // the primitive's name, or "tile"
  std::span<const View> inputs;
  std::span<const View> outputs;
  std::span<const int64_t> attrs;
  const TileProgram* program = nullptr;  // for "tile"; for others, see Kernel::takes_epilogue
};

// What of a step's images, (N, C, spatial axes...), a kernel would rather have in memory with the
// elements of a pixel, its channels, side by side. It takes them in any order.
struct ChannelsLast {
  uint32_t inputs = 0;  // bit k: input k
  bool output = false;  // all outputs
};

struct Kernel {
  void (*run)(const KernelArgs&) = nullptr;
  // Work done once per plan (choosing loops, compiling a tile program); may be null.
  std::shared_ptr<void> (*prepare)(const StepSpec&) = nullptr;
  // May throw for what its inputs contain (an index out of range).
  bool can_fail = false;
  // An output that nobody reads is given without memory: its data is null.
  bool optional_outputs = false;
  // Whether a step, given without its program, can have an epilogue: a tile program without
  // reductions that reads the step's only result, its input 0, point by point. The step's inputs
  // are then followed by the program's others and its outputs by the program's, one of which may
  // be the result's very memory. Null: never.
  bool (*takes_epilogue)(const StepSpec&) = nullptr;
  // Null: none.
  ChannelsLast (*channels_last)(const StepSpec&) = nullptr;
};

}  // namespace tegula
