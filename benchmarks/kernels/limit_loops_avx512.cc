#if defined(__AVX512F__)
#include "limit_loops-inl.h"
#else
#include "limit_loops.h"
#endif

namespace tegula::bench {

const LimitLoops* avx512_limit_loops() {
#if defined(__AVX512F__)
  if (!__builtin_cpu_supports("avx512f")) return nullptr;
  static const LimitLoops loops = make_loops();
  return &loops;
#else
  return nullptr;
#endif
}

}  // namespace tegula::bench
