// Functions of complex numbers that the C++ library lacks, with the special values of C99 Annex G
// and of the Python array API standard where that names any.
#pragma once

#include <complex>

#include "base/complex.h"

namespace tegula {

// a / b, out of line: compiled for more than the baseline, GCC 12 would fuse its multiply-adds.
complex64 complex_quotient(complex64 a, complex64 b);
complex128 complex_quotient(complex128 a, complex128 b);

std::complex<double> complex_exp2(std::complex<double> z);
std::complex<double> complex_expm1(std::complex<double> z);
std::complex<double> complex_log1p(std::complex<double> z);
std::complex<double> complex_log2(std::complex<double> z);
std::complex<double> complex_log10(std::complex<double> z);
std::complex<double> complex_sigmoid(std::complex<double> z);
// Small whole exponents by multiplication; 0 to the power 0 is 1.
std::complex<double> complex_pow(std::complex<double> z, std::complex<double> exponent);

}  // namespace tegula
