// Scaled dot-product attention: a composite with kernels of its own, which never store the scores.
#include <cmath>
#include <limits>

#include "ops/batching.h"
#include "ops/op.h"

namespace tegula {
namespace {

constexpr uint32_t kQuery = 1u << 0, kKey = 1u << 1, kValue = 1u << 2, kMask = 1u << 3;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

DType statistics_dtype(DType dtype) {
  return dtype == DType::float64 ? DType::float64 : DType::float32;
}

// Every head of x repeated `times` times: (N, G, S, E) -> (N, G * times, S, E).
Tensor repeat_heads(const Tensor& x, int64_t times) {
  if (times == 1) return x;
  const Shape& s = x.shape();
  const Tensor wide = broadcast_to(expand_dims(x, 2), {s[0], s[1], times, s[2], s[3]});
  return reshape(wide, {s[0], s[1] * times, s[2], s[3]});
}

// A key or value for every head of the query, in the dtype that sums have.
Tensor for_every_head(const Tensor& x, const Tensor& query) {
  const int64_t times = query.shape()[1] / std::max<int64_t>(1, x.shape()[1]);
  return astype(repeat_heads(x, times), statistics_dtype(query.dtype()));
}

// What the values of each row are multiplied with: (N, H, L, S), S not 0.
Tensor weights_of(std::span<const Tensor> inputs, const AttentionAttrs& attrs) {
  const auto [is_causal, scale] = attrs;
  const DType wide = statistics_dtype(inputs[0].dtype());
  const Tensor q = astype(inputs[0], wide), k = for_every_head(inputs[1], inputs[0]);
  const int64_t rows = q.shape()[2], keys = k.shape()[2];
  Tensor scores = matmul(q * constant(scale), matrix_transpose(k));
  const Tensor hidden = constant(-kInfinity);
  if (is_causal) {
    const Tensor row = reshape(iota(rows), {rows, 1}), key = iota(keys);
    scores = where(less_equal(key, row), scores, hidden);
  }
  if (inputs.size() > 3)
    scores = inputs[3].dtype() == DType::bool_ ? where(inputs[3], scores, hidden)
                                               : scores + astype(inputs[3], wide);
  Tensor top;
  {
    const GradMode off(false);
    top = max(scores, {3}, true);
    top = where(equal(top, hidden), constant(0), top);
  }
  const Tensor powers = exp(scores - top), total = sum(powers, {3}, true);
  return powers / where(equal(total, constant(0)), constant(1), total);
}

// The definition. Rows that see no key are zero, as in PyTorch.
Tensors expand_attention(std::span<const Tensor> inputs, std::span<const int64_t> attrs) {
  const DType dtype = inputs[0].dtype();
  Shape shape = inputs[0].shape();
  shape[3] = inputs[2].shape()[3];
  if (inputs[1].shape()[2] == 0) return {zeros(shape, dtype)};
  const Tensor weights = weights_of(inputs, read_attrs<AttentionAttrs>(attrs));
  return {astype(matmul(weights, for_every_head(inputs[2], inputs[0])), dtype)};
}

// The gradient of an added mask, which the kernels do not give: it stores the scores.
Tensor mask_grad(VjpContext& c) {
  const Tensor inputs[] = {c.input(0), c.input(1), c.input(2), c.input(3)};
  const Tensor weights = weights_of(inputs, read_attrs<AttentionAttrs>(c.attrs()));
  const Tensor value = for_every_head(inputs[2], inputs[0]);
  const Tensor flowing = matmul(astype(c.grad(), weights.dtype()), matrix_transpose(value));
  const Tensor gradient = weights * (flowing - sum(weights * flowing, {3}, true));
  return astype(gradient, c.input_dtype(3));
}

// query, key, value, output, log-sum-exp, upstream gradient[, mask] -> dquery, dkey, dvalue.
const Primitive kAttentionGrad = {
    .name = "attention_grad",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          for (size_t i = 0; i < 3; ++i) out.push_back({c.dtype(i), c.shape(i)});
        },
    .batch = batch_by_merging,
};

// query (N, H, L, E), key (N, G, S, E), value (N, G, S, F)[, mask (N, H, L, S)], H a multiple of
// G -> (N, H, L, F) and (N, H, L), what the gradient needs to know of each row: the logarithm to
// base 2 of the sum of its powers.
const Primitive kAttention = {
    .name = "attention",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          Shape shape = c.shape(0);
          const Shape rows(shape.begin(), shape.end() - 1);
          shape[3] = c.shape(2)[3];
          checked_numel(shape, "scaled_dot_product_attention");
          out.push_back({c.dtype(0), std::move(shape)});
          out.push_back({statistics_dtype(c.dtype(0)), rows});
        },
    .vjp =
        [](VjpContext& c) {
          Tensors inputs = {c.input(0), c.input(1), c.input(2), c.output(0), c.output(1), c.grad()};
          if (c.input_count() > 3) inputs.push_back(c.input(3));
          const Tensors gradients =
              record_all(kAttentionGrad, inputs, Attrs(c.attrs().begin(), c.attrs().end()));
          for (size_t i = 0; i < 3; ++i) c.give(i, gradients[i]);
          const bool mask_varies = c.input_count() > 3 && c.needs(3);
          if (mask_varies && c.input_shape(1)[2] > 0) c.give(3, mask_grad(c));
        },
    .uses = uses_for_every_input(kQuery | kKey | kValue | kMask | kUsesOutput),
    .batch = batch_by_merging,
    .expand = expand_attention,
};

// clang-format off
const Family kAttentionFamily("Attention", {
    {.name = "scaled_dot_product_attention",
     .parameters = "query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor? = None, "
                   "is_causal: bool = False, scale: float? = None",
     .doc = "softmax(query @ key^T * scale + mask) @ value (Vaswani et al., 2017), without storing "
            "the scores (Dao et al., 2022). query (..., H, L, E), key (..., G, S, E) and value "
            "(..., G, S, F) give (..., H, L, F); where there are fewer heads G, each serves H / G "
            "of query's, and the axes before broadcast. mask broadcasts to (..., H, L, S): bool, "
            "True where a key takes part, or added to the scores. is_causal lets row i see keys 0 "
            "to i. scale is 1 / sqrt(E) by default. A row that sees no key is zero. 16-bit floats "
            "are summed in float32.",
     .call =
         [](const Args& a) {
           const Tensor& query = a.tensor(0);
           const int64_t size = query.rank() ? query.shape().back() : 1;
           const double scale = a.has(5) ? a.real(5) : 1 / std::sqrt(std::max(1.0, double(size)));
           return Tensors{scaled_dot_product_attention(
               query, a.tensor(1), a.tensor(2), a.optional_tensor(3), a.boolean(4), scale)};
         },
     .samples = "f(5, 4), f(7, 4), f(7, 3);;"
                "f(2, 3, 5, 4), f(2, 3, 7, 4), f(2, 3, 7, 4), is_causal=True;;"
                "f(4, 12, 3), f(2, 9, 3), f(2, 9, 5), mask=f(12, 9), scale=0.5;;"
                "f(2, 4, 2, 3), f(2, 1, 9, 3), f(2, 1, 9, 5), mask=mask(2, 1, 1, 9);;"
                "f(2, 70, 3), f(2, 140, 3), f(2, 140, 3), is_causal=True;;"
                "f(3, 4), f(0, 4), f(0, 2);;f(0, 3, 4), f(0, 3, 4), f(0, 3, 2)",
     .reference = "reference.scaled_dot_product_attention",
     .method = false,
     .differentiable = true,
     .tolerance = 1e-5},
});
// clang-format on

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& mask, bool is_causal, double scale) {
  constexpr const char* op = "scaled_dot_product_attention";
  const Tensor* given[] = {&query, &key, &value};
  const char* names[] = {"query", "key", "value"};
  DType dtype = query.dtype();
  for (size_t i = 0; i < 3; ++i) {
    require(given[i]->rank() >= 2, op, ": ", names[i], " must be (..., length, size), got shape ",
            given[i]->shape());
    dtype = promote(dtype, given[i]->dtype());
  }
  dtype = float_dtype(dtype);
  const size_t rank = std::max({query.rank(), key.rank(), value.rank(), size_t(3)});
  const auto with_rank = [&](const Tensor& x) {
    Shape shape(rank - x.rank(), 1);
    shape.append(x.shape().begin(), x.shape().end());
    return reshape(x, shape);
  };
  Tensor q = with_rank(query), k = with_rank(key), v = with_rank(value);
  const int64_t rows = q.shape()[rank - 2], size = q.shape()[rank - 1];
  const int64_t keys = k.shape()[rank - 2], out_size = v.shape()[rank - 1];
  require(k.shape()[rank - 1] == size, op, ": query of shape ", query.shape(), " and key of shape ",
          key.shape(), " differ in the size of their last axis");
  require(v.shape()[rank - 2] == keys, op, ": key of shape ", key.shape(), " and value of shape ",
          value.shape(), " differ in length");
  const auto heads_of = [&](const Tensor& x) { return x.shape()[rank - 3]; };
  // One head serves any number of heads, none included.
  const int64_t kv_heads = heads_of(k) == 1 ? heads_of(v) : heads_of(k);
  const int64_t heads = heads_of(q) == 1 ? kv_heads : heads_of(q);
  require((heads_of(v) == kv_heads || heads_of(v) == 1) &&
              (kv_heads == 0 ? heads == 0 : heads % kv_heads == 0),
          op, ": the ", heads_of(q), " heads of query are no multiple of the ", kv_heads,
          " heads of key and value");
  Shape batch(q.shape().begin(), q.shape().end() - 3);
  for (const Tensor* x : {&k, &v})
    batch = broadcast_shapes(batch, Shape(x->shape().begin(), x->shape().end() - 3), op);
  const auto four = [&](const Tensor& x, int64_t x_heads, int64_t length, int64_t last) {
    Shape shape = batch;
    for (int64_t n : {x_heads, length, last}) shape.push_back(n);
    return reshape(broadcast_to(x, shape), {numel(batch), x_heads, length, last});
  };
  Tensors inputs = {astype(four(q, heads, rows, size), dtype),
                    astype(four(k, kv_heads, keys, size), dtype),
                    astype(four(v, kv_heads, keys, out_size), dtype)};
  Shape shape = batch;
  for (int64_t n : {heads, rows, out_size}) shape.push_back(n);
  while (shape.size() > std::max({query.rank(), key.rank(), value.rank()})) shape.erase(0);
  if (mask) {
    if (mask.dtype() != DType::bool_ && !is_floating(mask.dtype()))
      fail(ErrorKind::type, op, ": mask must be bool (True takes part) or floating, got ",
           mask.dtype());
    const bool added = mask.dtype() == DType::float64 || dtype == DType::float64;
    const bool cast = added && mask.dtype() != DType::bool_;
    inputs.push_back(four(cast ? astype(mask, statistics_dtype(dtype)) : mask, heads, rows, keys));
  }
  const Attrs attrs = write_attrs(AttentionAttrs{is_causal, scale});
  const DeviceScope scope(query.device());
  return reshape(record(kAttention, inputs, attrs), shape);
}

}  // namespace tegula
