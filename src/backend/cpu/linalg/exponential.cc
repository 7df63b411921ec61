// The matrix exponential: a Padé approximant of a matrix made small by halving, then squared as
// often. Higham 2005, "The Scaling and Squaring Method for the Matrix Exponential Revisited", SIAM
// J. Matrix Anal. Appl. 26(4), algorithm 2.3. It is all the same on the transpose, so what LAPACK
// sees of a matrix by rows does.
#include <cmath>
#include <span>

#include "backend/cpu/linalg/linalg.h"
#include "backend/cpu/linalg/matrices.h"

namespace tegula::cpu {
namespace {

// The largest 1-norm for which the approximant of each degree is exact to rounding.
struct Degree {
  int degree;
  double norm;
};
constexpr Degree kDoubleDegrees[] = {{3, 1.495585217958292e-2},
                                     {5, 2.539398330063230e-1},
                                     {7, 9.504178996162932e-1},
                                     {9, 2.097847961257068},
                                     {13, 5.371920351148152}};
constexpr Degree kFloatDegrees[] = {
    {3, 4.258730016922831e-1}, {5, 1.880152677804762}, {7, 3.925724783138660}};

constexpr double k3[] = {120, 60, 12, 1};
constexpr double k5[] = {30240, 15120, 3360, 420, 30, 1};
constexpr double k7[] = {17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1};
constexpr double k9[] = {17643225600, 8821612800, 2075673600, 302702400, 30270240,
                         2162160,     110880,     3960,       90,        1};
constexpr double k13[] = {64764752532480000,
                          32382376266240000,
                          7771770303897600,
                          1187353796428800,
                          129060195264000,
                          10559470521600,
                          670442572800,
                          33522128640,
                          1323241920,
                          40840800,
                          960960,
                          16380,
                          182,
                          1};

std::span<const double> coefficients(int degree) {
  switch (degree) {
    case 3:
      return k3;
    case 5:
      return k5;
    case 7:
      return k7;
    case 9:
      return k9;
    default:
      return k13;
  }
}

template <class T>
class Exponential {
 public:
  explicit Exponential(int n) : n_(n), size_(int64_t(n) * n), memory_(7 * size_), pivots_(n) {
    for (int i = 0; i < 7; ++i) block_[i] = memory_ + i * size_;
  }

  // exp(a), in place.
  void find(T* a) {
    const double norm = one_norm(a);
    if (!std::isfinite(norm)) {
      std::fill_n(a, size_, T(std::numeric_limits<Real<T>>::quiet_NaN()));
      return;
    }
    std::span<const Degree> degrees(kDoubleDegrees);
    if (std::is_same_v<Real<T>, float>) degrees = kFloatDegrees;
    int degree = degrees.back().degree, halvings = 0;
    for (size_t i = degrees.size(); i-- > 0;)
      if (norm <= degrees[i].norm) degree = degrees[i].degree;
    if (norm > degrees.back().norm) {
      halvings = std::max(0, int(std::ceil(std::log2(norm / degrees.back().norm))));
      const T factor = std::ldexp(Real<T>(1), -halvings);
      for (int64_t i = 0; i < size_; ++i) a[i] = a[i] * factor;
    }
    approximate(a, degree);
    T* square = block_[0];
    T* from = a;
    for (int i = 0; i < halvings; ++i) {
      multiply(from, from, square);
      std::swap(from, square);
    }
    if (from != a) std::copy_n(from, size_, a);
  }

 private:
  double one_norm(const T* a) const {
    double most = 0;
    for (int64_t j = 0; j < n_; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < n_; ++i) sum += double(magnitude(a[j * n_ + i]));
      if (!(sum <= most)) most = sum;  // NaN stays
    }
    return most;
  }

  void multiply(const T* a, const T* b, T* c) {
    const T one = 1, zero = 0;
    lapack<T>().gemm("N", "N", &n_, &n_, &n_, &one, a, &n_, b, &n_, &zero, c, &n_, 1, 1);
  }

  // to = the sum of c[2 i + odd] a^(2 i) over i in [first, last], times nothing for i = 0.
  void even_part(std::span<const double> c, int odd, int first, int last, T* to) {
    std::fill_n(to, size_, T(0));
    for (int i = first; i <= last; ++i) {
      const T factor = T(Real<T>(c[size_t(2 * i + odd)]));
      if (i == 0) {
        for (int64_t k = 0; k < n_; ++k) to[k * (n_ + 1)] += factor;
      } else {
        const T* power = powers_[i - 1];
        for (int64_t k = 0; k < size_; ++k) to[k] += factor * power[k];
      }
    }
  }

  // a := q(a)^-1 p(a), where p = v + u and q = v - u, u odd.
  void approximate(T* a, int degree) {
    const std::span<const double> c = coefficients(degree);
    const int count = degree == 13 ? 3 : degree / 2;
    for (int i = 0; i < count; ++i) {
      powers_[i] = block_[i];
      if (i == 0) multiply(a, a, block_[0]);
      else multiply(block_[i - 1], block_[0], block_[i]);
    }
    T *u = block_[4], *v = block_[5], *other = block_[6];
    even_part(c, 1, 0, count, other);
    even_part(c, 0, 0, count, v);
    if (degree == 13) {
      high_part(c, 1, u);
      for (int64_t k = 0; k < size_; ++k) other[k] += u[k];
      high_part(c, 0, u);
      for (int64_t k = 0; k < size_; ++k) v[k] += u[k];
    }
    multiply(a, other, u);
    for (int64_t k = 0; k < size_; ++k) {
      a[k] = v[k] + u[k];
      v[k] = v[k] - u[k];
    }
    int info = 0;
    lapack<T>().getrf(&n_, &n_, v, &n_, pivots_, &info);
    lapack<T>().getrs("N", &n_, &n_, v, &n_, pivots_, a, &n_, &info, 1);
  }

  // to = a^6 times the terms past a^6 of degree 13.
  void high_part(std::span<const double> c, int odd, T* to) {
    T* const sum = block_[3];
    std::fill_n(sum, size_, T(0));
    for (int i = 4; 2 * i + odd <= 13; ++i) {
      const T factor = T(Real<T>(c[size_t(2 * i + odd)]));
      const T* power = powers_[i - 4];
      for (int64_t k = 0; k < size_; ++k) sum[k] += factor * power[k];
    }
    multiply(powers_[2], sum, to);
  }

  int n_;
  int64_t size_;
  Scratch<T> memory_;
  Scratch<int> pivots_;
  T* block_[7];
  const T* powers_[4] = {};  // a^2, a^4, ...
};

template <class T>
void expm(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), out(args.outputs[0]);
  const int64_t n = x.rows();
  if (n == 0) return;
  const int order = lapack_int(n, "expm");
  for_matrices(x.count(), double(n * n * n) * 20, [&](int64_t begin, int64_t end) {
    Exponential<T> exponential(order);
    for (int64_t b = begin; b < end; ++b) {
      x.load_rows(b, out.at(b));
      exponential.find(out.at(b));
    }
  });
}

}  // namespace

void run_expm(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { expm<decltype(zero)>(args); });
}

}  // namespace tegula::cpu
