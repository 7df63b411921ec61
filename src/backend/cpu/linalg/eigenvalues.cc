// Eigenvalues of any square matrix: complex, whatever the matrix.
#include <optional>

#include "backend/cpu/linalg/linalg.h"
#include "backend/cpu/linalg/matrices.h"

namespace tegula::cpu {
namespace {

// LAPACK's eigenvalues and, wanted or not, eigenvectors, with their workspace.
template <class T>
class Eigenvalues {
 public:
  using C = Complex<Real<T>>;

  Eigenvalues(bool vectors, int order)
      : vectors_(vectors),
        n_(order),
        real_work_(2 * int64_t(order)),
        found_(kComplex<T> || !vectors ? 0 : int64_t(order) * order) {
    T answer = 0;
    call(nullptr, nullptr, nullptr, &answer);
    size_ = work_size(answer);
    work_.emplace(size_);
  }

  // Of a, by columns, which is overwritten: w (n) and, as columns by rows, v (n, n).
  bool find(T* a, C* w, C* v) {
    if constexpr (kComplex<T>) {
      if (call(a, w, v, *work_) != 0) return false;
      for (int64_t i = 0; vectors_ && i < n_; ++i)
        for (int64_t j = 0; j < i; ++j) std::swap(v[i * n_ + j], v[j * n_ + i]);
    } else {
      if (call(a, nullptr, found_, *work_) != 0) return false;
      const T *re = real_work_, *im = real_work_ + n_;
      for (int64_t j = 0; j < n_; ++j) w[j] = C(re[j], im[j]);
      for (int64_t j = 0; vectors_ && j < n_; ++j) unpack(j, im[j], v);
    }
    return true;
  }

 private:
  // A pair of conjugate vectors is kept as a column of real parts and one of imaginary parts.
  void unpack(int64_t j, T imaginary, C* v) const {
    const int64_t first = imaginary < 0 ? j - 1 : j;
    const T *re = found_ + first * n_, *im = re + n_;
    const T sign = imaginary > 0 ? T(1) : T(-1);
    for (int64_t i = 0; i < n_; ++i)
      v[i * n_ + j] = imaginary == 0 ? C(re[i]) : C(re[i], sign * im[i]);
  }

  int call(T* a, C* w, T* v, T* work) {
    int info = 0;
    const char* right = vectors_ ? "V" : "N";
    if constexpr (kComplex<T>)
      lapack<T>().geev("N", right, &n_, a, &n_, w, nullptr, &n_, v, &n_, work, &size_, real_work_,
                       &info, 1, 1);
    else
      lapack<T>().geev("N", right, &n_, a, &n_, real_work_, real_work_ + n_, nullptr, &n_, v, &n_,
                       work, &size_, &info, 1, 1);
    return info;
  }

  bool vectors_;
  int n_, size_ = -1;
  Scratch<Real<T>> real_work_;
  Scratch<T> found_;
  std::optional<Scratch<T>> work_;
};

// One output: the eigenvalues. Two: those and the eigenvectors.
template <class T>
void eig(const KernelArgs& args) {
  using C = Complex<Real<T>>;
  const Matrices<T> x(args.inputs[0]);
  const bool vectors = args.outputs.size() == 2;
  const int64_t n = x.rows();
  if (n == 0) return;
  const int order = lapack_int(n, "eig");
  C* const w = args.outputs[0].as<C>();
  C* const v = vectors ? args.outputs[1].as<C>() : nullptr;
  for_matrices(x.count(), double(n * n * n) * (vectors ? 25 : 10), [&](int64_t begin, int64_t end) {
    Eigenvalues<T> eigenvalues(vectors, order);
    const Scratch<T> a(n * n);
    for (int64_t b = begin; b < end; ++b) {
      x.load_columns(b, a);
      if (!all_finite<T>(a, n * n)) fail_matrix("eig", x, b, "holds NaN or infinity");
      if (!eigenvalues.find(a, w + b * n, vectors ? v + b * n * n : nullptr))
        fail_matrix("eig", x, b, "has eigenvalues that were not found");
    }
  });
}

}  // namespace

void run_eig(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { eig<decltype(zero)>(args); });
}

}  // namespace tegula::cpu
