#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/fft/blocks_double.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/fft/blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu::fft {
namespace HWY_NAMESPACE {

const BlockKernels<double>& blocks_double() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu::fft
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu::fft {

HWY_EXPORT(blocks_double);

template <>
const BlockKernels<double>& block_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(blocks_double)();
}

}  // namespace tegula::cpu::fft
#endif
