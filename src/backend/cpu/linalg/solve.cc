// Cholesky and LU factors, and what is solved by them.
#include <cstring>
#include <utility>

#include "backend/cpu/linalg/linalg.h"
#include "backend/cpu/linalg/matrices.h"
#include "backend/cpu/linalg/small.h"
#include "backend/cpu/strided_copy.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

// Turns a lower triangle into an upper one.
template <class T>
void conjugate_transpose(T* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < i; ++j) {
      a[j * n + i] = conjugate(a[i * n + j]);
      a[i * n + j] = T(0);
    }
}

// By rows, the lower triangle is what LAPACK sees as the upper one, conjugated as the matrix is.
template <class T>
void cholesky(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), out(args.outputs[0]);
  const bool upper = args.attrs[0];
  const int64_t n = x.rows(), row = x.row_step(), column = x.column_step();
  if (n == 0) return;
  const int order = lapack_int(n, "cholesky");
  for_matrices(x.count(), double(n * n * n) / 3, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const T* from = x.at(b);
      T* to = out.at(b);
      std::fill_n(to, n * n, T(0));
      const bool by_columns = upper && n > kSmall;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          const T part = hermitian_part(from[i * row + j * column], from[j * row + i * column]);
          to[by_columns ? j * n + i : i * n + j] = by_columns ? conjugate(part) : part;
        }
      }
      int info = 0;
      if (n <= kSmall) {
        info = int(small_cholesky(to, n));
        if (upper) conjugate_transpose(to, n);
      } else {
        lapack<T>().potrf(upper ? "L" : "U", &order, to, &order, &info, 1);
      }
      if (info > 0)
        fail_matrix("cholesky", x, b, "is not positive definite: its leading minor of order ", info,
                    " is not");
    }
  });
}

// Factors the transpose of what lies by rows in `a`, and returns whether it is singular.
template <class T>
bool factor(T* a, int n, int* pivots) {
  int info = 0;
  lapack<T>().getrf(&n, &n, a, &n, pivots, &info);
  return info > 0;
}

// The determinant of factors, with its sign's changes by exchanged rows.
template <class T>
T product_of_pivots(const T* factors, int64_t n, const int* pivots) {
  T product = 1;
  for (int64_t i = 0; i < n; ++i)
    product = product * factors[i * (n + 1)] * T(pivots[i] == i + 1 ? Real<T>(1) : Real<T>(-1));
  return product;
}

// One output: the determinant. Two: its sign, and the logarithm of its size.
template <class T>
void determinant(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]);
  const bool apart = args.outputs.size() == 2;
  const int64_t n = x.rows();
  const int order = lapack_int(n, "det");
  T* const first = args.outputs[0].as<T>();
  Real<T>* const second = apart ? args.outputs[1].as<Real<T>>() : nullptr;
  for_matrices(x.count(), double(n * n * n) * 2 / 3, [&](int64_t begin, int64_t end) {
    const Scratch<T> a(n * n);
    const Scratch<int> pivots(n);
    for (int64_t b = begin; b < end; ++b) {
      x.load_rows(b, a);
      const bool singular = n > 0 && factor<T>(a, order, pivots);
      Real<T> logarithm = 0;
      for (int64_t i = 0; apart && i < n; ++i) {
        T& pivot = a[i * (n + 1)];
        logarithm += std::log(magnitude(pivot));
        pivot = unit(pivot);
      }
      first[b] = singular ? T(0) : product_of_pivots<T>(a, n, pivots);
      if (apart) second[b] = singular ? -std::numeric_limits<Real<T>>::infinity() : logarithm;
    }
  });
}

// The inverse times the determinant, which a singular matrix has too: pivots of 0 are made as small
// as rounding errors, and their quotients cancel.
template <class T>
void adjugate(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), out(args.outputs[0]);
  const int64_t n = x.rows();
  if (n == 0) return;
  const int order = lapack_int(n, "det");
  for_matrices(x.count(), double(n * n * n) * 2, [&](int64_t begin, int64_t end) {
    const Scratch<int> pivots(n);
    int info = 0, size = int(std::min<int64_t>(64 * n, std::numeric_limits<int>::max()));
    const Scratch<T> work(size);
    for (int64_t b = begin; b < end; ++b) {
      T* const a = out.at(b);
      x.load_rows(b, a);
      if (factor(a, order, pivots)) {
        Real<T> most = 0;
        for (int64_t i = 0; i < n; ++i) most = std::max(most, magnitude(a[i * (n + 1)]));
        const T small = (most > 0 ? most : 1) * std::numeric_limits<Real<T>>::epsilon();
        for (int64_t i = 0; i < n; ++i)
          if (a[i * (n + 1)] == T(0)) a[i * (n + 1)] = small;
      }
      const T determinant = product_of_pivots<T>(a, n, pivots);
      lapack<T>().getri(&order, a, &order, pivots, work, &size, &info);
      for (int64_t i = 0; i < n * n; ++i) a[i] = a[i] * determinant;
    }
  });
}

template <class T>
void lu(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]);
  const int64_t m = x.rows(), n = x.columns(), k = std::min(m, n);
  if (k == 0) return;
  const int rows = lapack_int(m, "lu"), columns = lapack_int(n, "lu");
  T* const out = args.outputs[0].as<T>();
  int32_t* const pivots = args.outputs[1].as<int32_t>();
  for_matrices(x.count(), double(m * n * k), [&](int64_t begin, int64_t end) {
    const Scratch<T> a(m * n);
    for (int64_t b = begin; b < end; ++b) {
      int info = 0;
      x.load_columns(b, a);
      lapack<T>().getrf(&rows, &columns, a, &rows, pivots + b * k, &info);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) out[(b * m + i) * n + j] = a[j * m + i];
      for (int64_t i = 0; i < k; ++i) --pivots[b * k + i];
    }
  });
}

// The transpose's inverse is the inverse's transpose.
template <class T>
void inverse(const KernelArgs& args) {
  const Matrices<T> x(args.inputs[0]), out(args.outputs[0]);
  const int64_t n = x.rows();
  if (n == 0) return;
  const int order = lapack_int(n, "inv");
  for_matrices(x.count(), double(n * n * n) * 2, [&](int64_t begin, int64_t end) {
    const Scratch<int> pivots(n);
    int info = 0, size = -1;
    T answer = 0;
    lapack<T>().getri(&order, nullptr, &order, pivots, &answer, &size, &info);
    size = work_size(answer);
    const Scratch<T> work(size);
    for (int64_t b = begin; b < end; ++b) {
      T* a = out.at(b);
      x.load_rows(b, a);
      if (factor(a, order, pivots)) fail_matrix("inv", x, b, "is singular");
      lapack<T>().getri(&order, a, &order, pivots, work, &size, &info);
    }
  });
}

// a x = b from the factors of a's transpose, a^T = P L U: x^T P L U = b^T, and what is x^T to
// LAPACK is x by rows.
template <class T>
void solve(const KernelArgs& args) {
  const Matrices<T> a(args.inputs[0]), rhs(args.inputs[1]), out(args.outputs[0]);
  const int64_t n = a.rows(), width = rhs.columns();
  if (n == 0 || width == 0) return;
  const int order = lapack_int(n, "solve"), columns = lapack_int(width, "solve");
  const double flops = double(n * n) * (double(n) * 2 / 3 + 2 * double(width));
  for_matrices(a.count(), flops, [&](int64_t begin, int64_t end) {
    const Scratch<T> factors(n * n);
    const Scratch<int> pivots(n);
    const T one = 1;
    for (int64_t b = begin; b < end; ++b) {
      a.load_rows(b, factors);
      T* const x = out.at(b);
      rhs.load_rows(b, x);
      if (n <= kSmall) {
        if (small_solve<T>(factors, n, x, width)) fail_matrix("solve", a, b, "x1 is singular");
        continue;
      }
      if (factor<T>(factors, order, pivots)) fail_matrix("solve", a, b, "x1 is singular");
      if (width == 1) {
        int info = 0;
        lapack<T>().getrs("T", &order, &columns, factors, &order, pivots, x, &order, &info, 1);
        continue;
      }
      lapack<T>().trsm("R", "U", "N", "N", &columns, &order, &one, factors, &order, x, &columns, 1,
                       1, 1, 1);
      lapack<T>().trsm("R", "L", "N", "U", &columns, &order, &one, factors, &order, x, &columns, 1,
                       1, 1, 1);
      for (int64_t i = n; i-- > 0;)
        if (const int64_t other = pivots[i] - 1; other != i)
          std::swap_ranges(x + i * width, x + (i + 1) * width, x + other * width);
    }
  });
}

// x^T a^T = b^T, where a^T is what LAPACK sees of a by rows.
template <class T>
void solve_triangular(const KernelArgs& args) {
  const Matrices<T> a(args.inputs[0]), rhs(args.inputs[1]), out(args.outputs[0]);
  const auto [upper, unit] = read_attrs<TriangularAttrs>(args.attrs);
  const int64_t n = a.rows(), width = rhs.columns();
  if (n == 0 || width == 0) return;
  const int order = lapack_int(n, "solve_triangular"),
            columns = lapack_int(width, "solve_triangular");
  const bool by_rows = a.column_step() == 1 && a.row_step() >= n;
  const bool by_columns = !by_rows && a.row_step() == 1 && a.column_step() >= n;
  const int64_t lead = by_rows ? a.row_step() : by_columns ? a.column_step() : n;
  const int step = lapack_int(lead, "solve_triangular");
  for_matrices(a.count(), double(n * n) * double(width), [&](int64_t begin, int64_t end) {
    const Scratch<T> copy(by_rows || by_columns ? 0 : n * n);
    const T one = 1;
    for (int64_t b = begin; b < end; ++b) {
      const T* triangle = a.at(b);
      if (!unit)
        for (int64_t i = 0; i < n; ++i)
          if (triangle[i * (a.row_step() + a.column_step())] == T(0))
            fail_matrix("solve_triangular", a, b, "x1 is singular: element ", i,
                        " of its diagonal is zero");
      if (!by_rows && !by_columns) {
        a.load_rows(b, copy);
        triangle = copy;
      }
      T* const x = out.at(b);
      rhs.load_rows(b, x);
      lapack<T>().trsm("R", bool(upper) == by_columns ? "U" : "L", by_columns ? "T" : "N",
                       unit ? "U" : "N", &columns, &order, &one, triangle, &step, x, &columns, 1, 1,
                       1, 1);
    }
  });
}

}  // namespace

void run_cholesky(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { cholesky<decltype(zero)>(args); });
}
void run_determinant(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { determinant<decltype(zero)>(args); });
}
void run_adjugate(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { adjugate<decltype(zero)>(args); });
}
void run_pivot_order(const KernelArgs& args) {
  const DenseInput input(args.inputs[0]);
  const int32_t* const pivots = input.as<int32_t>();
  const int64_t rows = args.attrs[0], steps = args.inputs[0].shape.back();
  const int64_t count = steps > 0 ? numel(args.inputs[0].shape) / steps : 0;
  int64_t* const all = args.outputs[0].as<int64_t>();
  if (rows == 0) return;
  for (int64_t b = 0; b < numel(args.outputs[0].shape) / rows; ++b)
    for (int64_t i = 0; i < rows; ++i) all[b * rows + i] = i;
  for (int64_t b = 0; b < count; ++b)
    for (int64_t i = 0; i < steps; ++i) {
      const int64_t other = pivots[b * steps + i];
      if (other < 0 || other >= rows)
        fail(ErrorKind::index, "pivot ", other, " is out of bounds for ", rows, " rows");
      std::swap(all[b * rows + i], all[b * rows + other]);
    }
}

void run_inverse(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { inverse<decltype(zero)>(args); });
}
void run_lu(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { lu<decltype(zero)>(args); });
}
void run_solve(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { solve<decltype(zero)>(args); });
}
void run_solve_triangular(const KernelArgs& args) {
  dispatch_lapack(args.inputs[0].dtype, [&](auto zero) { solve_triangular<decltype(zero)>(args); });
}

}  // namespace tegula::cpu
