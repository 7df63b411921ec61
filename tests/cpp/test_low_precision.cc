// Products of 16-bit floats and of integers whose sums are wider than the operands.
#include <atomic>

#include "backend/cpu/cpu_backend.h"
#include "contraction_harness.h"
#include "runtime/buffer.h"
#include "runtime/thread_pool.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

void matmul(const View& a, const View& b, const View& c) {
  run_kernel(cpu::contraction_kernels(), "matmul", {a, b}, {c}, {});
}

// Any bits of an integer dtype.
void fill_bits(Array& x, std::mt19937& random) {
  for (std::byte& byte : x.memory) byte = std::byte(random());
}

uint64_t bits(Array& x, int64_t i) {
  return dispatch(x.shell.dtype, [&](auto zero) { return uint64_t(x.at<decltype(zero)>(i)); });
}

// Whether c = a b modulo 2^bits of c's dtype.
bool exact(Array& a, Array& b, Array& c, int64_t m, int64_t n, int64_t k) {
  const int unused = 64 - 8 * int(itemsize(c.shell.dtype));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      uint64_t sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += bits(a, i * k + l) * bits(b, l * n + j);
      if ((sum ^ bits(c, i * n + j)) << unused != 0) return false;
    }
  return true;
}

void check_integers(DType dtype_a, DType dtype_b, DType dtype_c, int64_t m, int64_t n, int64_t k,
                    Layout layout_a, Layout layout_b, std::mt19937& random) {
  Array a(dtype_a, {m, k}, layout_a), b(dtype_b, {k, n}, layout_b), c(dtype_c, {m, n});
  fill_bits(a, random);
  fill_bits(b, random);
  std::fill(c.memory.begin(), c.memory.end(), std::byte(0x55));
  matmul(a.view(), b.view(), c.view());
  CAPTURE(dtype_a);
  CAPTURE(dtype_b);
  CAPTURE(dtype_c);
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(int(layout_a));
  CAPTURE(int(layout_b));
  CHECK(exact(a, b, c, m, n, k));
}

std::vector<double> reference(Array& a, Array& b, int64_t m, int64_t n, int64_t k) {
  std::vector<double> c(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l) c[i * n + j] += a.get(i * k + l) * b.get(l * n + j);
  return c;
}

constexpr Layout kSome[] = {Layout::dense, Layout::reversed_axes, Layout::flipped, Layout::gaps};

}  // namespace

TEST_CASE(
    "low precision: 8-bit integers sum exactly, whatever their signs and the result's width") {
  std::mt19937 random(1);
  for_each_isa([&] {
    for (DType a : {DType::int8, DType::uint8})
      for (DType b : {DType::int8, DType::uint8})
        for (DType c :
             {DType::int8, DType::uint8, DType::int16, DType::int32, DType::uint32, DType::int64})
          for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                 {3, 2, 5},
                                 {1, 40, 67},
                                 {15, 33, 64},
                                 {29, 65, 130}})
            check_integers(a, b, c, m, n, k, Layout::dense, Layout::dense, random);
  });
}

TEST_CASE("low precision: 8-bit integers across block edges and layouts") {
  std::mt19937 random(2);
  for_each_isa([&] {
    for (int64_t m : {1, 2, 13, 14, 15, 16, 17, 28, 29, 32, 33})
      for (int64_t n : {1, 15, 16, 17, 31, 32, 33, 64})
        for (int64_t k : {1, 3, 4, 7, 63, 64, 65})
          check_integers(DType::int8, DType::int8, DType::int32, m, n, k, Layout::dense,
                         Layout::dense, random);
    for (int64_t k : {1535, 1536, 1537, 3100})
      check_integers(DType::int8, DType::int8, DType::int32, 15, 35, k, Layout::dense,
                     Layout::reversed_axes, random);
    for (Layout a : kSome)
      for (Layout b : kSome)
        for (DType left : {DType::int8, DType::uint8})
          check_integers(left, DType::int8, DType::int32, 31, 45, 85, a, b, random);
    check_integers(DType::int8, DType::int8, DType::int32, 300, 290, 70, Layout::dense,
                   Layout::dense, random);
  });
}

TEST_CASE("low precision: wider integers wrap, and widen as they are read") {
  std::mt19937 random(3);
  const std::array<DType, 3> dtypes[] = {
      {DType::int16, DType::int16, DType::int16},    {DType::uint16, DType::uint16, DType::uint16},
      {DType::int16, DType::int16, DType::int32},    {DType::int16, DType::uint8, DType::int32},
      {DType::uint16, DType::uint16, DType::uint32}, {DType::uint16, DType::int8, DType::int32},
      {DType::int32, DType::int32, DType::int32},    {DType::uint32, DType::int16, DType::int64},
      {DType::int64, DType::int64, DType::int64},    {DType::uint64, DType::uint64, DType::uint64},
      {DType::int8, DType::int8, DType::int64}};
  for_each_isa([&] {
    for (auto [a, b, c] : dtypes) {
      for (Layout layout : kSome) {
        check_integers(a, b, c, 17, 35, 41, layout, Layout::dense, random);
        check_integers(a, b, c, 9, 31, 20, Layout::dense, layout, random);
      }
      check_integers(a, b, c, 5, 1, 900, Layout::dense, Layout::dense, random);
      check_integers(a, b, c, 1, 70, 33, Layout::dense, Layout::dense, random);
    }
  });
}

TEST_CASE("low precision: 16-bit floats keep float32 sums") {
  std::mt19937 random(4);
  for_each_isa([&] {
    for (DType dtype : {DType::bfloat16, DType::float16})
      for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 3},
                             {1, 40, 21},
                             {40, 1, 35},
                             {15, 33, 1},
                             {14, 32, 64},
                             {31, 17, 767},
                             {16, 16, 31},
                             {17, 48, 32},
                             {32, 31, 33},
                             {40, 33, 640},
                             {64, 64, 1280},
                             {33, 35, 1601}})
        for (Layout layout : kSome) {
          Array a(dtype, {m, k}, layout), b(dtype, {k, n}, layout);
          Array wide(DType::float32, {m, n}), narrow(dtype, {m, n});
          a.fill(random, -3, 3);
          b.fill(random, -3, 3);
          matmul(a.view(), b.view(), wide.view());
          CHECK(wide.values() == reference(a, b, m, n, k));
          fill_normal(a, random);
          fill_normal(b, random);
          matmul(a.view(), b.view(), wide.view());
          CHECK(largest_error(wide, reference(a, b, m, n, k), 0x1p-24 * std::sqrt(double(k))) < 40);
          matmul(a.view(), b.view(), narrow.view());
          bool rounded_once = true;
          for (int64_t i = 0; i < m * n; ++i)
            rounded_once &= narrow.get(i) == stored(wide.get(i), dtype);
          CHECK(rounded_once);
        }
  });
}

TEST_CASE("low precision: NaN and infinity reach exactly their row and column") {
  for_each_isa([&] {
    std::mt19937 random(5);
    const int64_t m = 20, n = 37, k = 11;
    Array a(DType::bfloat16, {m, k}), b(DType::bfloat16, {k, n}), c(DType::float32, {m, n});
    a.fill(random, 1, 3);
    b.fill(random, 1, 3);
    a.set((m - 1) * k + k - 1, kNan);
    b.set((k - 1) * n, kInf);
    b.set(5, -kInf);
    matmul(a.view(), b.view(), c.view());
    CHECK(largest_error(c, reference(a, b, m, n, k), 1) == 0);
  });
}

TEST_CASE("low precision: subnormal numbers are kept, or zero by dot and matrix instructions") {
  for_each_isa([&] {
    Array a(DType::bfloat16, {2, 2}), b(DType::bfloat16, {2, 2}), c(DType::float32, {2, 2});
    for (int64_t i = 0; i < 4; ++i) a.set(i, 0x1p-130), b.set(i, 1);
    matmul(a.view(), b.view(), c.view());
    for (int64_t i = 0; i < 4; ++i) CHECK(c.get(i) == (cpu::isa_has_dot() ? 0.0 : 0x1p-129));
  });
}

TEST_CASE("low precision: the same bits for every layout and number of threads") {
  std::mt19937 random(6);
  for_each_isa([&] {
    for (auto [from, to] : {std::pair{DType::bfloat16, DType::float32},
                            {DType::bfloat16, DType::bfloat16},
                            {DType::float16, DType::float32},
                            {DType::int8, DType::int32},
                            {DType::uint8, DType::uint8},
                            {DType::int64, DType::int64}})
      for (auto [m, n, k] :
           {std::array<int64_t, 3>{67, 75, 1000}, {300, 129, 64}, {5, 700, 1600}}) {
        Array a(from, {m, k}), b(from, {k, n}), c(to, {m, n});
        if (is_floating(from)) {
          fill_normal(a, random);
          fill_normal(b, random);
        } else {
          a.fill(random, 0, 100);
          b.fill(random, 0, 100);
        }
        check_threads(c, [&] { matmul(a.view(), b.view(), c.view()); });
        for (Layout layout : {Layout::reversed_axes, Layout::gaps}) {
          Array other(to, {m, n}), a2 = in_layout(a, layout), b2 = in_layout(b, layout);
          matmul(a2.view(), b.view(), other.view());
          CHECK(other.memory == c.memory);
          matmul(a.view(), b2.view(), other.view());
          CHECK(other.memory == c.memory);
        }
      }
  });
}

// The sum as Intel's manual defines tdpbf16ps: for each 32 of k, the chains over even and over odd
// k from zero, their sum, and that added to what there was.
TEST_CASE("low precision: the order of sums of matrix instructions is the documented one") {
  std::mt19937 random(8);
  for_each_isa([&] {
    if (!cpu::isa_has_amx()) return;
    for (auto [m, n, k] : {std::array<int64_t, 3>{33, 35, 1601}, {2, 17, 45}, {70, 40, 2048}}) {
      Array a(DType::bfloat16, {m, k}), b(DType::bfloat16, {k, n}), c(DType::float32, {m, n});
      fill_normal(a, random);
      fill_normal(b, random);
      matmul(a.view(), b.view(), c.view());
      bool same = true;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          float sum = 0;
          for (int64_t start = 0; start < k; start += 32) {
            float chains[2] = {};
            for (int64_t l = start; l < std::min(k, start + 32); ++l)
              chains[l % 2] =
                  std::fma(float(a.get(i * k + l)), float(b.get(l * n + j)), chains[l % 2]);
            sum += chains[0] + chains[1];
          }
          same &= c.at<float>(i * n + j) == sum;
        }
      CHECK(same);
    }
  });
}

#if defined(__x86_64__)
TEST_CASE("low precision: no thread keeps a configuration of tile registers") {
  for_each_isa([&] {
    if (!cpu::isa_has_amx()) return;
    Array a(DType::bfloat16, {300, 200}), b(DType::bfloat16, {200, 300}),
        c(DType::float32, {300, 300});
    const int before = num_threads();
    set_num_threads(4);
    matmul(a.view(), b.view(), c.view());
    std::atomic<int> configured = 0;
    parallel_for(64, [&](int64_t) {
      alignas(64) uint8_t sizes[64];
      asm volatile("sttilecfg %0" : "=m"(sizes));
      configured += std::any_of(sizes, sizes + 64, [](uint8_t byte) { return byte != 0; });
    });
    CHECK(configured == 0);
    set_num_threads(before);
  });
}
#endif

TEST_CASE("low precision: sums of nothing are zero") {
  for (auto [from, to] :
       {std::pair{DType::bfloat16, DType::float32}, {DType::int8, DType::int32}}) {
    Array a(from, {2, 3, 0}), b(from, {2, 0, 4}), c(to, {2, 3, 4});
    std::fill(c.memory.begin(), c.memory.end(), std::byte(0x55));
    matmul(a.view(), b.view(), c.view());
    for (int64_t i = 0; i < c.size(); ++i) CHECK(c.get(i) == 0);
    Array e(from, {0, 5}), f(from, {5, 4}), g(to, {0, 4});
    matmul(e.view(), f.view(), g.view());
  }
}

// A value alone in its sum passes through packing and rounding: in a column of 16, so that rows of
// A are converted by whole vectors, or as a column of its own.
TEST_CASE("low precision: every float16 comes through a product as it is") {
  constexpr int64_t kCount = 65536, kColumns = 24;
  for_each_isa([&] {
    for (int64_t k : {1, 16})
      for (DType dtype : {DType::float32, DType::float16}) {
        Array a(DType::float16, {kCount, k}), b(DType::float16, {k, kColumns});
        Array c(dtype, {kCount, kColumns});
        for (int64_t i = 0; i < b.size(); ++i) b.set(i, 1);
        for (int64_t i = 0; i < kCount; ++i) a.at<float16>(i * k + i % k).bits = uint16_t(i);
        matmul(a.view(), b.view(), c.view());
        int64_t wrong = 0;
        for (int64_t i = 0; i < kCount; ++i) {
          const double want = a.get(i * k + i % k), got = c.get(i * kColumns + i % kColumns);
          wrong += got != want && !(std::isnan(got) && std::isnan(want));
        }
        CHECK(wrong == 0);
      }
  });
}

TEST_CASE("low precision: float16 results that overflow are infinite") {
  for_each_isa([&] {
    Array a(DType::float16, {40, 2}), b(DType::float16, {2, 33}), c(DType::float16, {40, 33});
    for (int64_t i = 0; i < a.size(); ++i) a.set(i, i < 40 ? 60000 : -60000);
    for (int64_t i = 0; i < b.size(); ++i) b.set(i, 1);
    matmul(a.view(), b.view(), c.view());
    bool right = true;
    for (int64_t i = 0; i < c.size(); ++i) right &= c.get(i) == (i < 20 * 33 ? kInf : -kInf);
    CHECK(right);
  });
}

TEST_CASE("low precision: weights kept for int8 rows are not taken for uint8 rows") {
  std::mt19937 random(7);
  const int64_t m = 128, n = 256, k = 256;
  for_each_isa([&] {
    CpuBackend backend;
    Array b(DType::int8, {k, n});
    fill_bits(b, random);
    Buffer weights(backend, b.memory.data(), b.memory.size(), [] {});
    View kept = b.view();
    kept.buffer = &weights;
    for (int round = 0; round < 3; ++round)  // kept from the second on
      for (DType rows : {DType::int8, DType::uint8}) {
        Array a(rows, {m, k}), c(DType::int32, {m, n});
        fill_bits(a, random);
        matmul(a.view(), kept, c.view());
        CHECK(exact(a, b, c, m, n, k));
      }
  });
}
