// LAPACK, found at run time: a table of C function pointers that the front end fills.
//
// The functions are Fortran's: every argument by its address, matrices by columns, integers of 32
// bits, and after the arguments the length of each text. They have to use one thread, so that
// results depend on no number of threads, and may be called from several threads at once.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/complex.h"
#include "base/error.h"

namespace tegula {

using LapackInt = const int*;
using LapackText = const char*;

// Spectra: what complex matrices have other arguments for. Names are LAPACK's without the first
// letter.
template <class T>
struct LapackSpectra {
  using Int = LapackInt;
  using Text = LapackText;

  // clang-format off
  void (*orgqr)(Int m, Int n, Int k, T* a, Int lda, const T* tau, T* work, Int work_size,
                int* info);
  void (*syevd)(Text job, Text uplo, Int n, T* a, Int lda, T* w, T* work, Int work_size,
                int* int_work, Int int_work_size, int* info, size_t, size_t);
  void (*gesdd)(Text job, Int m, Int n, T* a, Int lda, T* s, T* u, Int ldu, T* vt, Int ldvt,
                T* work, Int work_size, int* int_work, int* info, size_t);
  void (*geev)(Text left, Text right, Int n, T* a, Int lda, T* real, T* imaginary, T* vl, Int ldvl,
               T* vr, Int ldvr, T* work, Int work_size, int* info, size_t, size_t);
  // clang-format on

  template <class F>
  void each_spectral(F&& visit) {
    visit("orgqr", orgqr);
    visit("syevd", syevd);
    visit("gesdd", gesdd);
    visit("geev", geev);
  }
};

template <class R>
struct LapackSpectra<Complex<R>> {
  using Int = LapackInt;
  using Text = LapackText;
  using T = Complex<R>;

  // clang-format off
  void (*orgqr)(Int m, Int n, Int k, T* a, Int lda, const T* tau, T* work, Int work_size,
                int* info);
  void (*heevd)(Text job, Text uplo, Int n, T* a, Int lda, R* w, T* work, Int work_size,
                R* real_work, Int real_work_size, int* int_work, Int int_work_size, int* info,
                size_t, size_t);
  void (*gesdd)(Text job, Int m, Int n, T* a, Int lda, R* s, T* u, Int ldu, T* vt, Int ldvt,
                T* work, Int work_size, R* real_work, int* int_work, int* info, size_t);
  void (*geev)(Text left, Text right, Int n, T* a, Int lda, T* w, T* vl, Int ldvl, T* vr, Int ldvr,
               T* work, Int work_size, R* real_work, int* info, size_t, size_t);
  // clang-format on

  template <class F>
  void each_spectral(F&& visit) {
    visit("ungqr", orgqr);
    visit("heevd", heevd);
    visit("gesdd", gesdd);
    visit("geev", geev);
  }
};

// The functions for matrices of T.
template <class T>
struct Lapack : LapackSpectra<T> {
  using Int = LapackInt;
  using Text = LapackText;

  // clang-format off
  void (*gemm)(Text transpose_a, Text transpose_b, Int m, Int n, Int k, const T* alpha, const T* a,
               Int lda, const T* b, Int ldb, const T* beta, T* c, Int ldc, size_t, size_t);
  void (*trsm)(Text side, Text uplo, Text transpose, Text diagonal, Int m, Int n, const T* alpha,
               const T* a, Int lda, T* b, Int ldb, size_t, size_t, size_t, size_t);
  void (*potrf)(Text uplo, Int n, T* a, Int lda, int* info, size_t);
  void (*getrf)(Int m, Int n, T* a, Int lda, int* pivots, int* info);
  void (*getrs)(Text transpose, Int n, Int columns, const T* a, Int lda, Int pivots, T* b, Int ldb,
                int* info, size_t);
  void (*getri)(Int n, T* a, Int lda, Int pivots, T* work, Int work_size, int* info);
  void (*geqrf)(Int m, Int n, T* a, Int lda, T* tau, T* work, Int work_size, int* info);
  // clang-format on

  // visit(name, pointer) for each.
  template <class F>
  void each(F&& visit) {
    visit("gemm", gemm);
    visit("trsm", trsm);
    visit("potrf", potrf);
    visit("getrf", getrf);
    visit("getrs", getrs);
    visit("getri", getri);
    visit("geqrf", geqrf);
    this->each_spectral(visit);
  }
};

// The functions of T; only to be called once there are any.
template <class T>
const Lapack<T>& lapack();

// The names that set_lapack asks for, such as "dgesdd".
std::vector<std::string> lapack_names();
// Fills the table, once for the process: find(name) gives a function's address.
void set_lapack(const std::function<void*(const std::string&)>& find);
// Throws ImportError naming the operation while the table is empty.
void require_lapack(const char* op);

}  // namespace tegula
