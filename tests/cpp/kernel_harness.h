// Arrays with awkward strides, and running one kernel on them.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

#include "backend/cpu/kernels.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::testing {

inline constexpr DType kAllDTypes[] = {
    DType::bool_,    DType::int8,    DType::int16,  DType::int32,  DType::int64,
    DType::uint8,    DType::uint16,  DType::uint32, DType::uint64, DType::float16,
    DType::bfloat16, DType::float32, DType::float64};

// How an array's elements lie in memory.
enum class Layout { dense, reversed_axes, flipped, gaps, broadcast };
inline constexpr Layout kLayouts[] = {Layout::dense, Layout::reversed_axes, Layout::flipped,
                                      Layout::gaps, Layout::broadcast};

struct Array {
  View shell;
  std::vector<std::byte> memory;
  int64_t origin = 0;  // in elements

  Array(DType dtype, const Shape& shape, Layout layout = Layout::dense) {
    shell.dtype = dtype;
    shell.shape = shape;
    const size_t rank = shape.size();
    shell.strides = contiguous_strides(shape);
    int64_t elements = numel(shape);
    if (layout == Layout::reversed_axes) {
      int64_t step = 1;
      for (size_t i = 0; i < rank; ++i) {
        shell.strides[i] = step;
        step *= std::max<int64_t>(shape[i], 1);
      }
    } else if (layout == Layout::flipped) {
      for (size_t i = 0; i < rank; ++i) {
        origin += std::max<int64_t>(shape[i] - 1, 0) * shell.strides[i];
        shell.strides[i] = -shell.strides[i];
      }
    } else if (layout == Layout::gaps) {
      for (size_t i = 0; i < rank; ++i) shell.strides[i] *= 3;
      elements *= 3;
    } else if (layout == Layout::broadcast && rank > 0) {
      shell.strides[0] = 0;
    }
    memory.resize((elements + 1) * itemsize(dtype));
  }
  View view() {
    View v = shell;
    v.data = memory.data() + origin * int64_t(itemsize(shell.dtype));
    return v;
  }
  int64_t size() const { return numel(shell.shape); }
  int64_t offset(int64_t flat) const {
    int64_t at = origin;
    for (size_t i = shell.shape.size(); i-- > 0;) {
      at += flat % shell.shape[i] * shell.strides[i];
      flat /= shell.shape[i];
    }
    return at;
  }
  // Element `flat` in row-major order.
  template <class T>
  T& at(int64_t flat) {
    return reinterpret_cast<T*>(memory.data())[offset(flat)];
  }
  double get(int64_t flat) {
    return dispatch(shell.dtype, [&](auto zero) { return double(at<decltype(zero)>(flat)); });
  }
  void set(int64_t flat, double value) {
    dispatch(shell.dtype, [&](auto zero) {
      using T = decltype(zero);
      at<T>(flat) = T(compute_t<T>(value));
    });
  }
  // Small whole numbers, exact in every dtype.
  Array& fill(std::mt19937& random, int low = 0, int high = 9) {
    std::uniform_int_distribution<int> any(low, high);
    for (int64_t i = 0; i < size(); ++i) set(i, any(random));
    return *this;
  }
  std::vector<double> values() {
    std::vector<double> out(size());
    for (int64_t i = 0; i < size(); ++i) out[i] = get(i);
    return out;
  }
};

inline void run_kernel(std::span<const cpu::KernelEntry> table, std::string_view kind,
                       std::vector<View> inputs, std::vector<View> outputs, const Attrs& attrs,
                       std::vector<int64_t> dynamic = {}) {
  for (const auto& entry : table)
    if (entry.kind == kind) {
      KernelArgs args;
      args.inputs = inputs;
      args.outputs = outputs;
      args.attrs = attrs;
      args.dynamic = dynamic;
      return entry.kernel.run(args);
    }
  FAIL("no kernel is called " << kind);
}

// The bytes that run() leaves in `out` must be the same with 1, 2, 3 and 8 threads.
template <class F>
void check_threads(Array& out, F&& run) {
  const int before = num_threads();
  std::vector<std::byte> first;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    std::fill(out.memory.begin(), out.memory.end(), std::byte(0));
    run();
    if (threads == 1) first = out.memory;
    CHECK(out.memory == first);
  }
  set_num_threads(before);
}

}  // namespace tegula::testing
