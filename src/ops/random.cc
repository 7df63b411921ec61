// Random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011).
#include <bit>
#include <limits>
#include <utility>

#include "graph/trace.h"
#include "ops/op.h"
#include "ops/ops.h"
#include "runtime/random_blocks.h"

namespace tegula {
namespace {

// attrs: {kind, dtype, shape...}; dynamic: {key, offset}.
const Primitive kRandom = {
    .name = "random",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          out.push_back({DType(c.attrs[1]), Shape(c.attrs.begin() + 2, c.attrs.end())});
        },
    .dtype_attr = 1,
};

Tensor draw(RandomKind kind, const Shape& shape, DType dtype) {
  return random_tensor(default_generator(), kind, shape, dtype);
}

void check_floating(DType dtype, const char* op) {
  if (!is_floating(dtype)) fail(ErrorKind::type, op, ": needs a floating dtype, got ", dtype);
}

// Numbers of [low, high): 64 random bits modulo the number of choices, whose bias (at most
// choices / 2^64) no test could see.
Tensor randint(int64_t low, int64_t high, const Shape& shape, DType dtype) {
  require(low < high, "randint: low must be below high, got ", low, " and ", high);
  const uint64_t choices = uint64_t(high) - uint64_t(low);
  require(choices <= uint64_t(std::numeric_limits<int64_t>::max()), "randint: the range from ", low,
          " to ", high, " is too large");
  if (!is_integer(dtype)) fail(ErrorKind::type, "randint: needs an integer dtype, got ", dtype);
  scalar(low, dtype);
  scalar(high - 1, dtype);
  const Tensor bits = draw(kRandomBits, shape, DType::uint64);
  const Tensor chosen =
      astype(tegula::remainder(bits, scalar(int64_t(choices), DType::uint64)), DType::int64);
  return astype(low ? chosen + scalar(low, DType::int64) : chosen, dtype);
}

Tensor permutation(int64_t count) {
  const Tensor bits = draw(kRandomBits, {count}, DType::uint64);
  return sort_with_indices(bits, 0, false)[1];
}

Tensor dropout(const Tensor& x, double p, bool training) {
  require(p >= 0 && p <= 1, "dropout: p must be between 0 and 1, got ", p);
  check_floating(x.dtype(), "dropout");
  if (!training || p == 0) return x;
  const Tensor keep = less(draw(kRandomUniform, x.shape(), DType::float32), constant(1 - p));
  return where(keep, x * constant(p == 1 ? 0 : 1 / (1 - p)), constant(0));
}

// clang-format off
const Family kRandomOps("Random", {
    {.name = "random_uniform",
     .parameters = "shape: ints, low: Tensor = 0.0, high: Tensor = 1.0, dtype: dtype? = None",
     .doc = "Numbers evenly distributed over [low, high).",
     .call =
         [](const Args& a) {
           check_floating(a.dtype_or(3, DType::float32), "random_uniform");
           Tensor x = draw(kRandomUniform, a.ints(0), a.dtype_or(3, DType::float32));
           const auto is = [](const Tensor& t, double value) {
             return t.node().state == NodeState::scalar && scalar_value(t.node()) == value;
           };
           if (!is(a.tensor(1), 0) || !is(a.tensor(2), 1))
             x = x * (a.tensor(2) - a.tensor(1)) + a.tensor(1);
           return Tensors{x};
         },
     .samples = "(3, 4);;5, -1.0, 3.0, 'float64';;(0, 3)",
     .reference = "random.uniform",
     .method = false},
    {.name = "random_normal",
     .parameters = "shape: ints, mean: Tensor = 0.0, std: Tensor = 1.0, dtype: dtype? = None",
     .doc = "Numbers of the normal distribution.",
     .call =
         [](const Args& a) {
           check_floating(a.dtype_or(3, DType::float32), "random_normal");
           Tensor x = draw(kRandomNormal, a.ints(0), a.dtype_or(3, DType::float32));
           const auto is = [](const Tensor& t, double value) {
             return t.node().state == NodeState::scalar && scalar_value(t.node()) == value;
           };
           if (!is(a.tensor(2), 1)) x = x * a.tensor(2);
           if (!is(a.tensor(1), 0)) x = x + a.tensor(1);
           return Tensors{x};
         },
     .samples = "(3, 4);;5, 2.0, 0.5, 'float64'",
     .reference = "random.normal",
     .method = false},
    {.name = "randint",
     .parameters = "low: int, high: int, shape: ints, dtype: dtype? = None",
     .doc = "Integers evenly distributed over [low, high).",
     .call =
         [](const Args& a) {
           return Tensors{randint(a.integer(0), a.integer(1), a.ints(2), a.dtype_or(3, DType::int64))};
         },
     .samples = "0, 10, (3, 4);;-5, 6, 7, 'int8'",
     .reference = "random.randint",
     .method = false},
    {.name = "permutation",
     .parameters = "count: int",
     .doc = "The integers 0 to count - 1 in random order.",
     .call = [](const Args& a) { return Tensors{permutation(a.integer(0))}; },
     .samples = "10;;0;;1",
     .reference = "random.permutation",
     .method = false},
    {.name = "bernoulli",
     .parameters = "p: Tensor, shape: ints? = None",
     .doc = "True with probability p, as bool; of p's shape for None.",
     .call =
         [](const Args& a) {
           const Tensor& p = a.tensor(0);
           const DType dtype = p.dtype() == DType::float64 ? p.dtype() : DType::float32;
           return Tensors{less(draw(kRandomUniform, a.has(1) ? a.ints(1) : p.shape(), dtype), p)};
         },
     .samples = "0.5, (3, 4);;unit(5)",
     .reference = "random.bernoulli",
     .method = false},
    {.name = "dropout",
     .parameters = "x: Tensor, p: float = 0.5, training: bool = True",
     .doc = "x with elements zeroed with probability p and the others divided by 1 - p, in "
            "training; else x (Srivastava et al., 2014).",
     .call =
         [](const Args& a) { return Tensors{dropout(a.tensor(0), a.real(1), a.boolean(2))}; },
     .samples = "f(3, 4), 0.5, False;;f(3, 4), 0.0",
     .reference = "lambda x, p=0.5, training=True: x",
     .method = false,
     .differentiable = true},
});
// clang-format on

}  // namespace

Tensor random_tensor(Generator& generator, RandomKind kind, const Shape& shape, DType dtype) {
  const int64_t elements = checked_numel(shape, "random");
  Attrs attrs{int64_t(kind), int64_t(dtype)};
  attrs.append(shape.begin(), shape.end());
  const int64_t dynamic[] = {std::bit_cast<int64_t>(generator.key),
                             std::bit_cast<int64_t>(generator.offset)};
  const uint64_t counters = uint64_t(blocks_for(kind, dtype, elements));
  generator.offset += counters;
  Tensor drawn = record(kRandom, std::span<const Tensor>(), std::move(attrs), dynamic);
  if (Trace* trace = Trace::current()) trace->note_draw(generator, &drawn.node(), counters);
  return drawn;
}

Tensor drawn_again(const Tensor& x) {
  const Node& node = x.node();
  Trace* trace = Trace::current();
  if (node.primitive != &kRandom || (trace ? !trace->made(node) : node.trace != 0)) return x;
  Tensor again = record(kRandom, std::span<const Tensor>(), node.attrs, node.dynamic);
  if (trace) trace->note_drawn_again(node, again.node());
  return again;
}

}  // namespace tegula
