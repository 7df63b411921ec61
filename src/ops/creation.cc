// Tensors from nothing. A constant is a scalar broadcast without memory; counting is the one
// primitive here.
#include <cmath>

#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

// attrs: {count}. In a plan it is the tile instruction `index`.
const Primitive kIota = {
    .name = "iota",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({DType::int64, {c.attrs[0]}}); },
};

bool is_number(const Tensor& x) { return x.node().state == NodeState::scalar; }

double number(const Tensor& x, const char* op, const char* name) {
  if (!is_number(x))
    fail(ErrorKind::type, op, ": ", name, " must be a Python number, got a tensor of shape ",
         x.shape());
  const double value = scalar_value(x.node());
  require(std::isfinite(value), op, ": ", name, " must be finite, got ", value);
  return value;
}

// start, start + step, ... in the number type of both, then converted once.
Tensor progression(const Tensor& start, const Tensor& step, int64_t count, DType dtype) {
  const bool exact = is_integer(dtype) && !is_floating(start.dtype()) && !is_floating(step.dtype());
  const DType inside = exact ? DType::int64 : DType::float64;
  Tensor x = astype(iota(count), inside);
  if (scalar_value(step.node()) != 1) x = x * cast_scalar(step, inside);
  if (scalar_value(start.node()) != 0) x = x + cast_scalar(start, inside);
  return astype(x, dtype);
}

Tensor arange(const Tensor& start, const Tensor& stop, const Tensor& step,
              std::optional<DType> dtype) {
  const double a = number(start, "arange", "start"), b = number(stop, "arange", "stop"),
               by = number(step, "arange", "step");
  require(by != 0, "arange: step must not be 0");
  const bool floating =
      is_floating(start.dtype()) || is_floating(stop.dtype()) || is_floating(step.dtype());
  double count = 0;
  if (floating) {
    count = std::ceil((b - a) / by);
  } else {  // exact for all integers
    const __int128 from = item_as_int(start), to = item_as_int(stop), s = item_as_int(step);
    const __int128 n = s > 0 ? (to - from + s - 1) / s : (from - to - s - 1) / -s;
    count = n > 0 ? double(n) : 0;
  }
  require(count < 0x1p47, "arange: ", count, " elements are too many");
  const DType natural = floating ? DType::float32 : DType::int64;
  return progression(start, step, int64_t(std::max(count, 0.0)), dtype.value_or(natural));
}

Tensor linspace(const Tensor& start, const Tensor& stop, int64_t count, bool endpoint,
                DType dtype) {
  const double a = number(start, "linspace", "start"), b = number(stop, "linspace", "stop");
  require(count >= 0, "linspace: num must not be negative, got ", count);
  if (!is_inexact(dtype))
    fail(ErrorKind::type, "linspace: needs a floating or complex dtype, got ", dtype);
  const int64_t steps = endpoint ? count - 1 : count;
  const double by = steps > 0 ? (b - a) / double(steps) : 0;
  const Tensor i = iota(count);
  const DType f64 = DType::float64;
  Tensor x = astype(i, f64) * scalar(by, f64) + scalar(a, f64);
  if (endpoint && count > 1) x = where(equal(i, scalar(steps, DType::int64)), scalar(b, f64), x);
  return astype(x, dtype);
}

// Whether column - row <= k, for every element of a matrix.
Tensor below_diagonal(int64_t rows, int64_t columns, int64_t k) {
  require(k < INT64_MAX / 2 && k > INT64_MIN / 2, "tril, triu: k ", k, " is too large");
  const Tensor row = expand_dims(iota(rows), 1) + scalar(k, DType::int64);
  return less_equal(iota(columns), row);
}

template <bool kLower>
Tensors triangle(const Args& a) {
  const Tensor& x = a.tensor(0);
  const char* op = kLower ? "tril" : "triu";
  require(x.rank() >= 2, op, ": needs at least 2 dimensions, got shape ", x.shape());
  const int64_t rows = x.shape()[x.rank() - 2], columns = x.shape()[x.rank() - 1];
  const Tensor zero = scalar(int64_t(0), x.dtype());
  if (kLower) return {where(below_diagonal(rows, columns, a.integer(1)), x, zero)};
  return {where(below_diagonal(rows, columns, a.integer(1) - 1), zero, x)};
}

// The dtype of a value that meets no other: a Python number's is the default one of its kind.
DType dtype_alone(const Tensor& value) {
  if (!value.node().weak_scalar) return value.dtype();
  if (is_complex(value.dtype())) return DType::complex64;
  return is_integer(value.dtype()) ? DType::int64 : value.dtype();
}

template <int kValue>
Tensors filled_like(const Args& a) {
  const Tensor& x = a.tensor(0);
  return {full(x.shape(), scalar(int64_t(kValue), a.dtype_or(1, x.dtype())))};
}

Tensors meshgrid(const Args& a) {
  const Tensors& xs = a.tensors(0);
  const std::string& order = a.text(1);
  require(order == "xy" || order == "ij", "meshgrid: indexing must be 'xy' or 'ij', got '", order,
          "'");
  const size_t rank = xs.size();
  Shape shape;
  for (const Tensor& x : xs) {
    require(x.rank() <= 1, "meshgrid: needs 1-d tensors, got shape ", x.shape());
    shape.push_back(x.size());
  }
  const bool exchange = order == "xy" && rank >= 2;
  if (exchange) std::swap(shape[0], shape[1]);
  Tensors result;
  for (size_t i = 0; i < rank; ++i) {
    Shape along(rank, 1);
    along[exchange && i < 2 ? 1 - i : i] = xs[i].size();
    result.push_back(broadcast_to(reshape(xs[i], along), shape));
  }
  return result;
}

// clang-format off
const Family kCreation("Creation", {
    {.name = "full",
     .parameters = "shape: ints, fill_value: Tensor, dtype: dtype? = None, *, device: device? = None",
     .doc = "A tensor filled with one value; its dtype is the value's unless given.",
     .call =
         [](const Args& a) {
           const Tensor& value = a.tensor(1);
           return Tensors{full(a.ints(0), astype(value, a.dtype_or(2, dtype_alone(value))))};
         },
     .samples = "(2, 3), 1.5;;(), 2;;3, True;;(2, 0), 1, 'int8'",
     .reference = "lambda shape, value, dtype=None: numpy.full(shape, value, dtype or {float: "
                  "'float32'}.get(type(value)))",
     .method = false},
    {.name = "zeros",
     .parameters = "shape: ints, dtype: dtype? = None, *, device: device? = None",
     .doc = "A tensor of zeros.",
     .call = [](const Args& a) { return Tensors{zeros(a.ints(0), a.dtype_or(1, DType::float32))}; },
     .samples = "(2, 3);;3, 'int64';;(), 'bool'",
     .reference = "lambda shape, dtype='float32': numpy.zeros(shape, dtype)",
     .method = false},
    {.name = "ones",
     .parameters = "shape: ints, dtype: dtype? = None, *, device: device? = None",
     .doc = "A tensor of ones.",
     .call = [](const Args& a) { return Tensors{ones(a.ints(0), a.dtype_or(1, DType::float32))}; },
     .samples = "(2, 3);;3, 'int64';;(), 'bool'",
     .reference = "lambda shape, dtype='float32': numpy.ones(shape, dtype)",
     .method = false},
    {.name = "full_like",
     .parameters = "x: Tensor, fill_value: Tensor, dtype: dtype? = None, *, device: device? = None",
     .doc = "A tensor of x's shape and dtype (unless given) filled with one value.",
     .call =
         [](const Args& a) {
           const Tensor& x = a.tensor(0);
           return Tensors{full(x.shape(), astype(a.tensor(1), a.dtype_or(2, x.dtype())))};
         },
     .samples = "f(2, 3), 1.5;;ints(0, 9, 3), 4",
     .reference = "numpy.full_like",
     .method = false},
    {.name = "zeros_like",
     .parameters = "x: Tensor, dtype: dtype? = None, *, device: device? = None",
     .doc = "Zeros of x's shape and dtype (unless given).",
     .call = filled_like<0>,
     .samples = "f(2, 3);;ints(0, 9, 3), 'float32'",
     .reference = "numpy.zeros_like",
     .method = false},
    {.name = "ones_like",
     .parameters = "x: Tensor, dtype: dtype? = None, *, device: device? = None",
     .doc = "Ones of x's shape and dtype (unless given).",
     .call = filled_like<1>,
     .samples = "f(2, 3);;ints(0, 9, 3), 'float32'",
     .reference = "numpy.ones_like",
     .method = false},
    {.name = "arange",
     .parameters = "start: Tensor, stop: Tensor? = None, step: Tensor = 1, dtype: dtype? = None, "
                   "*, device: device? = None",
     .doc = "start, start + step, ... before stop; from 0 when only one number is given. int64 for "
            "integers, else float32.",
     .call =
         [](const Args& a) {
           const std::optional<DType> dtype = a.has(3) ? std::optional(a.dtype(3)) : std::nullopt;
           const Tensor zero = scalar(int64_t(0), DType::int64, true);
           if (!a.has(1)) return Tensors{arange(zero, a.tensor(0), a.tensor(2), dtype)};
           return Tensors{arange(a.tensor(0), a.tensor(1), a.tensor(2), dtype)};
         },
     .samples = "5;;2, 7;;7, 2, -2;;0, 1, 0.1;;3, 0;;0, 5, 2, 'float64'",
     .reference = "lambda start, stop=None, step=1, dtype=None: numpy.arange(*((0, start) if stop "
                  "is None else (start, stop)), step, dtype or ('float32' if isinstance(step, "
                  "float) else 'int64'))",
     .method = false},
    {.name = "linspace",
     .parameters = "start: Tensor, stop: Tensor, num: int = 50, dtype: dtype? = None, *, "
                   "endpoint: bool = True, device: device? = None",
     .doc = "num evenly spaced numbers from start to stop, which is one of them if endpoint.",
     .call =
         [](const Args& a) {
           return Tensors{
               linspace(a.tensor(0), a.tensor(1), a.integer(2), a.boolean(4), a.dtype_or(3, DType::float32))};
         },
     .samples = "0, 1, 7;;-1.5, 2, 4, endpoint=False;;3, 3, 1;;0, 1, 0",
     .reference = "lambda start, stop, num=50, dtype='float32', endpoint=True: "
                  "numpy.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)",
     .method = false},
    {.name = "eye",
     .parameters = "n_rows: int, n_cols: int? = None, k: int = 0, dtype: dtype? = None, *, "
                   "device: device? = None",
     .doc = "An n_rows by n_cols matrix (n_rows by n_rows for None) with ones where column - row "
            "is k, else zeros.",
     .call =
         [](const Args& a) {
           const int64_t n = a.integer(0), m = a.has(1) ? a.integer(1) : n, k = a.integer(2);
           checked_numel({n, m}, "eye");
           require(k < INT64_MAX / 2 && k > INT64_MIN / 2, "eye: k ", k, " is too large");
           const Tensor row = expand_dims(iota(n), 1) + scalar(k, DType::int64);
           return Tensors{astype(equal(row, iota(m)), a.dtype_or(3, DType::float32))};
         },
     .samples = "3;;2, 4;;4, 3, 1;;3, 3, -1, 'int64'",
     .reference = "lambda n, m=None, k=0, dtype='float32': numpy.eye(n, m, k, dtype)",
     .method = false},
    {.name = "tril",
     .parameters = "x: Tensor, k: int = 0",
     .doc = "x with zeros above diagonal k (column - row > k) of its last two axes.",
     .call = triangle<true>,
     .samples = "f(3, 4);;f(2, 3, 3), 1;;f(3, 4), -1",
     .reference = "numpy.tril",
     .differentiable = true},
    {.name = "triu",
     .parameters = "x: Tensor, k: int = 0",
     .doc = "x with zeros below diagonal k (column - row < k) of its last two axes.",
     .call = triangle<false>,
     .samples = "f(3, 4);;f(2, 3, 3), 1;;f(3, 4), -1",
     .reference = "numpy.triu",
     .differentiable = true},
    {.name = "meshgrid",
     .parameters = "*arrays: Tensors, indexing: str = 'xy'",
     .doc = "Coordinates of a grid: each 1-d tensor broadcast along its own axis of the result.",
     .call = meshgrid,
     .samples = "f(3), f(4);;f(3), f(4), f(2), indexing='ij'",
     .reference = "numpy.meshgrid",
     .method = false,
     .differentiable = true,
     .returns_tuple = true,
     .result = "list"},
});
// clang-format on

}  // namespace

Tensor full(const Shape& shape, const Tensor& value) {
  require(value.rank() == 0, "full: value must be one number, got shape ", value.shape());
  checked_numel(shape, "full");
  return broadcast_to(is_number(value) ? cast_scalar(value, value.dtype()) : value, shape);
}
Tensor zeros(const Shape& shape, DType dtype) { return full(shape, scalar(int64_t(0), dtype)); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, scalar(int64_t(1), dtype)); }

Tensor iota(int64_t count) {
  checked_numel({count}, "arange");
  return record(kIota, {}, {count});
}

}  // namespace tegula
