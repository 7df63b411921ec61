#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Shapes {
  int64_t n, heads, groups, rows, keys, size, out_size;
  bool causal;

  Shape query() const { return {n, heads, rows, size}; }
  Shape key() const { return {n, groups, keys, size}; }
  Shape value() const { return {n, groups, keys, out_size}; }
  Shape result() const { return {n, heads, rows, out_size}; }
  Shape mask() const { return {n, heads, rows, keys}; }
  Attrs attrs() const {
    return write_attrs(AttentionAttrs{causal, 1 / std::sqrt(double(std::max<int64_t>(1, size)))});
  }
};

// Both sides of every block edge, few rows and many, heads that share keys, sizes of 0.
constexpr Shapes kShapes[] = {
    {1, 1, 1, 1, 1, 1, 1, false},      {2, 3, 3, 9, 5, 4, 7, false},
    {1, 2, 2, 64, 128, 16, 16, false}, {1, 2, 1, 65, 129, 17, 33, true},
    {1, 1, 1, 63, 127, 64, 64, true},  {2, 4, 2, 130, 70, 8, 12, true},
    {1, 9, 9, 70, 300, 20, 20, false}, {1, 2, 1, 1, 1200, 24, 20, false},
    {1, 8, 1, 1, 300, 16, 16, false},  {2, 2, 2, 5, 260, 8, 8, true},
    {1, 2, 2, 3, 0, 4, 4, false},      {1, 2, 2, 20, 0, 4, 4, false},
    {1, 2, 2, 0, 4, 4, 4, false},      {0, 2, 2, 4, 4, 4, 4, false},
    {1, 2, 2, 40, 33, 0, 4, false},    {1, 1, 1, 300, 40, 5, 3, true},
};

struct Result {
  std::vector<double> y, dq, dk, dv;
};

// The definition and its derivative in float64; mask holds what is added to the scores.
Result expected(const Shapes& s, Array& q, Array& k, Array& v, Array& dy,
                const std::vector<double>& mask) {
  Result r;
  r.y.resize(numel(s.result()));
  r.dq.resize(q.size());
  r.dk.resize(k.size());
  r.dv.resize(v.size());
  const auto qs = q.values(), ks = k.values(), vs = v.values(), dys = dy.values();
  const double scale = 1 / std::sqrt(double(std::max<int64_t>(1, s.size)));
  std::vector<double> p(s.keys), dp(s.keys);
  for (int64_t h = 0; h < s.n * s.heads; ++h)
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t g = h / (s.heads / s.groups), row = h * s.rows + i;
      double top = -kInfinity, total = 0, delta = 0;
      for (int64_t j = 0; j < s.keys; ++j) {
        p[j] = mask.empty() ? 0 : mask[row * s.keys + j];
        for (int64_t e = 0; e < s.size; ++e)
          p[j] += scale * qs[row * s.size + e] * ks[(g * s.keys + j) * s.size + e];
        if (s.causal && j > i) p[j] = -kInfinity;
        top = std::max(top, p[j]);
      }
      for (int64_t j = 0; j < s.keys; ++j)
        total += p[j] = top == -kInfinity ? p[j] != p[j] ? kNan : 0 : std::exp(p[j] - top);
      for (int64_t j = 0; j < s.keys; ++j) {
        p[j] = total == 0 ? 0 : p[j] / total;
        dp[j] = 0;
        for (int64_t f = 0; f < s.out_size; ++f) {
          const int64_t at = (g * s.keys + j) * s.out_size + f;
          r.y[row * s.out_size + f] += p[j] * vs[at];
          dp[j] += dys[row * s.out_size + f] * vs[at];
          r.dv[at] += p[j] * dys[row * s.out_size + f];
        }
        delta += p[j] * dp[j];
      }
      for (int64_t j = 0; j < s.keys; ++j)
        for (int64_t e = 0; e < s.size; ++e) {
          const double ds = p[j] * (dp[j] - delta) * scale;
          r.dq[row * s.size + e] += ds * ks[(g * s.keys + j) * s.size + e];
          r.dk[(g * s.keys + j) * s.size + e] += ds * qs[row * s.size + e];
        }
    }
  return r;
}

struct Buffers {
  Array q, k, v, y, logsum, dy, dq, dk, dv;

  Buffers(const Shapes& s, DType dtype)
      : q(dtype, s.query()),
        k(dtype, s.key()),
        v(dtype, s.value()),
        y(dtype, s.result()),
        logsum(dtype == DType::float64 ? dtype : DType::float32, {s.n, s.heads, s.rows}),
        dy(dtype, s.result()),
        dq(dtype, s.query()),
        dk(dtype, s.key()),
        dv(dtype, s.value()) {
    std::mt19937 random(uint32_t(s.rows + 7 * s.keys));
    for (Array* x : {&q, &k, &v, &dy}) fill_normal(*x, random);
    for (Array* x : {&y, &logsum, &dq, &dk, &dv})
      std::fill(x->memory.begin(), x->memory.end(), std::byte(0x55));
  }
  void run(const Shapes& s, Array* mask = nullptr) {
    std::vector<View> in{q.view(), k.view(), v.view()};
    if (mask) in.push_back(mask->view());
    run_kernel(cpu::neural_kernels(), "attention", in, {y.view(), logsum.view()}, s.attrs());
  }
  void run_grad(const Shapes& s, Array* mask = nullptr) {
    std::vector<View> in{q.view(), k.view(), v.view(), y.view(), logsum.view(), dy.view()};
    if (mask) in.push_back(mask->view());
    run_kernel(cpu::neural_kernels(), "attention_grad", in, {dq.view(), dk.view(), dv.view()},
               s.attrs());
  }
  void check(const Result& want, double unit) {
    CHECK(largest_error(y, want.y, unit) <= 1);
    CHECK(largest_error(dq, want.dq, unit) <= 4);
    CHECK(largest_error(dk, want.dk, unit) <= 4);
    CHECK(largest_error(dv, want.dv, unit) <= 4);
  }
};

double unit_of(DType dtype) {
  return dtype == DType::float64   ? 1e-13
         : dtype == DType::float32 ? 4e-6
         : dtype == DType::float16 ? 4e-3
                                   : 3e-2;
}

}  // namespace

TEST_CASE("attention: against the definition, in every dtype and instruction set") {
  for_each_isa([&] {
    for (const Shapes& s : kShapes)
      for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
        CAPTURE(s.rows);
        CAPTURE(s.keys);
        CAPTURE(dtype);
        Buffers b(s, dtype);
        const Result want = expected(s, b.q, b.k, b.v, b.dy, {});
        b.run(s);
        b.run_grad(s);
        b.check(want, unit_of(dtype));
      }
  });
}

TEST_CASE("attention: masks, of which some hide whole rows") {
  std::mt19937 random(3);
  for (const Shapes& s : kShapes)
    for (DType dtype : {DType::bool_, DType::float16, DType::float32})
      for (Layout layout : {Layout::dense, Layout::reversed_axes, Layout::broadcast}) {
        CAPTURE(s.rows);
        CAPTURE(s.keys);
        CAPTURE(dtype);
        Buffers b(s, DType::float32);
        Array mask(dtype, s.mask(), layout);
        mask.fill(random, 0, dtype == DType::bool_ ? 1 : 5);
        for (int64_t i = 0; i < mask.size(); ++i)
          if (i / std::max<int64_t>(1, s.keys) % 4 == 1)
            mask.set(i, dtype == DType::bool_ ? 0 : dtype == DType::float16 ? -40 : -kInfinity);
        std::vector<double> added = mask.values();
        if (dtype == DType::bool_)
          for (double& x : added) x = x != 0 ? 0 : -kInfinity;
        const Result want = expected(s, b.q, b.k, b.v, b.dy, added);
        b.run(s, &mask);
        b.run_grad(s, &mask);
        b.check(want, 2 * unit_of(DType::float32));
      }
}

TEST_CASE("attention: the same bits for every number of threads and layout") {
  for (const Shapes& s :
       {Shapes{2, 3, 3, 200, 260, 64, 64, true}, Shapes{1, 2, 1, 150, 700, 32, 48, false},
        Shapes{1, 2, 1, 2, 1500, 64, 64, false}}) {
    Buffers b(s, DType::float32);
    for (Array* out : {&b.y, &b.logsum}) check_threads(*out, [&] { b.run(s); });
    for (Array* out : {&b.dq, &b.dk, &b.dv}) check_threads(*out, [&] { b.run_grad(s); });
    Buffers other(s, DType::float32);
    for (Array* x : {&other.y, &other.logsum, &other.dq, &other.dk, &other.dv})
      std::fill(x->memory.begin(), x->memory.end(), std::byte(0));
    for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
      for (Array* x : {&other.q, &other.k, &other.v, &other.dy}) *x = in_layout(*x, layout);
      other.run(s);
      other.run_grad(s);
      CHECK(other.y.memory == b.y.memory);
      CHECK(other.logsum.memory == b.logsum.memory);
      CHECK(other.dq.memory == b.dq.memory);
      CHECK(other.dk.memory == b.dk.memory);
      CHECK(other.dv.memory == b.dv.memory);
    }
  }
}

TEST_CASE("attention: NaN stays in its row, large scores do not overflow") {
  const Shapes s{1, 1, 1, 70, 150, 8, 8, false};
  Buffers b(s, DType::float32);
  b.q.set(3 * 8, kNan);
  for (int64_t e = 0; e < 8; ++e) b.q.set(5 * 8 + e, 1e4 * b.q.get(5 * 8 + e));
  b.run(s);
  for (int64_t i = 0; i < b.y.size(); ++i) CHECK((b.y.get(i) != b.y.get(i)) == (i / 8 == 3));
}
