// What the kernels of recurrent layers share: the walk over steps, and how steps, rows and hidden
// units are cut into tasks.
//
// A row's state depends on no other row, so blocks of rows go through all steps on their own. Where
// there are few rows, or weights that are better read once for all of them, the hidden units of one
// step after another are shared out instead. Neither changes the order of a sum (see gemm.h).
#pragma once

#include <algorithm>

#include "backend/cpu/neural/recurrent_loops.h"
#include "backend/cpu/neural/step_product.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

// A view of up to three axes whose last one is contiguous: where it lies, or copied. Axes that are
// missing come first.
template <class T>
class Lines {
 public:
  explicit Lines(const View& view) {
    const size_t rank = view.shape.size();
    for (size_t i = 0; i < rank; ++i) {
      shape_[i + 3 - rank] = view.shape[i];
      stride_[i + 3 - rank] = view.strides[i];
    }
    data_ = view.as<T>();
    if (stride_[2] == 1 || shape_[2] <= 1) return;
    const Matrix from{view.data, view.dtype, stride_[1], stride_[2]};
    copy_ = allocate_aligned(size_t(shape_[0] * shape_[1] * shape_[2]) * sizeof(T));
    T* to = reinterpret_cast<T*>(copy_.get());
    data_ = to;
    for (int64_t i = 0; i < shape_[0]; ++i)
      for (int64_t j = 0; j < shape_[1]; ++j, to += shape_[2])
        gemm_kernels<T>().pack(from.moved(i * stride_[0]).at(j, 0), 1, 1, shape_[2], to);
    stride_[0] = shape_[1] * shape_[2];
    stride_[1] = shape_[2];
  }
  const T* at(int64_t i, int64_t j) const { return data_ + i * stride_[0] + j * stride_[1]; }
  int64_t row_stride() const { return stride_[1]; }

 private:
  int64_t shape_[3] = {1, 1, 1}, stride_[3] = {};
  const T* data_;
  AlignedBytes copy_;
};

// An output that a kernel also works with: memory of its own where nobody reads it.
template <class T>
class Result {
 public:
  explicit Result(const View& view) : data_(view.as<T>()), size_(view.shape.back()) {
    if (data_) return;
    own_ = allocate_aligned(size_t(numel(view.shape)) * sizeof(T));
    data_ = reinterpret_cast<T*>(own_.get());
  }
  T* row(int64_t i) const { return data_ + i * size_; }

 private:
  T* data_;
  int64_t size_;
  AlignedBytes own_;
};

// A task's part of a step: rows [row, row + rows), hidden units [unit, unit_end).
struct StepPart {
  int64_t row, rows, unit, unit_end;
};

struct RecurrentSizes {
  int64_t steps, rows, hidden, gates;

  double step_work() const { return double(rows) * double(hidden) * double(hidden * gates); }
};

// Units whose sums stay in the first-level cache between product and gates.
template <class T>
int64_t unit_block() {
  return round_up(64, gemm_kernels<T>().panel);
}

// Calls step(t, part) for t < `steps` in order, for parts that cover all rows and units.
template <class T, class F>
void for_steps(const RecurrentSizes& sizes, int64_t steps, F&& step) {
  constexpr int64_t kRows = 16, kCachedBytes = int64_t(1) << 19;
  const double work = sizes.step_work();
  const int64_t row_parts = ceil_div(sizes.rows, kRows), units = unit_block<T>();
  const int64_t unit_parts = ceil_div(sizes.hidden, units);
  const int64_t bytes = sizes.hidden * sizes.hidden * sizes.gates * int64_t(sizeof(T));
  const bool by_units = (row_parts == 1 || bytes > kCachedBytes) && work >= 3 * kPieceWork;
  if (!by_units)
    return for_pieces(row_parts, work * double(steps), [&](int64_t part) {
      const int64_t row = tile_start(sizes.rows, row_parts, part);
      const int64_t rows = tile_start(sizes.rows, row_parts, part + 1) - row;
      for (int64_t t = 0; t < steps; ++t) step(t, StepPart{row, rows, 0, sizes.hidden});
    });
  for (int64_t t = 0; t < steps; ++t)
    for_pieces(unit_parts, work, [&](int64_t part) {
      const int64_t end = std::min(sizes.hidden, (part + 1) * units);
      step(t, StepPart{0, sizes.rows, part * units, end});
    });
}

// Some rows of a state, or none.
template <class T>
struct StateRows {
  const T* data;
  int64_t stride;
};

// Hidden units [unit, unit + range.count) of one row in step t: the state and its products.
template <class T>
struct RowUnits {
  int64_t t, row, unit;
  UnitRange range;
  const T *state, *sums;
};

// For t < `steps` in order: multiplies state(t, row), the rows from `row` on, and gives the sums,
// zero where there is no state, to units(RowUnits).
template <class T, class State, class F>
void walk_steps(const RecurrentSizes& s, int64_t steps, const StepProducts<T>& products,
                State&& state, F&& units) {
  const int64_t block = unit_block<T>(), pitch = block + gemm_kernels<T>().panel;
  for_steps<T>(s, steps, [&](int64_t t, const StepPart& part) {
    const int64_t left_size = products.left_size(part.rows), part_pitch = part.rows * pitch;
    const Scratch<T> scratch(ScratchUse::composite, left_size + products.size() * part_pitch);
    T* const sums = scratch + left_size;
    const StateRows<T> rows = state(t, part.row);
    LeftRows<T> left{};
    if (rows.data) left = products.left(rows.data, rows.stride, part.rows, scratch);
    else std::fill_n(sums, products.size() * part_pitch, T(0));
    for (int64_t u = part.unit; u < part.unit_end; u += block) {
      const int64_t end = std::min(part.unit_end, u + block);
      if (rows.data) products.multiply(left, u, end, sums, pitch, part_pitch);
      for (int64_t r = 0; r < part.rows; ++r) {
        const T* const from = rows.data ? rows.data + r * rows.stride + u : nullptr;
        const UnitRange range{end - u, s.hidden, part_pitch};
        units(RowUnits<T>{t, part.row + r, u, range, from, sums + r * pitch});
      }
    }
  });
}

// From the first step to the last. The state before a step is h0, then what is in y; the weights
// are (gates H, H).
template <class T, class F>
void walk_forward(const RecurrentSizes& s, const View& weights, const Lines<T>& h0,
                  const Result<T>& y, F&& units) {
  const Matrix w{weights.data, weights.dtype, weights.strides[0], weights.strides[1]};
  const StepProducts<T> products(w, s.gates, s.hidden, s.hidden, s.rows, weights.buffer);
  const auto state = [&](int64_t t, int64_t row) {
    return t == 0 ? StateRows<T>{h0.at(0, row), h0.row_stride()}
                  : StateRows<T>{y.row((t - 1) * s.rows + row), s.hidden};
  };
  walk_steps<T>(s, s.steps, products, state, units);
}

// From the last step to the first, and to -1 for the gradient of h0. The sums are what comes back
// from the step after: they are found when the gradients of its gates are known for all units.
template <class T, class F>
void walk_backward(const RecurrentSizes& s, const View& weights, const Result<T>& dgates,
                   F&& units) {
  const int64_t width = s.gates * s.hidden;
  const Matrix w{weights.data, weights.dtype, weights.strides[1], weights.strides[0]};
  const StepProducts<T> products(w, 1, s.hidden, width, s.rows, weights.buffer);
  const auto state = [&](int64_t turn, int64_t row) {
    return StateRows<T>{turn == 0 ? nullptr : dgates.row((s.steps - turn) * s.rows + row), width};
  };
  walk_steps<T>(s, s.steps + 1, products, state, [&](RowUnits<T> u) {
    u.t = s.steps - 1 - u.t;
    units(u);
  });
}

void run_lstm(const KernelArgs& args);
void run_lstm_grad(const KernelArgs& args);
void run_gru(const KernelArgs& args);
void run_gru_grad(const KernelArgs& args);

}  // namespace tegula::cpu
