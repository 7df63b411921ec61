// Memory for a tile program's operands, and running one on both executors.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "plan/tile.h"
#include "plan/tile_interpreter.h"

namespace tegula::testing {

// Memory that holds an operand, wherever its strides take it.
struct TileMemory {
  DType dtype;
  int64_t origin = 0;  // in elements
  std::vector<std::byte> bytes;

  TileMemory(const TileOperand& operand, const Shape& extent) : dtype(operand.dtype) {
    int64_t highest = 0;
    for (size_t a = 0; a < extent.size(); ++a) {
      const int64_t reach = operand.strides[a] * std::max<int64_t>(extent[a] - 1, 0);
      (reach < 0 ? origin : highest) += reach;
    }
    origin = -origin;
    bytes.resize(size_t(highest + origin + 1) * itemsize(dtype));
  }
  int64_t size() const { return int64_t(bytes.size() / itemsize(dtype)); }
  View view() {
    View v;
    v.dtype = dtype;
    v.data = bytes.data() + origin * int64_t(itemsize(dtype));
    return v;
  }
  template <class T>
  T* data() {
    return reinterpret_cast<T*>(bytes.data());
  }
};

inline bool same_element(DType dtype, const std::byte* a, const std::byte* b) {
  return dispatch(real_dtype(dtype), [&](auto zero) {
    using T = decltype(zero);
    for (size_t at = 0; at < itemsize(dtype); at += sizeof(T)) {  // the parts of a complex number
      if (std::memcmp(a + at, b + at, sizeof(T)) == 0) continue;
      if constexpr (std::is_floating_point_v<compute_t<T>>) {
        T x, y;
        std::memcpy(static_cast<void*>(&x), a + at, sizeof(T));
        std::memcpy(static_cast<void*>(&y), b + at, sizeof(T));
        if (std::isnan(compute_t<T>(x)) && std::isnan(compute_t<T>(y))) continue;
      }
      return false;
    }
    return true;
  });
}

// The first element that differs, or -1. Any NaN equals any other.
inline int64_t first_difference(const TileMemory& a, const TileMemory& b) {
  const size_t size = itemsize(a.dtype);
  if (a.bytes == b.bytes) return -1;
  for (int64_t i = 0; i < a.size(); ++i)
    if (!same_element(a.dtype, a.bytes.data() + size_t(i) * size,
                      b.bytes.data() + size_t(i) * size))
      return i;
  return -1;
}

inline const Kernel& tile_kernel() {
  for (const cpu::KernelEntry& entry : cpu::tile_kernels())
    if (entry.kind == "tile") return entry.kernel;
  FAIL("there is no tile kernel");
  std::abort();
}

// Operands of a program. `alias[k]`, if not -1, is the input whose memory output k takes.
struct TileOperands {
  std::vector<TileMemory> inputs, outputs;
  std::vector<int> alias;

  explicit TileOperands(const TileProgram& p) : alias(p.outputs.size(), -1) {
    for (const TileOperand& o : p.inputs) inputs.emplace_back(o, p.extent);
    for (const TileOperand& o : p.outputs) outputs.emplace_back(o, p.extent);
  }
  TileMemory& output(size_t k) { return alias[k] < 0 ? outputs[k] : inputs[size_t(alias[k])]; }
  std::vector<View> input_views() {
    std::vector<View> views;
    for (TileMemory& m : inputs) views.push_back(m.view());
    return views;
  }
  std::vector<View> output_views() {
    std::vector<View> views;
    for (size_t k = 0; k < outputs.size(); ++k) views.push_back(output(k).view());
    return views;
  }
  void interpret(const TileProgram& p) {
    const std::vector<View> in = input_views(), out = output_views();
    tegula::interpret(p, in, out);
  }
  void execute(const TileProgram& p) {
    const std::vector<View> in = input_views(), out = output_views();
    StepSpec spec;
    spec.kind = "tile";
    spec.program = &p;
    const std::shared_ptr<void> prepared = tile_kernel().prepare(spec);
    KernelArgs args;
    args.inputs = in;
    args.outputs = out;
    args.prepared = prepared.get();
    tile_kernel().run(args);
  }
};

// Runs f with every instruction set this processor has.
template <class F>
void for_each_isa(F&& f) {
  const char* before = std::getenv("TEGULA_ISA");
  const std::string kept = before ? before : "";
  for (const std::string& isa : cpu::supported_isas()) {
    setenv("TEGULA_ISA", isa.c_str(), 1);
    cpu::choose_isa();
    CAPTURE(isa);
    f(isa);
  }
  setenv("TEGULA_ISA", before ? kept.c_str() : cpu::supported_isas()[0].c_str(), 1);
  cpu::choose_isa();
  if (!before) unsetenv("TEGULA_ISA");
}

}  // namespace tegula::testing
