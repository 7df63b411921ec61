// The kernel dispatcher's table: each family of kernels lists what it runs.
#pragma once

#include <span>
#include <string_view>

#include "runtime/kernel.h"

namespace tegula::cpu {

struct KernelEntry {
  std::string_view kind;  // a primitive's name, or "tile"
  Kernel kernel;
};

std::span<const KernelEntry> contraction_kernels();  // matmul, conv and its two gradients
std::span<const KernelEntry> fft_kernels();  // fft_c2c, fft_r2c, fft_c2r
std::span<const KernelEntry> indexing_kernels();  // gather, scatter, slice_update, concat, ...
std::span<const KernelEntry> linalg_kernels();  // solve, svd, ...
std::span<const KernelEntry> neural_kernels();  // attention, moments, row_norm, ...
std::span<const KernelEntry> optimizer_kernels();  // sgd, adam
std::span<const KernelEntry> pooling_kernels();
std::span<const KernelEntry> random_kernels();
std::span<const KernelEntry> resampling_kernels();
std::span<const KernelEntry> sorting_kernels();  // sort, cumulative, bincount, ...
std::span<const KernelEntry> special_kernels();  // lgamma, gammainc, i0, gcd, ...
std::span<const KernelEntry> tile_kernels();

}  // namespace tegula::cpu
