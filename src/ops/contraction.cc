// Contractions: matmul and what is made of it.
#include <algorithm>
#include <optional>

#include "ops/batching.h"
#include "ops/complex.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kA = 1u << 0;
constexpr uint32_t kB = 1u << 1;

// Of stacks of matrices with equal batch shapes, with sums and result in `dtype`: that of both
// operands, float32 of 16-bit floats, or an integer dtype at least as wide as the operands'.
Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, DType dtype);

// Many products at once. One right operand for all multiplies the rows of all; sums of one product
// each are elementwise, and fuse.
Tensors batch_matmul(BatchContext& c) {
  const auto [ta, tb] = read_attrs<MatmulAttrs>(c.attrs());
  const DType dtype = DType(c.attrs().back());
  const bool plain = c.rank(0) == 2;
  if (plain && !c.has_batch(1) && !ta)
    return {c.split(product(c.merged(0), false, c.input(1), tb, dtype))};
  if (plain && !c.has_batch(0) && tb) {  // a b^T, with the rows of every b
    const Tensor y = product(c.input(0), ta, c.merged(1), true, dtype);
    const Tensor apart = reshape(y, {y.shape()[0], c.size(), y.shape()[1] / c.size()});
    return {permute_dims(apart, {1, 0, 2})};
  }
  const size_t last = c.rank(0) - 1;
  const bool outer = c.shape(0)[ta ? last - 1 : last] == 1 && is_floating(dtype) &&
                     c.input(0).dtype() == dtype && c.input(1).dtype() == dtype;
  if (outer) {
    const Tensor a = ta ? matrix_transpose(c.batched(0)) : c.batched(0);
    const Tensor b = tb ? matrix_transpose(c.batched(1)) : c.batched(1);
    return {a * b};
  }
  return {product(c.batched(0), ta, c.batched(1), tb, dtype)};
}

// op(a) (..., M, K) times op(b) (..., K, N), where op transposes or not; attrs: MatmulAttrs and
// the result's dtype.
const Primitive kMatmul = {
    .name = "matmul",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          const auto [ta, tb] = read_attrs<MatmulAttrs>(c.attrs);
          const Shape &a = c.shape(0), &b = c.shape(1);
          Shape shape = a;
          shape[a.size() - 2] = a[a.size() - (ta ? 1 : 2)];
          shape[a.size() - 1] = b[b.size() - (tb ? 2 : 1)];
          checked_numel(shape, "matmul");
          out.push_back({DType(c.attrs.back()), std::move(shape)});
        },
    .vjp =
        [](VjpContext& c) {
          const auto [ta, tb] = read_attrs<MatmulAttrs>(c.attrs());
          const Tensor& g = c.grad();
          const DType wide = g.dtype();
          if (c.needs(0)) {
            const Tensor b = astype(c.input(1), wide);
            c.give(0, astype(ta ? product(b, tb, g, true, wide) : product(g, false, b, !tb, wide),
                             c.input_dtype(0)));
          }
          if (c.needs(1)) {
            const Tensor a = astype(c.input(0), wide);
            c.give(1, astype(tb ? product(g, true, a, ta, wide) : product(a, !ta, g, false, wide),
                             c.input_dtype(1)));
          }
        },
    .uses = {kB, kA},
    .batch = batch_matmul,
    .dtype_attr = 2,
};

Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, DType dtype) {
  Attrs attrs = write_attrs(MatmulAttrs{transpose_a, transpose_b});
  attrs.push_back(int64_t(dtype));
  return record(kMatmul, {a, b}, attrs);
}

DType contraction_dtype(const Tensor& a, const Tensor& b, const char* op) {
  const DType dtype = promote(a.dtype(), b.dtype());
  if (dtype == DType::bool_) fail(ErrorKind::type, op, ": not defined for bool; use astype first");
  return dtype;
}

// The dtype that matmul converts an operand to, whose products are summed in `dtype`. The kernels
// widen as they read.
DType operand_dtype(DType operand, DType promoted, DType dtype) {
  const bool sums_wider = itemsize(dtype) > 2 && dtype != DType::float64;
  if (is_floating(dtype))
    return is_floating(promoted) && itemsize(promoted) == 2 && sums_wider ? promoted : dtype;
  return itemsize(operand) <= itemsize(dtype) ? operand : dtype;
}

Tensor matmul_any(const Tensor& a, const Tensor& b, std::optional<DType> wanted) {
  require(a.rank() > 0 && b.rank() > 0, "matmul: 0-d operands cannot be multiplied: ", a.shape(),
          " @ ", b.shape(), "; use *");
  const int64_t inner = b.shape()[b.rank() > 1 ? b.rank() - 2 : 0];
  require(a.shape().back() == inner, "matmul: inner dimensions differ: ", a.shape(), " @ ",
          b.shape());
  const DType promoted = contraction_dtype(a, b, "matmul"), dtype = wanted.value_or(promoted);
  if (is_complex(dtype)) {
    const Tensor y = bilinear_by_parts(
        with_parts_of(a, dtype), with_parts_of(b, dtype),
        [](const Tensor& l, const Tensor& r) { return matmul_any(l, r, std::nullopt); });
    return astype(y, dtype);  // of real operands too
  }
  if (dtype == DType::bool_ || (is_inexact(promoted) && !is_floating(dtype)) ||
      is_complex(promoted))
    fail(ErrorKind::type, "matmul: cannot sum ", promoted, " in ", dtype, "; dtype must be ",
         is_complex(promoted)    ? "a complex"
         : is_floating(promoted) ? "a floating"
                                 : "an integer or floating",
         " dtype");
  Tensor left = astype(a, operand_dtype(a.dtype(), promoted, dtype));
  Tensor right = astype(b, operand_dtype(b.dtype(), promoted, dtype));
  if (left.rank() == 2 && right.rank() == 2) return product(left, false, right, false, dtype);
  if (b.rank() == 1) right = expand_dims(right, 1);
  if (a.rank() == 1) left = expand_dims(left, 0);

  Shape shape;  // of the result, as if both were matrices
  const int64_t rows = left.shape()[left.rank() - 2], columns = right.shape().back();
  if (right.rank() == 2) {  // one multiplication of all the rows there are
    shape = Shape(left.shape().begin(), left.shape().end() - 1);
    left = reshape(left, {numel(shape), inner});
  } else {
    const Shape batch =
        broadcast_shapes(Shape(left.shape().begin(), left.shape().end() - 2),
                         Shape(right.shape().begin(), right.shape().end() - 2), "matmul");
    const auto batched = [&](const Tensor& x) {
      Shape wide = batch;
      wide.append(x.shape().end() - 2, x.shape().end());
      return broadcast_to(x, wide);
    };
    left = batched(left);
    right = batched(right);
    shape = batch;
    shape.push_back(rows);
  }
  if (a.rank() == 1) shape.pop_back();
  if (b.rank() != 1) shape.push_back(columns);
  return reshape(product(left, false, right, false, dtype), shape);
}

Tensor vecdot(const Tensor& a, const Tensor& b, int64_t axis) {
  contraction_dtype(a, b, "vecdot");
  require(a.rank() > 0 && b.rank() > 0, "vecdot: needs at least 1 dimension, got shapes ",
          a.shape(), " and ", b.shape());
  const int64_t rank = int64_t(std::min(a.rank(), b.rank()));
  if (axis >= 0 || axis < -rank)
    fail(ErrorKind::index, "vecdot: axis ", axis, " is out of range (valid: ", -rank, " to -1)");
  require(a.shape()[a.rank() + size_t(axis)] == b.shape()[b.rank() + size_t(axis)],
          "vecdot: sizes of axis ", axis, " differ: ", a.shape(), " and ", b.shape());
  const Tensor products = conj(a) * b;
  return sum(products, {axis}, false, products.dtype());
}

// clang-format off
const Family kContractions("Contractions", {
    {.name = "matmul",
     .parameters = "x1: Tensor, x2: Tensor, dtype: dtype? = None",
     .doc = "Matrix product of the last two axes; the others are batches and broadcast. A 1-d "
            "operand is a row (left) or a column (right) whose axis the result lacks. dtype is "
            "that of the sums and of the result, by default the operands' common one: int8 "
            "products summed in int32 are exact, and bfloat16 ones keep their float32 sums. The "
            "order of summing depends on the shapes alone. ValueError where inner sizes differ, "
            "TypeError for a dtype that cannot hold the sums' kind.",
     .call =
         [](const Args& a) {
           return Tensors{matmul_any(a.tensor(0), a.tensor(1),
                                     a.has(2) ? std::optional(a.dtype(2)) : std::nullopt)};
         },
     .samples = "f(3, 4), f(4, 5);;f(4), f(4, 5);;f(3, 4), f(4);;f(4), f(4);;f(2, 3, 4), f(4, 5);;"
                "f(2, 3, 4), f(2, 4, 5);;f(3, 4), f(2, 4, 5);;f(2, 1, 3, 4), f(5, 4, 2);;"
                "f(2, 3, 4), f(4);;f(4), f(2, 4, 3);;f(2, 3, 4), f(2, 4, 1);;f(0, 4), f(4, 3);;"
                "ints(-9, 9, 3, 4), ints(-9, 9, 4, 2);;f(33, 70), f(70, 41)",
     .reference = "lambda x1, x2, dtype=None: numpy.matmul(x1, x2, dtype=dtype)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "vecdot",
     .parameters = "x1: Tensor, x2: Tensor, axis: int = -1",
     .doc = "The sum of products of x1's conjugate and x2 along an axis (counted from the end); the "
            "others broadcast.",
     .call = [](const Args& a) { return Tensors{vecdot(a.tensor(0), a.tensor(1), a.integer(2))}; },
     .samples = "f(3, 4), f(4);;f(3, 4), f(3, 4), -2",
     .reference = "lambda a, b, axis=-1: numpy.sum(a * b, axis)",
     .differentiable = true,
     .tolerance = 1e-5},
    {.name = "outer",
     .parameters = "x1: Tensor, x2: Tensor",
     .doc = "The product of every element of x1 with every element of x2, both flattened.",
     .call =
         [](const Args& a) {
           return Tensors{reshape(a.tensor(0), {-1, 1}) * reshape(a.tensor(1), {-1})};
         },
     .samples = "f(3), f(4);;f(2, 2), f(3)",
     .reference = "numpy.outer",
     .differentiable = true},
    {.name = "linear",
     .parameters = "x: Tensor, weight: Tensor, bias: Tensor? = None",
     .doc = "x @ weight^T + bias: x (..., in), weight (out, in), bias (out,) give (..., out).",
     .call =
         [](const Args& a) {
           return Tensors{linear(a.tensor(0), a.tensor(1), a.optional_tensor(2))};
         },
     .samples = "f(3, 4), f(5, 4), f(5);;f(2, 3, 4), f(5, 4);;f(4), f(5, 4), f(5)",
     .reference = "lambda x, w, b=0: x @ w.T + b",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) { return matmul_any(a, b, std::nullopt); }

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  require(weight.rank() == 2, "linear: weight must be (out, in), got shape ", weight.shape());
  require(x.rank() > 0 && x.shape().back() == weight.shape()[1], "linear: x of shape ", x.shape(),
          " does not end in the ", weight.shape()[1], " inputs of weight ", weight.shape());
  if (bias)
    require(bias.shape() == Shape{weight.shape()[0]}, "linear: bias of shape ", bias.shape(),
            " does not fit the ", weight.shape()[0], " outputs of weight ", weight.shape());
  const DType dtype = contraction_dtype(x, weight, "linear");
  if (is_complex(dtype)) {
    const Tensor y = matmul(x, matrix_transpose(weight));
    return bias ? y + bias : y;
  }
  Shape shape = x.shape();
  shape.back() = weight.shape()[0];
  const int64_t inputs = weight.shape()[1];
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x.rank(); ++i) rows *= x.shape()[i];
  const Tensor left = x.rank() == 2 ? x : reshape(x, {rows, inputs});
  const Tensor y = product(astype(left, dtype), false, astype(weight, dtype), true, dtype);
  const Tensor result = reshape(y, shape);
  return bias ? result + bias : result;
}

}  // namespace tegula
