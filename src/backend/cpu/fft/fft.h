// fft_c2c, fft_r2c, fft_c2r: see src/ops/fourier.cc.
#pragma once

#include "runtime/kernel.h"

namespace tegula::cpu {

void run_fft_c2c(const KernelArgs& args);
void run_fft_r2c(const KernelArgs& args);
void run_fft_c2r(const KernelArgs& args);

}  // namespace tegula::cpu
