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

// Columns [j, j + kPanel) of a block: B's part of them, and the kernels for so many.
template <class T>
struct Panel {
  int64_t columns;
  bool whole;  // columns fill their vectors
  const T* b;
  int64_t b_depth;
  const MicroKernel<T>* kernels;
};

template <class T>
Panel<T> panel_at(const Block<T>& block, int64_t j, bool depth_major, T* tail) {
  Panel<T> panel;
  panel.columns = std::min(kPanel<T>, block.n - j);
  const int64_t vectors = (panel.columns + kLanes<T> - 1) / kLanes<T>;
  panel.whole = panel.columns == vectors * kLanes<T>;
  panel.b = block.b + j / kPanel<T> * block.b_panel;
  panel.b_depth = block.b_depth;
  panel.kernels = kMicroKernels<T>[depth_major][vectors - 1].data();
  if (!panel.whole && !block.b_padded) {
    const Matrix from{reinterpret_cast<const std::byte*>(panel.b), kNative<T>, 1, panel.b_depth};
    panel.b_depth = vectors * kLanes<T>;
    pack(from, panel.columns, panel.b_depth, block.k, tail);
    panel.b = tail;
  }
  return panel;
}

template <class T>
void multiply(const Block<T>& block) {
  const int64_t tiles = block.tiles ? block.tiles : row_tiles(block.m, kTileRows);
  const int64_t panels = (block.n + kPanel<T> - 1) / kPanel<T>;
  const bool copied_tail = !block.b_padded && block.n % kLanes<T> != 0;
  const Scratch<T> tail(ScratchUse::vector, copied_tail ? kPanel<T> * block.k : 0);
  const bool depth_major = block.a_packed || block.a_row == 1;
  const auto run_tile = [&](const Panel<T>& panel, int64_t j, int64_t t) {
    const int64_t i = tile_start(block.m, tiles, t), rows = tile_start(block.m, tiles, t + 1) - i;
    const int64_t a_row = block.a_packed ? block.k : block.a_row;
    const int64_t a_stride = block.a_packed ? rows : depth_major ? block.a_depth : block.a_row;
    const T* const a = block.a + i * a_row;
    const auto kernel = panel.kernels[rows - 1];
    T* const c = block.c + i * block.c_row + j;
    if (panel.whole)
      return kernel(block.k, a, a_stride, panel.b, panel.b_depth, c, block.c_row, block.accumulate,
                    a + rows * a_row);
    alignas(64) T tile[kTileRows * kPanel<T>];
    kernel(block.k, a, a_stride, panel.b, panel.b_depth, tile, kPanel<T>, false, a + rows * a_row);
    for (int64_t r = 0; r < rows; ++r) {
      T* to = c + r * block.c_row;
      const T* from = tile + r * kPanel<T>;
      if (block.accumulate) {
        for (int64_t l = 0; l < panel.columns; ++l) to[l] += from[l];
      } else {
        std::memcpy(to, from, panel.columns * sizeof(T));
      }
    }
  };
  // Some panels, which stay in the second-level cache, by tiles of A, which stay in the first: C is
  // then written in long rows, and each tile of A brought near once.
  constexpr int64_t kGroup = 16;
  for (int64_t first = 0; first < panels; first += kGroup) {
    const int64_t count = std::min(kGroup, panels - first);
    Panel<T> group[kGroup];
    for (int64_t p = 0; p < count; ++p)
      group[p] = panel_at(block, (first + p) * kPanel<T>, depth_major, tail.get());
    for (int64_t t = 0; t < tiles; ++t)
      for (int64_t p = 0; p < count; ++p) run_tile(group[p], (first + p) * kPanel<T>, t);
  }
}

template <class T>
constexpr GemmKernels<T> kKernels = {
    .tile_rows = kTileRows,
    .panel = kPanel<T>,
    .panel_tail = 0,
    .step = 1,
    .depth = kChainDepth<T>,
    .speed = 1,
    .task_rows = 224,
    .task_columns = 384,
    .whole_registers = false,
    .multiply = multiply<T>,
    .pack = pack<T>,
    .pack_panel = pack<T>,
    .round = round_to<T>,
    .matvec = matvec<T>,
};

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
