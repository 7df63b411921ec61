// Factors of matrices so small that a call of LAPACK costs more than the work, by rows.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend/cpu/linalg/matrices.h"

namespace tegula::cpu {

inline constexpr int64_t kSmall = 16;  // rows

// Makes of a Hermitian matrix, of which the lower triangle is read, its Cholesky factor. Returns
// the order of the leading minor that is not positive, or 0. NaN passes through.
template <class T>
int64_t small_cholesky(T* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T* const row = a + i * n;
    for (int64_t j = 0; j <= i; ++j) {
      const T* const other = a + j * n;
      T rest = row[j];
      for (int64_t k = 0; k < j; ++k) rest = rest - row[k] * conjugate(other[k]);
      if (j < i) {
        row[j] = rest / T(real_part(other[j]));
      } else {
        if (real_part(rest) <= 0) return i + 1;
        row[i] = T(std::sqrt(real_part(rest)));
      }
    }
  }
  return 0;
}

// Solves a x = b by elimination with the largest pivot of each column; `a` is overwritten, and so
// is b, by x. Returns whether `a` is singular.
template <class T>
bool small_solve(T* a, int64_t n, T* x, int64_t width) {
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i)
      if (magnitude(a[i * n + k]) > magnitude(a[pivot * n + k])) pivot = i;
    T* const top = a + k * n;
    if (pivot != k) {
      std::swap_ranges(top + k, top + n, a + pivot * n + k);
      std::swap_ranges(x + k * width, x + (k + 1) * width, x + pivot * width);
    }
    if (top[k] == T(0)) return true;
    for (int64_t i = k + 1; i < n; ++i) {
      T* const row = a + i * n;
      const T factor = row[k] / top[k];
      for (int64_t j = k + 1; j < n; ++j) row[j] = row[j] - factor * top[j];
      for (int64_t j = 0; j < width; ++j)
        x[i * width + j] = x[i * width + j] - factor * x[k * width + j];
    }
  }
  for (int64_t k = n; k-- > 0;) {
    T* const solved = x + k * width;
    for (int64_t j = 0; j < width; ++j) solved[j] = solved[j] / a[k * n + k];
    for (int64_t i = 0; i < k; ++i) {
      const T factor = a[i * n + k];
      for (int64_t j = 0; j < width; ++j) x[i * width + j] = x[i * width + j] - factor * solved[j];
    }
  }
  return false;
}

}  // namespace tegula::cpu
