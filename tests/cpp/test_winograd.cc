// Winograd convolution against direct sums in double, and its error beside the direct kernel's.
#include <tuple>

#include "backend/cpu/conv_algorithm.h"
#include "contraction_harness.h"
#include "graph/attrs.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::testing;
using cpu::ConvAlgorithm;

namespace {

struct Case {
  int64_t images, channels, height, width, filters, padding;
  Shape x() const { return {images, channels, height, width}; }
  Shape w() const { return {filters, channels, 3, 3}; }
  Shape y() const { return {images, filters, height + 2 * padding - 2, width + 2 * padding - 2}; }
  Attrs attrs() const {
    return write_attrs(
        ConvAttrs{{1, 1, 1}, {0, padding, padding}, {0, padding, padding}, {1, 1, 1}, 1});
  }
};

// While it lives, convolutions run like this.
class Algorithm {
 public:
  explicit Algorithm(ConvAlgorithm algorithm) { cpu::set_conv_algorithm(algorithm); }
  ~Algorithm() { cpu::set_conv_algorithm(before_); }

 private:
  ConvAlgorithm before_ = cpu::conv_algorithm();
};

void convolve(std::string_view kind, const Case& c, const View& a, const View& b, const View& out) {
  run_kernel(cpu::contraction_kernels(), kind, {a, b}, {out}, c.attrs());
}

std::vector<double> reference(const Case& c, Array& x, Array& w) {
  const auto xs = x.values(), ws = w.values();
  const Shape y = c.y();
  std::vector<double> out(size_t(numel(y)));
  for (int64_t n = 0, at = 0; n < c.images; ++n)
    for (int64_t o = 0; o < c.filters; ++o)
      for (int64_t r = 0; r < y[2]; ++r)
        for (int64_t q = 0; q < y[3]; ++q, ++at)
          for (int64_t k = 0; k < c.channels; ++k)
            for (int64_t i = 0; i < 3; ++i)
              for (int64_t j = 0; j < 3; ++j) {
                const int64_t h = r - c.padding + i, v = q - c.padding + j;
                if (h < 0 || h >= c.height || v < 0 || v >= c.width) continue;
                out[size_t(at)] += xs[size_t(((n * c.channels + k) * c.height + h) * c.width + v)] *
                                   ws[size_t(((o * c.channels + k) * 3 + i) * 3 + j)];
              }
  return out;
}

std::vector<double> reference_weight_grad(const Case& c, Array& x, Array& dy) {
  const auto xs = x.values(), ys = dy.values();
  const Shape y = c.y();
  std::vector<double> out(size_t(numel(c.w())));
  for (int64_t o = 0, at = 0; o < c.filters; ++o)
    for (int64_t k = 0; k < c.channels; ++k)
      for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 3; ++j, ++at)
          for (int64_t n = 0; n < c.images; ++n)
            for (int64_t r = 0; r < y[2]; ++r) {
              const int64_t h = r - c.padding + i;
              if (h < 0 || h >= c.height) continue;
              for (int64_t q = 0; q < y[3]; ++q) {
                const int64_t v = q - c.padding + j;
                if (v < 0 || v >= c.width) continue;
                out[size_t(at)] += xs[size_t(((n * c.channels + k) * c.height + h) * c.width + v)] *
                                   ys[size_t(((n * c.filters + o) * y[2] + r) * y[3] + q)];
              }
            }
  return out;
}

constexpr Case kCases[] = {
    {1, 32, 16, 16, 32, 1},  {2, 33, 17, 15, 47, 1},  {1, 64, 20, 9, 96, 0},
    {3, 100, 7, 11, 65, 2},  {1, 400, 16, 16, 40, 1}, {5, 40, 7, 7, 33, 1},
    {1, 256, 16, 16, 64, 1}, {1, 512, 16, 16, 32, 1},
};

// Operands that transforms suit badly. An error is measured against the same sums of absolute
// values.
struct Operands {
  std::string name;
  // The element at row i and column j of channel k, of an image or filter n.
  double (*x)(int64_t n, int64_t k, int64_t i, int64_t j, std::mt19937&);
  double (*w)(int64_t n, int64_t k, int64_t i, int64_t j, std::mt19937&);
};

double uniform(std::mt19937& random) {
  return std::uniform_real_distribution<double>(0, 1)(random);
}
double sign(int64_t i) { return i % 2 ? -1 : 1; }

const Operands kOperands[] = {
    // No sum cancels, so roundings may add up.
    {"positive", [](auto, auto, auto, auto, std::mt19937& r) { return uniform(r); },
     [](auto, auto, auto, auto, std::mt19937& r) { return uniform(r); }},
    // The transforms of the image add up whatever they subtract elsewhere.
    {"checkerboard",
     [](auto, auto, int64_t i, int64_t j, std::mt19937& r) {
       return sign(i + j) * (1 + uniform(r) / 8);
     },
     [](auto, auto, int64_t i, int64_t j, std::mt19937& r) {
       return sign(i + j) * (1 + uniform(r) / 8);
     }},
    // The result is far smaller than what it is summed from.
    {"differences of a bright image",
     [](auto, auto, auto, auto, std::mt19937& r) { return 1000 + uniform(r); },
     [](auto, auto, int64_t i, int64_t j, std::mt19937&) { return i == 1 && j == 1 ? 8.0 : -1.0; }},
    // Large elements beside small ones, in the same tiles.
    {"forty powers of two",
     [](auto, auto, auto, auto, std::mt19937& r) {
       return std::ldexp(uniform(r) - 0.5, int(r() % 41) - 20);
     },
     [](auto, auto, auto, auto, std::mt19937& r) {
       return std::ldexp(uniform(r) - 0.5, int(r() % 41) - 20);
     }},
    // One element alone, and the largest numbers for which no transform overflows.
    {"impulses",
     [](auto, int64_t k, int64_t i, int64_t j, std::mt19937&) {
       return i % 5 == k % 5 && j % 3 == 0 ? 1e18 : 0.0;
     },
     [](auto, auto, auto, auto, std::mt19937& r) { return 1e18 * (uniform(r) - 0.5); }},
};

void fill(Array& to, const Shape& shape, decltype(Operands::x) element, std::mt19937& random) {
  for (int64_t n = 0, at = 0; n < shape[0]; ++n)
    for (int64_t k = 0; k < shape[1]; ++k)
      for (int64_t i = 0; i < shape[2]; ++i)
        for (int64_t j = 0; j < shape[3]; ++j, ++at) to.set(at, element(n, k, i, j, random));
}

Array magnitudes(Array& x) {
  Array out(x.shell.dtype, x.shell.shape);
  for (int64_t i = 0; i < x.size(); ++i) out.set(i, std::abs(x.get(i)));
  return out;
}

// The filters of the input gradient: turned by half a turn, channels and filters exchanged.
Array turned(const Case& c, Array& w) {
  Array out(DType::float32, {c.channels, c.filters, 3, 3});
  for (int64_t o = 0; o < c.filters; ++o)
    for (int64_t k = 0; k < c.channels; ++k)
      for (int64_t tap = 0; tap < 9; ++tap)
        out.set((k * c.filters + o) * 9 + 8 - tap, w.get((o * c.channels + k) * 9 + tap));
  return out;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace

TEST_CASE("winograd: forward within the bounds of docs/numerics.md") {
  std::mt19937 random(1);
  for_each_isa([&] {
    for (const Case& c : kCases) {
      Array x(DType::float32, c.x()), w(DType::float32, c.w()), y(DType::float32, c.y());
      fill_normal(x, random);
      fill_normal(w, random);
      const std::vector<double> want = reference(c, x, w);
      CAPTURE(c.channels);
      CAPTURE(c.height);
      const auto error = [&](ConvAlgorithm algorithm) {
        const Algorithm scope(algorithm);
        convolve("conv", c, x.view(), w.view(), y.view());
        return largest_error(y, want, largest(want));
      };
      CHECK(error(ConvAlgorithm::direct) < 1e-6);
      CHECK(error(ConvAlgorithm::winograd2) < 1e-6);
      CHECK(error(ConvAlgorithm::winograd4) < 2e-5);
    }
  });
}

TEST_CASE("winograd: the input gradient is that of the direct kernel") {
  std::mt19937 random(2);
  for_each_isa([&] {
    for (const Case& c : kCases) {
      Array dy(DType::float32, c.y()), w(DType::float32, c.w());
      Array direct(DType::float32, c.x()), dx(DType::float32, c.x());
      fill_normal(dy, random);
      fill_normal(w, random);
      {
        const Algorithm scope(ConvAlgorithm::direct);
        convolve("conv_input_grad", c, dy.view(), w.view(), direct.view());
      }
      const auto want = direct.values();
      for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
        const Algorithm scope(algorithm);
        convolve("conv_input_grad", c, dy.view(), w.view(), dx.view());
        CAPTURE(c.channels);
        CHECK(largest_error(dx, want, largest(want)) <
              (algorithm == ConvAlgorithm::winograd2 ? 2e-6 : 2e-5));
      }
    }
  });
}

// More tiles than a box holds, more channels than a block, several chains.
constexpr Case kGradCases[] = {
    {1, 32, 16, 16, 32, 1},  {2, 33, 17, 15, 47, 1}, {1, 64, 20, 9, 96, 0}, {3, 100, 7, 11, 65, 2},
    {1, 150, 16, 16, 40, 1}, {5, 40, 7, 7, 133, 1},  {9, 48, 14, 14, 35, 1}};

TEST_CASE("winograd: the weight gradient within the bounds of docs/numerics.md") {
  std::mt19937 random(7);
  for (const Case& c : kGradCases) {
    Array x(DType::float32, c.x()), dy(DType::float32, c.y()), dw(DType::float32, c.w());
    fill_normal(x, random);
    fill_normal(dy, random);
    const std::vector<double> want = reference_weight_grad(c, x, dy);
    CAPTURE(c.channels);
    CAPTURE(c.height);
    for_each_isa([&] {
      for (ConvAlgorithm algorithm :
           {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
        const Algorithm scope(algorithm);
        convolve("conv_weight_grad", c, x.view(), dy.view(), dw.view());
        CHECK(largest_error(dw, want, largest(want)) < 1e-6);
      }
    });
  }
}

TEST_CASE("winograd: operands that suit it badly, weight gradient") {
  const Case cases[] = {{1, 32, 17, 16, 33, 1}, {3, 67, 13, 19, 40, 0}};
  std::mt19937 random(8);
  for (const Case& c : cases)
    for (const Operands& operands : kOperands) {
      CAPTURE(c.channels);
      CAPTURE(operands.name);
      Array x(DType::float32, c.x()), dy(DType::float32, c.y()), dw(DType::float32, c.w());
      fill(x, c.x(), operands.x, random);
      fill(dy, c.y(), operands.w, random);
      Array abs_x = magnitudes(x), abs_dy = magnitudes(dy);
      const std::vector<double> want = reference_weight_grad(c, x, dy);
      const double unit = largest(reference_weight_grad(c, abs_x, abs_dy));
      for_each_isa([&] {
        convolve("conv_weight_grad", c, x.view(), dy.view(), dw.view());
        CHECK(largest_error(dw, want, unit) < 2e-6);
      });
    }
}

TEST_CASE("winograd: operands that suit it badly, forward and input gradient") {
  const Case cases[] = {{1, 32, 17, 16, 33, 1}, {2, 67, 13, 19, 40, 0}, {1, 300, 16, 17, 32, 2}};
  std::mt19937 random(5);
  for (const Case& c : cases)
    for (const Operands& operands : kOperands) {
      CAPTURE(c.channels);
      CAPTURE(operands.name);
      // The input gradient is the forward pass of dy, with what padding leaves of 2.
      const Case back{c.images, c.filters, c.y()[2], c.y()[3], c.channels, 2 - c.padding};
      Array x(DType::float32, c.x()), w(DType::float32, c.w()), y(DType::float32, c.y());
      Array dy(DType::float32, c.y()), dx(DType::float32, c.x());
      fill(x, c.x(), operands.x, random);
      fill(w, c.w(), operands.w, random);
      fill(dy, c.y(), operands.x, random);
      Array back_w = turned(c, w);
      Array abs_x = magnitudes(x), abs_w = magnitudes(w);
      Array abs_dy = magnitudes(dy), abs_back_w = magnitudes(back_w);
      const std::vector<double> want_y = reference(c, x, w), want_dx = reference(back, dy, back_w);
      const double unit_y = largest(reference(c, abs_x, abs_w));
      const double unit_dx = largest(reference(back, abs_dy, abs_back_w));
      for_each_isa([&] {
        for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
          const Algorithm scope(algorithm);
          const double bound = algorithm == ConvAlgorithm::winograd2 ? 2e-6 : 1e-5;
          convolve("conv", c, x.view(), w.view(), y.view());
          CHECK(largest_error(y, want_y, unit_y) < bound);
          convolve("conv_input_grad", c, dy.view(), w.view(), dx.view());
          CHECK(largest_error(dx, want_dx, unit_dx) < bound);
        }
      });
    }
}

TEST_CASE("winograd: groups, strides and dilation are computed directly") {
  struct Other {
    int64_t groups, stride, dilation;
  };
  std::mt19937 random(6);
  for (const Other& other : {Other{2, 1, 1}, Other{1, 2, 1}, Other{1, 1, 2}}) {
    CAPTURE(other.groups);
    CAPTURE(other.stride);
    CAPTURE(other.dilation);
    const int64_t size = (18 - (2 * other.dilation + 1)) / other.stride + 1;
    Array x(DType::float32, {2, 64, 16, 16}), w(DType::float32, {64, 64 / other.groups, 3, 3});
    Array y(DType::float32, {2, 64, size, size}), dx(DType::float32, {2, 64, 16, 16});
    Array dw(DType::float32, w.shell.shape);
    fill_normal(x, random);
    fill_normal(w, random);
    const Attrs attrs = write_attrs(ConvAttrs{{1, other.stride, other.stride},
                                              {0, 1, 1},
                                              {0, 1, 1},
                                              {1, other.dilation, other.dilation},
                                              other.groups});
    const auto results = [&](ConvAlgorithm algorithm) {
      const Algorithm scope(algorithm);
      run_kernel(cpu::contraction_kernels(), "conv", {x.view(), w.view()}, {y.view()}, attrs);
      run_kernel(cpu::contraction_kernels(), "conv_input_grad", {y.view(), w.view()}, {dx.view()},
                 attrs);
      run_kernel(cpu::contraction_kernels(), "conv_weight_grad", {x.view(), y.view()}, {dw.view()},
                 attrs);
      return std::tuple(y.values(), dx.values(), dw.values());
    };
    const auto direct = results(ConvAlgorithm::direct);
    CHECK(results(ConvAlgorithm::winograd2) == direct);
    CHECK(results(ConvAlgorithm::winograd4) == direct);
  }
}

TEST_CASE("winograd: the same bits for every layout and number of threads") {
  std::mt19937 random(3);
  for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    const Algorithm scope(algorithm);
    for (const Case& c : kCases)
      for (DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
        Array x(dtype, c.x()), w(dtype, c.w()), y(dtype, c.y());
        fill_normal(x, random);
        fill_normal(w, random);
        check_threads(y, [&] { convolve("conv", c, x.view(), w.view(), y.view()); });
        for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
          Array x2 = in_layout(x, layout), w2 = in_layout(w, layout), y2(dtype, c.y(), layout);
          convolve("conv", c, x2.view(), w2.view(), y2.view());
          CHECK(y2.values() == y.values());
        }
      }
  }
}

TEST_CASE("winograd: the same bits of the weight gradient for every layout and number of threads") {
  std::mt19937 random(9);
  for (const Case& c : kGradCases)
    for (DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
      Array x(dtype, c.x()), dy(dtype, c.y()), dw(dtype, c.w());
      fill_normal(x, random);
      fill_normal(dy, random);
      check_threads(dw, [&] { convolve("conv_weight_grad", c, x.view(), dy.view(), dw.view()); });
      for (Layout layout : {Layout::reversed_axes, Layout::flipped, Layout::gaps}) {
        Array x2 = in_layout(x, layout), dy2 = in_layout(dy, layout), dw2(dtype, c.w(), layout);
        convolve("conv_weight_grad", c, x2.view(), dy2.view(), dw2.view());
        CHECK(dw2.values() == dw.values());
      }
    }
}

TEST_CASE("child: print a checksum of 3x3 convolutions" * doctest::skip()) {
  std::mt19937 random(10);
  uint64_t sum = 0;
  for (const Case& c : kGradCases) {
    Array x(DType::float32, c.x()), w(DType::float32, c.w()), y(DType::float32, c.y());
    fill_normal(x, random);
    fill_normal(w, random);
    const auto add = [&](Array& out) {
      for (std::byte byte : out.memory) sum = (sum ^ uint64_t(byte)) * 0x100000001b3u;
    };
    convolve("conv", c, x.view(), w.view(), y.view());
    add(y);
    convolve("conv_weight_grad", c, x.view(), y.view(), w.view());
    add(w);
    convolve("conv_input_grad", c, y.view(), w.view(), x.view());
    add(x);
  }
  std::printf("checksum=%016llx\n", static_cast<unsigned long long>(sum));
}

TEST_CASE("winograd: the same bits for every TEGULA_TILE") {
  const auto checksum = [](const std::string& tile) {
    const std::string text =
        test::in_fresh_process("TEGULA_TILE=" + tile, "child: print a checksum of 3x3 convolutions")
            .second;
    const size_t at = text.find("checksum=");
    REQUIRE(at != std::string::npos);
    return text.substr(at, 25);
  };
  const std::string usual = checksum("");
  for (const char* tile : {"8", "33", "1000"}) CHECK(checksum(tile) == usual);
}

TEST_CASE("winograd: what is not finite stays in its tiles") {
  const Case c{1, 32, 16, 16, 32, 1};
  std::mt19937 random(4);
  Array x(DType::float32, c.x()), w(DType::float32, c.w()), y(DType::float32, c.y());
  fill_normal(x, random);
  fill_normal(w, random);
  x.set(5 * 16 + 8, std::numeric_limits<double>::infinity());  // channel 0, row 5, column 8
  const Algorithm scope(ConvAlgorithm::winograd2);
  convolve("conv", c, x.view(), w.view(), y.view());
  for (int64_t row = 0; row < 16; ++row)
    for (int64_t column = 0; column < 16; ++column) {
      const bool near = row >= 4 && row < 8 && column >= 6 && column < 10;
      const bool reached = row >= 4 && row <= 6 && column >= 7 && column <= 9;
      const bool finite = std::isfinite(y.get(row * 16 + column));
      if (!near) CHECK(finite);
      if (reached) CHECK(!finite);
    }
}
