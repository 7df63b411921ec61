// Register tiles: kRows x kVectors vectors of C, kept in registers over one depth block. Included
// once per instruction set.
#if defined(TEGULA_MICRO_KERNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_MICRO_KERNEL_INL_H_
#undef TEGULA_MICRO_KERNEL_INL_H_
#else
#define TEGULA_MICRO_KERNEL_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <array>
#include <cstdint>
#include <utility>

#include "backend/cpu/contraction/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Accumulators leave room for the vectors of B and one broadcast: 32 vector registers with AVX-512
// and NEON, 16 otherwise.
#if HWY_TARGET == HWY_AVX3
constexpr int kTileRows = 14;
#elif HWY_TARGET == HWY_NEON
constexpr int kTileRows = 12;
#elif HWY_TARGET == HWY_AVX2
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTileVectors = 2;

template <class T>
constexpr int64_t kLanes = int64_t(hn::MaxLanes(hn::ScalableTag<T>()));
template <class T>
constexpr int64_t kPanel = kTileVectors * kLanes<T>;

// kDepthMajor: a(i, k) is at a[k * a_stride + i]; otherwise at a[i * a_stride + k]. The tile that
// comes next has its rows at `next`, which are brought near meanwhile.
template <class T, int kRows, int kVectors, bool kDepthMajor>
void micro_kernel(int64_t depth, const T* HWY_RESTRICT a, int64_t a_stride, const T* HWY_RESTRICT b,
                  int64_t b_stride, T* HWY_RESTRICT c, int64_t c_stride, bool accumulate,
                  const T* next) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) hwy::Prefetch(c + i * c_stride + j * kLanes<T>);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k) {
    constexpr int64_t kLine = 64 / sizeof(T);  // elements of a cache line
    constexpr int kLevel2 = 2;
    __builtin_prefetch(
        next + (kDepthMajor ? k * a_stride : k % kLine * a_stride + k / kLine * kLine), 0, kLevel2);
    V right[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) right[j] = hn::LoadU(d, b + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V left = hn::Set(d, kDepthMajor ? a[i] : a[i * a_stride]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] = hn::MulAdd(left, right[j], sums[i][j]);
    }
    a += kDepthMajor ? a_stride : 1;
    b += b_stride;
  }
  if (accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j)
        sums[i][j] = hn::Add(hn::LoadU(d, c + i * c_stride + j * kLanes<T>), sums[i][j]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sums[i][j], d, c + i * c_stride + j * kLanes<T>);
}

template <class T>
using MicroKernel = void (*)(int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t, bool,
                             const T*);

template <class T, int kVectors, bool kDepthMajor, int... kRows>
constexpr std::array<MicroKernel<T>, kTileRows> micro_kernel_row(
    std::integer_sequence<int, kRows...>) {
  return {micro_kernel<T, kRows + 1, kVectors, kDepthMajor>...};
}
// [kDepthMajor][vectors - 1][rows - 1]
template <class T>
constexpr std::array<MicroKernel<T>, kTileRows> kMicroKernels[2][kTileVectors] = {
    {micro_kernel_row<T, 1, false>(std::make_integer_sequence<int, kTileRows>()),
     micro_kernel_row<T, 2, false>(std::make_integer_sequence<int, kTileRows>())},
    {micro_kernel_row<T, 1, true>(std::make_integer_sequence<int, kTileRows>()),
     micro_kernel_row<T, 2, true>(std::make_integer_sequence<int, kTileRows>())}};

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
