#include <cmath>

#include "kernel_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr DType kFloats[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64};

Array scalar(double value, DType dtype = DType::float32) {
  Array a(dtype, {});
  a.set(0, value);
  return a;
}

struct Problem {
  std::vector<Array> scalars, params, grads, states[2], out_params, out_states[2];

  Problem(DType dtype, const std::vector<Shape>& shapes, std::vector<double> hyper, int state_count,
          Layout layout = Layout::dense) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    for (double h : hyper) scalars.push_back(scalar(h));
    for (const Shape& shape : shapes) {
      const auto add = [&](std::vector<Array>& list, bool positive) {
        list.emplace_back(dtype, shape, layout);
        for (int64_t i = 0; i < list.back().size(); ++i) {
          const double value = normal(random);
          list.back().set(i, positive ? value * value : value);
        }
      };
      add(params, false);
      add(grads, false);
      out_params.emplace_back(dtype, shape);
      for (int s = 0; s < state_count; ++s) {
        add(states[s], s == 1);
        out_states[s].emplace_back(dtype, shape);
      }
    }
  }
  void run(std::string_view kind, int64_t flags, bool in_place = false) {
    std::vector<View> in, out;
    for (Array& a : scalars) in.push_back(a.view());
    for (auto* list : {&params, &grads, &states[0], &states[1]})
      for (Array& a : *list) in.push_back(a.view());
    for (Array& a : in_place ? params : out_params) out.push_back(a.view());
    for (int s = 0; s < 2; ++s)
      for (Array& a : in_place ? states[s] : out_states[s]) out.push_back(a.view());
    run_kernel(cpu::optimizer_kernels(), kind, in, out, {int64_t(params.size()), flags});
  }
};

double tolerance(DType dtype) {
  return dtype == DType::float64   ? 1e-12
         : dtype == DType::float32 ? 2e-5
         : dtype == DType::float16 ? 2e-3
                                   : 1.6e-2;
}
bool close(double a, double b, DType dtype) {
  return std::abs(a - b) <= tolerance(dtype) * std::max(1.0, std::abs(b));
}

const std::vector<Shape> kShapes = {{3, 4}, {}, {0, 5}, {17}, {2, 3, 5}};

}  // namespace

TEST_CASE("sgd follows its formula") {
  for (DType dtype : kFloats)
    for (Layout layout : kLayouts)
      for (bool momentum : {false, true})
        for (int64_t flags :
             {int64_t(0), int64_t(kNesterov), int64_t(kMaximize), kNesterov | kMaximize})
          for (double decay : {0.0, 0.25}) {
            Problem p(dtype, kShapes, {0.5, 0.875, 0.125, decay}, momentum, layout);
            p.run("sgd", flags);
            bool same = true;
            for (size_t t = 0; t < kShapes.size(); ++t)
              for (int64_t i = 0; i < p.params[t].size(); ++i) {
                double g = p.grads[t].get(i);
                if (flags & kMaximize) g = -g;
                g += decay * p.params[t].get(i);
                if (momentum) {
                  const double v = 0.875 * p.states[0][t].get(i) + (1 - 0.125) * g;
                  same &= close(p.out_states[0][t].get(i), v, dtype);
                  g = (flags & kNesterov) ? g + 0.875 * v : v;
                }
                same &= close(p.out_params[t].get(i), p.params[t].get(i) - 0.5 * g, dtype);
              }
            CHECK(same);
          }
}

TEST_CASE("adam and adamw follow their formulas") {
  const double lr = 0.125, beta1 = 0.875, beta2 = 0.984375, eps = 0x1p-10, step = 3;
  for (DType dtype : kFloats)
    for (Layout layout : kLayouts)
      for (int64_t flags :
           {int64_t(0), int64_t(kDecoupledDecay), int64_t(kMaximize), kDecoupledDecay | kMaximize})
        for (double decay : {0.0, 0.25}) {
          Problem p(dtype, kShapes, {lr, beta1, beta2, eps, decay, step}, 2, layout);
          p.run("adam", flags);
          bool same = true;
          for (size_t t = 0; t < kShapes.size(); ++t)
            for (int64_t i = 0; i < p.params[t].size(); ++i) {
              double g = p.grads[t].get(i), x = p.params[t].get(i);
              if (flags & kMaximize) g = -g;
              if (flags & kDecoupledDecay) x *= 1 - lr * decay;
              else g += decay * x;
              const double m = beta1 * p.states[0][t].get(i) + (1 - beta1) * g;
              const double v = beta2 * p.states[1][t].get(i) + (1 - beta2) * g * g;
              const double denominator = std::sqrt(v) / std::sqrt(1 - std::pow(beta2, step)) + eps;
              x -= lr / (1 - std::pow(beta1, step)) * m / denominator;
              same &= close(p.out_states[0][t].get(i), m, dtype);
              same &= close(p.out_states[1][t].get(i), v, dtype);
              same &= close(p.out_params[t].get(i), x, dtype);
            }
          CHECK(same);
        }
}

TEST_CASE("adam repeats values computed by PyTorch's formulas by hand") {
  // One step from zero moments moves each parameter by lr * sign(grad), up to eps.
  Problem p(DType::float64, {{2}}, {0.5, 0.75, 0.5, 0.0, 0.0, 1.0}, 2);
  for (int i = 0; i < 2; ++i) {
    p.params[0].set(i, 1);
    p.grads[0].set(i, i ? -4 : 4);
    for (auto& state : p.states) state[0].set(i, 0);
  }
  p.run("adam", 0);
  CHECK(p.out_params[0].get(0) == doctest::Approx(0.5));
  CHECK(p.out_params[0].get(1) == doctest::Approx(1.5));
  CHECK(p.out_states[0][0].get(0) == 1);
  CHECK(p.out_states[1][0].get(0) == 8);
}

TEST_CASE("in place, any thread count and any cut give the same bits") {
  const std::vector<Shape> shapes = {{300, 301}, {5}, {0}, {40000}, {7, 11}};
  for (DType dtype : kFloats)
    for (bool adam : {false, true}) {
      const std::vector<double> hyper =
          adam ? std::vector{1e-3, 0.9, 0.999, 1e-8, 0.01, 5.0} : std::vector{0.1, 0.9, 0.0, 0.01};
      const std::string_view kind = adam ? "adam" : "sgd";
      Problem p(dtype, shapes, hyper, adam ? 2 : 1);
      check_threads(p.out_params[0], [&] { p.run(kind, 0); });
      p.run(kind, 0, true);
      for (size_t t = 0; t < shapes.size(); ++t) {
        CHECK(p.params[t].memory == p.out_params[t].memory);
        CHECK(p.states[0][t].memory == p.out_states[0][t].memory);
        if (adam) CHECK(p.states[1][t].memory == p.out_states[1][t].memory);
      }
      // A tensor on its own, so cut elsewhere.
      Problem whole(dtype, {{1, 90300}, {5}}, hyper, adam ? 2 : 1);
      Problem alone(dtype, {{1, 90300}}, hyper, adam ? 2 : 1);
      whole.run(kind, 0);
      alone.run(kind, 0);
      CHECK(whole.out_params[0].memory == alone.out_params[0].memory);
    }
}

TEST_CASE("hyper-parameters may be float64") {
  Problem p(DType::float64, {{3}}, {0, 0, 0, 0}, 0);
  p.scalars[0] = scalar(0.1, DType::float64);
  p.run("sgd", 0);
  for (int i = 0; i < 3; ++i)
    CHECK(p.out_params[0].get(i) == p.params[0].get(i) + -0.1 * p.grads[0].get(i));
}
