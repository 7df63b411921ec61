#include "backend/cpu/contraction/product.h"
#include "backend/cpu/cpu_backend.h"
#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

void matmul(const View& a, const View& b, const View& c) {
  run_kernel(cpu::contraction_kernels(), "matmul", {a, b}, {c}, {});
}

// The sums in double, or in the integers modulo 2^64.
std::vector<double> reference(Array& a, Array& b, int64_t batch, int64_t m, int64_t n, int64_t k) {
  std::vector<double> c(batch * m * n);
  for (int64_t g = 0; g < batch; ++g)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += a.get((g * m + i) * k + l) * b.get((g * k + l) * n + j);
        c[(g * m + i) * n + j] = sum;
      }
  return c;
}

// Exact for small whole numbers in every dtype whose range holds the sums.
void check_exact(DType dtype, int64_t batch, int64_t m, int64_t n, int64_t k, Layout layout_a,
                 Layout layout_b, std::mt19937& random) {
  Array a(dtype, {batch, m, k}, layout_a), b(dtype, {batch, k, n}, layout_b);
  Array c(dtype, {batch, m, n});
  a.fill(random, 0, 3);
  b.fill(random, 0, 3);
  std::fill(c.memory.begin(), c.memory.end(), std::byte(0x55));
  matmul(a.view(), b.view(), c.view());
  const auto want = reference(a, b, batch, m, n, k);
  bool same = true;
  for (int64_t i = 0; i < c.size(); ++i) {
    double expected = want[i];
    if (is_integer(dtype))
      expected =
          dispatch(dtype, [&](auto zero) { return double(decltype(zero)(int64_t(want[i]))); });
    same &= c.get(i) == (is_integer(dtype) ? expected : stored(expected, dtype));
  }
  CAPTURE(dtype);
  CAPTURE(batch);
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(int(layout_a));
  CAPTURE(int(layout_b));
  CHECK(same);
}

}  // namespace

TEST_CASE("matmul: shapes across every block edge") {
  std::mt19937 random(1);
  const int64_t sizes[] = {1,  2,  3,  5,  6,  7,  12, 13, 14, 15, 16, 17,
                           28, 29, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127};
  for_each_isa([&] {
    for (int64_t m : sizes)
      for (int64_t n : sizes)
        check_exact(DType::float32, 1, m, n, 1 + int64_t(random() % 20), Layout::dense,
                    Layout::dense, random);
    for (int64_t k : {1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 383, 384, 385, 767, 768, 769, 1500})
      for (int64_t m : {1, 2, 14, 33})
        for (int64_t n : {1, 3, 32, 35})
          check_exact(DType::float32, 1, m, n, k, Layout::dense, Layout::dense, random);
    check_exact(DType::float32, 1, 301, 293, 391, Layout::dense, Layout::reversed_axes, random);
    check_exact(DType::float32, 1, 253, 259, 400, Layout::reversed_axes, Layout::gaps, random);
    for (auto [m, n] : {std::pair{128, 129}, {129, 127}, {257, 300}, {450, 70}, {3, 600}})
      check_exact(DType::float64, 1, m, n, 21, Layout::dense, Layout::dense, random);
  });
}

TEST_CASE("matmul: every dtype and layout") {
  std::mt19937 random(2);
  for_each_isa([&] {
    for (DType dtype : kAllDTypes) {
      if (dtype == DType::bool_) continue;
      for (Layout a : kLayouts)
        for (Layout b : kLayouts)
          for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 9},
                                 {9, 1, 33},
                                 {1, 40, 21},
                                 {17, 19, 23},
                                 {33, 35, 66}})
            check_exact(dtype, a == Layout::broadcast || b == Layout::broadcast ? 3 : 2, m, n, k, a,
                        b, random);
    }
  });
}

TEST_CASE("matmul: integers wrap, bool is refused") {
  Array a(DType::int8, {1, 2}), b(DType::int8, {2, 1}), c(DType::int8, {1, 1});
  for (int i = 0; i < 2; ++i) a.set(i, 100), b.set(i, 3);
  matmul(a.view(), b.view(), c.view());
  CHECK(c.get(0) == int8_t(600));
  Array x(DType::uint16, {1, 1}), y(DType::uint16, {1, 1});
  x.set(0, 65535);
  matmul(x.view(), x.view(), y.view());
  CHECK(y.get(0) == 1);
  Array m(DType::bool_, {1, 1});
  CHECK_THROWS_AS(matmul(m.view(), m.view(), m.view()), Error);
}

TEST_CASE("matmul: empty sizes") {
  for (DType dtype : {DType::float32, DType::float16, DType::int32}) {
    Array a(dtype, {2, 3, 0}), b(dtype, {2, 0, 4}), c(dtype, {2, 3, 4});
    std::fill(c.memory.begin(), c.memory.end(), std::byte(0x55));
    matmul(a.view(), b.view(), c.view());
    bool zero = true;
    for (int64_t i = 0; i < c.size(); ++i) zero &= c.get(i) == 0;
    CHECK(zero);
    Array e(dtype, {0, 5}), f(dtype, {5, 4}), g(dtype, {0, 4});
    matmul(e.view(), f.view(), g.view());
  }
}

TEST_CASE("matmul: NaN and infinity reach exactly their row and column") {
  for_each_isa([&] {
    for (auto [m, n, k] : {std::array<int64_t, 3>{20, 37, 11}, {20, 1, 70}, {1, 37, 40}}) {
      std::mt19937 random(3);
      Array a(DType::float32, {m, k}), b(DType::float32, {k, n}), c(DType::float32, {m, n});
      a.fill(random, 1, 3);
      b.fill(random, 1, 3);
      a.set((m - 1) * k + k - 1, kNan);
      b.set((k - 1) * n, kInf);
      matmul(a.view(), b.view(), c.view());
      CHECK(largest_error(c, reference(a, b, 1, m, n, k), 1) == 0);
    }
  });
}

TEST_CASE("matmul: rounding stays within the bound of blocked sums") {
  for_each_isa([&] {
    std::mt19937 random(4);
    const double most = cpu::isa_name() == "baseline" ? 64 : 40;  // products round there, too
    for (auto [m, n, k] : {std::array<int64_t, 3>{30, 40, 2000}, {30, 1, 2000}, {1, 40, 2000}}) {
      Array a(DType::float32, {m, k}), b(DType::float32, {k, n}), c(DType::float32, {m, n});
      fill_normal(a, random);
      fill_normal(b, random);
      matmul(a.view(), b.view(), c.view());
      CHECK(largest_error(c, reference(a, b, 1, m, n, k), 0x1p-24 * std::sqrt(double(k))) < most);
    }
  });
}

TEST_CASE("matmul: the same bits for every layout and number of threads") {
  std::mt19937 random(5);
  for_each_isa([&] {
    for (DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
      for (auto [batch, m, n, k] : {std::array<int64_t, 4>{1, 67, 75, 500},
                                    {2, 300, 129, 64},
                                    {1, 1, 1000, 600},
                                    {1, 230, 300, 401},
                                    {1, 1000, 1, 600},
                                    {8, 2, 33, 1025},
                                    {3, 31, 1024, 17}}) {
        Array a(dtype, {batch, m, k}), b(dtype, {batch, k, n}), c(dtype, {batch, m, n});
        fill_normal(a, random);
        fill_normal(b, random);
        check_threads(c, [&] { matmul(a.view(), b.view(), c.view()); });
        for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
          Array other(dtype, {batch, m, n}), a2 = in_layout(a, layout), b2 = in_layout(b, layout);
          matmul(a2.view(), b.view(), other.view());
          CHECK(other.memory == c.memory);
          matmul(a.view(), b2.view(), other.view());
          CHECK(other.memory == c.memory);
        }
      }
  });
}

TEST_CASE("matmul: a broadcast operand gives the bits of its copies") {
  std::mt19937 random(6);
  for (auto [m, n] : {std::pair<int64_t, int64_t>{6, 9}, {1, 9}, {6, 1}}) {
    Array a(DType::float32, {4, 5, m, 70}), b(DType::float32, {70, n});
    Array copies(DType::float32, {4, 5, 70, n});
    fill_normal(a, random);
    fill_normal(b, random);
    for (int64_t i = 0; i < copies.size(); ++i) copies.set(i, b.get(i % b.size()));
    View broadcast = b.view();
    broadcast.shape = {4, 5, 70, n};
    broadcast.strides = {0, 0, n, 1};
    Array c(DType::float32, {4, 5, m, n}), d(DType::float32, {4, 5, m, n});
    matmul(a.view(), broadcast, c.view());
    matmul(a.view(), copies.view(), d.view());
    CHECK(c.memory == d.memory);
  }
}

TEST_CASE("matmul: operands packed before give the same bits") {
  std::mt19937 random(7);
  for_each_isa([&] {
    const auto& kernels = cpu::gemm_kernels<float>();
    for (auto [m, n, k] : {std::array<int64_t, 3>{5, 7, 3}, {61, 130, 800}, {240, 290, 385}}) {
      Array a(DType::float32, {m, k}), b(DType::float32, {k, n});
      Array c(DType::float32, {m, n}), d(DType::float32, {m, n});
      fill_normal(a, random);
      fill_normal(b, random);
      matmul(a.view(), b.view(), c.view());
      std::vector<float> left(cpu::packed_left_size(kernels, m, k));
      std::vector<float> right(cpu::packed_right_size(kernels, k, n));
      cpu::Product p{m,
                     n,
                     k,
                     {a.memory.data(), DType::float32, k, 1},
                     {b.memory.data(), DType::float32, n, 1},
                     d.memory.data(),
                     DType::float32};
      cpu::pack_left(kernels, p.a, m, k, left.data());
      cpu::pack_right(kernels, p.b, k, n, right.data());
      p.packed_a = reinterpret_cast<const std::byte*>(left.data());
      p.packed_b = reinterpret_cast<const std::byte*>(right.data());
      cpu::multiply_batch(kernels, p, cpu::Batch{{}, {}, {}, 1});
      CHECK(c.memory == d.memory);
    }
  });
}

TEST_CASE("matmul: weights that last are packed at their second use, for the same bits") {
  CpuBackend backend;
  std::mt19937 random(11);
  const int64_t m = 300, n = 400, k = 500;
  Array a(DType::float32, {m, k}), b(DType::float32, {k, n}, Layout::reversed_axes);
  Array c(DType::float32, {m, n}), again(DType::float32, {m, n});
  fill_normal(a, random);
  fill_normal(b, random);
  View weights = b.view();
  matmul(a.view(), weights, c.view());
  Buffer buffer(backend, weights.data, b.memory.size(), nullptr);
  weights.buffer = &buffer;
  const auto live = [&] { return backend.allocator().stats().live_bytes; };
  const int64_t before = live();
  for (int use = 1; use <= 3; ++use) {
    std::fill(again.memory.begin(), again.memory.end(), std::byte(0x55));
    matmul(a.view(), weights, again.view());
    CHECK(again.values() == c.values());
    CHECK((live() > before) == (use > 1));
  }
}

TEST_CASE("matmul: denormals are kept") {
  for_each_isa([&] {
    Array a(DType::float32, {20, 3}), b(DType::float32, {3, 40}), c(DType::float32, {20, 40});
    for (int64_t i = 0; i < a.size(); ++i) a.set(i, 0x1p-140);
    for (int64_t i = 0; i < b.size(); ++i) b.set(i, 1);
    matmul(a.view(), b.view(), c.view());
    bool same = true;
    for (int64_t i = 0; i < c.size(); ++i) same &= c.get(i) == 3 * 0x1p-140;
    CHECK(same);
  });
}
