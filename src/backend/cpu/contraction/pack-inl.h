// Packing: transposition and dtype conversion on the way into the layout the register tiles read.
// Included once per instruction set.
#if defined(TEGULA_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_PACK_INL_H_
#undef TEGULA_PACK_INL_H_
#else
#define TEGULA_PACK_INL_H_
#endif

#include <hwy/highway.h>

#include <cstring>

#include "backend/cpu/contraction/gemm.h"

#include "backend/cpu/contraction/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whole vectors, the last of which overlaps the one before; fewer elements go in smaller vectors.
template <class D, class T>
HWY_INLINE void copy(D d, const T* HWY_RESTRICT src, int64_t count, T* HWY_RESTRICT dst) {
  constexpr int64_t kN = int64_t(hn::MaxLanes(D()));
  if (count >= kN) {
    for (int64_t i = 0; i + kN <= count; i += kN) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
    if (count % kN != 0) hn::StoreU(hn::LoadU(d, src + count - kN), d, dst + count - kN);
    return;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kN * sizeof(T) > 16) return copy(hn::Half<D>(), src, count, dst);
#endif
  for (int64_t i = 0; i < count; ++i) dst[i] = src[i];
}

template <class S, class T>
void convert(const S* HWY_RESTRICT src, int64_t count, T* HWY_RESTRICT dst) {
  if constexpr (std::is_same_v<S, T>) return copy(hn::ScalableTag<T>(), src, count, dst);
  int64_t i = 0;
#if !HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX2  // older ones take infinity and NaN for numbers
  if constexpr (std::is_same_v<S, float16> && std::is_same_v<T, float>) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<hwy::float16_t, decltype(d)> half;
    const int64_t lanes = int64_t(hn::Lanes(d));
    for (; i + lanes <= count; i += lanes)
      hn::StoreU(
          hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(src + i))), d,
          dst + i);
  }
#endif
  for (; i < count; ++i) dst[i] = T(src[i]);
}

// dst[k * width + lane] = src[lane * stride + k].
template <class T>
void pack_transposed(const T* HWY_RESTRICT src, int64_t stride, int64_t lanes, int64_t width,
                     int64_t depth, T* HWY_RESTRICT dst) {
  transpose<hn::ScalableTag<T>, T>(
      hn::ScalableTag<T>(), lanes, depth, [&](int64_t lane) { return src + lane * stride; },
      [&](int64_t k) { return dst + k * width; });
}

template <class S, class T>
void pack_from(const S* src, int64_t lane_stride, int64_t depth_stride, int64_t lanes,
               int64_t width, int64_t depth, T* dst) {
  if (lane_stride == 1 && lanes >= 8) {
    // What pack_rows and pack_columns come for next is in the same columns, below these rows.
    constexpr int64_t kLine = 64 / int64_t(sizeof(S));
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t l = 0; l < lanes; l += kLine)
        __builtin_prefetch(src + (k + depth) * depth_stride + l);
      convert(src + k * depth_stride, lanes, dst + k * width);
    }
  } else if (depth_stride != 1 || lanes == 1) {
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t l = 0; l < lanes; ++l)
        dst[k * width + l] = T(src[l * lane_stride + k * depth_stride]);
  } else if constexpr (std::is_same_v<S, T>) {
    pack_transposed(src, lane_stride, lanes, width, depth, dst);
  } else {
    constexpr int64_t kStage = 128, kGroup = 4;
    alignas(64) T stage[kGroup * kStage];
    for (int64_t k = 0; k < depth; k += kStage) {
      const int64_t length = std::min(kStage, depth - k);
      for (int64_t l = 0; l < lanes; l += kGroup) {
        const int64_t group = std::min(kGroup, lanes - l);
        for (int64_t g = 0; g < group; ++g)
          convert(src + (l + g) * lane_stride + k, length, stage + g * kStage);
        pack_transposed(stage, kStage, group, width, length, dst + k * width + l);
      }
    }
  }
}

template <class T>
void zero_lanes(int64_t lanes, int64_t width, int64_t depth, T* dst) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t l = lanes; l < width; ++l) dst[k * width + l] = T(0);
}

template <class T>
void pack(const Matrix& src, int64_t lanes, int64_t width, int64_t depth, T* dst) {
  const auto from = [&](auto zero) {
    pack_from(reinterpret_cast<const decltype(zero)*>(src.data), src.row, src.column, lanes, width,
              depth, dst);
  };
  if constexpr (std::is_same_v<T, double>) {
    from(double{});
  } else {
    switch (src.dtype) {
      case DType::float16:
        from(float16{});
        break;
      case DType::bfloat16:
        from(bfloat16{});
        break;
      default:
        from(float{});
    }
  }
  if (lanes < width) zero_lanes(lanes, width, depth, dst);
}

template <class T>
void round_to(const T* src, int64_t count, DType dtype, std::byte* dst) {
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::float16) {
      auto* out = reinterpret_cast<float16*>(dst);
      for (int64_t i = 0; i < count; ++i) out[i] = float16(src[i]);
      return;
    }
    if (dtype == DType::bfloat16) {
      auto* out = reinterpret_cast<bfloat16*>(dst);
      for (int64_t i = 0; i < count; ++i) out[i] = bfloat16(src[i]);
      return;
    }
  }
  std::memcpy(dst, src, count * sizeof(T));
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
