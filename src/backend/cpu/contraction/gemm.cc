#include "backend/cpu/contraction/gemm.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/contraction/scratch.h"

#include "backend/cpu/contraction/matvec-inl.h"
#include "backend/cpu/contraction/micro_kernel-inl.h"
#include "backend/cpu/contraction/pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

template <class T>
void multiply(const Block<T>& block) {
  const int64_t tiles = block.tiles ? block.tiles : row_tiles(block.m, kTileRows);
  const bool copied_tail = !block.b_padded && block.n % kLanes<T> != 0;
  const Scratch<T> tail(ScratchUse::vector, copied_tail ? kPanel<T> * block.k : 0);
  const bool depth_major = block.a_packed || block.a_row == 1;
  for (int64_t j = 0; j < block.n; j += kPanel<T>) {
    const int64_t columns = std::min(kPanel<T>, block.n - j);
    const int64_t vectors = (columns + kLanes<T> - 1) / kLanes<T>;
    const bool whole = columns == vectors * kLanes<T>;
    const T* b = block.b + j / kPanel<T> * block.b_panel;
    int64_t b_depth = block.b_depth;
    if (!whole && !block.b_padded) {
      const Matrix from{reinterpret_cast<const std::byte*>(b), kNative<T>, 1, b_depth};
      b_depth = vectors * kLanes<T>;
      pack(from, columns, b_depth, block.k, tail.get());
      b = tail;
    }
    const auto& kernels = kMicroKernels<T>[depth_major][vectors - 1];
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t rows = tile_start(block.m, tiles, t + 1) - i;
      const T* a = block.a + (block.a_packed ? i * block.k : i * block.a_row);
      const int64_t a_stride = block.a_packed ? rows : depth_major ? block.a_depth : block.a_row;
      T* c = block.c + i * block.c_row + j;
      if (whole) {
        kernels[rows - 1](block.k, a, a_stride, b, b_depth, c, block.c_row, block.accumulate);
      } else {
        alignas(64) T tile[kTileRows * kPanel<T>];
        kernels[rows - 1](block.k, a, a_stride, b, b_depth, tile, kPanel<T>, false);
        for (int64_t r = 0; r < rows; ++r) {
          T* to = c + r * block.c_row;
          const T* from = tile + r * kPanel<T>;
          if (block.accumulate) {
            for (int64_t l = 0; l < columns; ++l) to[l] += from[l];
          } else {
            std::memcpy(to, from, columns * sizeof(T));
          }
        }
      }
      i += rows;
    }
  }
}

template <class T>
constexpr GemmKernels<T> kKernels = {kTileRows, kPanel<T>, 0,           multiply<T>,
                                     pack<T>,   pack<T>,   round_to<T>, matvec<T>};

const GemmKernels<float>& kernels_f32() { return kKernels<float>; }
const GemmKernels<double>& kernels_f64() { return kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(kernels_f32);
HWY_EXPORT(kernels_f64);

}  // namespace

template <>
const GemmKernels<float>& gemm_kernels<float>() {
  return HWY_DYNAMIC_DISPATCH(kernels_f32)();
}
template <>
const GemmKernels<double>& gemm_kernels<double>() {
  return HWY_DYNAMIC_DISPATCH(kernels_f64)();
}

}  // namespace tegula::cpu
#endif
