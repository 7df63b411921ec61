// matmul: a(..., M, K) b(..., K, N). Floating dtypes use the engine of gemm.h, and matvec where M
// or N is 1; integers wrap.
#include <type_traits>

#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/gemm.h"
#include "backend/cpu/contraction/scratch.h"
#include "backend/cpu/isa.h"
#include "graph/attrs.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

// Work under this many multiply-adds is not worth handing to other threads.
constexpr int64_t kParallelWork = 500'000;

// One matrix product of the batch; C is dense.
struct Product {
  int64_t m, n, k;
  Matrix a, b;
  std::byte* c;
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

// How C is cut into tiles of rows x columns for the threads to claim. Shape alone decides.
struct Tiling {
  int64_t rows, columns;        // of a tile
  int64_t row_tiles, column_tiles;

  int64_t tiles() const { return row_tiles * column_tiles; }
};

Tiling choose_tiling(int64_t m, int64_t n, int64_t k, int64_t batch, int64_t tile_rows,
                     int64_t panel) {
  static const int64_t forced = tile_size(0);
  if (forced > 0) return {forced, forced, ceil_div(m, forced), ceil_div(n, forced)};
  constexpr int64_t kRows = 1024, kColumns = 256, kTasks = 8, kTaskWork = 500'000;
  const double work = double(m) * double(n) * double(k);
  int64_t row_parts = ceil_div(m, kRows), column_parts = ceil_div(n, kColumns);
  while (batch * row_parts * column_parts < kTasks &&
         work >= 2.0 * kTaskWork * double(row_parts * column_parts)) {
    if (m / row_parts >= n / column_parts && m / row_parts >= 2 * tile_rows) {
      row_parts *= 2;
    } else if (n / column_parts >= 2 * panel) {
      column_parts *= 2;
    } else {
      break;
    }
  }
  const auto part = [](int64_t size, int64_t parts, int64_t multiple) {
    return ceil_div(ceil_div(size, parts), multiple) * multiple;
  };
  const int64_t rows = part(m, row_parts, tile_rows), columns = part(n, column_parts, panel);
  return {rows, columns, ceil_div(m, rows), ceil_div(n, columns)};
}

// Addresses that differ by a multiple of this share a set of the first-level cache.
constexpr int64_t kCacheSetBytes = 4096;

// Whether the register tiles read A where it is. Rows that share a cache set are better packed
// when many columns reuse them.
template <class T>
bool readable_rows(const Matrix& a, int64_t n) {
  if (a.dtype != kNative<T>) return false;
  if (a.row == 1) return true;
  const bool crowded = a.row != 0 && a.row * int64_t(sizeof(T)) % (kCacheSetBytes / 2) == 0;
  return a.column == 1 && !(crowded && n >= 64);
}
// B's rows come one after another, so a long stride costs an address translation each.
template <class T>
bool readable_columns(const Matrix& b, int64_t m) {
  const bool far = std::abs(b.row) * int64_t(sizeof(T)) >= kCacheSetBytes;
  return b.dtype == kNative<T> && b.column == 1 && !(far && m >= 128);
}

// Rows [m0, m1) and columns [n0, n1) of C.
template <class T>
void multiply_tile(const GemmKernels<T>& kernels, const Product& p, DType dtype, int64_t m0,
                   int64_t m1, int64_t n0, int64_t n1) {
  constexpr int64_t kRowBlock = 224;
  const int64_t depth = depth_block(p.k), columns = n1 - n0;
  const bool direct = dtype == kNative<T>;
  const bool a_direct = readable_rows<T>(p.a, p.n), b_direct = readable_columns<T>(p.b, p.m);
  const int64_t padded = ceil_div(columns, kernels.panel) * kernels.panel;
  const Scratch<T> wide(ScratchUse::tile, direct ? 0 : (m1 - m0) * columns);
  const Scratch<T> left(ScratchUse::left, a_direct ? 0 : std::min(kRowBlock, m1 - m0) * depth);
  const Scratch<T> right(ScratchUse::right, b_direct ? 0 : padded * depth);
  T* c = direct ? reinterpret_cast<T*>(p.c) + m0 * p.n + n0 : wide.get();
  const int64_t c_row = direct ? p.n : columns;
  for (int64_t k = 0; k < p.k; k += depth) {
    Block<T> block;
    block.k = std::min(depth, p.k - k);
    block.n = columns;
    block.accumulate = k > 0;
    const Matrix b = p.b.at(k, n0);
    block.b_padded = !b_direct;
    if (b_direct) {
      block.b = reinterpret_cast<const T*>(b.data);
      block.b_depth = b.row;
      block.b_panel = kernels.panel;
    } else {
      pack_columns(kernels, b, block.k, columns, right.get());
      block.b = right;
      block.b_depth = kernels.panel;
      block.b_panel = kernels.panel * block.k;
    }
    for (int64_t m = m0; m < m1; m += kRowBlock) {
      block.m = std::min(kRowBlock, m1 - m);
      const Matrix a = p.a.at(m, k);
      block.a_packed = !a_direct;
      if (a_direct) {
        block.a = reinterpret_cast<const T*>(a.data);
        block.a_row = a.row;
        block.a_depth = a.column;
      } else {
        pack_rows(kernels, a, block.m, block.k, left.get());
        block.a = left;
        block.a_row = block.a_depth = 0;
      }
      block.c = c + (m - m0) * c_row;
      block.c_row = c_row;
      kernels.multiply(block);
    }
  }
  if (!direct)
    for (int64_t m = m0; m < m1; ++m)
      kernels.round(wide.get() + (m - m0) * columns, columns, dtype,
                    p.c + (m * p.n + n0) * int64_t(itemsize(dtype)));
}

// Rows [m0, m1) of C where N is 1.
template <class T>
void multiply_vector(const GemmKernels<T>& kernels, const Product& p, DType dtype, int64_t m0,
                     int64_t m1) {
  constexpr int64_t kPadding = 64 / sizeof(T);
  const Scratch<T> x(ScratchUse::vector, p.k + kPadding);
  kernels.pack(p.b.transposed(), 1, 1, p.k, x.get());
  std::fill_n(x.get() + p.k, kPadding, T(0));
  const Matrix a = p.a.at(m0, 0);
  if (dtype == kNative<T>) {
    kernels.matvec(a, m1 - m0, p.k, x, reinterpret_cast<T*>(p.c) + m0);
  } else {
    const Scratch<T> y(ScratchUse::tile, m1 - m0);
    kernels.matvec(a, m1 - m0, p.k, x, y.get());
    kernels.round(y.get(), m1 - m0, dtype, p.c + m0 * int64_t(itemsize(dtype)));
  }
}

// Runs work(item, tile) for every tile of every product, on other threads if it is worth it.
template <class F>
void for_tiles(int64_t batch, int64_t tiles, double work, F&& run) {
  if (work < kParallelWork) {
    for (int64_t item = 0; item < batch; ++item)
      for (int64_t tile = 0; tile < tiles; ++tile) run(item, tile);
    return;
  }
  // Small products go together so that a piece is worth claiming.
  const double each = work / double(batch * tiles);
  const int64_t group = std::max<int64_t>(1, int64_t(kParallelWork / 4 / each));
  const int64_t total = batch * tiles;
  parallel_for(ceil_div(total, group), [&](int64_t piece) {
    for (int64_t i = piece * group; i < std::min(total, (piece + 1) * group); ++i)
      run(i / tiles, i % tiles);
  });
}

template <class T>
void matmul_floating(const Product& whole, const Batch& batch, DType dtype) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t size = int64_t(itemsize(dtype));
  const auto item = [&](int64_t index) {
    Product p = whole;
    int64_t a, b;
    batch.offsets(index, a, b);
    p.a.data += a * size;
    p.b.data += b * size;
    p.c += index * p.m * p.n * size;
    return p;
  };
  const double work = double(whole.m) * double(whole.n) * double(whole.k) * double(batch.count);
  if (whole.n == 1 || whole.m == 1) {
    const int64_t length = whole.m * whole.n;
    const int64_t rows = tile_size(std::clamp<int64_t>(ceil_div(length, 4), 256, 4096));
    for_tiles(batch.count, ceil_div(length, rows), work, [&](int64_t index, int64_t tile) {
      Product p = item(index);
      if (p.n != 1) {  // one row: the transposed product
        const Matrix a = p.a;
        p.a = p.b.transposed();
        p.b = a.transposed();
      }
      multiply_vector(kernels, p, dtype, tile * rows, std::min(length, (tile + 1) * rows));
    });
    return;
  }
  const Tiling tiling =
      choose_tiling(whole.m, whole.n, whole.k, batch.count, kernels.tile_rows, kernels.panel);
  for_tiles(batch.count, tiling.tiles(), work, [&](int64_t index, int64_t tile) {
    const Product p = item(index);
    const int64_t m = tile % tiling.row_tiles * tiling.rows;
    const int64_t n = tile / tiling.row_tiles * tiling.columns;
    multiply_tile(kernels, p, dtype, m, std::min(p.m, m + tiling.rows), n,
                  std::min(p.n, n + tiling.columns));
  });
}

// Products and sums modulo 2^bits, row by row of C.
template <class T>
void matmul_integer(const Product& whole, const Batch& batch) {
  using U = std::make_unsigned_t<T>;
  static const int64_t rows = tile_size(16);
  const double work = double(whole.m) * double(whole.n) * double(whole.k) * double(batch.count);
  for_tiles(batch.count, ceil_div(whole.m, rows), 4 * work, [&](int64_t index, int64_t tile) {
    int64_t a_offset, b_offset;
    batch.offsets(index, a_offset, b_offset);
    const U* a = reinterpret_cast<const U*>(whole.a.data) + a_offset;
    const U* b = reinterpret_cast<const U*>(whole.b.data) + b_offset;
    const int64_t n = whole.n, end = std::min(whole.m, (tile + 1) * rows);
    for (int64_t i = tile * rows; i < end; ++i) {
      U* c = reinterpret_cast<U*>(whole.c) + (index * whole.m + i) * n;
      std::fill_n(c, n, U(0));
      for (int64_t k = 0; k < whole.k; ++k) {
        // 32 bits at least: a product of two uint16_t would overflow int.
        const auto left = std::common_type_t<U, uint32_t>(a[i * whole.a.row + k * whole.a.column]);
        const U* right = b + k * whole.b.row;
        if (whole.b.column == 1) {
          for (int64_t j = 0; j < n; ++j) c[j] = U(c[j] + left * right[j]);
        } else {
          for (int64_t j = 0; j < n; ++j) c[j] = U(c[j] + left * right[j * whole.b.column]);
        }
      }
    }
  });
}

// A batch axis of A that continues its rows, with one B for all of it, is more rows: the product
// has the same sums.
void fold_batch_into_rows(Product& p, Batch& batch) {
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

}  // namespace

void run_matmul(const KernelArgs& args) {
  const View& a = args.inputs[0];
  const View& b = args.inputs[1];
  const View& c = args.outputs[0];
  const size_t rank = c.shape.size();
  Product p;
  p.m = c.shape[rank - 2];
  p.n = c.shape[rank - 1];
  p.a = {a.data, a.dtype, a.strides[rank - 2], a.strides[rank - 1]};
  p.b = {b.data, b.dtype, b.strides[rank - 2], b.strides[rank - 1]};
  p.c = c.data;
  const auto attrs = args.attrs.empty() ? MatmulAttrs{} : read_attrs<MatmulAttrs>(args.attrs);
  if (attrs.transpose_a) p.a = p.a.transposed();
  if (attrs.transpose_b) p.b = p.b.transposed();
  p.k = a.shape[rank - (attrs.transpose_a ? 2 : 1)];
  Batch batch;
  batch.shape = Dims(c.shape.begin(), c.shape.end() - 2);
  batch.a = Dims(a.strides.begin(), a.strides.end() - 2);
  batch.b = Dims(b.strides.begin(), b.strides.end() - 2);
  batch.count = numel(batch.shape);
  const int64_t elements = batch.count * p.m * p.n;
  if (elements == 0) return;
  if (p.k == 0) {
    std::fill_n(p.c, elements * int64_t(itemsize(c.dtype)), std::byte{0});
    return;
  }
  fold_batch_into_rows(p, batch);
  dispatch(c.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, bool>) {
      fail(ErrorKind::type, "matmul: dtype bool has no products; convert to an integer dtype");
    } else if constexpr (std::is_integral_v<T>) {
      matmul_integer<T>(p, batch);
    } else {
      matmul_floating<compute_t<T>>(p, batch, c.dtype);
    }
  });
}

}  // namespace tegula::cpu
