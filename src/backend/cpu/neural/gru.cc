// GRU over a sequence, forward and backward; what is not part of it is as for lstm.cc.
#include "backend/cpu/neural/recurrent.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kGates = 3, kKept = 4;

// in (T, N, 3H), h0 (N, H), weights (3H, H), bias (3H,) -> y (T, N, H) and for the gradient
// (T, N, 4H): r, z, n and the state's part of n.
template <class T>
void forward(const KernelArgs& args) {
  const View& given = args.inputs[0];
  const View& weights = args.inputs[2];
  const RecurrentSizes s{given.shape[0], given.shape[1], weights.shape[1], kGates};
  const int64_t hidden = s.hidden;
  if (s.steps * s.rows * hidden == 0) return;
  const Lines<T> in(given), h0(args.inputs[1]), bias(args.inputs[3]);
  const Result<T> y(args.outputs[0]);
  T* const kept = args.outputs[1].as<T>();
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  walk_forward<T>(s, weights, h0, y, [&](const RowUnits<T>& u) {
    const int64_t at = u.t * s.rows + u.row;
    loops.gru(u.range, in.at(u.t, u.row) + u.unit, u.sums, bias.at(0, 0) + u.unit, u.state,
              y.row(at) + u.unit, kept ? kept + at * kKept * hidden + u.unit : nullptr);
  });
}

// kept, y, h0 (N, H), weights, dy (T, N, H) -> din (T, N, 3H), dsums (T, N, 3H), dh0.
template <class T>
void backward(const KernelArgs& args) {
  const View& weights = args.inputs[3];
  const View& upstream = args.inputs[4];
  const RecurrentSizes s{upstream.shape[0], upstream.shape[1], upstream.shape[2], kGates};
  const int64_t hidden = s.hidden;
  if (s.steps * s.rows * hidden == 0) return;
  const Lines<T> kept(args.inputs[0]), y(args.inputs[1]), h0(args.inputs[2]), dy(upstream);
  const Result<T> din(args.outputs[0]), dsums(args.outputs[1]), dh0(args.outputs[2]);
  std::fill_n(dh0.row(0), s.rows * hidden, T(0));
  const RecurrentLoops<T>& loops = recurrent_loops<T>();
  walk_backward<T>(s, weights, dsums, [&](const RowUnits<T>& u) {
    const int64_t t = u.t, at = t * s.rows + u.row;
    T* const carry = dh0.row(u.row) + u.unit;
    if (t < 0) {
      for (int64_t i = 0; i < u.range.count; ++i) carry[i] += u.sums[i];
      return;
    }
    const T* const before = t == 0 ? h0.at(0, u.row) : y.at(t - 1, u.row);
    loops.gru_grad(u.range, kept.at(t, u.row) + u.unit, before + u.unit, dy.at(t, u.row) + u.unit,
                   u.sums, carry, din.row(at) + u.unit, dsums.row(at) + u.unit);
  });
}

}  // namespace

void run_gru(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? forward<double>(args) : forward<float>(args);
}

void run_gru_grad(const KernelArgs& args) {
  args.inputs[0].dtype == DType::float64 ? backward<double>(args) : backward<float>(args);
}

}  // namespace tegula::cpu
