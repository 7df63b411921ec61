#include <cmath>
#include <complex>
#include <numbers>
#include <random>

#include "backend/cpu/fft/lines.h"
#include "contraction_harness.h"

using namespace tegula;
using namespace tegula::testing;
using namespace tegula::cpu::fft;

namespace {

using Wide = std::complex<long double>;

Wide root(int64_t k, int64_t n) {
  const long double angle = 2 * std::numbers::pi_v<long double> * (long double)(k % n) / n;
  return {std::cos(angle), std::sin(angle)};
}

// The definition.
std::vector<Wide> dft(const std::vector<Wide>& x, bool inverse) {
  const int64_t n = int64_t(x.size());
  std::vector<Wide> roots, y(x.size());
  for (int64_t k = 0; k < n; ++k) roots.push_back(inverse ? root(k, n) : std::conj(root(k, n)));
  for (int64_t k = 0; k < n; ++k)
    for (int64_t j = 0; j < n; ++j) y[k] += x[j] * roots[j * k % n];
  return y;
}

template <class T>
double tolerance(int64_t n) {
  return std::numeric_limits<T>::epsilon() * (2 + std::log2(double(n)));
}

// How far complex numbers are from those wanted, relative to their size as a whole.
template <class T>
double distance(const T* got, int64_t step, const std::vector<Wide>& want) {
  long double apart = 0, size = 1e-300L;
  for (size_t k = 0; k < want.size(); ++k) {
    const T* z = got + int64_t(k) * step;
    apart += std::norm(Wide(z[0], z[1]) - want[k]);
    size += std::norm(want[k]);
  }
  return double(std::sqrt(apart / size));
}

template <class T>
std::vector<T> numbers(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> out(count);
  for (T& x : out) x = T(normal(random));
  return out;
}

// `lines` lines, contiguous or side by side.
template <class T>
AxisTransform<T> transform_of(int64_t n, int64_t lines, bool beside, Numbers numbers) {
  const int64_t in_size = numbers == Numbers::to_complex ? 1 : 2;
  const int64_t out_size = numbers == Numbers::to_real ? 1 : 2;
  const int64_t in_count = numbers == Numbers::to_real ? n / 2 + 1 : n;
  const int64_t out_count = numbers == Numbers::to_complex ? n / 2 + 1 : n;
  AxisTransform<T> t;
  t.shape = {lines};
  t.in_strides = {beside ? in_size : in_size * in_count};
  t.out_strides = {beside ? out_size : out_size * out_count};
  t.in_step = beside ? in_size * lines : in_size;
  t.out_step = beside ? out_size * lines : out_size;
  t.count = in_count;
  t.n = n;
  t.numbers = numbers;
  t.last = !beside;
  return t;
}

template <class T>
void check_complex(int64_t n, int64_t lines, bool beside) {
  const std::vector<T> x = numbers<T>(size_t(2 * n * lines), unsigned(n));
  std::vector<T> y(x.size());
  for (bool inverse : {false, true}) {
    AxisTransform<T> t = transform_of<T>(n, lines, beside, Numbers::complex);
    t.in = x.data();
    t.out = y.data();
    t.inverse = inverse;
    transform_axis(t);
    for (int64_t l = 0; l < lines; l += std::max<int64_t>(1, lines - 1)) {
      std::vector<Wide> line;
      for (int64_t j = 0; j < n; ++j) {
        const T* z = x.data() + l * t.in_strides[0] + j * t.in_step;
        line.emplace_back(z[0], z[1]);
      }
      CAPTURE(n);
      CAPTURE(lines);
      CHECK(distance(y.data() + l * t.out_strides[0], t.out_step, dft(line, inverse)) <
            tolerance<T>(n));
    }
  }
}

template <class T>
void check_real(int64_t n, int64_t lines, bool beside) {
  const std::vector<T> x = numbers<T>(size_t(n * lines), unsigned(n));
  std::vector<T> y(size_t(2 * (n / 2 + 1) * lines)), back(x.size());
  AxisTransform<T> t = transform_of<T>(n, lines, beside, Numbers::to_complex);
  t.in = x.data();
  t.out = y.data();
  transform_axis(t);
  for (int64_t l = 0; l < lines; l += std::max<int64_t>(1, lines - 1)) {
    std::vector<Wide> line;
    for (int64_t j = 0; j < n; ++j) line.emplace_back(x[l * t.in_strides[0] + j * t.in_step]);
    std::vector<Wide> want = dft(line, false);
    want.resize(size_t(n / 2 + 1));
    CAPTURE(n);
    CAPTURE(lines);
    CHECK(distance(y.data() + l * t.out_strides[0], t.out_step, want) < tolerance<T>(n));
  }
  t = transform_of<T>(n, lines, beside, Numbers::to_real);
  t.in = y.data();
  t.out = back.data();
  t.scale = 1 / double(n);
  transform_axis(t);
  double apart = 0, size = 1e-300;
  for (size_t i = 0; i < x.size(); ++i) {
    apart += std::pow(double(back[i]) - double(x[i]), 2);
    size += double(x[i]) * double(x[i]);
  }
  CHECK(std::sqrt(apart / size) < 2 * tolerance<T>(n));
}

}  // namespace

TEST_CASE("transforms of any length are those of the definition") {
  for_each_isa([&] {
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 7)
      for (int64_t lines : {1, 3, 17})
        for (bool beside : {false, true}) {
          check_complex<double>(n, lines, beside);
          check_complex<float>(n, lines, beside);
          check_real<double>(n, lines, beside);
          check_real<float>(n, lines, beside);
        }
  });
}

TEST_CASE("long waves come out as lines of the spectrum") {
  for_each_isa([&] {
    for (int64_t n : {4096, 6000, 10007, 65536, 100003, 3 * 65537}) {
      const int64_t waves[] = {0, 1, n / 3, n - 2};
      std::vector<double> x(size_t(2 * n)), y(x.size());
      for (int64_t j = 0; j < n; ++j)
        for (int64_t f : waves) {
          const Wide w = root(f * j, n) * (long double)(f % 7 + 1);
          x[2 * j] += double(w.real());
          x[2 * j + 1] += double(w.imag());
        }
      AxisTransform<double> t = transform_of<double>(n, 1, false, Numbers::complex);
      t.in = x.data();
      t.out = y.data();
      transform_axis(t);
      std::vector<Wide> want(static_cast<size_t>(n));
      for (int64_t f : waves) want[f] += (long double)(n * (f % 7 + 1));
      CAPTURE(n);
      CHECK(distance(y.data(), 2, want) < tolerance<double>(n));
    }
  });
}

TEST_CASE("lines are cut or filled up with zeros, and may be transformed in place") {
  for (int64_t n : {12, 100, 1031, 8192})
    for (int64_t count : {n - 3, n + 5}) {
      const std::vector<double> x = numbers<double>(size_t(2 * std::max(n, count)), 3);
      std::vector<double> filled(x.begin(), x.begin() + 2 * n), y(filled.size());
      if (count < n) std::fill(filled.begin() + 2 * count, filled.end(), 0.0);
      AxisTransform<double> t = transform_of<double>(n, 1, false, Numbers::complex);
      t.in = x.data();
      t.out = y.data();
      t.count = count;
      transform_axis(t);
      t.in = t.out = filled.data();
      t.count = n;
      transform_axis(t);
      CAPTURE(n);
      double apart = 0;
      for (size_t i = 0; i < y.size(); ++i) apart = std::max(apart, std::abs(y[i] - filled[i]));
      CHECK(apart < 1e-11);
    }
}

TEST_CASE("where numbers lie changes no bit of a transform") {
  for (int64_t n : {96, 1000, 2187, 10007, 40000})
    for (int64_t lines : {3, 8, 21})
      for (bool last : {false, true}) {
        const std::vector<double> x = numbers<double>(size_t(2 * n * lines), 7);
        std::vector<double> turned(x.size()), y(x.size()), turned_y(x.size());
        for (int64_t l = 0; l < lines; ++l)
          for (int64_t j = 0; j < 2 * n; ++j)
            turned[(j / 2 * lines + l) * 2 + j % 2] = x[l * 2 * n + j];
        AxisTransform<double> t = transform_of<double>(n, lines, false, Numbers::complex);
        t.in = x.data();
        t.out = y.data();
        t.last = last;
        transform_axis(t);
        t = transform_of<double>(n, lines, true, Numbers::complex);
        t.in = turned.data();
        t.out = turned_y.data();
        t.last = last;
        transform_axis(t);
        bool same = true;
        for (int64_t l = 0; l < lines; ++l)
          for (int64_t j = 0; j < 2 * n; ++j)
            same &= turned_y[(j / 2 * lines + l) * 2 + j % 2] == y[l * 2 * n + j];
        CAPTURE(n);
        CAPTURE(lines);
        CHECK(same);
      }
}

TEST_CASE("the number of threads changes no bit of a transform") {
  const int before = num_threads();
  for (const auto& [n, lines] : {std::pair<int64_t, int64_t>{1 << 17, 1}, {50021, 2}, {1000, 70}}) {
    const std::vector<float> x = numbers<float>(size_t(2 * n * lines), 5);
    std::vector<float> first(x.size()), y(x.size());
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      AxisTransform<float> t = transform_of<float>(n, lines, false, Numbers::complex);
      t.in = x.data();
      t.out = threads == 1 ? first.data() : y.data();
      transform_axis(t);
      if (threads > 1) CHECK(y == first);
    }
  }
  set_num_threads(before);
}

TEST_CASE("the cache of plans is bounded") {
  for (int64_t n = 400000; n < 400040; ++n) {
    std::vector<double> x(size_t(2 * n), 1.0);
    AxisTransform<double> t = transform_of<double>(n, 1, false, Numbers::complex);
    t.in = t.out = x.data();
    transform_axis(t);
    CHECK(plan_cache().bytes <= size_t(128) << 20);
  }
  CHECK(plan_cache().entries > 1);
}
