#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "benchmarks/kernels/reference_loops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "reference_loops-inl.h"
#include "reference_loops.h"
#include "runtime/thread_pool.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::bench {
namespace HWY_NAMESPACE {

// Every loop does rows [begin, end) of its operands, `length` elements each, a multiple of a
// vector's lanes.

void softmax_rows(const float* x, float* y, size_t length, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const float* from = x + row * length;
    float* to = y + row * length;
    const V most = largest(from, length);
    V sums[kUnroll];
    for (V& sum : sums) sum = hn::Zero(d);
    unrolled(length, [&](size_t i, size_t part) {
      const V value = hn::Exp(d, hn::Sub(load(from + i), most));
      sums[part] = hn::Add(sums[part], value);
      store(value, to + i);
    });
    const V scale = hn::Div(hn::Set(d, 1.0f), total(sums));
    unrolled(length, [&](size_t i, size_t) { store(hn::Mul(load(to + i), scale), to + i); });
  }
}

void layer_norm_rows(const float* x, const float* weight, const float* bias, float* y,
                     size_t length, size_t begin, size_t end) {
  const V inverse = hn::Set(d, 1.0f / float(length));
  for (size_t row = begin; row < end; ++row) {
    const float* from = x + row * length;
    float* to = y + row * length;
    V sums[kUnroll];
    for (V& sum : sums) sum = hn::Zero(d);
    unrolled(length,
             [&](size_t i, size_t part) { sums[part] = hn::Add(sums[part], load(from + i)); });
    const V mean = hn::Mul(total(sums), inverse);
    for (V& sum : sums) sum = hn::Zero(d);
    unrolled(length, [&](size_t i, size_t part) {
      const V apart = hn::Sub(load(from + i), mean);
      sums[part] = hn::MulAdd(apart, apart, sums[part]);
    });
    const V variance = hn::MulAdd(total(sums), inverse, hn::Set(d, 1e-5f));
    const V scale = hn::Div(hn::Set(d, 1.0f), hn::Sqrt(variance));
    unrolled(length, [&](size_t i, size_t) {
      const V normal = hn::Mul(hn::Sub(load(from + i), mean), scale);
      store(hn::MulAdd(normal, load(weight + i), load(bias + i)), to + i);
    });
  }
}

// tanh-GELU(x) = x * sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr float kTwice = 1.5957691216f, kCubic = 0.044715f;

V gate(V x, V square) {
  const V u = hn::Mul(hn::Mul(x, hn::Set(d, -kTwice)),
                      hn::MulAdd(square, hn::Set(d, kCubic), hn::Set(d, 1.0f)));
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Min(u, hn::Set(d, 80.0f)))));
}

void gelu_rows(const float* x, const float* bias, float* y, size_t length, size_t begin,
               size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const float* from = x + row * length;
    float* to = y + row * length;
    unrolled(length, [&](size_t i, size_t) {
      prefetch(from + i);
      const V value = hn::Add(load(from + i), load(bias + i));
      hn::Stream(hn::Mul(value, gate(value, hn::Mul(value, value))), d, to + i);
    });
  }
}

// dx = dy * (s + x s (1 - s) 2 u'), s being the gate.
void gelu_grad_rows(const float* dy, const float* x, const float* bias, float* dx, size_t length,
                    size_t begin, size_t end) {
  const V one = hn::Set(d, 1.0f);
  for (size_t row = begin; row < end; ++row) {
    const size_t start = row * length;
    unrolled(length, [&](size_t i, size_t) {
      prefetch(x + start + i);
      prefetch(dy + start + i);
      const V value = hn::Add(load(x + start + i), load(bias + i));
      const V square = hn::Mul(value, value), s = gate(value, square);
      const V slope = hn::Mul(hn::MulAdd(square, hn::Set(d, 3 * kCubic), one), hn::Set(d, kTwice));
      const V factor = hn::MulAdd(hn::Mul(value, slope), hn::NegMulAdd(s, s, s), s);
      hn::Stream(hn::Mul(load(dy + start + i), factor), d, dx + start + i);
    });
  }
}

// The loss of each row and the gradient of their mean; the logits are read once from memory.
void cross_entropy_rows(const float* x, const int64_t* labels, float* losses, float* dx,
                        size_t rows, size_t length, size_t begin, size_t end) {
  thread_local std::vector<float> kept;
  kept.resize(length);
  for (size_t row = begin; row < end; ++row) {
    const float* from = x + row * length;
    float* to = dx + row * length;
    const V most = largest(from, length);
    V sums[kUnroll];
    for (V& sum : sums) sum = hn::Zero(d);
    unrolled(length, [&](size_t i, size_t part) {
      prefetch(from + i + length);
      const V value = hn::Exp(d, hn::Sub(load(from + i), most));
      sums[part] = hn::Add(sums[part], value);
      store(value, kept.data() + i);
    });
    const V sum = total(sums);
    const auto label = size_t(labels[row]);
    losses[row] = std::log(hn::GetLane(sum)) + hn::GetLane(most) - from[label];
    const V scale = hn::Div(hn::Set(d, 1.0f / float(rows)), sum);
    unrolled(length, [&](size_t i, size_t) {
      hn::Stream(hn::Mul(load(kept.data() + i), scale), d, to + i);
    });
    to[label] -= 1.0f / float(rows);
  }
}

void adamw_elements(const AdamW& a, float* p, const float* g, float* m, float* v, size_t begin,
                    size_t end) {
  const V keep1 = hn::Set(d, a.beta1), keep2 = hn::Set(d, a.beta2);
  const V add1 = hn::Set(d, 1 - a.beta1), add2 = hn::Set(d, 1 - a.beta2);
  const V shrink = hn::Set(d, 1 - a.rate * a.decay), step = hn::Set(d, -a.rate / a.bias1);
  const V root = hn::Set(d, 1 / std::sqrt(a.bias2)), eps = hn::Set(d, a.eps);
  unrolled(end - begin, [&](size_t offset, size_t) {
    const size_t i = begin + offset;
    const V gradient = load(g + i);
    const V mean = hn::MulAdd(keep1, load(m + i), hn::Mul(add1, gradient));
    const V square = hn::MulAdd(keep2, load(v + i), hn::Mul(add2, hn::Mul(gradient, gradient)));
    store(mean, m + i);
    store(square, v + i);
    const V size = hn::MulAdd(hn::Sqrt(square), root, eps);
    store(hn::MulAdd(step, hn::Div(mean, size), hn::Mul(load(p + i), shrink)), p + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::bench {
namespace {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(gelu_rows);
HWY_EXPORT(gelu_grad_rows);
HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(adamw_elements);

constexpr size_t kPiece = 64 << 10;  // elements

// Calls f(begin, end) for pieces of `count` rows.
template <class F>
void by_rows(size_t count, size_t length, F&& f) {
  const size_t rows = std::max<size_t>(kPiece / length, 1);
  parallel_for(int64_t((count + rows - 1) / rows), [&](int64_t piece) {
    const size_t begin = size_t(piece) * rows;
    f(begin, std::min(begin + rows, count));
  });
}

struct Rows {
  size_t count, length;
  explicit Rows(const View& x) : count(size_t(x.shape[0])), length(size_t(x.shape[1])) {}
};

void run_softmax(const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const float* x = args.inputs[0].as<const float>();
  float* y = args.outputs[0].as<float>();
  const auto loop = HWY_DYNAMIC_DISPATCH(softmax_rows);
  by_rows(rows.count, rows.length,
          [&](size_t begin, size_t end) { loop(x, y, rows.length, begin, end); });
}

void run_layer_norm(const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const auto in = [&](size_t i) { return args.inputs[i].as<const float>(); };
  float* y = args.outputs[0].as<float>();
  const auto loop = HWY_DYNAMIC_DISPATCH(layer_norm_rows);
  by_rows(rows.count, rows.length,
          [&](size_t begin, size_t end) { loop(in(0), in(1), in(2), y, rows.length, begin, end); });
}

void run_gelu(const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const auto in = [&](size_t i) { return args.inputs[i].as<const float>(); };
  float* y = args.outputs[0].as<float>();
  const auto loop = HWY_DYNAMIC_DISPATCH(gelu_rows);
  by_rows(rows.count, rows.length,
          [&](size_t begin, size_t end) { loop(in(0), in(1), y, rows.length, begin, end); });
}

void run_gelu_grad(const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const auto in = [&](size_t i) { return args.inputs[i].as<const float>(); };
  float* dx = args.outputs[0].as<float>();
  const auto loop = HWY_DYNAMIC_DISPATCH(gelu_grad_rows);
  by_rows(rows.count, rows.length, [&](size_t begin, size_t end) {
    loop(in(0), in(1), in(2), dx, rows.length, begin, end);
  });
}

void run_cross_entropy(const KernelArgs& args) {
  const Rows rows(args.inputs[0]);
  const float* x = args.inputs[0].as<const float>();
  const auto* labels = args.inputs[1].as<const int64_t>();
  std::vector<float> losses(rows.count);
  float* dx = args.outputs[1].as<float>();
  const auto loop = HWY_DYNAMIC_DISPATCH(cross_entropy_rows);
  by_rows(rows.count, rows.length, [&](size_t begin, size_t end) {
    loop(x, labels, losses.data(), dx, rows.count, rows.length, begin, end);
  });
  double sum = 0;
  for (float loss : losses) sum += loss;
  *args.outputs[0].as<float>() = float(sum / double(rows.count));
}

// Operands as the back end's "adam" has them: six numbers, then p, g, m, v.
void run_adamw(const KernelArgs& args) {
  const auto number = [&](size_t i) {
    return dispatch(args.inputs[i].dtype,
                    [&](auto zero) { return double(*args.inputs[i].as<const decltype(zero)>()); });
  };
  const double beta1 = number(1), beta2 = number(2), step = number(5);
  const AdamW a{float(number(0)),
                float(beta1),
                float(beta2),
                float(number(3)),
                float(number(4)),
                float(1 - std::pow(beta1, step)),
                float(1 - std::pow(beta2, step))};
  const auto loop = HWY_DYNAMIC_DISPATCH(adamw_elements);
  by_rows(size_t(numel(args.outputs[0].shape)), 1, [&](size_t begin, size_t end) {
    loop(a, args.outputs[0].as<float>(), args.inputs[7].as<const float>(),
         args.outputs[1].as<float>(), args.outputs[2].as<float>(), begin, end);
  });
}

constexpr struct {
  std::string_view kind;
  Kernel kernel;
} kLoops[] = {
    {"reference.softmax", {run_softmax}},
    {"reference.layer_norm", {run_layer_norm}},
    {"reference.gelu", {run_gelu}},
    {"reference.gelu_grad", {run_gelu_grad}},
    {"reference.cross_entropy", {run_cross_entropy}},
    {"reference.adamw", {run_adamw}},
};

}  // namespace

const Kernel* find_reference_loop(std::string_view kind) {
  for (const auto& loop : kLoops)
    if (loop.kind == kind) return &loop.kernel;
  return nullptr;
}

}  // namespace tegula::bench
#endif
