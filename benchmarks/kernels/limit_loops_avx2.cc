#if defined(__AVX2__)
#include "limit_loops-inl.h"
#else
#include "limit_loops.h"
#endif

namespace tegula::bench {

const LimitLoops* avx2_limit_loops() {
#if defined(__AVX2__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return nullptr;
  static const LimitLoops loops = make_loops();
  return &loops;
#else
  return nullptr;
#endif
}

}  // namespace tegula::bench
