// matmul: a(..., M, K) b(..., K, N). Floating dtypes use the engine of gemm.h, and matvec where M
// or N is 1; integers wrap.
#include <type_traits>

#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/product.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

// Rows [m0, m1) of C where N is 1.
template <class T>
void multiply_vector(const GemmKernels<T>& kernels, const Product& p, int64_t m0, int64_t m1) {
  constexpr int64_t kPadding = 64 / sizeof(T);
  const Scratch<T> x(ScratchUse::vector, p.k + kPadding);
  kernels.pack(p.b.transposed(), 1, 1, p.k, x.get());
  std::fill_n(x.get() + p.k, kPadding, T(0));
  const Matrix a = p.a.at(m0, 0);
  if (p.dtype == kNative<T>) {
    kernels.matvec(a, m1 - m0, p.k, x, reinterpret_cast<T*>(p.c) + m0);
  } else {
    const Scratch<T> y(ScratchUse::tile, m1 - m0);
    kernels.matvec(a, m1 - m0, p.k, x, y.get());
    kernels.round(y.get(), m1 - m0, p.dtype, p.c + m0 * int64_t(itemsize(p.dtype)));
  }
}

template <class T>
void matmul_vectors(const Product& whole, const Batch& batch) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t length = whole.m * whole.n;
  const int64_t rows = tile_size(std::clamp<int64_t>(ceil_div(length, 8), 256, 4096));
  const int64_t parts = ceil_div(length, rows), pieces = batch.count * parts;
  const double work = double(length) * double(whole.k) * double(batch.count);
  for_pieces(pieces, work, [&](int64_t piece) {
    Product p = batch_item(whole, batch, piece / parts);
    const int64_t row = piece % parts * rows;
    if (p.n != 1) {  // one row: the transposed product
      const Matrix a = p.a;
      p.a = p.b.transposed();
      p.b = a.transposed();
    }
    multiply_vector(kernels, p, row, std::min(length, row + rows));
  });
}

template <class T>
void matmul_floating(const Product& whole, const Batch& batch) {
  if (whole.n == 1 || whole.m == 1) {
    matmul_vectors<T>(whole, batch);
  } else {
    multiply_batch(gemm_kernels<T>(), whole, batch);
  }
}

// Products and sums modulo 2^bits, row by row of C.
template <class T>
void matmul_integer(const Product& whole, const Batch& batch) {
  using U = std::make_unsigned_t<T>;
  static const int64_t rows = tile_size(16);
  const double work = double(whole.m) * double(whole.n) * double(whole.k) * double(batch.count);
  const int64_t tiles = ceil_div(whole.m, rows);
  for_pieces(batch.count * tiles, 4 * work, [&](int64_t piece) {
    const int64_t tile = piece % tiles;
    const Product p = batch_item(whole, batch, piece / tiles);
    const U* a = reinterpret_cast<const U*>(p.a.data);
    const U* b = reinterpret_cast<const U*>(p.b.data);
    const int64_t n = whole.n, end = std::min(whole.m, (tile + 1) * rows);
    for (int64_t i = tile * rows; i < end; ++i) {
      U* c = reinterpret_cast<U*>(p.c) + i * n;
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
  p.dtype = c.dtype;
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
      matmul_floating<compute_t<T>>(p, batch);
    }
  });
}

}  // namespace tegula::cpu
