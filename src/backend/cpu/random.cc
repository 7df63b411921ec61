// Random tensors. Block b of a stream is philox4x32 of the counter {low(b), high(b), 0, 0} and the
// key {low(key), high(key)}: four 32-bit words w0..w3. Element i of a tensor that starts at block
// `offset` depends only on (key, offset, i):
//   32 and 16 bits: from word i % 4 of block offset + i / 4;
//   64 bits:        from v = w[j] | w[j + 1] << 32, j = 2 (i % 2), of block offset + i / 2.
// bits:    the word, or v.
// uniform: (word >> 8) 2^-24 for float32, (v >> 11) 2^-53 for float64, (word >> 21) 2^-11 for
//          float16, (word >> 24) 2^-8 for bfloat16: exact, in [0, 1).
// normal:  elements 2p and 2p + 1 are r cos t and r sin t (G. Box, M. Muller, 1958), r = sqrt(-2
//          log u) and t = 2 pi u', from their own two words (or v): u = (word + 1/2) 2^-32, or
//          ((v >> 11) + 1/2) 2^-53, of the first, u' the uniform number of the second. float32
//          arithmetic, also for the 16-bit floats, which round at the end; float64 for float64.
// The arithmetic is IEEE operations without contraction in a fixed order, so the numbers are the
// same for every position, cut, thread count and instruction set.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/random.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/philox.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Blocks turned into words, and words into elements, at a time.
constexpr int64_t kStage = 256;

#if HWY_TARGET != HWY_SCALAR
// Both halves of the products of 32-bit lanes.
template <class V>
void multiply(V a, V b, V& low, V& high) {
  const hn::DFromV<V> d;
  const hn::Repartition<uint64_t, decltype(d)> wide;
  const auto shift = [&](V v) { return hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, v))); };
  const V even = hn::BitCast(d, hn::MulEven(a, b));
  const V odd = hn::BitCast(d, hn::MulEven(shift(a), b));
  high = hn::OddEven(odd, shift(even));
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(hn::BitCast(wide, odd))), even);
}

// Writes the words of whole vectors of blocks from `first` on; returns how many blocks.
int64_t philox_vectors(uint64_t key, uint64_t first, int64_t count, uint32_t* out) {
  const hn::ScalableTag<uint32_t> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = int64_t(hn::Lanes(d));
  const V m0 = hn::Set(d, kPhiloxMultiplier0), m1 = hn::Set(d, kPhiloxMultiplier1);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes, first += uint64_t(lanes)) {
    const V low = hn::Set(d, uint32_t(first));
    const V high = hn::Set(d, uint32_t(first >> 32));
    V x0 = hn::Add(low, hn::Iota(d, 0));
    V x1 = hn::IfThenElse(hn::Lt(x0, low), hn::Add(high, hn::Set(d, 1u)), high);
    V x2 = hn::Zero(d), x3 = hn::Zero(d);
    uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
      V low0, high0, low1, high1;
      multiply(x0, m0, low0, high0);
      multiply(x2, m1, low1, high1);
      x0 = hn::Xor(high1, hn::Xor(x1, hn::Set(d, k0)));
      x1 = low1;
      x2 = hn::Xor(high0, hn::Xor(x3, hn::Set(d, k1)));
      x3 = low0;
      k0 += kPhiloxWeyl0;
      k1 += kPhiloxWeyl1;
    }
    hn::StoreInterleaved4(x0, x1, x2, x3, d, out + 4 * i);
  }
  return i;
}
#else
int64_t philox_vectors(uint64_t, uint64_t, int64_t, uint32_t*) { return 0; }
#endif

// The words of blocks [first, first + count) in order.
void philox_words(uint64_t key, uint64_t first, int64_t count, uint32_t* out) {
  for (int64_t i = philox_vectors(key, first, count, out); i < count; ++i) {
    const uint64_t block = first + uint64_t(i);
    const auto words = philox4x32({uint32_t(block), uint32_t(block >> 32), 0, 0},
                                  {uint32_t(key), uint32_t(key >> 32)});
    std::memcpy(out + 4 * i, words.data(), sizeof(words));
  }
}

template <class F>
struct Math;

template <>
struct Math<float> {
  static HWY_INLINE float to_uniform(uint32_t w) { return float(int32_t(w >> 8)) * 0x1p-24f; }
  // In (0, 1]; both halves convert exactly, so the sum is the only rounding of the word.
  static HWY_INLINE float to_positive(uint32_t w) {
    const float value = float(int32_t(w >> 16)) * 0x1p16f + float(int32_t(w & 0xffffu));
    return value * 0x1p-32f + 0x1p-33f;
  }
  // Natural logarithm of a normal number, after FreeBSD's e_logf.c.
  static HWY_INLINE float log(float x) {
    constexpr uint32_t kSqrtHalf = 0x3f3504f3u;
    const uint32_t bits = std::bit_cast<uint32_t>(x) + (0x3f800000u - kSqrtHalf);
    const float k = float(int32_t(bits >> 23) - 127);
    const float f = std::bit_cast<float>((bits & 0x7fffffu) + kSqrtHalf) - 1.0f;
    const float s = f / (2.0f + f), z = s * s, w = z * z;
    const float even = w * (0.40000972152f + w * 0.24279078841f);
    const float odd = z * (0.66666662693f + w * 0.28498786688f);
    const float half = 0.5f * f * f;
    return s * (half + (even + odd)) + k * 9.0580006145e-06f - half + f + k * 6.9313812256e-01f;
  }
  // For |x| <= pi / 4, after Cephes' sinf.c.
  static HWY_INLINE float sin(float x) {
    const float z = x * x;
    const float p = -1.6666654611e-1f + z * (8.3321608736e-3f + z * -1.9515295891e-4f);
    return x + x * z * p;
  }
  static HWY_INLINE float cos(float x) {
    const float z = x * x;
    const float p =
        4.166664568298827e-2f + z * (-1.388731625493765e-3f + z * 2.443315711809948e-5f);
    return 1.0f - 0.5f * z + z * z * p;
  }
};

template <>
struct Math<double> {
  static HWY_INLINE double to_uniform(uint64_t v) { return double(int64_t(v >> 11)) * 0x1p-53; }
  static HWY_INLINE double to_positive(uint64_t v) { return to_uniform(v) + 0x1p-54; }
  // After FreeBSD's e_log.c, k_sin.c and k_cos.c.
  static HWY_INLINE double log(double x) {
    constexpr uint64_t kSqrtHalf = 0x3fe6a09e00000000u;
    const uint64_t bits = std::bit_cast<uint64_t>(x) + (0x3ff0000000000000u - kSqrtHalf);
    const double k = double(int32_t(bits >> 52) - 1023);
    const double f = std::bit_cast<double>((bits & 0xfffffffffffffu) + kSqrtHalf) - 1.0;
    const double s = f / (2.0 + f), z = s * s, w = z * z;
    const double even = w * (3.999999999940941908e-01 +
                             w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    const double odd = z * (6.666666666666735130e-01 +
                            w * (2.857142874366239149e-01 +
                                 w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    const double half = 0.5 * f * f;
    return s * (half + (even + odd)) + k * 1.90821492927058770002e-10 - half + f +
           k * 6.93147180369123816490e-01;
  }
  static HWY_INLINE double sin(double x) {
    const double z = x * x;
    const double p = 8.33333333332248946124e-03 +
                     z * (-1.98412698298579493134e-04 +
                          z * (2.75573137070700676789e-06 +
                               z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
    return x + x * z * (-1.66666666666666324348e-01 + z * p);
  }
  static HWY_INLINE double cos(double x) {
    const double z = x * x;
    const double p =
        4.16666666666666019037e-02 +
        z * (-1.38888888888741095749e-03 +
             z * (2.48015872894767294178e-05 +
                  z * (-2.75573143513906633035e-07 +
                       z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))));
    return 1.0 - (0.5 * z - z * z * p);
  }
};

// A pair of normal numbers. The angle is reduced exactly, in quarters of a turn. Inlined and free
// of branches, so that loops over it vectorise.
template <class F, class Word>
HWY_INLINE void box_muller(Word first, Word second, F& even, F& odd) {
  using M = Math<F>;
  const F radius = std::sqrt(F(-2) * M::log(M::to_positive(first)));
  const F quarters = M::to_uniform(second) * F(4);
  const int32_t quadrant = int32_t(quarters + F(0.5));
  const F angle = (quarters - F(quadrant)) * F(1.5707963267948966192);
  const F sine = M::sin(angle), cosine = M::cos(angle);
  const bool swapped = quadrant & 1;
  const F x = swapped ? sine : cosine, y = swapped ? cosine : sine;
  even = radius * (x * F(1 - ((quadrant + 1) & 2)));
  odd = radius * (y * F(1 - (quadrant & 2)));
}

template <class T>
constexpr bool kIs16 = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;

// The elements that a stage of blocks holds; Word is uint32_t or uint64_t.
template <class T, class Word>
void make_elements(int64_t kind, const Word* words, int64_t count, T* out) {
  if constexpr (std::is_integral_v<T>) {
    std::memcpy(out, words, count * sizeof(T));
  } else if (kind == kRandomUniform) {
    if constexpr (kIs16<T>) {
      constexpr int kBits = std::is_same_v<T, float16> ? 11 : 8;
      for (int64_t i = 0; i < count; ++i)
        out[i] = T(float(int32_t(words[i] >> (32 - kBits))) * (1.0f / (1 << kBits)));
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] = Math<T>::to_uniform(words[i]);
    }
  } else if constexpr (kIs16<T>) {
    for (int64_t i = 0; i < count; i += 2) {
      float even, odd;
      box_muller(words[i], words[i + 1], even, odd);
      out[i] = T(even);
      out[i + 1] = T(odd);
    }
  } else {
    for (int64_t i = 0; i < count; i += 2) box_muller(words[i], words[i + 1], out[i], out[i + 1]);
  }
}

template <class T>
void fill(int64_t kind, uint64_t key, uint64_t offset, int64_t begin, int64_t end, T* out,
          int64_t elements) {
  using Word = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  constexpr int64_t kPerBlock = 16 / sizeof(Word);
  alignas(64) Word words[kStage * kPerBlock];
  alignas(64) T whole[kStage * kPerBlock];
  for (int64_t b = begin; b < end; b += kStage) {
    const int64_t blocks = std::min(kStage, end - b);
    philox_words(key, offset + uint64_t(b), blocks, reinterpret_cast<uint32_t*>(words));
    const int64_t left = elements - b * kPerBlock;
    if (left >= blocks * kPerBlock) {
      make_elements(kind, words, blocks * kPerBlock, out + b * kPerBlock);
    } else {
      make_elements(kind, words, blocks * kPerBlock, whole);
      std::memcpy(out + b * kPerBlock, whole, left * sizeof(T));
    }
  }
}

// Fills the elements of blocks [begin, end) of the output.
void fill_blocks(int64_t kind, uint64_t key, uint64_t offset, int64_t begin, int64_t end,
                 const View& out, int64_t elements) {
  const auto fill_as = [&](auto zero) {
    fill(kind, key, offset, begin, end, out.as<decltype(zero)>(), elements);
  };
  switch (out.dtype) {
    case DType::uint32:
      return fill_as(uint32_t{});
    case DType::uint64:
      return fill_as(uint64_t{});
    case DType::float16:
      return fill_as(float16{});
    case DType::bfloat16:
      return fill_as(bfloat16{});
    case DType::float32:
      return fill_as(float{});
    default:
      return fill_as(double{});
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "runtime/random_blocks.h"

namespace tegula::cpu {
namespace {

HWY_EXPORT(fill_blocks);

void run_random(const KernelArgs& args) {
  const View& out = args.outputs[0];
  const int64_t kind = read_attrs<RandomAttrs>(args.attrs).kind;
  const bool known = kind == kRandomBits ? out.dtype == DType::uint32 || out.dtype == DType::uint64
                                         : is_floating(out.dtype);
  if (!known) fail(ErrorKind::type, "random: dtype ", out.dtype, " does not fit kind ", kind);
  const uint64_t key = uint64_t(args.dynamic[0]), offset = uint64_t(args.dynamic[1]);
  const int64_t elements = numel(out.shape);
  const auto fill = HWY_DYNAMIC_DISPATCH(fill_blocks);
  for_pieces(blocks_for(kind, out.dtype, elements), 16, [&](int64_t begin, int64_t end) {
    fill(kind, key, offset, begin, end, out, elements);
  });
}

constexpr KernelEntry kEntries[] = {{"random", {run_random}}};

}  // namespace

std::span<const KernelEntry> random_kernels() { return kEntries; }

}  // namespace tegula::cpu
#endif
