// Orthogonal factors, eigenvalues of symmetric matrices, singular values.
#include <optional>

#include "backend/cpu/linalg/linalg.h"
#include "backend/cpu/linalg/matrices.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

template <class T>
void qr(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), q(args.outputs[0]), r(args.outputs[1]);
  const int64_t m = x.rows(), n = x.columns(), k = std::min(m, n), width = q.columns();
  if (m == 0) return;
  const int rows = lapack_int(m, "qr"), columns = lapack_int(n, "qr"), factors = int(k),
            q_columns = int(width);
  for_matrices(x.count(), 4 * double(m) * double(n) * double(k), [&](int64_t begin, int64_t end) {
    int info = 0, size = -1;
    T answers[2] = {};
    lapack<T>().geqrf(&rows, &columns, nullptr, &rows, nullptr, &answers[0], &size, &info);
    lapack<T>().orgqr(&rows, &q_columns, &factors, nullptr, &rows, nullptr, &answers[1], &size,
                      &info);
    size = std::max({work_size(answers[0]), work_size(answers[1]), 1});
    const Scratch<T> a(m * std::max(n, width)), tau(k), work(size);
    for (int64_t b = begin; b < end; ++b) {
      x.load_columns(b, a);
      if (n > 0) lapack<T>().geqrf(&rows, &columns, a, &rows, tau, work, &size, &info);
      T* const upper = r.at(b);
      for (int64_t i = 0; i < r.rows(); ++i)
        for (int64_t j = 0; j < n; ++j) upper[i * n + j] = j < i ? T(0) : a[j * m + i];
      lapack<T>().orgqr(&rows, &q_columns, &factors, a, &rows, tau, work, &size, &info);
      T* const orthogonal = q.at(b);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < width; ++j) orthogonal[i * width + j] = a[j * m + i];
    }
  });
}

template <class T>
void transpose_in_place(T* a, int64_t n) {
  constexpr int64_t kBlock = 16;
  for (int64_t i0 = 0; i0 < n; i0 += kBlock)
    for (int64_t j0 = 0; j0 <= i0; j0 += kBlock)
      for (int64_t i = i0; i < std::min(n, i0 + kBlock); ++i)
        for (int64_t j = j0; j < std::min(i, j0 + kBlock); ++j)
          std::swap(a[i * n + j], a[j * n + i]);
}

// LAPACK's eigenvalues of a Hermitian matrix, with their workspace.
template <class T>
class HermitianEigenvalues {
 public:
  HermitianEigenvalues(bool vectors, int order) : job_(vectors ? "V" : "N"), order_(order) {
    T answer = 0;
    Real<T> real_answer = 0;
    int int_answer = 0;
    call(nullptr, nullptr, &answer, &real_answer, &int_answer);
    size_ = work_size(answer);
    real_size_ = work_size(real_answer);
    int_size_ = int_answer;
    work_.emplace(size_);
    real_work_.emplace(real_size_);
    int_work_.emplace(int_size_);
  }

  // The lower triangle of a, by columns, becomes the eigenvectors. False where it does not
  // converge.
  bool find(T* a, Real<T>* w) { return call(a, w, *work_, *real_work_, *int_work_) == 0; }

 private:
  int call(T* a, Real<T>* w, T* work, Real<T>* real_work, int* int_work) {
    int info = 0;
    if constexpr (kComplex<T>)
      lapack<T>().heevd(job_, "L", &order_, a, &order_, w, work, &size_, real_work, &real_size_,
                        int_work, &int_size_, &info, 1, 1);
    else
      lapack<T>().syevd(job_, "L", &order_, a, &order_, w, work, &size_, int_work, &int_size_,
                        &info, 1, 1);
    return info;
  }

  const char* job_;
  int order_, size_ = -1, real_size_ = -1, int_size_ = -1;
  std::optional<Scratch<T>> work_;
  std::optional<Scratch<Real<T>>> real_work_;
  std::optional<Scratch<int>> int_work_;
};

// One output: the eigenvalues. Two: those and the eigenvectors.
template <class T>
void eigh(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]);
  const bool vectors = args.outputs.size() == 2;
  const int64_t n = x.rows(), row = x.row_step(), column = x.column_step();
  if (n == 0) return;
  const int order = lapack_int(n, "eigh");
  Real<T>* const values = args.outputs[0].as<Real<T>>();
  T* const all_vectors = vectors ? args.outputs[1].as<T>() : nullptr;
  for_matrices(x.count(), double(n * n * n) * (vectors ? 9 : 3), [&](int64_t begin, int64_t end) {
    HermitianEigenvalues<T> eigenvalues(vectors, order);
    const Scratch<T> copy(vectors ? 0 : n * n);
    for (int64_t b = begin; b < end; ++b) {
      const T* from = x.at(b);
      T* const a = vectors ? all_vectors + b * n * n : copy;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          const T part = hermitian_part(from[i * row + j * column], from[j * row + i * column]);
          a[i * n + j] = conjugate(part);
          a[j * n + i] = part;
        }
      }
      if (!all_finite(a, n * n)) fail_matrix("eigh", x, b, "holds NaN or infinity");
      if (!eigenvalues.find(a, values + b * n))
        fail_matrix("eigh", x, b, "has eigenvalues that were not found");
      if (vectors) transpose_in_place(a, n);
    }
  });
}

// One matrix after the other: LAPACK is given the transpose, V S U^T, so that its V^T by columns is
// U by rows, and its U is V^T.
template <class T>
class SingularValues {
 public:
  SingularValues(const char* op, const Matrices<T>& x, int64_t mode)
      : op_(op),
        x_(x),
        job_(mode == kSvdValues    ? "N"
             : mode == kSvdReduced ? "S"
                                   : "A"),
        rows_(lapack_int(x.rows(), op)),
        columns_(lapack_int(x.columns(), op)),
        lead_(mode == kSvdFull ? rows_ : std::min(rows_, columns_)),
        size_(query()),
        a_(x.rows() * x.columns()),
        work_(size_),
        real_work_(kComplex<T> ? real_size() : 0),
        int_work_(8 * std::min(rows_, columns_)) {}

  // u (m, k or m), s (k), vh (k or n, n), by rows.
  void find(int64_t b, T* u, Real<T>* s, T* vh) {
    x_.load_rows(b, a_);
    if (!all_finite<T>(a_, x_.rows() * x_.columns()))
      fail_matrix(op_, x_, b, "holds NaN or infinity");
    if (call(a_, s, vh, u, work_, size_, real_work_, int_work_) != 0)
      fail_matrix(op_, x_, b, "has singular values that were not found");
  }

 private:
  int call(T* a, Real<T>* s, T* u, T* vt, T* work, int size, Real<T>* real_work,
           int* int_work) const {
    int info = 0;
    const int lead = std::max(lead_, 1);
    if constexpr (kComplex<T>)
      lapack<T>().gesdd(job_, &columns_, &rows_, a, &columns_, s, u, &columns_, vt, &lead, work,
                        &size, real_work, int_work, &info, 1);
    else
      lapack<T>().gesdd(job_, &columns_, &rows_, a, &columns_, s, u, &columns_, vt, &lead, work,
                        &size, int_work, &info, 1);
    return info;
  }
  int query() const {
    T answer = 0;
    call(nullptr, nullptr, nullptr, nullptr, &answer, -1, nullptr, nullptr);
    return work_size(answer);
  }
  // As LAPACK's documentation of zgesdd has it.
  int64_t real_size() const {
    const int64_t least = std::min(rows_, columns_), most = std::max(rows_, columns_);
    if (*job_ == 'N') return 7 * least;
    return least * std::max(5 * least + 7, 2 * most + 2 * least + 1);
  }

  const char* op_;
  const Matrices<T>& x_;
  const char* job_;
  int rows_, columns_, lead_;
  int size_;
  Scratch<T> a_, work_;
  Scratch<Real<T>> real_work_;
  Scratch<int> int_work_;
};

double svd_flops(int64_t m, int64_t n, int64_t mode) {
  const double least = double(std::min(m, n)), most = double(std::max(m, n));
  return mode == kSvdValues ? 4 * least * least * most : 14 * least * most * most;
}

template <class T>
void fill_identity(T* a, int64_t n) {
  std::fill_n(a, n * n, T(0));
  for (int64_t i = 0; i < n; ++i) a[i * n + i] = 1;
}

template <class T>
void svd(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]);
  const int64_t m = x.rows(), n = x.columns(), k = std::min(m, n), mode = args.attrs[0];
  const bool vectors = mode != kSvdValues;
  T* const u = vectors ? args.outputs[0].as<T>() : nullptr;
  Real<T>* const s = args.outputs[vectors ? 1 : 0].as<Real<T>>();
  T* const vh = vectors ? args.outputs[2].as<T>() : nullptr;
  const int64_t width = mode == kSvdFull ? m : k, height = mode == kSvdFull ? n : k;
  if (k == 0) {
    for (int64_t b = 0; mode == kSvdFull && b < x.count(); ++b) {
      fill_identity(u + b * m * m, m);
      fill_identity(vh + b * n * n, n);
    }
    return;
  }
  for_matrices(x.count(), svd_flops(m, n, mode), [&](int64_t begin, int64_t end) {
    SingularValues<T> find("svd", x, mode);
    for (int64_t b = begin; b < end; ++b)
      find.find(b, vectors ? u + b * m * width : nullptr, s + b * k,
                vectors ? vh + b * height * n : nullptr);
  });
}

// V S^-1 U^H without the singular values that are at most input 1's part of the largest.
template <class T>
void pinv(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), out(args.outputs[0]);
  const Matrices<Real<T>> rtol(args.inputs[1]);
  const int64_t m = x.rows(), n = x.columns(), k = std::min(m, n);
  if (k == 0) return;
  const int rows = int(m), columns = int(n), rank = int(k);
  for_matrices(x.count(), svd_flops(m, n, kSvdReduced), [&](int64_t begin, int64_t end) {
    SingularValues<T> find("pinv", x, kSvdReduced);
    const Scratch<T> u(m * k), vh(k * n);
    const Scratch<Real<T>> s(k);
    const T one = 1, zero = 0;
    for (int64_t b = begin; b < end; ++b) {
      find.find(b, u, s, vh);
      const Real<T> least = *rtol.at(b) * s[0];
      for (int64_t i = 0; i < k; ++i) {
        const T factor = s[i] > least ? 1 / s[i] : Real<T>(0);
        for (int64_t j = 0; j < n; ++j) vh[i * n + j] = conjugate(vh[i * n + j]) * factor;
      }
      if (kComplex<T>)
        for (int64_t i = 0; i < m * k; ++i) u[i] = conjugate(u[i]);
      // By columns: out^T (m, n) = conj(U) (m, k) (S^-1 V^T) (k, n), both operands by rows.
      lapack<T>().gemm("T", "T", &rows, &columns, &rank, &one, u, &rank, vh, &columns, &zero,
                       out.at(b), &rows, 1, 1);
    }
  });
}

}  // namespace

void run_qr(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { qr<decltype(zero)>(args); });
}
void run_eigh(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { eigh<decltype(zero)>(args); });
}
void run_svd(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { svd<decltype(zero)>(args); });
}
void run_pinv(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { pinv<decltype(zero)>(args); });
}

}  // namespace tegula::cpu
