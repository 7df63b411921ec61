// LSTM over a sequence, forward and backward. The product of the inputs with their weights, and
// the gradients of all weights, are products over all steps at once and not part of it.
#include "backend/cpu/neural/recurrent.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kGates = 4;

// in (T, N, 4H), h0 (N, H), c0 (N, H), weights (4H, H), bias (4H,) -> y (T, N, H), c_n (N, H),
// gates (T, N, 4H) and cells (T, N, H).
template <class T>
void forward(const KernelArgs& args) {
  const View& given = args.inputs[0];
  const View& weights = args.inputs[3];
  const RecurrentSizes s{given.shape[0], given.shape[1], weights.shape[1], kGates};
  const int64_t hidden = s.hidden, size = s.rows * hidden;
  if (s.steps * size == 0) return;
  const Lines<T> in(given), h0(args.inputs[1]), c0(args.inputs[2]), bias(args.inputs[4]);
  const Result<T> y(args.outputs[0]), last(args.outputs[1]);
  T *const gates = args.outputs[2].as<T>(), *const cells = args.outputs[3].as<T>();
  const auto cell_after = [&](int64_t t, int64_t row) {
    return cells ? cells + (t * s.rows + row) * hidden : last.row(row);
  };
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  walk_forward<T>(s, weights, h0, y, [&](const RowUnits<T>& u) {
    const int64_t at = u.t * s.rows + u.row;
    const T* const cell = u.t == 0 ? c0.at(0, u.row) : cell_after(u.t - 1, u.row);
    loops.lstm(u.range, in.at(u.t, u.row) + u.unit, bias.at(0, 0) + u.unit, u.sums, cell + u.unit,
               cell_after(u.t, u.row) + u.unit, y.row(at) + u.unit,
               gates ? gates + at * kGates * hidden + u.unit : nullptr);
  });
  if (cells) std::copy_n(cell_after(s.steps - 1, 0), size, last.row(0));
}

// gates, cells, c0 (N, H), weights, dy (T, N, H), dc_n (N, H) -> dgates (T, N, 4H), dh0, dc0.
template <class T>
void backward(const KernelArgs& args) {
  const View& weights = args.inputs[3];
  const View& upstream = args.inputs[4];
  const RecurrentSizes s{upstream.shape[0], upstream.shape[1], upstream.shape[2], kGates};
  const int64_t hidden = s.hidden;
  if (s.steps * s.rows * hidden == 0) return;
  const Lines<T> gates(args.inputs[0]), cells(args.inputs[1]), c0(args.inputs[2]);
  const Lines<T> dy(upstream), dlast(args.inputs[5]);
  const Result<T> dgates(args.outputs[0]), dh0(args.outputs[1]), dcell(args.outputs[2]);
  for (int64_t r = 0; r < s.rows; ++r) std::copy_n(dlast.at(0, r), hidden, dcell.row(r));
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  walk_backward<T>(s, weights, dgates, [&](const RowUnits<T>& u) {
    const int64_t t = u.t, at = t * s.rows + u.row;
    if (t < 0) {
      std::copy_n(u.sums, u.range.count, dh0.row(u.row) + u.unit);
      return;
    }
    const T* const cell = t == 0 ? c0.at(0, u.row) : cells.at(t - 1, u.row);
    loops.lstm_grad(u.range, gates.at(t, u.row) + u.unit, cell + u.unit,
                    cells.at(t, u.row) + u.unit, dy.at(t, u.row) + u.unit, u.sums,
                    dcell.row(u.row) + u.unit, dgates.row(at) + u.unit);
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
