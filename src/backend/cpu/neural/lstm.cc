// LSTM over a sequence, forward and backward. The product of the inputs with their weights, and
// the gradients of all weights, are products over all steps at once and not part of it.
#include "backend/cpu/neural/recurrent.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kGates = 4;

// in (T, N, 4H), h0 (N, H), c0 (N, H), weights (4H, H) -> y (T, N, H), c_n (N, H), gates (T, N, 4H)
// and cells (T, N, H).
template <class T>
void forward(const KernelArgs& args) {
  const View& given = args.inputs[0];
  const View& weights = args.inputs[3];
  const RecurrentSizes s{given.shape[0], given.shape[1], weights.shape[1], kGates};
  const int64_t hidden = s.hidden, size = s.rows * hidden;
  if (s.steps * size == 0) return;
  const Lines<T> in(given), h0(args.inputs[1]), c0(args.inputs[2]);
  const Result<T> y(args.outputs[0]), last(args.outputs[1]);
  T *const gates = args.outputs[2].as<T>(), *const cells = args.outputs[3].as<T>();
  const auto cell_after = [&](int64_t t, int64_t row) {
    return cells ? cells + (t * s.rows + row) * hidden : last.row(row);
  };
  const int64_t packed_size = StepProduct<T>::packed_size(hidden, hidden);
  const Scratch<T> packed(ScratchUse::shared, kGates * packed_size);
  std::vector<StepProduct<T>> products;
  const Matrix w{weights.data, weights.dtype, weights.strides[0], weights.strides[1]};
  for (int64_t k = 0; k < kGates; ++k)
    products.emplace_back(w.at(k * hidden, 0), hidden, hidden, s.rows, weights.buffer,
                          packed + k * packed_size);
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  const int64_t units = unit_block<T>(), pitch = units + gemm_kernels<T>().panel;

  for_steps<T>(s, s.steps, [&](int64_t t, const StepPart& part) {
    const int64_t left_size = products[0].left_size(part.rows);
    const int64_t gate_pitch = part.rows * pitch;
    const Scratch<T> scratch(ScratchUse::composite, left_size + kGates * gate_pitch);
    T* const sums = scratch + left_size;
    const T* const before = t == 0 ? h0.at(0, part.row) : y.row((t - 1) * s.rows + part.row);
    const LeftRows<T> left =
        products[0].left(before, t == 0 ? h0.row_stride() : hidden, part.rows, scratch);
    for (int64_t u = part.unit; u < part.unit_end; u += units) {
      const int64_t end = std::min(part.unit_end, u + units);
      for (int64_t k = 0; k < kGates; ++k)
        products[k].multiply(left, u, end, sums + k * gate_pitch, pitch);
      const UnitRange range{end - u, hidden, gate_pitch};
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t row = part.row + r, at = t * s.rows + row;
        const T* const cell = t == 0 ? c0.at(0, row) : cell_after(t - 1, row);
        loops.lstm(range, in.at(t, row) + u, sums + r * pitch, cell + u, cell_after(t, row) + u,
                   y.row(at) + u, gates ? gates + at * kGates * hidden + u : nullptr);
      }
    }
  });
  if (cells) std::copy_n(cell_after(s.steps - 1, 0), size, last.row(0));
}

// gates, cells, c0 (N, H), weights, dy (T, N, H), dc_n (N, H) -> dgates (T, N, 4H), dh0, dc0.
template <class T>
void backward(const KernelArgs& args) {
  const View& weights = args.inputs[3];
  const View& upstream = args.inputs[4];
  const RecurrentSizes s{upstream.shape[0], upstream.shape[1], upstream.shape[2], kGates};
  const int64_t hidden = s.hidden, width = kGates * hidden;
  if (s.steps * s.rows * hidden == 0) return;
  const Lines<T> gates(args.inputs[0]), cells(args.inputs[1]), c0(args.inputs[2]);
  const Lines<T> dy(upstream), dlast(args.inputs[5]);
  const Result<T> dgates(args.outputs[0]), dh0(args.outputs[1]), dcell(args.outputs[2]);
  for (int64_t r = 0; r < s.rows; ++r) std::copy_n(dlast.at(0, r), hidden, dcell.row(r));
  const Matrix w{weights.data, weights.dtype, weights.strides[1], weights.strides[0]};
  const Scratch<T> packed(ScratchUse::shared, StepProduct<T>::packed_size(hidden, width));
  const StepProduct<T> product(w, hidden, width, s.rows, weights.buffer, packed);
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  const int64_t units = unit_block<T>(), pitch = units + gemm_kernels<T>().panel;

  // What comes back from step t is found when its gates are known for all units: one turn later.
  for_steps<T>(s, s.steps + 1, [&](int64_t turn, const StepPart& part) {
    const int64_t t = s.steps - 1 - turn, left_size = product.left_size(part.rows);
    const Scratch<T> scratch(ScratchUse::composite, left_size + part.rows * pitch);
    T* const sums = scratch + left_size;
    LeftRows<T> left{};
    if (turn == 0) {
      std::fill_n(sums, part.rows * pitch, T(0));
    } else {
      left = product.left(dgates.row((t + 1) * s.rows + part.row), width, part.rows, scratch);
    }
    for (int64_t u = part.unit; u < part.unit_end; u += units) {
      const int64_t end = std::min(part.unit_end, u + units);
      if (turn > 0) product.multiply(left, u, end, sums, pitch);
      const UnitRange range{end - u, hidden, 0};
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t row = part.row + r, at = t * s.rows + row;
        if (t < 0) {
          std::copy_n(sums + r * pitch, end - u, dh0.row(row) + u);
          continue;
        }
        const T* const cell = t == 0 ? c0.at(0, row) : cells.at(t - 1, row);
        loops.lstm_grad(range, gates.at(t, row) + u, cell + u, cells.at(t, row) + u,
                        dy.at(t, row) + u, sums + r * pitch, dcell.row(row) + u,
                        dgates.row(at) + u);
      }
    }
  });
}

}  // namespace

void run_lstm(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? forward<double>(args) : forward<float>(args);
}

void run_lstm_grad(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace tegula::cpu
