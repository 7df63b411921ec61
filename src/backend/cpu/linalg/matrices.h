// What the kernels of linear algebra share: the matrices of an operand, and work over a batch of
// them. Each matrix is computed by one thread.
//
// LAPACK keeps matrices by columns, a tensor by rows: what is read as the other is the transpose.
// Kernels use this where a function of the transpose gives what is wanted, and lay out columns
// where not.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "backend/cpu/isa.h"
#include "backend/cpu/strided_loop.h"
#include "runtime/kernel.h"
#include "runtime/lapack.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {

// What a number is made of, and functions of numbers that may be real.
template <class T>
struct PartsOf {
  using Real = T;
};
template <class R>
struct PartsOf<Complex<R>> {
  using Real = R;
};
template <class T>
using Real = typename PartsOf<T>::Real;
template <class T>
inline constexpr bool kComplex = !std::is_same_v<T, Real<T>>;

template <class T>
T conjugate(T x) {
  if constexpr (kComplex<T>) return T(x.re, -x.im);
  else return x;
}
template <class T>
Real<T> real_part(T x) {
  if constexpr (kComplex<T>) return x.re;
  else return x;
}
template <class T>
Real<T> magnitude(T x) {
  if constexpr (kComplex<T>) return std::hypot(x.re, x.im);
  else return std::abs(x);
}

// x / |x|
template <class T>
T unit(T x) {
  if constexpr (kComplex<T>) return x / T(magnitude(x));
  else return x == x ? std::copysign(T(1), x) : x;
}

// A stack of matrices, (..., rows, columns).
template <class T>
class Matrices {
 public:
  explicit Matrices(const View& view)
      : data_(view.as<T>()),
        rows_(view.shape[view.shape.size() - 2]),
        columns_(view.shape.back()),
        row_step_(view.strides[view.strides.size() - 2]),
        column_step_(view.strides.back()) {
    const size_t axes = view.shape.size() - 2;
    const Dims shape(view.shape.begin(), view.shape.begin() + axes);
    const Dims strides(view.strides.begin(), view.strides.begin() + axes);
    loop_ = merge_axes<1>(shape, {&strides});
  }

  int64_t count() const { return loop_.count; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t row_step() const { return row_step_; }
  int64_t column_step() const { return column_step_; }

  T* at(int64_t b) const {
    T* data = data_;
    for (size_t axis = loop_.shape.size(); axis-- > 0;) {
      data += b % loop_.shape[axis] * loop_.strides[0][axis];
      b /= loop_.shape[axis];
    }
    return data;
  }

  // Matrix b, laid out by rows.
  void load_rows(int64_t b, T* to) const {
    load(at(b), rows_, columns_, row_step_, column_step_, to);
  }
  // Matrix b, laid out by columns.
  void load_columns(int64_t b, T* to) const {
    load(at(b), columns_, rows_, column_step_, row_step_, to);
  }

 private:
  static void load(const T* from, int64_t rows, int64_t columns, int64_t row_step,
                   int64_t column_step, T* to) {
    if (column_step == 1) {
      for (int64_t i = 0; i < rows; ++i)
        std::copy_n(from + i * row_step, columns, to + i * columns);
      return;
    }
    constexpr int64_t kBlock = 16;  // both sides of a block stay in the cache
    for (int64_t i0 = 0; i0 < rows; i0 += kBlock)
      for (int64_t j0 = 0; j0 < columns; j0 += kBlock)
        for (int64_t i = i0; i < std::min(rows, i0 + kBlock); ++i)
          for (int64_t j = j0; j < std::min(columns, j0 + kBlock); ++j)
            to[i * columns + j] = from[i * row_step + j * column_step];
  }

  T* data_;
  int64_t rows_, columns_, row_step_, column_step_;
  StridedLoop<1> loop_;
};

// Memory for one task, aligned for vector loads.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(::operator new(size_t(std::max<int64_t>(count, 1)) * sizeof(T),
                                             std::align_val_t(64)))) {}
  ~Scratch() { ::operator delete(data_, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  operator T*() const { return data_; }

 private:
  T* data_;
};

// Runs body(begin, end) over ranges of the matrices; `flops` is about the work of one.
template <class F>
void for_matrices(int64_t count, double flops, F&& body) {
  if (count == 0) return;
  const double microseconds = 0.5 + flops / 4000;
  const int64_t each = tile_size(std::max<int64_t>(1, int64_t(64 / microseconds)));
  parallel_for((count + each - 1) / each,
               [&](int64_t i) { body(i * each, std::min(count, (i + 1) * each)); },
               microseconds * double(count));
}

// Calls f(T{}) for the numbers that a view holds.
template <class F>
void dispatch_lapack(DType dtype, F&& f) {
  if (dtype == DType::float64) return f(double{});
  if (dtype == DType::float32) return f(float{});
  if (dtype == DType::complex128) return f(complex128{});
  if (dtype == DType::complex64) return f(complex64{});
  fail(ErrorKind::runtime, "linalg: no kernel for ", dtype);
}

// Throws LinAlgError: which matrix of the batch is what it may not be.
template <class T, class... Parts>
[[noreturn]] void fail_matrix(const char* op, const Matrices<T>& x, int64_t b,
                              const Parts&... what) {
  if (x.count() == 1) fail(ErrorKind::linear_algebra, "linalg.", op, ": the matrix ", what...);
  fail(ErrorKind::linear_algebra, "linalg.", op, ": matrix ", b, " of the batch of ", x.count(),
       " ", what...);
}

// An element of (x + x^H) / 2 from the two of x that it is made of. It is the first where x is
// Hermitian.
template <class T>
T hermitian_part(T a, T opposite) {
  const T b = conjugate(opposite);
  return a == b ? a : T(0.5) * a + T(0.5) * b;
}

template <class T>
bool all_finite(const T* x, int64_t count) {
  const Real<T>* parts = reinterpret_cast<const Real<T>*>(x);
  Real<T> sum = 0;  // of zeros, or NaN
  for (int64_t i = 0; i < count * (kComplex<T> ? 2 : 1); ++i) sum += parts[i] * 0;
  return sum == 0;
}

// The size of workspace that LAPACK answers with, rounded up where the number could not hold it.
template <class T>
int work_size(T answer) {
  return int(std::nextafter(real_part(answer), std::numeric_limits<Real<T>>::infinity()));
}

// An order as LAPACK takes it.
inline int lapack_int(int64_t n, const char* op) {
  require(n <= std::numeric_limits<int>::max(), "linalg.", op, ": a size of ", n,
          " is more than LAPACK's integers hold");
  return int(n);
}

}  // namespace tegula::cpu
