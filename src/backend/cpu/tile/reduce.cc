// The inner loops of reductions, in the order of ReduceTree.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/reduce.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "backend/cpu/tile/functions.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

// Vectors in the compiler's own terms, so that one template serves every type.
template <class T>
struct Lanes {
  static constexpr int kBytes = std::min<int>(HWY_TARGET <= HWY_AVX3   ? 64
                                              : HWY_TARGET <= HWY_AVX2 ? 32
                                                                       : 16,
                                              int(kRowLanes * sizeof(T)));
  static constexpr int kVectors = int(kRowLanes * sizeof(T)) / kBytes;
  typedef T Vector __attribute__((vector_size(kBytes)));
  typedef T Unaligned __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
};

// kPicks: the result is one of the elements.
struct Sum {
  static constexpr bool kPicks = false;
  template <class V>
  static V apply(V a, V b) {
    return a + b;
  }
};
struct Product {
  static constexpr bool kPicks = false;
  template <class V>
  static V apply(V a, V b) {
    if constexpr (std::is_integral_v<V> && sizeof(V) < 4) return V(uint32_t(a) * uint32_t(b));
    else return a * b;
  }
};
// NaN wins; the first of equals stays.
struct Largest {
  static constexpr bool kPicks = true;
  template <class V>
  static V apply(V a, V b) {
    if constexpr (std::is_integral_v<V>) return a >= b ? a : b;
    else return ((a >= b) | (a != a)) ? a : b;
  }
  template <class V>
  static V pick(V a, V b) {  // of numbers
    return b > a ? b : a;
  }
};
struct Smallest {
  static constexpr bool kPicks = true;
  template <class V>
  static V apply(V a, V b) {
    if constexpr (std::is_integral_v<V>) return a <= b ? a : b;
    else return ((a <= b) | (a != a)) ? a : b;
  }
  template <class V>
  static V pick(V a, V b) {  // of numbers
    return b < a ? b : a;
  }
};
struct Any {
  static constexpr bool kPicks = false;
  template <class V>
  static V apply(V a, V b) {
    return a | b;
  }
};
struct All {
  static constexpr bool kPicks = false;
  template <class V>
  static V apply(V a, V b) {
    return a & b;
  }
};

constexpr int64_t kAhead = 2048;  // bytes that are fetched before they are needed

template <class Op, class T>
struct Reduce {
  using V = typename Lanes<T>::Vector;
  using U = typename Lanes<T>::Unaligned;
  static constexpr int kVectors = Lanes<T>::kVectors;
  static constexpr int kEach = int(kRowLanes) / kVectors;

  static T join(T a, T b) { return T(Op::apply(a, b)); }

  // Lane j takes in lane j + kHalf, then those nearer; lane 0 is the result.
  template <int kHalf>
  static T fold_vector(V v) {
    if constexpr (kHalf == 0) {
      return v[0];
    } else {
      const auto moved = [&]<size_t... I>(std::index_sequence<I...>) HWY_ATTR {
        return __builtin_shufflevector(v, v, int((I + kHalf) % kEach)...);
      }(std::make_index_sequence<kEach>());
      return fold_vector<kHalf / 2>(Op::apply(v, V(moved)));
    }
  }

  static void lanes(void* state, const void* data, int64_t start, int64_t n) {
    T* lane = static_cast<T*>(state);
    const T* x = static_cast<const T*>(data);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = start + i;
      T& l = lane[at % kRowLanes];
      l = at < kRowLanes ? x[i] : join(l, x[i]);
    }
  }
  // `n` elements went into the lanes.
  static void fold(void* out, void* state, int64_t n) {
    T* lane = static_cast<T*>(state);
    for (int64_t half = kRowLanes / 2; half > 0; half /= 2)
      for (int64_t j = 0; j < half && j + half < n; ++j) lane[j] = join(lane[j], lane[j + half]);
    *static_cast<T*>(out) = lane[0];
  }
  // The lines of a vector of lanes, which hardware does not fetch beyond a page.
  static void fetch_ahead(const T* x) {
    const char* line = reinterpret_cast<const char*>(x) + kAhead;
    for (size_t k = 0; k < kRowLanes * sizeof(T); k += 64) __builtin_prefetch(line + k);
  }
  // Takes in whole vectors of each lane.
  static void take(V (&sums)[kVectors], const T* x, int64_t whole) {
    for (int v = 0; v < kVectors; ++v) sums[v] = *reinterpret_cast<const U*>(x + v * kEach);
    for (int64_t i = kRowLanes; i < whole; i += kRowLanes) {
      fetch_ahead(x + i);
      for (int v = 0; v < kVectors; ++v)
        sums[v] = Op::apply(sums[v], V(*reinterpret_cast<const U*>(x + i + v * kEach)));
    }
  }
  // The same if there is no NaN, in one instruction where the rule for NaN takes four; else false.
  static constexpr bool kNumbersFirst = std::is_same_v<T, float> && Op::kPicks;
  static bool take_numbers(V (&sums)[kVectors], const T* x, int64_t whole) {
    typedef uint32_t Bits __attribute__((vector_size(sizeof(V))));
    Bits most[kVectors] = {};  // of the bits but for the sign
    for (int v = 0; v < kVectors; ++v) sums[v] = *reinterpret_cast<const U*>(x + v * kEach);
    for (int64_t i = 0; i < whole; i += kRowLanes) {
      fetch_ahead(x + i);
      for (int v = 0; v < kVectors; ++v) {
        const V value = *reinterpret_cast<const U*>(x + i + v * kEach);
        const Bits bits = Bits(value) + Bits(value);
        sums[v] = Op::pick(sums[v], value);
        most[v] = bits > most[v] ? bits : most[v];
      }
    }
    for (int v = 1; v < kVectors; ++v) most[0] = most[v] > most[0] ? most[v] : most[0];
    bool numbers = true;
    for (int j = 0; j < kEach; ++j) numbers &= most[0][j] <= 0xff000000u;
    return numbers;
  }
  static void block(void* out, const void* data, int64_t n) {
    alignas(64) T lane[kRowLanes];
    const T* x = static_cast<const T*>(data);
    if (n < kRowLanes) {
      std::memcpy(lane, x, size_t(n) * sizeof(T));
      return fold(out, lane, n);
    }
    V sums[kVectors];
    const int64_t whole = n / kRowLanes * kRowLanes;
    if constexpr (kNumbersFirst) {
      if (!take_numbers(sums, x, whole)) take(sums, x, whole);
    } else {
      take(sums, x, whole);
    }
    int64_t i = whole;
    if (i < n) {
      std::memcpy(lane, sums, sizeof(lane));
      for (int64_t j = 0; i + j < n; ++j) lane[j] = join(lane[j], x[i + j]);
      std::memcpy(sums, lane, sizeof(lane));
    }
    for (int half = kVectors / 2; half > 0; half /= 2)
      for (int v = 0; v < half; ++v) sums[v] = Op::apply(sums[v], sums[v + half]);
    *static_cast<T*>(out) = fold_vector<kEach / 2>(sums[0]);
  }
  static void rows(void* out, const void* data, int64_t rows, int64_t n) {
    T* z = static_cast<T*>(out);
    const T* x = static_cast<const T*>(data);
    for (int64_t r = 0; r < rows; ++r, x += n) block(z + r, x, n);
  }
  static void columns(void* accumulated, const void* data, int64_t rows, int64_t count) {
    T* sum = static_cast<T*>(accumulated);
    const T* x = static_cast<const T*>(data);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * count) {
#pragma GCC ivdep
      for (int64_t j = 0; j < count; ++j)
        sum[j] =
            join(join(join(join(sum[j], x[j]), x[count + j]), x[2 * count + j]), x[3 * count + j]);
    }
    for (; r < rows; ++r, x += count) {
#pragma GCC ivdep
      for (int64_t j = 0; j < count; ++j) sum[j] = join(sum[j], x[j]);
    }
  }
  static void combine(void* out, const void* a, const void* b, const void*, int64_t n) {
    T* z = static_cast<T*>(out);
    const T* x = static_cast<const T*>(a);
    const T* y = static_cast<const T*>(b);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) z[i] = join(x[i], y[i]);
  }
  static ReduceFunctions functions() { return {block, rows, lanes, fold, columns, combine}; }
};

template <class Op>
ReduceFunctions by_type(DType dtype) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
      return Reduce<Op, uint8_t>::functions();
    case DType::uint16:
      return Reduce<Op, uint16_t>::functions();
    case DType::uint32:
      return Reduce<Op, uint32_t>::functions();
    case DType::uint64:
      return Reduce<Op, uint64_t>::functions();
    case DType::int8:
      return Reduce<Op, int8_t>::functions();
    case DType::int16:
      return Reduce<Op, int16_t>::functions();
    case DType::int32:
      return Reduce<Op, int32_t>::functions();
    case DType::int64:
      return Reduce<Op, int64_t>::functions();
    case DType::float64:
      return Reduce<Op, double>::functions();
    default:
      return Reduce<Op, float>::functions();
  }
}
// Sums and products of signed integers are those of unsigned ones, which wrap.
template <class Op>
ReduceFunctions by_unsigned_type(DType dtype) {
  switch (dtype) {
    case DType::int8:
    case DType::uint8:
      return Reduce<Op, uint8_t>::functions();
    case DType::int16:
    case DType::uint16:
      return Reduce<Op, uint16_t>::functions();
    case DType::int32:
    case DType::uint32:
      return Reduce<Op, uint32_t>::functions();
    case DType::int64:
    case DType::uint64:
      return Reduce<Op, uint64_t>::functions();
    case DType::float64:
      return Reduce<Op, double>::functions();
    default:
      return Reduce<Op, float>::functions();
  }
}

ReduceFunctions find_reduce(TileOp op, DType dtype) {
  switch (op) {
    case TileOp::sum:
      return by_unsigned_type<Sum>(dtype);
    case TileOp::prod:
      return by_unsigned_type<Product>(dtype);
    case TileOp::max:
      return by_type<Largest>(dtype);
    case TileOp::min:
      return by_type<Smallest>(dtype);
    case TileOp::any:
      return Reduce<Any, uint8_t>::functions();
    default:
      return Reduce<All, uint8_t>::functions();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_reduce);
ReduceFunctions reduce_functions(TileOp op, DType dtype) {
  return HWY_DYNAMIC_DISPATCH(find_reduce)(op, dtype);
}

}  // namespace tegula::cpu
#endif
