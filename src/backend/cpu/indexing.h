// The kernels of the indexing family, one file per group.
#pragma once

#include "runtime/kernel.h"

namespace tegula::cpu {

void run_gather(const KernelArgs& args);
void run_take_along_axis(const KernelArgs& args);
void run_scatter(const KernelArgs& args);
void run_scatter_along_axis(const KernelArgs& args);
void run_embedding_bag(const KernelArgs& args);

// Writes inputs[0] to outputs[0], unless they are the same memory (an update in place).
void copy_unless_in_place(const KernelArgs& args);

}  // namespace tegula::cpu
