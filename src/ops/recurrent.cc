// Recurrent layers over a sequence, one layer in one direction: composites with kernels of their
// own. The product of all inputs with their weights is recorded before the kernel, the products
// that give the gradients of weights after the kernel of the gradient.
#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kLstmUses = 1u << 1 | 1u << 2 | 1u << 3 | kUsesOutput;  // all but the first
constexpr uint32_t kGruUses = 1u << 1 | 1u << 2 | kUsesOutput;  // h0 and the weights

// Part k of `count` along the last axis.
Tensor part(const Tensor& x, int64_t k, int64_t count) {
  Dims starts(x.rank(), 0), sizes(x.shape().begin(), x.shape().end());
  sizes.back() /= count;
  starts.back() = k * sizes.back();
  return slice(x, starts, sizes, Dims(x.rank(), 1));
}
// Steps [begin, end) of x (T, N, H).
Tensor steps(const Tensor& x, int64_t begin, int64_t end) {
  return slice(x, {begin, 0, 0}, {end - begin, x.shape()[1], x.shape()[2]}, {1, 1, 1});
}
Tensor step(const Tensor& x, int64_t t) {
  return reshape(steps(x, t, t + 1), {x.shape()[1], x.shape()[2]});
}
// Steps and rows as one axis.
Tensor flat(const Tensor& x) { return reshape(x, {x.shape()[0] * x.shape()[1], x.shape()[2]}); }

// The gradient of weights that every state before a step, h0 or y's, is multiplied with.
Tensor state_weights_grad(const Tensor& dgates, const Tensor& h0, const Tensor& y) {
  const int64_t count = y.shape()[0];
  const Tensor first = matmul(matrix_transpose(step(dgates, 0)), h0);
  if (count == 1) return first;
  return first +
         matmul(matrix_transpose(flat(steps(dgates, 1, count))), flat(steps(y, 0, count - 1)));
}

Tensor or_zeros(const Tensor& gradient, const Shape& shape, DType dtype) {
  return gradient ? gradient : zeros(shape, dtype);
}

// With one set of weights, which is where their inputs begin, for all: the rows of all. The other
// operands and results are (T, N, ...) or (N, ...).
template <size_t kWeights, size_t kCount>
Tensors batch_rows(BatchContext& c) {
  const auto is_weight = [](size_t i) { return i >= kWeights && i < kWeights + kCount; };
  Tensors inputs;
  for (size_t i = 0; i < c.input_count(); ++i) {
    if (is_weight(i) && c.has_batch(i)) return batch_in_loop(c);
    inputs.push_back(is_weight(i)     ? c.input(i)
                     : c.rank(i) == 3 ? batch_into_second(c.batched(i))
                                      : c.merged(i));
  }
  Tensors results = c.again(inputs);
  for (Tensor& x : results) x = x.rank() == 3 ? batch_from_second(x, c.size()) : c.split(x);
  return results;
}

// The definition: gates i, f, g, o.
Tensors expand_lstm(std::span<const Tensor> inputs, std::span<const int64_t>) {
  const Tensor &in = inputs[0], weights = matrix_transpose(inputs[3]);
  Tensor h = inputs[1], c = inputs[2];
  Tensors ys;
  for (int64_t t = 0; t < in.shape()[0]; ++t) {
    const Tensor gates = step(in, t) + inputs[4] + matmul(h, weights);
    c = sigmoid(part(gates, 1, 4)) * c + sigmoid(part(gates, 0, 4)) * tanh(part(gates, 2, 4));
    h = sigmoid(part(gates, 3, 4)) * tanh(c);
    ys.push_back(h);
  }
  return {stack(ys, 0), c};
}

// gates, cells, c0, weights, dy, dc_n -> dgates (T, N, 4H), dh0, dc0.
const Primitive kLstmGrad = {
    .name = "lstm_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back({c.dtype(0), c.shape(0)});
          out.push_back({c.dtype(0), c.shape(2)});
          out.push_back({c.dtype(0), c.shape(2)});
        },
    .batch = batch_rows<3, 1>,
};

// Inputs times their weights (T, N, 4H), h0 (N, H), c0 (N, H), state weights (4H, H), bias (4H,),
// at least float32 -> y (T, N, H), c_n (N, H), and for the gradient gates (T, N, 4H), cells (T, N,
// H).
const Primitive kLstm = {
    .name = "lstm",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          shape[2] = c.shape(1)[1];
          out.push_back({c.dtype(0), shape});
          out.push_back({c.dtype(0), c.shape(1)});
          out.push_back({c.dtype(0), c.shape(0)});
          out.push_back({c.dtype(0), shape});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor h0 = c.input(1), c0 = c.input(2), weights = c.input(3), y = c.output(0);
          const Tensors gradients =
              record_all(kLstmGrad, Tensors{c.output(2), c.output(3), c0, weights,
                                            or_zeros(c.grad(0), y.shape(), y.dtype()),
                                            or_zeros(c.grad(1), c0.shape(), c0.dtype())});
          for (size_t i = 0; i < 3; ++i) c.give(i, gradients[i]);
          if (c.needs(3)) c.give(3, state_weights_grad(gradients[0], h0, y));
          if (c.needs(4)) c.give(4, sum(gradients[0], {0, 1}, false));
        },
    .uses = uses_for_every_input(kLstmUses),
    .batch = batch_rows<3, 2>,
    .expand = expand_lstm,
};

// The definition: gates r, z, n.
Tensors expand_gru(std::span<const Tensor> inputs, std::span<const int64_t>) {
  const Tensor &in = inputs[0], weights = matrix_transpose(inputs[2]);
  Tensor h = inputs[1];
  Tensors ys;
  for (int64_t t = 0; t < in.shape()[0]; ++t) {
    const Tensor given = step(in, t), state = matmul(h, weights) + inputs[3];
    const Tensor r = sigmoid(part(given, 0, 3) + part(state, 0, 3));
    const Tensor z = sigmoid(part(given, 1, 3) + part(state, 1, 3));
    const Tensor n = tanh(part(given, 2, 3) + r * part(state, 2, 3));
    h = (constant(1) - z) * n + z * h;
    ys.push_back(h);
  }
  return {stack(ys, 0)};
}

// kept, y, h0, weights, dy -> gradients of the gates' two parts (T, N, 3H), dh0.
const Primitive kGruGrad = {
    .name = "gru_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(1);
          shape[2] *= 3;
          out.push_back({c.dtype(0), shape});
          out.push_back({c.dtype(0), shape});
          out.push_back({c.dtype(0), c.shape(2)});
        },
    .batch = batch_rows<3, 1>,
};

// Inputs times their weights (T, N, 3H), h0 (N, H), state weights (3H, H), their bias (3H,), at
// least float32 -> y (T, N, H), and for the gradient r, z, n and the state's part of n (T, N, 4H).
const Primitive kGru = {
    .name = "gru",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          shape[2] = c.shape(1)[1];
          out.push_back({c.dtype(0), shape});
          shape[2] *= 4;
          out.push_back({c.dtype(0), shape});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor h0 = c.input(1), y = c.output(0);
          const Tensors gradients =
              record_all(kGruGrad, Tensors{c.output(1), y, h0, c.input(2), c.grad(0)});
          c.give(0, gradients[0]);
          c.give(1, gradients[2]);
          if (c.needs(2)) c.give(2, state_weights_grad(gradients[1], h0, y));
          if (c.needs(3)) c.give(3, sum(gradients[1], {0, 1}, false));
        },
    .uses = uses_for_every_input(kGruUses),
    .batch = batch_rows<2, 2>,
    .expand = expand_gru,
};

// What a call is made of, checked, in at least float32.
struct Sequence {
  Tensor x;
  Tensors states;  // (N, H) each
  Tensor input_weights, state_weights, input_bias, state_bias;
  DType dtype;  // of the results
  int64_t length;
};

Tensor bias_of(const Tensor& bias, int64_t size, DType dtype, const char* op, const char* name) {
  if (!bias) return bias;
  require(bias.shape() == Shape{size}, op, ": ", name, " must have shape ", Shape{size}, ", got ",
          bias.shape());
  return astype(bias, dtype);
}

// Arguments: x, the states, w_ih, w_hh, b_ih, b_hh.
Sequence sequence_of(const Args& a, size_t states, int64_t gates, const char* op) {
  constexpr const char* kStates[] = {"h0", "c0"};
  const Tensor &x = a.tensor(0), &h0 = a.tensor(1);
  const Tensor &w_ih = a.tensor(1 + states), &w_hh = a.tensor(2 + states);
  require(x.rank() == 3, op, ": x must be (T, N, I), got shape ", x.shape());
  require(h0.rank() == 2, op, ": h0 must be (N, H), got shape ", h0.shape());
  const Shape state = {x.shape()[1], h0.shape()[1]};
  const int64_t width = gates * state[1];
  DType dtype = promote(promote(x.dtype(), w_ih.dtype()), w_hh.dtype());
  for (size_t i = 0; i < states; ++i) {
    const Tensor& given = a.tensor(1 + i);
    require(given.shape() == state, op, ": ", kStates[i], " must have shape ", state, ", got ",
            given.shape());
    dtype = promote(dtype, given.dtype());
  }
  const Shape input_shape = {width, x.shape()[2]}, state_shape = {width, state[1]};
  require(w_ih.shape() == input_shape, op, ": w_ih must have shape ", input_shape, ", got ",
          w_ih.shape());
  require(w_hh.shape() == state_shape, op, ": w_hh must have shape ", state_shape, ", got ",
          w_hh.shape());
  Sequence s;
  s.dtype = float_dtype(dtype);
  const DType wide = s.dtype == DType::float64 ? DType::float64 : DType::float32;
  s.length = x.shape()[0];
  s.x = astype(x, wide);
  for (size_t i = 0; i < states; ++i) s.states.push_back(astype(a.tensor(1 + i), wide));
  s.input_weights = astype(w_ih, wide);
  s.state_weights = astype(w_hh, wide);
  s.input_bias = bias_of(a.optional_tensor(3 + states), width, wide, op, "b_ih");
  s.state_bias = bias_of(a.optional_tensor(4 + states), width, wide, op, "b_hh");
  return s;
}

Tensors lstm(const Args& a) {
  const Sequence s = sequence_of(a, 2, 4, "lstm");
  const DeviceScope scope(s.x.device());
  Tensor bias = s.input_bias ? s.input_bias : s.state_bias;
  if (s.input_bias && s.state_bias) bias = s.input_bias + s.state_bias;
  bias = or_zeros(bias, {s.state_weights.shape()[0]}, s.x.dtype());
  const Tensor in = linear(s.x, s.input_weights, Tensor());
  Tensor y, h = s.states[0], c = s.states[1];
  if (s.length > 0) {
    const Tensors results = record_all(kLstm, Tensors{in, h, c, s.state_weights, bias});
    y = results[0];
    h = step(y, s.length - 1);
    c = results[1];
  } else {
    y = zeros({0, h.shape()[0], h.shape()[1]}, s.dtype);
  }
  return {astype(y, s.dtype), astype(h, s.dtype), astype(c, s.dtype)};
}

Tensors gru(const Args& a) {
  const Sequence s = sequence_of(a, 1, 3, "gru");
  const DeviceScope scope(s.x.device());
  const Tensor& h0 = s.states[0];
  if (s.length == 0)
    return {zeros({0, h0.shape()[0], h0.shape()[1]}, s.dtype), astype(h0, s.dtype)};
  const Tensor in = linear(s.x, s.input_weights, s.input_bias);
  const Tensor bias = or_zeros(s.state_bias, {s.state_weights.shape()[0]}, s.x.dtype());
  const Tensor y = record_all(kGru, Tensors{in, h0, s.state_weights, bias})[0];
  return {astype(y, s.dtype), astype(step(y, s.length - 1), s.dtype)};
}

// clang-format off
const Family kRecurrent("Recurrent layers", {
    {.name = "lstm",
     .parameters = "x: Tensor, h0: Tensor, c0: Tensor, w_ih: Tensor, w_hh: Tensor, "
                   "b_ih: Tensor? = None, b_hh: Tensor? = None",
     .doc = "Long short-term memory over a sequence (Hochreiter and Schmidhuber, 1997; Gers et "
            "al., 2000): x (T, N, I), h0 and c0 (N, H), w_ih (4H, I), w_hh (4H, H), biases (4H,) "
            "-> y (T, N, H), h_n, c_n. With i, f, g, o the parts of x_t @ w_ih^T + b_ih + "
            "h @ w_hh^T + b_hh: c = sigmoid(f) * c + sigmoid(i) * tanh(g), h = sigmoid(o) * "
            "tanh(c). 16-bit floats are computed in float32.",
     .call = lstm,
     .samples = "f(3, 2, 5), f(2, 4), f(2, 4), f(16, 5), f(16, 4), f(16), f(16);;"
                "f(1, 1, 1), f(1, 1), f(1, 1), f(4, 1), f(4, 1);;"
                "f(4, 1, 3), f(1, 5), f(1, 5), f(20, 3), f(20, 5), f(20);;"
                "f(2, 19, 2), f(19, 3), f(19, 3), f(12, 2), f(12, 3), None, f(12);;"
                "f(0, 2, 3), f(2, 4), f(2, 4), f(16, 3), f(16, 4)",
     .reference = "reference.lstm",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true},
    {.name = "gru",
     .parameters = "x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor? = None, "
                   "b_hh: Tensor? = None",
     .doc = "Gated recurrent units over a sequence (Cho et al., 2014): x (T, N, I), h0 (N, H), "
            "w_ih (3H, I), w_hh (3H, H), biases (3H,) -> y (T, N, H), h_n. With u and v the parts "
            "of x_t @ w_ih^T + b_ih and h @ w_hh^T + b_hh: r = sigmoid(u_0 + v_0), z = "
            "sigmoid(u_1 + v_1), n = tanh(u_2 + r * v_2), h = (1 - z) * n + z * h. 16-bit floats "
            "are computed in float32.",
     .call = gru,
     .samples = "f(3, 2, 5), f(2, 4), f(12, 5), f(12, 4), f(12), f(12);;"
                "f(1, 1, 1), f(1, 1), f(3, 1), f(3, 1);;"
                "f(4, 1, 3), f(1, 5), f(15, 3), f(15, 5), f(15);;"
                "f(2, 19, 2), f(19, 3), f(9, 2), f(9, 3), None, f(9);;"
                "f(0, 2, 3), f(2, 4), f(12, 3), f(12, 4)",
     .reference = "reference.gru",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5,
     .returns_tuple = true},
});
// clang-format on

}  // namespace
}  // namespace tegula
