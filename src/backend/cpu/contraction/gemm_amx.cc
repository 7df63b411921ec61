// Register tiles of AMX's matrix instructions (tdpbf16ps, tdpbssd, tdpbusd): a tile register of up
// to 16 rows of 64 bytes times one of 16 rows of words, added to one of 32-bit sums. The registers
// have the sizes that the thread's configuration gives them, so edges need no masks: a
// configuration lasts for one block, and the thread has none before and after.
//
// A packed operand A has its register tile's rows of a step (64 bytes) one after another, step
// after step; a panel of B is in words, as dot instructions have it. Zeros fill the last step.
#include "backend/cpu/contraction/gemm_words.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12's own header (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <array>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")

#include "backend/cpu/contraction/pack_words-inl.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kRegisterRows = 16, kRowBytes = 64;
constexpr int64_t kTileRows = 2 * kRegisterRows, kPanel = 2 * kLanes;
constexpr int64_t kPanelBytes = kPanel * kWordBytes;
template <class T>
constexpr int64_t kStep = kRowBytes / int64_t(sizeof(T));

// Register 2 i + j holds the sums of rows 16 i on and columns 16 j on; 4 + i those rows of A and
// 6 + j those columns of B.
constexpr int kLeft = 4, kRight = 6;

// What ldtilecfg reads.
struct alignas(64) Sizes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// The sizes of the thread's tile registers while this lives.
class Configuration {
 public:
  Configuration() = default;
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;
  ~Configuration() {
    if (rows_ > 0) asm volatile("tilerelease");
  }
  // For a register tile of so many rows and columns.
  void set(int64_t rows, int64_t columns) {
    if (rows == rows_ && columns == columns_) return;
    rows_ = rows;
    columns_ = columns;
    Sizes sizes;
    const auto resize = [&](int tile, int64_t height, int64_t bytes) {
      sizes.rows[tile] = uint8_t(height);
      sizes.row_bytes[tile] = uint16_t(bytes);
    };
    for (int part = 0; part < 2; ++part) {
      const int64_t height = std::min(kRegisterRows, rows - part * kRegisterRows);
      const int64_t width = std::min(kLanes, columns - part * kLanes) * kWordBytes;
      if (height > 0) resize(kLeft + part, height, kRowBytes);
      if (width > 0) resize(kRight + part, kRegisterRows, width);
      for (int other = 0; other < 2; ++other) {
        const int64_t across = std::min(kLanes, columns - other * kLanes) * kWordBytes;
        if (height > 0 && across > 0) resize(2 * part + other, height, across);
      }
    }
    asm volatile("ldtilecfg %0" ::"m"(sizes));
  }

 private:
  int64_t rows_ = 0, columns_ = 0;
};

template <int kTile>
void clear() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
void load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
// The same for what will not be needed soon: it does not drive the rest out of the first cache.
template <int kTile>
void load_once(const void* from, int64_t stride) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
void store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}

template <int kSum, int kA, int kB>
void multiply_add(bfloat16) {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}
template <int kSum, int kA, int kB>
void multiply_add(int8_t) {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}
template <int kSum, int kA, int kB>
void multiply_add(uint8_t) {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}

// What a register tile multiplies: steps of A, whose rows lie a_row bytes apart and steps a_step,
// by a panel of B. Meanwhile it brings `ahead` lines a step of the next panel into the
// second-level cache.
struct Operands {
  int64_t steps;
  const std::byte* a;
  int64_t a_row, a_step;
  const std::byte *b, *next;
  int64_t ahead;
};

// C = or += the product.
template <class T, int kRowParts, int kColumnParts>
void register_tile(const Operands& operands, Sum<T>* c, int64_t c_row, bool accumulate) {
  const auto [steps, a_start, a_row, a_step, b_start, next_start, ahead] = operands;
  const std::byte *a = a_start, *b = b_start, *next = next_start;
  constexpr bool kRows = kRowParts == 2, kColumns = kColumnParts == 2;
  const int64_t c_bytes = c_row * kWordBytes;
  Sum<T>* const c_below = c + kRegisterRows * c_row;
  const int64_t a_below = kRegisterRows * a_row, b_step = kRegisterRows * kPanelBytes;
  if (accumulate) {
    load<0>(c, c_bytes);
    if constexpr (kColumns) load<1>(c + kLanes, c_bytes);
    if constexpr (kRows) load<2>(c_below, c_bytes);
    if constexpr (kRows && kColumns) load<3>(c_below + kLanes, c_bytes);
  } else {
    clear<0>();
    if constexpr (kColumns) clear<1>();
    if constexpr (kRows) clear<2>();
    if constexpr (kRows && kColumns) clear<3>();
  }
  load_once<kLeft>(a, a_row);
  load<kRight>(b, kPanelBytes);
  if constexpr (kRows) load_once<kLeft + 1>(a + a_below, a_row);
  if constexpr (kColumns) load<kRight + 1>(b + kRowBytes, kPanelBytes);
  // Loads of a step between the products of the one before.
  for (int64_t step = 1; step < steps; ++step) {
    a += a_step;
    b += b_step;
    for (int64_t line = 0; line < ahead; ++line, next += kRowBytes)
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    multiply_add<0, kLeft, kRight>(T());
    if constexpr (kColumns) multiply_add<1, kLeft, kRight + 1>(T());
    load_once<kLeft>(a, a_row);
    if constexpr (kRows) multiply_add<2, kLeft + 1, kRight>(T());
    load<kRight>(b, kPanelBytes);
    if constexpr (kRows && kColumns) multiply_add<3, kLeft + 1, kRight + 1>(T());
    if constexpr (kRows) load_once<kLeft + 1>(a + a_below, a_row);
    if constexpr (kColumns) load<kRight + 1>(b + kRowBytes, kPanelBytes);
  }
  multiply_add<0, kLeft, kRight>(T());
  if constexpr (kColumns) multiply_add<1, kLeft, kRight + 1>(T());
  if constexpr (kRows) multiply_add<2, kLeft + 1, kRight>(T());
  if constexpr (kRows && kColumns) multiply_add<3, kLeft + 1, kRight + 1>(T());
  store<0>(c, c_bytes);
  if constexpr (kColumns) store<1>(c + kLanes, c_bytes);
  if constexpr (kRows) store<2>(c_below, c_bytes);
  if constexpr (kRows && kColumns) store<3>(c_below + kLanes, c_bytes);
}

template <class T>
using RegisterTile = void (*)(const Operands&, Sum<T>*, int64_t, bool);
template <class T>
constexpr RegisterTile<T> kRegisterTiles[2][2] = {{register_tile<T, 1, 1>, register_tile<T, 1, 2>},
                                                  {register_tile<T, 2, 1>, register_tile<T, 2, 2>}};

template <class T>
void multiply(const Block<T>& block) {
  const int64_t tiles = block.tiles ? block.tiles : row_tiles(block.m, kTileRows);
  const int64_t steps = ceil_div(block.k, kStep<T>);
  const bool packed = block.a_packed;
  const int64_t a_row = packed ? kRowBytes : block.a_row * int64_t(sizeof(T));
  const int64_t ahead = ceil_div(2 * kRegisterRows, tiles);  // lines of the next panel, each step
  Configuration configuration;
  for (int64_t j = 0; j < block.n; j += kPanel) {
    const int64_t columns = std::min(kPanel, block.n - j);
    Operands operands;
    operands.steps = steps;
    operands.a_row = a_row;
    operands.b = reinterpret_cast<const std::byte*>(block.b + j / kPanel * block.b_panel);
    const std::byte* next = operands.b + block.b_panel * int64_t(sizeof(T));
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t rows = tile_start(block.m, tiles, t + 1) - i;
      operands.a =
          reinterpret_cast<const std::byte*>(block.a) + i * (packed ? steps * kRowBytes : a_row);
      operands.a_step = packed ? rows * kRowBytes : kRowBytes;
      operands.next = next + t * steps * ahead * kRowBytes;
      operands.ahead = j + kPanel < block.n ? ahead : 0;
      configuration.set(rows, columns);
      kRegisterTiles<T>[rows > kRegisterRows][columns > kLanes](
          operands, block.c + i* block.c_row + j, block.c_row, block.accumulate);
      i += rows;
    }
  }
}

// One step of at most 16 lanes, of which `count` elements are there, as rows.
template <class E>
void pack_step(const Matrix& src, int64_t lanes, int64_t count, std::byte* dst) {
  constexpr int64_t kSize = sizeof(E), kGroup = kWordBytes / kSize;
  const E* from = reinterpret_cast<const E*>(src.data);
  if (src.column == 1) {
    const __mmask64 mask = ~__mmask64(0) >> (kRowBytes - count * kSize);
    for (int64_t lane = 0; lane < lanes; ++lane)
      _mm512_store_si512(dst + lane * kRowBytes,
                         _mm512_maskz_loadu_epi8(mask, from + lane * src.row));
    return;
  }
  alignas(64) uint32_t words[16][kLanes] = {};
  pack_words<E>(src, lanes, kLanes, count, 0, words);
  __m512i rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(words[i]);
  if (count < kGroup * 16)
    for (int64_t i = ceil_div(count, kGroup); i < 16; ++i) rows[i] = _mm512_setzero_si512();
  transpose_16x16(rows);
#pragma GCC unroll 16
  for (int64_t lane = 0; lane < 16; ++lane)
    if (lane < lanes) _mm512_store_si512(dst + lane * kRowBytes, rows[lane]);
}

template <class T>
using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint8_t>;

template <class T>
void pack_left(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* to) {
  auto* dst = reinterpret_cast<std::byte*>(to);
  for (int64_t at = 0; at < k; at += kStep<T>, dst += width * kRowBytes) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes)
      pack_step<Bits<T>>(src.at(lane, at), std::min(kLanes, lanes - lane),
                         std::min(kStep<T>, k - at), dst + lane * kRowBytes);
    std::fill(dst + lanes * kRowBytes, dst + width * kRowBytes, std::byte(0));
  }
}

template <class T>
void pack_panel(const Matrix& src, int64_t lanes, int64_t width, int64_t k, T* dst) {
  constexpr int64_t kGroup = GemmTraits<T>::kGroup;
  pack_words<Bits<T>>(src, lanes, width, k, 0, dst);
  std::fill(dst + round_up(k, kGroup) * width, dst + round_up(k, kStep<T>) * width, T(0));
}

template <class T>
constexpr GemmKernels<T> kAmxKernels = {
    .tile_rows = kTileRows,
    .panel = kPanel,
    .panel_tail = 0,
    .step = kStep<T>,
    .depth = 20 * kStep<T>,  // of a panel, 40 KiB: it stays in the first cache
    .speed = 8 / sizeof(T) * 2,
    .task_rows = 256,
    .task_columns = 256,
    .whole_registers = true,
    .multiply = multiply<T>,
    .pack = pack_left<T>,
    .pack_panel = pack_panel<T>,
    .round = round_sums<T>,
    .matvec = nullptr,
};

}  // namespace

template <>
const GemmKernels<bfloat16>& amx_kernels<bfloat16>() {
  return kAmxKernels<bfloat16>;
}
template <>
const GemmKernels<int8_t>& amx_kernels<int8_t>() {
  return kAmxKernels<int8_t>;
}
template <>
const GemmKernels<uint8_t>& amx_kernels<uint8_t>() {
  return kAmxKernels<uint8_t>;
}

}  // namespace tegula::cpu
#pragma GCC pop_options
#endif
