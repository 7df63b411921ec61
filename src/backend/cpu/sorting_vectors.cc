#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/sorting_vectors.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/sort/traits-inl.h>
#include <hwy/contrib/sort/vqsort-inl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "backend/cpu/sorting_vectors.h"
#include "runtime/thread_pool.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where vqsort goes on: with 32-bit keys it is quicker from the start, with 64-bit ones its splits
// are slow in Highway 1.0.3, and its sorting networks alone are used.
template <class K>
constexpr int64_t kFew = sizeof(K) == 4           ? INT64_MAX
                         : HWY_TARGET <= HWY_AVX3 ? 128
                                                  : 64;

template <class K>
void sort_few(K* keys, int64_t count) {
#if VQSORT_ENABLED
  const hn::SortTag<K> d;
  const hn::detail::SharedTraits<hn::detail::TraitsLane<hn::detail::OrderAscending<K>>> order;
  hn::Sort(d, order, keys, size_t(count), static_cast<K*>(nullptr));
#else
  std::sort(keys, keys + count);
#endif
}

#if HWY_TARGET == HWY_AVX3
// In registers: compressing to memory is slow on some processors, and Highway's tables on others.
HWY_INLINE __m512i compressed(__mmask16 mask, __m512i v, uint32_t) {
  return _mm512_maskz_compress_epi32(mask, v);
}
HWY_INLINE __m512i compressed(__mmask8 mask, __m512i v, uint64_t) {
  return _mm512_maskz_compress_epi64(mask, v);
}
#endif

// Writes the keys below the pivot to the front of `to`, the others to its end, and returns how many
// are below.
template <class K>
int64_t split_vectors(const K* from, K* to, int64_t count, K pivot) {
  int64_t left = 0, right = count, i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<K> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto bound = hn::Set(d, pivot);
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::LoadU(d, from + i);
    const auto below = hn::Lt(v, bound);
    const int64_t n = int64_t(hn::CountTrue(d, below));
    right -= lanes - n;
#if HWY_TARGET == HWY_AVX3
    const decltype(v) low{compressed(below.raw, v.raw, K())};
    const decltype(v) high{compressed(hn::Not(below).raw, v.raw, K())};
    hn::BlendedStore(low, hn::FirstN(d, size_t(n)), d, to + left);
    hn::BlendedStore(high, hn::FirstN(d, size_t(lanes - n)), d, to + right);
#else
    hn::CompressBlendedStore(v, below, d, to + left);
    hn::CompressBlendedStore(v, hn::Not(below), d, to + right);
#endif
    left += n;
  }
#endif
  for (; i < count; ++i) to[from[i] < pivot ? left++ : --right] = from[i];
  return left;
}

template <class K>
K middle_of_some(const K* keys, int64_t count) {
  std::array<K, 25> some;
  const int64_t n = count < 4096 ? 5 : int64_t(some.size());
  for (int64_t i = 0; i < n; ++i) some[size_t(i)] = keys[(2 * i + 1) * count / (2 * n)];
  std::nth_element(some.begin(), some.begin() + n / 2, some.begin() + n);
  return some[size_t(n / 2)];
}

// Sorts the keys in `at` into themselves (`home`) or into `other`, a quicksort from one to the
// other; past `depth` splits vqsort, which ends in heap sort, does the rest.
template <class K>
void sort_between(K* at, K* other, int64_t count, bool home, int depth) {
  while (count > kFew<K> && depth-- > 0) {
    const K pivot = middle_of_some(at, count);
    int64_t left = split_vectors(at, other, count, pivot);
    std::swap(at, other);
    home = !home;
    if (left == 0) {  // the pivot is the least: all that equal it are in their place
      left = pivot == K(~K(0)) ? count : split_vectors(at, other, count, K(pivot + 1));
      if (left < count) {
        std::swap(at, other);
        home = !home;
      }
      std::fill_n(home ? at : other, left, pivot);
    } else {
      sort_between(at, other, left, home, depth);
    }
    at += left;
    other += left;
    count -= left;
  }
  if (count == 0) return;
  if (!home) at = std::copy_n(at, count, other) - count;
  sort_few(at, count);
}

template <class K>
void sort_all(K* keys, K* other, int64_t count) {
  sort_between(keys, other, count, true, 2 * std::bit_width(uint64_t(count)));
}

void sort_32(uint32_t* keys, uint32_t* other, int64_t count) { sort_all(keys, other, count); }
void sort_64(uint64_t* keys, uint64_t* other, int64_t count) { sort_all(keys, other, count); }
int64_t split_32(const uint32_t* from, uint32_t* to, int64_t count) {
  return split_vectors(from, to, count, middle_of_some(from, count));
}
int64_t split_64(const uint64_t* from, uint64_t* to, int64_t count) {
  return split_vectors(from, to, count, middle_of_some(from, count));
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {
namespace {

HWY_EXPORT(sort_32);
HWY_EXPORT(sort_64);
HWY_EXPORT(split_32);
HWY_EXPORT(split_64);

int64_t split(const uint32_t* from, uint32_t* to, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(split_32)(from, to, count);
}
int64_t split(const uint64_t* from, uint64_t* to, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(split_64)(from, to, count);
}

constexpr int64_t kPartsFrom = 1 << 16;
constexpr double kMicrosecondsEach = 0.006;

// Splits every part in two until there are parts for all threads, and sorts those. The number of
// splits is even, so that they end in the memory where they began.
template <class K>
void sort_in_parts(K* keys, K* other, int64_t count) {
  const int threads = num_threads();
  int splits = threads == 1 || count < kPartsFrom ? 0 : std::bit_width(unsigned(threads));
  std::vector<int64_t> ends = {0, count};
  for (splits += splits % 2; splits > 0; --splits) {
    const size_t parts = ends.size() - 1;
    std::vector<int64_t> next(2 * parts + 1, count);
    parallel_for(
        int64_t(parts),
        [&](int64_t p) {
          const int64_t begin = ends[size_t(p)], size = ends[size_t(p) + 1] - begin;
          next[size_t(2 * p)] = next[size_t(2 * p) + 1] = begin;
          if (size > 0) next[size_t(2 * p) + 1] += split(keys + begin, other + begin, size);
        },
        kMicrosecondsEach * double(count) / 8);
    ends = std::move(next);
    std::swap(keys, other);
  }
  parallel_for(
      int64_t(ends.size()) - 1,
      [&](int64_t p) {
        const int64_t begin = ends[size_t(p)];
        sort_keys(keys + begin, other + begin, ends[size_t(p) + 1] - begin);
      },
      kMicrosecondsEach * double(count));
}

}  // namespace

void sort_keys(uint32_t* keys, uint32_t* other, int64_t count) {
  HWY_DYNAMIC_DISPATCH(sort_32)(keys, other, count);
}
void sort_keys(uint64_t* keys, uint64_t* other, int64_t count) {
  HWY_DYNAMIC_DISPATCH(sort_64)(keys, other, count);
}
void sort_keys_in_parts(uint32_t* keys, uint32_t* other, int64_t count) {
  sort_in_parts(keys, other, count);
}
void sort_keys_in_parts(uint64_t* keys, uint64_t* other, int64_t count) {
  sort_in_parts(keys, other, count);
}

}  // namespace tegula::cpu
#endif
