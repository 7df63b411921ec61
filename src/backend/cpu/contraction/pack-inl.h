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

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class S, class T>
void convert(const S* HWY_RESTRICT src, int64_t count, T* HWY_RESTRICT dst) {
  int64_t i = 0;
  if constexpr (std::is_same_v<S, float16> && std::is_same_v<T, float>) {
    const hn::ScalableTag<float> d;
    const hn::Rebind<hwy::float16_t, decltype(d)> half;
    const int64_t lanes = int64_t(hn::Lanes(d));
    for (; i + lanes <= count; i += lanes)
      hn::StoreU(
          hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(src + i))), d,
          dst + i);
  }
  for (; i < count; ++i) dst[i] = T(src[i]);
}

// dst[k * width + lane] = src[lane * stride + k]: blocks of 4 x 4 go through registers.
template <class T>
void pack_transposed(const T* HWY_RESTRICT src, int64_t stride, int64_t lanes, int64_t width,
                     int64_t depth, T* HWY_RESTRICT dst) {
  int64_t lane = 0;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    const hn::FixedTag<T, 4> d;
    const hn::RepartitionToWide<hn::RebindToUnsigned<decltype(d)>> pairs;
    for (; lane + 4 <= lanes; lane += 4) {
      const T* s = src + lane * stride;
      T* out = dst + lane;
      int64_t k = 0;
      for (; k + 4 <= depth; k += 4) {
        const auto r0 = hn::LoadU(d, s + k), r1 = hn::LoadU(d, s + stride + k);
        const auto r2 = hn::LoadU(d, s + 2 * stride + k), r3 = hn::LoadU(d, s + 3 * stride + k);
        const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
        const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
        const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
        const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
        T* o = out + k * width;
        hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, o);
        hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, o + width);
        hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, o + 2 * width);
        hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, o + 3 * width);
      }
      for (; k < depth; ++k)
        for (int64_t l = 0; l < 4; ++l) out[k * width + l] = s[l * stride + k];
    }
  }
#endif
  for (; lane < lanes; ++lane)
    for (int64_t k = 0; k < depth; ++k) dst[k * width + lane] = src[lane * stride + k];
}

template <class S, class T>
void pack_from(const S* src, int64_t lane_stride, int64_t depth_stride, int64_t lanes,
               int64_t width, int64_t depth, T* dst) {
  if (lane_stride == 1 && lanes >= 8) {
    for (int64_t k = 0; k < depth; ++k) convert(src + k * depth_stride, lanes, dst + k * width);
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
