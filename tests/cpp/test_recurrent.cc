#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

struct Sizes {
  int64_t steps, rows, hidden;

  Shape states(int64_t gates) const { return {steps, rows, gates * hidden}; }
  Shape state() const { return {rows, hidden}; }
  Shape weights(int64_t gates) const { return {gates * hidden, hidden}; }
};

// One row and many, one unit, both sides of vectors, tiles and depth blocks, nothing at all.
constexpr Sizes kSizes[] = {
    {1, 1, 1},  {3, 1, 5},   {4, 2, 1},    {2, 3, 16},  {3, 17, 33}, {2, 40, 64},
    {5, 7, 70}, {2, 1, 130}, {2, 16, 400}, {3, 33, 20}, {0, 2, 3},   {2, 0, 3},
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

void fill_garbage(Array& x) { std::fill(x.memory.begin(), x.memory.end(), std::byte(0x55)); }

double unit_of(DType dtype) { return dtype == DType::float64 ? 1e-13 : 1e-5; }

// Inputs drawn anew, outputs filled with garbage.
struct Lstm {
  Sizes s;
  Array in, h0, c0, weights, bias, y, last, gates, cells, dy, dlast, dgates, dh0, dc0;

  Lstm(const Sizes& sizes, DType dtype)
      : s(sizes),
        in(dtype, s.states(4)),
        h0(dtype, s.state()),
        c0(dtype, s.state()),
        weights(dtype, s.weights(4)),
        bias(dtype, {4 * s.hidden}),
        y(dtype, s.states(1)),
        last(dtype, s.state()),
        gates(dtype, s.states(4)),
        cells(dtype, s.states(1)),
        dy(dtype, s.states(1)),
        dlast(dtype, s.state()),
        dgates(dtype, s.states(4)),
        dh0(dtype, s.state()),
        dc0(dtype, s.state()) {
    std::mt19937 random(uint32_t(s.rows + 7 * s.hidden));
    each_input([&](Array& x) { fill_normal(x, random); });
    for (int64_t i = 0; i < weights.size(); ++i)
      weights.set(i, weights.get(i) / std::sqrt(double(s.hidden)));
    for (Array* x : outputs()) fill_garbage(*x);
  }
  std::vector<Array*> outputs() { return {&y, &last, &gates, &cells, &dgates, &dh0, &dc0}; }
  template <class F>
  void each_input(F&& change) {
    for (Array* x : {&in, &h0, &c0, &weights, &bias, &dy, &dlast}) change(*x);
  }
  void run(bool keep = true) {
    std::vector<View> out{y.view(), last.view(), gates.view(), cells.view()};
    if (!keep) out[2].data = out[3].data = nullptr;
    run_kernel(cpu::neural_kernels(), "lstm",
               {in.view(), h0.view(), c0.view(), weights.view(), bias.view()}, out, {});
  }
  void run_grad() {
    run_kernel(cpu::neural_kernels(), "lstm_grad",
               {gates.view(), cells.view(), c0.view(), weights.view(), dy.view(), dlast.view()},
               {dgates.view(), dh0.view(), dc0.view()}, {});
  }
  // The definition and its derivative in float64.
  void check(double unit) {
    const int64_t n = s.rows, hidden = s.hidden, width = 4 * hidden, size = n * hidden;
    std::vector<double> h = h0.values(), c = c0.values(), w = weights.values();
    const std::vector<double> x = in.values(), b = bias.values(), start = c;
    std::vector<double> ys, cs, as;
    for (int64_t t = 0; t < s.steps; ++t) {
      std::vector<double> a(x.begin() + t * n * width, x.begin() + (t + 1) * n * width);
      for (int64_t r = 0; r < n; ++r)
        for (int64_t j = 0; j < width; ++j) {
          for (int64_t k = 0; k < hidden; ++k)
            a[r * width + j] += h[r * hidden + k] * w[j * hidden + k];
          double& gate = a[r * width + j];
          gate += b[j];
          gate = j / hidden == 2 ? std::tanh(gate) : sigmoid(gate);
        }
      for (int64_t i = 0; i < size; ++i) {
        const double* g = &a[i / hidden * width + i % hidden];
        c[i] = g[hidden] * c[i] + g[0] * g[2 * hidden];
        h[i] = g[3 * hidden] * std::tanh(c[i]);
      }
      ys.insert(ys.end(), h.begin(), h.end());
      cs.insert(cs.end(), c.begin(), c.end());
      as.insert(as.end(), a.begin(), a.end());
    }
    CHECK(largest_error(y, ys, unit) <= 1);
    CHECK(largest_error(cells, cs, unit) <= 1);
    CHECK(largest_error(gates, as, unit) <= 1);
    if (s.steps == 0) return;
    CHECK(largest_error(last, c, unit) <= 1);

    std::vector<double> dh(size), dc = dlast.values(), da(x.size());
    for (int64_t t = s.steps - 1; t >= 0; --t) {
      for (int64_t i = 0; i < size; ++i) {
        const int64_t at = (t * n + i / hidden) * width + i % hidden;
        const double *g = &as[at], tanh_c = std::tanh(cs[t * size + i]);
        const double before = t == 0 ? start[i] : cs[(t - 1) * size + i];
        const double d = dh[i] + dy.get(t * size + i);
        const double ig = g[0], fg = g[hidden], gg = g[2 * hidden], og = g[3 * hidden];
        dc[i] += d * og * (1 - tanh_c * tanh_c);
        da[at] = dc[i] * gg * ig * (1 - ig);
        da[at + hidden] = dc[i] * before * fg * (1 - fg);
        da[at + 2 * hidden] = dc[i] * ig * (1 - gg * gg);
        da[at + 3 * hidden] = d * tanh_c * og * (1 - og);
        dc[i] *= fg;
      }
      for (int64_t i = 0; i < size; ++i) {
        dh[i] = 0;
        for (int64_t j = 0; j < width; ++j)
          dh[i] += da[(t * n + i / hidden) * width + j] * w[j * hidden + i % hidden];
      }
    }
    CHECK(largest_error(dgates, da, unit) <= 2);
    CHECK(largest_error(dh0, dh, unit) <= 2);
    CHECK(largest_error(dc0, dc, unit) <= 2);
  }
};

struct Gru {
  Sizes s;
  Array in, h0, weights, bias, y, kept, dy, din, dsums, dh0;

  Gru(const Sizes& sizes, DType dtype)
      : s(sizes),
        in(dtype, s.states(3)),
        h0(dtype, s.state()),
        weights(dtype, s.weights(3)),
        bias(dtype, {3 * s.hidden}),
        y(dtype, s.states(1)),
        kept(dtype, s.states(4)),
        dy(dtype, s.states(1)),
        din(dtype, s.states(3)),
        dsums(dtype, s.states(3)),
        dh0(dtype, s.state()) {
    std::mt19937 random(uint32_t(s.rows + 7 * s.hidden));
    each_input([&](Array& x) { fill_normal(x, random); });
    for (int64_t i = 0; i < weights.size(); ++i)
      weights.set(i, weights.get(i) / std::sqrt(double(s.hidden)));
    for (Array* x : outputs()) fill_garbage(*x);
  }
  std::vector<Array*> outputs() { return {&y, &kept, &din, &dsums, &dh0}; }
  template <class F>
  void each_input(F&& change) {
    for (Array* x : {&in, &h0, &weights, &bias, &dy}) change(*x);
  }
  void run(bool keep = true) {
    std::vector<View> out{y.view(), kept.view()};
    if (!keep) out[1].data = nullptr;
    run_kernel(cpu::neural_kernels(), "gru", {in.view(), h0.view(), weights.view(), bias.view()},
               out, {});
  }
  void run_grad() {
    run_kernel(cpu::neural_kernels(), "gru_grad",
               {kept.view(), y.view(), h0.view(), weights.view(), dy.view()},
               {din.view(), dsums.view(), dh0.view()}, {});
  }
  // The definition and its derivative in float64.
  void check(double unit) {
    const int64_t n = s.rows, hidden = s.hidden, width = 3 * hidden, size = n * hidden;
    std::vector<double> h = h0.values(), ys, all;
    const std::vector<double> w = weights.values(), b = bias.values(), start = h;
    for (int64_t t = 0; t < s.steps; ++t) {
      const std::vector<double> before = h;
      for (int64_t i = 0; i < size; ++i) {
        const int64_t row = i / hidden, unit_at = i % hidden;
        double u[3], v[3];
        for (int64_t k = 0; k < 3; ++k) {
          const int64_t j = k * hidden + unit_at;
          u[k] = in.get((t * n + row) * width + j);
          v[k] = b[j];
          for (int64_t e = 0; e < hidden; ++e) v[k] += before[row * hidden + e] * w[j * hidden + e];
        }
        const double r = sigmoid(u[0] + v[0]), z = sigmoid(u[1] + v[1]);
        const double m = std::tanh(u[2] + r * v[2]);
        h[i] = (1 - z) * m + z * before[i];
        all.insert(all.end(), {r, z, m, v[2]});
      }
      ys.insert(ys.end(), h.begin(), h.end());
    }
    CHECK(largest_error(y, ys, unit) <= 1);
    if (s.steps == 0) return;

    std::vector<double> dh(size), du(in.size()), dv(in.size());
    for (int64_t t = s.steps - 1; t >= 0; --t) {
      for (int64_t i = 0; i < size; ++i) {
        const double* g = &all[(t * size + i) * 4];
        const double before = t == 0 ? start[i] : ys[(t - 1) * size + i];
        const double d = dh[i] + dy.get(t * size + i), r = g[0], z = g[1], m = g[2];
        const int64_t at = (t * n + i / hidden) * width + i % hidden;
        const double dm = d * (1 - z) * (1 - m * m);
        du[at] = dv[at] = dm * g[3] * r * (1 - r);
        du[at + hidden] = dv[at + hidden] = d * (before - m) * z * (1 - z);
        du[at + 2 * hidden] = dm;
        dv[at + 2 * hidden] = dm * r;
        dh[i] = d * z;
      }
      for (int64_t i = 0; i < size; ++i)
        for (int64_t j = 0; j < width; ++j)
          dh[i] += dv[(t * n + i / hidden) * width + j] * w[j * hidden + i % hidden];
    }
    CHECK(largest_error(din, du, unit) <= 2);
    CHECK(largest_error(dsums, dv, unit) <= 2);
    CHECK(largest_error(dh0, dh, unit) <= 2);
  }
};

template <class Layer>
void check_layer() {
  for_each_isa([&] {
    for (const Sizes& s : kSizes)
      for (DType dtype : {DType::float32, DType::float64}) {
        CAPTURE(s.steps);
        CAPTURE(s.rows);
        CAPTURE(s.hidden);
        CAPTURE(dtype);
        Layer layer(s, dtype);
        layer.run();
        layer.run_grad();
        layer.check(unit_of(dtype));
      }
  });
}

// Small enough for one thread, cut by rows, cut by units.
constexpr Sizes kCuts[] = {{3, 5, 20}, {3, 50, 96}, {3, 12, 300}, {3, 1, 300}};

template <class Layer>
void check_bits() {
  for (const Sizes& s : kCuts) {
    CAPTURE(s.rows);
    Layer layer(s, DType::float32);
    const auto run = [&] {
      layer.run();
      layer.run_grad();
    };
    for (Array* out : layer.outputs()) check_threads(*out, run);
    Layer other(s, DType::float32);
    for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
      other.each_input([&](Array& x) { x = in_layout(x, layout); });
      for (Array* out : other.outputs())
        std::fill(out->memory.begin(), out->memory.end(), std::byte(0));
      other.run();
      other.run_grad();
      const auto want = layer.outputs(), got = other.outputs();
      for (size_t i = 0; i < want.size(); ++i) CHECK(got[i]->memory == want[i]->memory);
    }
  }
}

}  // namespace

TEST_CASE("lstm: against the definition, in every instruction set") { check_layer<Lstm>(); }

TEST_CASE("lstm: the same bits for every number of threads and layout") { check_bits<Lstm>(); }

TEST_CASE("gru: against the definition, in every instruction set") { check_layer<Gru>(); }

TEST_CASE("gru: the same bits for every number of threads and layout") { check_bits<Gru>(); }

TEST_CASE("lstm: without what the gradient needs, the same results") {
  Lstm kept({4, 9, 40}, DType::float32), plain({4, 9, 40}, DType::float32);
  kept.run();
  plain.run(false);
  CHECK(plain.y.values() == kept.y.values());
  CHECK(plain.last.values() == kept.last.values());
}

TEST_CASE("gru: without what the gradient needs, the same results") {
  Gru kept({4, 9, 40}, DType::float32), plain({4, 9, 40}, DType::float32);
  kept.run();
  plain.run(false);
  CHECK(plain.y.values() == kept.y.values());
}
