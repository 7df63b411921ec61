#include "backend/cpu/contraction/gemm_words.h"

#include <cstdlib>

#include "backend/cpu/isa.h"

namespace tegula::cpu {
namespace {

template <class T>
const GemmKernels<T>& chosen_kernels() {
#if defined(__x86_64__)
  return isa_has_amx() ? amx_kernels<T>() : dot_kernels<T>();
#else
  std::abort();  // never called: isa_has_dot() is false
#endif
}

}  // namespace

template <>
const GemmKernels<bfloat16>& gemm_kernels<bfloat16>() {
  return chosen_kernels<bfloat16>();
}
template <>
const GemmKernels<int8_t>& gemm_kernels<int8_t>() {
  return chosen_kernels<int8_t>();
}
template <>
const GemmKernels<uint8_t>& gemm_kernels<uint8_t>() {
  return chosen_kernels<uint8_t>();
}

}  // namespace tegula::cpu
