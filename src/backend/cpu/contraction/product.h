// The engine's driver: cuts a batch of matrix products into tasks, brings the operands into a form
// the register tiles read, and keeps to the order of sums in gemm.h. T is the operands' type in
// the register tiles: any for which there are GemmKernels.
#pragma once

#include <cmath>

#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/tile/epilogue.h"
#include "base/shape.h"
#include "runtime/buffer.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {

// Multiply-adds of float32 that a thread gets done, about, and as many as are worth a piece of
// their own.
constexpr double kWorkPerMicrosecond = 40e3;
constexpr double kPieceWork = 125e3;

// C(m, n) = A(m, k) B(k, n); C is dense. Packed operands (see pack_left, pack_right) stand in for a
// and b where they are not null.
struct Product {
  int64_t m, n, k;
  Matrix a, b;
  std::byte* c;
  DType dtype;  // of C
  const std::byte* packed_a = nullptr;
  const std::byte* packed_b = nullptr;
  Buffer* b_buffer = nullptr;  // where b is kept, if its contents last (see View)
  const Epilogue* epilogue = nullptr;
  int64_t first_row = 0;  // of C, among the epilogue's: rows of n elements, or of m where n is 1

  // Rows [row, row + rows) of columns [column, column + columns) of C are there.
  void finish(int64_t row, int64_t rows, int64_t column, int64_t columns) const {
    if (!epilogue) return;
    if (n == 1) epilogue->run(first_row / m, 1, row, rows);
    else epilogue->run(first_row + row, rows, column, columns);
  }
};

// The batch dimensions, with the stride of each operand.
struct Batch {
  Dims shape;
  Strides a, b;
  int64_t count;

  void offsets(int64_t index, int64_t& a_offset, int64_t& b_offset) const {
    a_offset = b_offset = 0;
    for (size_t axis = shape.size(); axis-- > 0;) {
      const int64_t i = index % shape[axis];
      index /= shape[axis];
      a_offset += i * a[axis];
      b_offset += i * b[axis];
    }
  }
};

// Product `index` of the batch, of which `whole` is the first.
inline Product batch_item(const Product& whole, const Batch& batch, int64_t index) {
  Product p = whole;
  int64_t a, b;
  batch.offsets(index, a, b);
  p.a = p.a.moved(a);
  p.b = p.b.moved(b);
  p.c += index * p.m * p.n * int64_t(itemsize(p.dtype));
  p.first_row = index * p.m;
  return p;
}

// A batch axis of A that continues its rows, with one B for all of it, is more rows: the product
// has the same sums.
inline void fold_batch_into_rows(Product& p, Batch& batch) {
  while (!batch.shape.empty()) {
    const int64_t size = batch.shape.back();
    if (size != 1 &&
        (p.m == 1 || p.n == 1 || batch.b.back() != 0 || batch.a.back() != p.m * p.a.row))
      return;
    p.m *= size;
    batch.count /= size;
    batch.shape.pop_back();
    batch.a.pop_back();
    batch.b.pop_back();
  }
}

// A whole packed operand: depth block after depth block, each as pack_rows or pack_columns leaves
// it. These give the elements it takes.
template <class T>
int64_t packed_left_size(const GemmKernels<T>& kernels, int64_t m, int64_t k) {
  return m * packed_depth(kernels, k);
}
template <class T>
int64_t packed_right_size(const GemmKernels<T>& kernels, int64_t k, int64_t n) {
  const int64_t depth = depth_block<T>(k), panels = ceil_div(n, kernels.panel);
  return panels *
         (packed_depth(kernels, k) * kernels.panel + ceil_div(k, depth) * kernels.panel_tail);
}
// Where the depth block that starts at k begins, given the operand's rows or columns.
template <class T>
int64_t packed_left_offset(const GemmKernels<T>&, int64_t m, int64_t k) {
  return m * k;
}
template <class T>
int64_t packed_right_offset(const GemmKernels<T>& kernels, int64_t n, int64_t k, int64_t depth) {
  return ceil_div(n, kernels.panel) * (k * kernels.panel + k / depth * kernels.panel_tail);
}

// Runs body(i) for i < count, on other threads if the work in multiply-adds is worth it.
template <class F>
void for_pieces(int64_t count, double work, F&& body) {
  if (count > 1) return parallel_for(count, body, work / kWorkPerMicrosecond);
  for (int64_t i = 0; i < count; ++i) body(i);
}

// Pack A(m, k) or B(k, n) whole, in pieces that the threads claim.
template <class T>
void pack_left(const GemmKernels<T>& kernels, const Matrix& a, int64_t m, int64_t k, T* dst) {
  constexpr int64_t kTiles = 32;
  const int64_t depth = depth_block<T>(k), tiles = row_tiles(m, kernels.tile_rows);
  const int64_t parts = ceil_div(tiles, kTiles);
  for_pieces(parts * ceil_div(k, depth), 8.0 * double(m * k), [&](int64_t piece) {
    const int64_t first = piece % parts * kTiles, start = piece / parts * depth;
    const int64_t count = std::min(kTiles, tiles - first), length = std::min(depth, k - start);
    const int64_t row = tile_start(m, tiles, first);
    pack_rows(kernels, a.at(row, start), tile_start(m, tiles, first + count) - row, count, length,
              dst + packed_left_offset(kernels, m, start) + row * packed_depth(kernels, length));
  });
}
template <class T>
void pack_right(const GemmKernels<T>& kernels, const Matrix& b, int64_t k, int64_t n, T* dst) {
  constexpr int64_t kPanels = 4;
  const int64_t depth = depth_block<T>(k), columns = kPanels * kernels.panel;
  const int64_t parts = ceil_div(n, columns);
  for_pieces(parts * ceil_div(k, depth), 8.0 * double(k * n), [&](int64_t piece) {
    const int64_t part = piece % parts, start = piece / parts * depth;
    const int64_t length = std::min(depth, k - start);
    pack_columns(kernels, b.at(start, part * columns), length,
                 std::min(columns, n - part * columns),
                 dst + packed_right_offset(kernels, n, start, depth) +
                     part * kPanels * panel_size(kernels, length));
  });
}

// How C is cut into tasks: equal numbers of register tiles by equal numbers of panels. Shape alone
// decides.
struct Cut {
  int64_t tiles, panels;
  int64_t row_parts, column_parts;

  int64_t tasks() const { return row_parts * column_parts; }
};

template <class T>
Cut choose_cut(const GemmKernels<T>& kernels, int64_t m, int64_t n, int64_t k, int64_t batch) {
  Cut cut{row_tiles(m, kernels.tile_rows), ceil_div(n, kernels.panel), 1, 1};
  static const int64_t forced = tile_size(0);
  if (forced > 0) {
    cut.row_parts = std::min(cut.tiles, ceil_div(m, forced));
    cut.column_parts = std::min(cut.panels, ceil_div(n, forced));
    return cut;
  }
  constexpr int64_t kTasks = 8, kTaskWork = 500'000;
  const double work = double(m) * double(n) * double(k) / kernels.speed;
  cut.row_parts =
      ceil_div(cut.tiles * kernels.tile_rows, kernels.task_rows + kernels.task_rows / 4);
  cut.column_parts = ceil_div(n, kernels.task_columns);
  while (batch * cut.tasks() < kTasks && work >= 2.0 * kTaskWork * double(cut.tasks())) {
    const bool tall = m / cut.row_parts >= n / cut.column_parts;
    if (cut.tiles >= (tall ? 4 : 16) * cut.row_parts) {
      cut.row_parts *= 2;
    } else if (cut.panels >= 2 * cut.column_parts) {
      cut.column_parts *= 2;
    } else {
      break;
    }
  }
  return cut;
}

// Addresses that differ by a multiple of this share a set of the first-level cache.
constexpr int64_t kCacheSetBytes = 4096;

template <class T>
constexpr bool reads_in_place = GemmTraits<T>::kGroup == 1 && !std::is_integral_v<T>;

// Whether the register tiles read A where it is. Rows that share a cache set, and columns that
// are far apart, are better packed when many columns of B reuse them.
template <class T>
bool readable_rows(const GemmKernels<T>& kernels, const Matrix& a, int64_t n, int64_t k) {
  const int64_t size = int64_t(sizeof(T));
  const bool crowded = a.row != 0 && a.row * size % kCacheSetBytes == 0 && n >= 64;
  if (kernels.whole_registers) return a.column == 1 && k % kernels.step == 0 && !crowded;
  if (!reads_in_place<T> || a.dtype != kNative<T>) return false;
  if (a.row == 1) return n <= 64 || std::abs(a.column) * size < kCacheSetBytes / 4;
  return a.column == 1 && !crowded && n <= 2048;
}
// B's rows come one after another, so a long stride costs an address translation each, as often as
// there are tiles of A's rows.
template <class T>
bool readable_columns(const Matrix& b, int64_t m) {
  if (!reads_in_place<T> || b.dtype != kNative<T>) return false;
  constexpr int64_t kCostly = 128 * kCacheSetBytes;
  const int64_t stride = std::abs(b.row) * int64_t(sizeof(T));
  return b.column == 1 && (stride <= kCacheSetBytes / 4 || m * stride < kCostly);
}

// One product, whose operands are each read in place, packed whole before the tasks start, or
// packed by each task for itself.
template <class T>
class ProductRun {
 public:
  ProductRun(const GemmKernels<T>& kernels, const Product& product, const Cut& cut)
      : kernels_(kernels),
        p_(product),
        cut_(cut),
        depth_(depth_block<T>(p_.k)),
        direct_(p_.dtype == kNative<Sum<T>> && !(kernels.whole_registers && crowds(p_))),
        a_direct_(!p_.packed_a && readable_rows(kernels, p_.a, p_.n, p_.k)),
        b_direct_(!p_.packed_b && readable_columns<T>(p_.b, p_.m)) {}

  bool packs_a() const { return !a_direct_ && !p_.packed_a; }
  bool packs_b() const { return !b_direct_ && !p_.packed_b; }

  // The task's part of C.
  void run_task(int64_t task) const {
    const bool by_rows = kernels_.whole_registers;
    const int64_t row_part = by_rows ? task / cut_.column_parts : task % cut_.row_parts;
    const int64_t column_part = by_rows ? task % cut_.column_parts : task / cut_.row_parts;
    const int64_t t0 = tile_start(cut_.tiles, cut_.row_parts, row_part);
    const int64_t t1 = tile_start(cut_.tiles, cut_.row_parts, row_part + 1);
    const int64_t p0 = tile_start(cut_.panels, cut_.column_parts, column_part);
    const int64_t p1 = tile_start(cut_.panels, cut_.column_parts, column_part + 1);
    const int64_t m0 = tile_start(p_.m, cut_.tiles, t0), m1 = tile_start(p_.m, cut_.tiles, t1);
    const int64_t n0 = p0 * kernels_.panel, n1 = std::min(p_.n, p1 * kernels_.panel);
    const int64_t rows = m1 - m0, columns = n1 - n0;
    const int64_t pitch = columns + kernels_.panel;
    const Scratch<Sum<T>> sums(ScratchUse::tile, direct_ ? 0 : rows * pitch);
    const Scratch<T> left(ScratchUse::left, packs_a() ? rows * packed_depth(kernels_, depth_) : 0);
    const Scratch<T> right(ScratchUse::right,
                           packs_b() ? (p1 - p0) * panel_size(kernels_, depth_) : 0);
    Block<T> block;
    block.m = rows;
    block.n = columns;
    block.tiles = t1 - t0;
    block.c = direct_ ? reinterpret_cast<Sum<T>*>(p_.c) + m0 * p_.n + n0 : sums.get();
    block.c_row = direct_ ? p_.n : pitch;
    block.a_packed = !a_direct_;
    block.a_row = p_.a.row;
    block.a_depth = p_.a.column;
    block.b_padded = !b_direct_;
    for (int64_t k = 0; k < p_.k; k += depth_) {
      block.k = std::min(depth_, p_.k - k);
      block.accumulate = k > 0;
      set_left(block, m0, k, left);
      set_right(block, p0, k, right);
      kernels_.multiply(block);
    }
    if (!direct_)
      for (int64_t m = 0; m < rows; ++m)
        kernels_.round(sums.get() + m * pitch, columns, p_.dtype,
                       p_.c + ((m0 + m) * p_.n + n0) * int64_t(itemsize(p_.dtype)));
    p_.finish(m0, rows, n0, columns);
  }

 private:
  // Whether the rows of C share a cache set.
  static bool crowds(const Product& p) {
    return p.m > 1 && p.n * int64_t(sizeof(Sum<T>)) % kCacheSetBytes == 0;
  }
  void set_left(Block<T>& block, int64_t m0, int64_t k, T* space) const {
    if (p_.packed_a) {
      block.a = reinterpret_cast<const T*>(p_.packed_a) + packed_left_offset(kernels_, p_.m, k) +
                m0 * packed_depth(kernels_, block.k);
    } else if (a_direct_) {
      block.a = reinterpret_cast<const T*>(p_.a.at(m0, k).data);
    } else {
      pack_rows(kernels_, p_.a.at(m0, k), block.m, block.tiles, block.k, space);
      block.a = space;
    }
  }
  void set_right(Block<T>& block, int64_t panel, int64_t k, T* space) const {
    const int64_t n0 = panel * kernels_.panel;
    if (b_direct_) {
      block.b = reinterpret_cast<const T*>(p_.b.at(k, n0).data);
      block.b_depth = p_.b.row;
      block.b_panel = kernels_.panel;
      return;
    }
    block.b_depth = kernels_.panel;
    block.b_panel = panel_size(kernels_, block.k);
    if (p_.packed_b) {
      block.b = reinterpret_cast<const T*>(p_.packed_b) +
                packed_right_offset(kernels_, p_.n, k, depth_) + panel * block.b_panel;
    } else {
      pack_columns(kernels_, p_.b.at(k, n0), block.k, block.n, space);
      block.b = space;
    }
  }

  const GemmKernels<T>& kernels_;
  const Product& p_;
  const Cut cut_;
  const int64_t depth_;
  const bool direct_, a_direct_, b_direct_;
};

// B packed whole, if it was packed before: weights that stay the same from call to call. Null where
// it is not worth keeping, because so many rows of A share the packing, and at the first use.
template <class T>
std::shared_ptr<const std::byte> kept_right(const GemmKernels<T>& kernels, const Product& p) {
  constexpr int64_t kRows = 512;
  if (!p.b_buffer || p.m > kRows) return nullptr;
  const FormKey key = {p.b.data - p.b_buffer->data(),
                       p.b.row,
                       p.b.column,
                       p.k,
                       p.n,
                       int64_t(p.b.dtype),
                       kernels.panel,
                       reinterpret_cast<int64_t>(&kernels)};
  const auto bytes = size_t(packed_right_size(kernels, p.k, p.n)) * sizeof(T);
  return p.b_buffer->forms().find_or_make(key, bytes, [&](std::byte* to) {
    pack_right(kernels, p.b, p.k, p.n, reinterpret_cast<T*>(to));
  });
}

// A product large enough for all threads: operands that several tasks need packed are packed once.
template <class T>
void multiply_large(const GemmKernels<T>& kernels, Product p, const Cut& cut) {
  const ProductRun<T> plain(kernels, p, cut);
  const bool pack_a = plain.packs_a() && cut.column_parts > 1;
  const auto kept = plain.packs_b() ? kept_right(kernels, p) : nullptr;
  const bool pack_b = plain.packs_b() && !kept && cut.row_parts > 1;
  const Scratch<T> left(ScratchUse::columns, pack_a ? packed_left_size(kernels, p.m, p.k) : 0);
  const Scratch<T> right(ScratchUse::shared, pack_b ? packed_right_size(kernels, p.k, p.n) : 0);
  p.packed_b = kept ? kept.get() : p.packed_b;
  if (pack_a) {
    pack_left(kernels, p.a, p.m, p.k, left.get());
    p.packed_a = reinterpret_cast<const std::byte*>(left.get());
  }
  if (pack_b) {
    pack_right(kernels, p.b, p.k, p.n, right.get());
    p.packed_b = reinterpret_cast<const std::byte*>(right.get());
  }
  const ProductRun<T> run(kernels, p, cut);
  for_pieces(cut.tasks(), double(p.m) * double(p.n) * double(p.k) / kernels.speed,
             [&](int64_t task) { run.run_task(task); });
}

// Every product of the batch, of which `whole` is the first.
template <class T>
void multiply_batch(const GemmKernels<T>& kernels, const Product& whole, const Batch& batch) {
  constexpr double kLarge = 4e6;
  const double each = double(whole.m) * double(whole.n) * double(whole.k) / kernels.speed;
  const Cut cut = choose_cut(kernels, whole.m, whole.n, whole.k, batch.count);
  if (each >= kLarge && cut.tasks() > 1) {
    for (int64_t i = 0; i < batch.count; ++i)
      multiply_large(kernels, batch_item(whole, batch, i), cut);
    return;
  }
  // Small tasks go together so that a piece is worth claiming.
  const int64_t tasks = cut.tasks(), total = batch.count * tasks;
  const double work = each * double(batch.count);
  const int64_t group = std::max<int64_t>(1, int64_t(kPieceWork / (work / double(total))));
  const double after = whole.epilogue ? whole.epilogue->microseconds() * kWorkPerMicrosecond : 0;
  for_pieces(ceil_div(total, group), work + after, [&](int64_t piece) {
    for (int64_t i = piece * group; i < std::min(total, (piece + 1) * group); ++i) {
      const Product p = batch_item(whole, batch, i / tasks);
      ProductRun<T>(kernels, p, cut).run_task(i % tasks);
    }
  });
}

}  // namespace tegula::cpu
