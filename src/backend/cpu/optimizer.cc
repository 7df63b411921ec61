// Optimizer updates over many tensors in one step. Formulas are those of PyTorch's SGD, Adam and
// AdamW, elementwise in the parameter's type (float32 for the 16-bit floats), with coefficients
// computed in double precision. One difference: PyTorch's SGD starts a velocity as the first
// gradient, here it starts at zero, v = momentum * v + (1 - dampening) * g throughout, so with
// dampening the first velocity is (1 - dampening) times PyTorch's.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/optimizer.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

#ifndef TEGULA_BACKEND_CPU_OPTIMIZER_CC_
#define TEGULA_BACKEND_CPU_OPTIMIZER_CC_
namespace tegula::cpu {

// Elements of one tensor; outputs may be the same memory as inputs.
struct Update {
  DType dtype;
  const std::byte *param, *grad, *state[2];
  std::byte *new_param, *new_state[2];
};

struct SgdRule {
  double lr, momentum, keep, weight_decay;  // keep is 1 - dampening
  bool has_velocity, nesterov, maximize;
};

struct AdamRule {
  double step_size, beta1, beta2, eps, weight_decay, shrink;  // shrink is 1 - lr * weight_decay
  double bias2_root;
  bool decoupled, maximize;
};

}  // namespace tegula::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

template <class T>
const T* in(const std::byte* data) {
  return reinterpret_cast<const T*>(data);
}
template <class T>
T* out(std::byte* data) {
  return reinterpret_cast<T*>(data);
}

// The loops promise the compiler that no iteration touches another's elements: inputs are
// outputs' own elements or apart from them.

template <class T, bool kVelocity>
void sgd_elements(const Update& u, const SgdRule& rule, int64_t begin, int64_t end) {
  using C = compute_t<T>;
  const C lr = C(-rule.lr), momentum = C(rule.momentum), keep = C(rule.keep),
          decay = C(rule.weight_decay), sign = rule.maximize ? C(-1) : C(1);
  const bool decays = rule.weight_decay != 0, nesterov = rule.nesterov;
  const T *param = in<T>(u.param), *grad = in<T>(u.grad), *velocity = in<T>(u.state[0]);
  T *new_param = out<T>(u.new_param), *new_velocity = out<T>(u.new_state[0]);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const C p = C(param[i]);
    C g = C(grad[i]) * sign;
    if (decays) g = g + decay * p;
    if constexpr (kVelocity) {
      const C v = momentum * C(velocity[i]) + keep * g;
      new_velocity[i] = T(v);
      g = nesterov ? g + momentum * v : v;
    }
    new_param[i] = T(p + lr * g);
  }
}

enum class Decay { none, added, decoupled };

template <class T, Decay kDecay>
void adam_elements(const Update& u, const AdamRule& rule, int64_t begin, int64_t end) {
  using C = compute_t<T>;
  const C step = C(-rule.step_size), beta2 = C(rule.beta2), eps = C(rule.eps),
          root = C(rule.bias2_root);
  [[maybe_unused]] const C decay = C(rule.weight_decay), shrink = C(rule.shrink);
  const C weight2 = C(1 - rule.beta2), sign = rule.maximize ? C(-1) : C(1);
  // PyTorch's lerp(m, g, w), w = 1 - beta1, starts from the end that is nearer.
  const bool near = rule.beta1 > 0.5;
  const C w = C(1 - rule.beta1), weight1 = near ? w : w - C(1);
  const T *param = in<T>(u.param), *grad = in<T>(u.grad), *mean = in<T>(u.state[0]),
          *square = in<T>(u.state[1]);
  T *new_param = out<T>(u.new_param), *new_mean = out<T>(u.new_state[0]),
    *new_square = out<T>(u.new_state[1]);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    C p = C(param[i]);
    C g = C(grad[i]) * sign;
    if constexpr (kDecay == Decay::added) g = g + decay * p;
    if constexpr (kDecay == Decay::decoupled) p = p * shrink;
    const C m0 = C(mean[i]), m = (near ? m0 : g) + weight1 * (g - m0);
    const C v = C(square[i]) * beta2 + weight2 * g * g;
    new_mean[i] = T(m);
    new_square[i] = T(v);
    new_param[i] = T(p + step * m / (std::sqrt(v) / root + eps));
  }
}

void sgd_update(const Update& u, const SgdRule& rule, int64_t begin, int64_t end) {
  dispatch_floating(u.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (rule.has_velocity) {
      sgd_elements<T, true>(u, rule, begin, end);
    } else {
      sgd_elements<T, false>(u, rule, begin, end);
    }
  });
}

void adam_update(const Update& u, const AdamRule& rule, int64_t begin, int64_t end) {
  dispatch_floating(u.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (rule.weight_decay == 0) {
      adam_elements<T, Decay::none>(u, rule, begin, end);
    } else if (rule.decoupled) {
      adam_elements<T, Decay::decoupled>(u, rule, begin, end);
    } else {
      adam_elements<T, Decay::added>(u, rule, begin, end);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

namespace tegula::cpu {
namespace {

HWY_EXPORT(sgd_update);
HWY_EXPORT(adam_update);

double scalar(const View& view) {
  return view.dtype == DType::float64 ? *view.as<double>() : double(*view.as<float>());
}

// The operands of the update, tensor by tensor: after the hyper-parameters come the lists of
// parameters, gradients and each state; the outputs are the lists of parameters and states.
class Updates {
 public:
  Updates(const KernelArgs& args, size_t scalars, size_t count, size_t states)
      : args_(args), scalars_(scalars), count_(count), states_(states) {
    for (const View& view : args.inputs.subspan(scalars))
      if (!is_contiguous(view.shape, view.strides)) copies_.emplace_back(&view, view);
  }

  // Calls body(update, begin, end) over all elements, tensors cut and joined into even pieces.
  template <class F>
  void for_each(F&& body) const {
    const int64_t piece = tile_size(kPieceWork);
    int64_t total = 0;
    for (size_t i = 0; i < count_; ++i) total += numel(args_.outputs[i].shape);
    if (total <= 2 * piece) {
      for (size_t i = 0; i < count_; ++i) body(update(i), 0, numel(args_.outputs[i].shape));
      return;
    }
    SmallVector<int64_t, 64> first(count_ + 1);  // where each tensor starts in the joined elements
    for (size_t i = 0; i < count_; ++i) first[i + 1] = first[i] + numel(args_.outputs[i].shape);
    parallel_for((total + piece - 1) / piece, [&](int64_t part) {
      const int64_t begin = part * piece, end = std::min(total, begin + piece);
      size_t i = std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1;
      for (; i < count_ && first[i] < end; ++i)
        body(update(i), std::max(begin, first[i]) - first[i],
             std::min(end, first[i + 1]) - first[i]);
    });
  }

 private:
  const std::byte* input(size_t list, size_t i) const {
    const View& view = args_.inputs[scalars_ + list * count_ + i];
    for (const auto& [from, copy] : copies_)
      if (from == &view) return copy.data();
    return view.data;
  }
  Update update(size_t i) const {
    Update u{args_.outputs[i].dtype, input(0, i), input(1, i), {}, args_.outputs[i].data, {}};
    for (size_t s = 0; s < states_; ++s) {
      u.state[s] = input(2 + s, i);
      u.new_state[s] = args_.outputs[(1 + s) * count_ + i].data;
    }
    return u;
  }

  const KernelArgs& args_;
  size_t scalars_, count_, states_;
  std::vector<std::pair<const View*, DenseInput>> copies_;
};

void run_sgd(const KernelArgs& args) {
  constexpr size_t kScalars = 4;
  const auto [count, flags] = read_attrs<OptimizerAttrs>(args.attrs);
  if (count == 0) return;
  const size_t states = (args.inputs.size() - kScalars) / size_t(count) - 2;
  const SgdRule rule{scalar(args.inputs[0]),
                     scalar(args.inputs[1]),
                     1 - scalar(args.inputs[2]),
                     scalar(args.inputs[3]),
                     states != 0,
                     (flags & kNesterov) != 0,
                     (flags & kMaximize) != 0};
  const auto run = HWY_DYNAMIC_DISPATCH(sgd_update);
  Updates(args, kScalars, size_t(count), states)
      .for_each([&](const Update& u, int64_t begin, int64_t end) { run(u, rule, begin, end); });
}

void run_adam(const KernelArgs& args) {
  constexpr size_t kScalars = 6;
  const auto [count, flags] = read_attrs<OptimizerAttrs>(args.attrs);
  if (count == 0) return;
  const double lr = scalar(args.inputs[0]), beta1 = scalar(args.inputs[1]),
               beta2 = scalar(args.inputs[2]), weight_decay = scalar(args.inputs[4]),
               step = scalar(args.inputs[5]);
  const AdamRule rule{lr / (1 - std::pow(beta1, step)),
                      beta1,
                      beta2,
                      scalar(args.inputs[3]),
                      weight_decay,
                      1 - lr * weight_decay,
                      std::sqrt(1 - std::pow(beta2, step)),
                      (flags & kDecoupledDecay) != 0,
                      (flags & kMaximize) != 0};
  const auto run = HWY_DYNAMIC_DISPATCH(adam_update);
  Updates(args, kScalars, size_t(count), 2)
      .for_each([&](const Update& u, int64_t begin, int64_t end) { run(u, rule, begin, end); });
}

constexpr KernelEntry kEntries[] = {{"sgd", {run_sgd}}, {"adam", {run_adam}}};

}  // namespace

std::span<const KernelEntry> optimizer_kernels() { return kEntries; }

}  // namespace tegula::cpu
#endif
