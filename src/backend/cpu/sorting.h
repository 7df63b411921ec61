// The kernels of the sorting family, one file per group.
#pragma once

#include "runtime/kernel.h"

namespace tegula::cpu {

void run_sort(const KernelArgs& args);
void run_topk(const KernelArgs& args);
void run_cumulative(const KernelArgs& args);
void run_argreduce(const KernelArgs& args);
void run_searchsorted(const KernelArgs& args);
void run_histogram(const KernelArgs& args);
void run_bincount(const KernelArgs& args);

}  // namespace tegula::cpu
