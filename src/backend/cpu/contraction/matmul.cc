// matmul: a(..., M, K) b(..., K, N). Floating dtypes use matvec where M or N is 1; integers wrap.
// The result may be wider than the operands: float32 of 16-bit floats, integers of narrower ones.
#include "backend/cpu/contraction/contraction.h"
#include "backend/cpu/contraction/product.h"
#include "graph/attrs.h"
#include "runtime/profile.h"

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
  if (p.epilogue) p.epilogue->run(p.first_row / p.m, 1, m0, m1 - m0);
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
void multiply_words(const Product& p, const Batch& batch) {
  note_algorithm(isa_has_amx() ? "matrix instructions" : "dot instructions");
  multiply_batch(gemm_kernels<T>(), p, batch);
}

void matmul_floating(const Product& p, const Batch& batch) {
  const bool vectors = p.m == 1 || p.n == 1;
  if (vectors) note_algorithm("matrix times vector");
  if (p.a.dtype == DType::float64) {
    vectors ? matmul_vectors<double>(p, batch) : multiply_batch(gemm_kernels<double>(), p, batch);
  } else if (vectors) {
    matmul_vectors<float>(p, batch);
  } else if (p.a.dtype == DType::bfloat16 && isa_has_dot()) {
    multiply_words<bfloat16>(p, batch);
  } else {
    multiply_batch(gemm_kernels<float>(), p, batch);
  }
}

// Modulo 2^bits of the result, so in the narrowest type whose sums have as many: operands no wider
// than it keep their values, and the sign of those as wide as the result does not matter.
void matmul_integer(Product p, const Batch& batch) {
  const auto as_signed = [](DType dtype, size_t size) {
    if (itemsize(dtype) < size) return dtype;
    return size == 8   ? DType::int64
           : size == 4 ? DType::int32
           : size == 2 ? DType::int16
                       : DType::int8;
  };
  const size_t size = itemsize(p.dtype);
  p.dtype = as_signed(p.dtype, size);
  p.a.dtype = as_signed(p.a.dtype, size);
  p.b.dtype = as_signed(p.b.dtype, size);
  const auto in_16_bits = [](DType dtype) { return itemsize(dtype) == 1 || dtype == DType::int16; };
  const bool left_byte = itemsize(p.a.dtype) == 1, right_byte = p.b.dtype == DType::int8;
  if (size == 8) {
    multiply_batch(gemm_kernels<int64_t>(), p, batch);
  } else if (!in_16_bits(p.a.dtype) || !in_16_bits(p.b.dtype)) {
    multiply_batch(gemm_kernels<int32_t>(), p, batch);
  } else if (!left_byte || !right_byte || !isa_has_dot()) {
    multiply_batch(gemm_kernels<int16_t>(), p, batch);
  } else if (p.a.dtype == DType::int8) {
    multiply_words<int8_t>(p, batch);
  } else {
    multiply_words<uint8_t>(p, batch);
  }
}

// Columns of the rows that an epilogue sees.
int64_t row_length(const View& c) {
  const size_t rank = c.shape.size();
  const int64_t m = c.shape[rank - 2], n = c.shape[rank - 1];
  return m == 1 || n == 1 ? m * n : n;
}

}  // namespace

bool matmul_takes_epilogue(const StepSpec& step) {
  const View &a = step.inputs[0], &c = step.outputs[0];
  const size_t rank = c.shape.size();
  const auto attrs = step.attrs.empty() ? MatmulAttrs{} : read_attrs<MatmulAttrs>(step.attrs);
  const int64_t k = a.shape[rank - (attrs.transpose_a ? 2 : 1)];
  return numel(c.shape) > 0 && k > 0 && row_length(c) >= kEpilogueColumns;
}

std::shared_ptr<void> prepare_matmul(const StepSpec& step) {
  return Epilogue::prepare(step, row_length(step.outputs[0]));
}

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
  p.b_buffer = b.buffer;
  p.c = c.data;
  p.dtype = c.dtype;
  const Epilogue epilogue(args);
  if (epilogue) p.epilogue = &epilogue;
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
  if (c.dtype == DType::bool_)
    fail(ErrorKind::type, "matmul: dtype bool has no products; convert to an integer dtype");
  is_floating(c.dtype) ? matmul_floating(p, batch) : matmul_integer(p, batch);
}

}  // namespace tegula::cpu
