// Transposition through registers. Included once per instruction set.
#if defined(TEGULA_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TEGULA_TRANSPOSE_INL_H_
#undef TEGULA_TRANSPOSE_INL_H_
#else
#define TEGULA_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
// A vector whose 128-bit block b is the four floats at row(first + 4 b) + k.
template <class D, class Row>
HWY_INLINE hn::Vec<D> load_blocks(D d, const Row& row, int64_t first, int64_t k) {
  constexpr int64_t kN = int64_t(hn::MaxLanes(D()));
  if constexpr (kN == 4) {
    return hn::LoadU(d, row(first) + k);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, row, first + kN / 2, k),
                       load_blocks(half, row, first, k));
  }
}

#endif

// Calls store(k, v) for k < depth, where lane l of v is row(l)[k].
template <class D, class Row, class Store>
HWY_INLINE void transpose_vectors(D d, int64_t depth, const Row& row, const Store& store) {
  using T = hn::TFromD<D>;
  constexpr int64_t kN = int64_t(hn::MaxLanes(D()));
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4 && kN >= 4) {
    if (depth >= 4) {
      const hn::RepartitionToWide<hn::RebindToUnsigned<D>> pairs;
      for (int64_t at = 0; at < depth; at += 4) {
        const int64_t k = std::min(at, depth - 4);  // the last block overlaps the one before
        const auto r0 = load_blocks(d, row, 0, k), r1 = load_blocks(d, row, 1, k);
        const auto r2 = load_blocks(d, row, 2, k), r3 = load_blocks(d, row, 3, k);
        const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
        const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
        const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
        const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
        store(k, hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)));
        store(k + 1, hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)));
        store(k + 2, hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)));
        store(k + 3, hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)));
      }
      return;
    }
  }
#endif
  alignas(64) T lanes[kN];
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t l = 0; l < kN; ++l) lanes[l] = row(l)[k];
    store(k, hn::Load(d, lanes));
  }
}

// dst(k)[lane] = row(lane)[k] for lane < lanes, k < depth. Lanes go in vectors, the last of which
// overlaps the one before; fewer lanes than a vector go in smaller ones.
template <class D, class T, class Row, class Dst>
void transpose(D d, int64_t lanes, int64_t depth, const Row& row, const Dst& dst) {
  constexpr int64_t kN = int64_t(hn::MaxLanes(D()));
  if (lanes >= kN) {
    for (int64_t at = 0; at < lanes; at += kN) {
      const int64_t lane = std::min(at, lanes - kN);
      transpose_vectors(
          d, depth, [&](int64_t l) { return row(lane + l); },
          [&](int64_t k, auto v) { hn::StoreU(v, d, dst(k) + lane); });
    }
    return;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kN * sizeof(T) > 16)
    return transpose<hn::Half<D>, T>(hn::Half<D>(), lanes, depth, row, dst);
#endif
  for (int64_t l = 0; l < lanes; ++l) {
    const T* from = row(l);
    for (int64_t k = 0; k < depth; ++k) dst(k)[l] = from[k];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();
#endif
