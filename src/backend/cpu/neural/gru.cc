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
    const auto before = [&](int64_t row) {
      return t == 0 ? h0.at(0, row) : y.row((t - 1) * s.rows + row);
    };
    const LeftRows<T> left =
        products[0].left(before(part.row), t == 0 ? h0.row_stride() : hidden, part.rows, scratch);
    for (int64_t u = part.unit; u < part.unit_end; u += units) {
      const int64_t end = std::min(part.unit_end, u + units);
      for (int64_t k = 0; k < kGates; ++k)
        products[k].multiply(left, u, end, sums + k * gate_pitch, pitch);
      const UnitRange range{end - u, hidden, gate_pitch};
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t row = part.row + r, at = t * s.rows + row;
        loops.gru(range, in.at(t, row) + u, sums + r * pitch, bias.at(0, 0) + u, before(row) + u,
                  y.row(at) + u, kept ? kept + at * kKept * hidden + u : nullptr);
      }
    }
  });
}

// kept, y, h0 (N, H), weights, dy (T, N, H) -> din (T, N, 3H), dsums (T, N, 3H), dh0.
template <class T>
void backward(const KernelArgs& args) {
  const View& weights = args.inputs[3];
  const View& upstream = args.inputs[4];
  const RecurrentSizes s{upstream.shape[0], upstream.shape[1], upstream.shape[2], kGates};
  const int64_t hidden = s.hidden, width = kGates * hidden;
  if (s.steps * s.rows * hidden == 0) return;
  const Lines<T> kept(args.inputs[0]), y(args.inputs[1]), h0(args.inputs[2]), dy(upstream);
  const Result<T> din(args.outputs[0]), dsums(args.outputs[1]), dh0(args.outputs[2]);
  std::fill_n(dh0.row(0), s.rows * hidden, T(0));
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
      left = product.left(dsums.row((t + 1) * s.rows + part.row), width, part.rows, scratch);
    }
    for (int64_t u = part.unit; u < part.unit_end; u += units) {
      const int64_t end = std::min(part.unit_end, u + units);
      if (turn > 0) product.multiply(left, u, end, sums, pitch);
      const UnitRange range{end - u, hidden, 0};
      for (int64_t r = 0; r < part.rows; ++r) {
        const int64_t row = part.row + r, at = t * s.rows + row;
        T* const carry = dh0.row(row) + u;
        if (t < 0) {
          for (int64_t i = 0; i < end - u; ++i) carry[i] += sums[r * pitch + i];
          continue;
        }
        const T* const before = t == 0 ? h0.at(0, row) : y.at(t - 1, row);
        loops.gru_grad(range, kept.at(t, row) + u, before + u, dy.at(t, row) + u, sums + r * pitch,
                       carry, din.row(at) + u, dsums.row(at) + u);
      }
    }
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
