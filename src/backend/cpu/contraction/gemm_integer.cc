// Register tiles of integers modulo 2^32 or 2^64: int16_t in pairs whose products are added to a
// 32-bit sum, int32_t, and int64_t. They take operands of every narrower dtype.
#include <array>
#include <utility>

#include "backend/cpu/contraction/gemm.h"

#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/contraction/gemm_integer.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int kIntegerRows = 8;
#else
constexpr int kIntegerRows = 4;
#endif
constexpr int kIntegerVectors = 2;

// A word of a packed operand is as wide as a sum: a pair of int16_t, or one element.
template <class T>
constexpr int64_t kWords = int64_t(hn::MaxLanes(hn::ScalableTag<Sum<T>>()));

// sum + a b, modulo the width; for int16_t the sum of the products of a word's two halves.
#if HWY_TARGET == HWY_SCALAR
template <class T, class D, class V>
V multiply_add(T, D d, V a, V b, V sum) {
  using S = hn::TFromD<D>;
  using U = std::make_unsigned_t<S>;
  const S x = hn::GetLane(a), y = hn::GetLane(b);
  U total = U(hn::GetLane(sum));
  if constexpr (sizeof(T) == 2) {
    total += U(int16_t(x) * int16_t(y)) + U((x >> 16) * (y >> 16));
  } else {
    total += U(x) * U(y);
  }
  return hn::Set(d, S(total));
}
#else
template <class D, class V>
V multiply_add(int32_t, D, V a, V b, V sum) {
  return hn::Add(sum, hn::Mul(a, b));
}
template <class D, class V>
V multiply_add(int64_t, [[maybe_unused]] D d, V a, V b, V sum) {
#if HWY_TARGET == HWY_AVX3
  return hn::Add(sum, hn::Mul(a, b));
#else
  // From products of halves; that of the upper two lies beyond 64 bits.
  const hn::Repartition<uint32_t, D> halves;
  const auto left = hn::BitCast(halves, a), right = hn::BitCast(halves, b);
  const auto cross = hn::Mul(left, hn::Reverse2(halves, right));
  const auto crosses = hn::Add(cross, hn::Reverse2(halves, cross));
  const V high = hn::ShiftLeft<32>(hn::BitCast(d, crosses));
  return hn::Add(hn::Add(sum, high), hn::BitCast(d, hn::MulEven(left, right)));
#endif
}
template <class D, class V>
V multiply_add(int16_t, [[maybe_unused]] D d, V a, V b, V sum) {
#if HWY_ARCH_X86
  const hn::Repartition<int16_t, D> pairs;
  V unused = hn::Zero(d);
  return hn::ReorderWidenMulAccumulate(d, hn::BitCast(pairs, a), hn::BitCast(pairs, b), sum,
                                       unused);
#else
  const auto low = [](V v) { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
  const V upper = hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b));
  return hn::Add(hn::Add(sum, upper), hn::Mul(low(a), low(b)));
#endif
}
#endif

// C(kRows, two vectors) from a packed tile of A and a packed panel of B.
template <class T, int kRows>
void integer_tile(int64_t words, const Sum<T>* HWY_RESTRICT a, const Sum<T>* HWY_RESTRICT b,
                  Sum<T>* HWY_RESTRICT c, int64_t c_row) {
  const hn::ScalableTag<Sum<T>> d;
  using V = hn::Vec<decltype(d)>;
  V sums[kRows][kIntegerVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kIntegerVectors; ++j) sums[i][j] = hn::Zero(d);
  for (int64_t k = 0; k < words; ++k, a += kRows, b += kIntegerVectors * kWords<T>) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V left = hn::Set(d, a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < kIntegerVectors; ++j)
        sums[i][j] = multiply_add(T(), d, left, hn::LoadU(d, b + j * kWords<T>), sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kIntegerVectors; ++j)
      hn::StoreU(sums[i][j], d, c + i * c_row + j * kWords<T>);
}

template <class T>
using IntegerTile = void (*)(int64_t, const Sum<T>*, const Sum<T>*, Sum<T>*, int64_t);
template <class T, int... kRows>
constexpr std::array<IntegerTile<T>, kIntegerRows> integer_tiles(
    std::integer_sequence<int, kRows...>) {
  return {integer_tile<T, kRows + 1>...};
}

template <class T>
void multiply_integers(const Block<T>& block) {
  using S = Sum<T>;
  using U = std::make_unsigned_t<S>;
  static constexpr auto kTiles = integer_tiles<T>(std::make_integer_sequence<int, kIntegerRows>());
  constexpr int64_t kPanel = kIntegerVectors * kWords<T>;
  const int64_t tiles = block.tiles ? block.tiles : row_tiles(block.m, kIntegerRows);
  constexpr int64_t kGroup = GemmTraits<T>::kGroup;
  const int64_t words = ceil_div(block.k, kGroup), depth = words * kGroup;
  for (int64_t j = 0; j < block.n; j += kPanel) {
    const int64_t columns = std::min(kPanel, block.n - j);
    const auto* b = reinterpret_cast<const S*>(block.b + j / kPanel * block.b_panel);
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t rows = tile_start(block.m, tiles, t + 1) - i;
      alignas(64) S sums[kIntegerRows * kPanel];
      kTiles[rows - 1](words, reinterpret_cast<const S*>(block.a + i * depth), b, sums, kPanel);
      for (int64_t r = 0; r < rows; ++r) {
        S* to = block.c + (i + r) * block.c_row + j;
        const S* from = sums + r * kPanel;
        if (block.accumulate) {
          for (int64_t l = 0; l < columns; ++l) to[l] = S(U(to[l]) + U(from[l]));
        } else {
          std::copy_n(from, columns, to);
        }
      }
      i += rows;
    }
  }
}

template <class E, class T>
void pack_elements(const E* src, int64_t lane_stride, int64_t depth_stride, int64_t lanes,
                   int64_t width, int64_t k, T* dst) {
  constexpr int64_t kGroup = GemmTraits<T>::kGroup;
  if (lanes < width || k % kGroup != 0) std::fill_n(dst, round_up(k, kGroup) * width, T(0));
  if (lane_stride == 1) {
    for (int64_t i = 0; i < k; ++i) {
      T* out = dst + i / kGroup * kGroup * width + i % kGroup;
      for (int64_t lane = 0; lane < lanes; ++lane)
        out[lane * kGroup] = T(src[i * depth_stride + lane]);
    }
  } else {
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int64_t i = 0; i < k; ++i)
        dst[(i / kGroup * width + lane) * kGroup + i % kGroup] =
            T(src[lane * lane_stride + i * depth_stride]);
  }
}

template <class T>
void pack_integers(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst) {
  dispatch(src.dtype, [&](auto zero) {
    using E = decltype(zero);
    if constexpr (std::is_integral_v<E>)
      pack_elements(reinterpret_cast<const E*>(src.data), src.row, src.column, lanes, width, k,
                    dst);
  });
}

// The low bits of the sums.
template <class T>
void narrow(const Sum<T>* src, int64_t count, DType dtype, std::byte* dst) {
  dispatch(dtype, [&](auto zero) {
    using E = decltype(zero);
    if constexpr (std::is_integral_v<E>)
      for (int64_t i = 0; i < count; ++i) reinterpret_cast<E*>(dst)[i] = E(src[i]);
  });
}

template <class T>
constexpr GemmKernels<T> kIntegerKernels = {
    .tile_rows = kIntegerRows,
    .panel = kIntegerVectors * kWords<T>,
    .panel_tail = 0,
    .step = GemmTraits<T>::kGroup,
    .depth = kChainDepth<T>,
    .speed = 1,
    .task_rows = 224,
    .task_columns = 256,
    .whole_registers = false,
    .multiply = multiply_integers<T>,
    .pack = pack_integers<T>,
    .pack_panel = pack_integers<T>,
    .round = narrow<T>,
    .matvec = nullptr,
};

const GemmKernels<int16_t>& kernels_int16() { return kIntegerKernels<int16_t>; }
const GemmKernels<int32_t>& kernels_int32() { return kIntegerKernels<int32_t>; }
const GemmKernels<int64_t>& kernels_int64() { return kIntegerKernels<int64_t>; }

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(kernels_int16);
HWY_EXPORT(kernels_int32);
HWY_EXPORT(kernels_int64);

}  // namespace

template <>
const GemmKernels<int16_t>& gemm_kernels<int16_t>() {
  return HWY_DYNAMIC_DISPATCH(kernels_int16)();
}
template <>
const GemmKernels<int32_t>& gemm_kernels<int32_t>() {
  return HWY_DYNAMIC_DISPATCH(kernels_int32)();
}
template <>
const GemmKernels<int64_t>& gemm_kernels<int64_t>() {
  return HWY_DYNAMIC_DISPATCH(kernels_int64)();
}

}  // namespace tegula::cpu
#endif
