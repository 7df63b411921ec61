// The kernels whose instructions take operands in words of 32 bits, each a group of neighbours
// along K: two of bfloat16, four of 8-bit integers. gemm_kernels<T>() of those types is one of
// these, and is there only where isa_has_dot().
#pragma once

#include "backend/cpu/contraction/gemm.h"

namespace tegula::cpu {

// Dot instructions, and the matrix instructions of isa_has_amx().
template <class T>
const GemmKernels<T>& dot_kernels();
template <class T>
const GemmKernels<T>& amx_kernels();

// As GemmKernels::round, by the kernels of as wide a type.
template <class T>
void round_sums(const Sum<T>* src, int64_t count, DType dtype, std::byte* dst) {
  gemm_kernels<Sum<T>>().round(src, count, dtype, dst);
}

}  // namespace tegula::cpu
