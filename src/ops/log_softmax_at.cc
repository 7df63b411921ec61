// The log-softmax of rows at one element each: what cross-entropy needs of it.
#include "ops/batching.h"
#include "ops/indexing.h"

namespace tegula {
namespace {

constexpr uint32_t kScores = 1u << 0, kIndex = 1u << 1;

// scores, index, largest, sum, upstream gradient -> dscores.
const Primitive kLogSoftmaxAtGrad = {
    .name = "log_softmax_at_grad",
    .kind = Kind::opaque,
    .infer = [](const InferContext& c,
                OutputSpecs& out) { out.push_back({c.dtype(0), c.shape(0)}); },
    .batch = batch_by_merging,
    .in_place = [](const Node&, int) { return 0; },
};

// scores (N, C), float32 or float64, and index (N, 1), checked -> (N, 1), and the largest score and
// the sum of powers of each row for the gradient.
const Primitive kLogSoftmaxAt = {
    .name = "log_softmax_at",
    .kind = Kind::opaque,
    .infer =
        [](const InferContext& c, OutputSpecs& out) {
          for (int k = 0; k < 3; ++k) out.push_back({c.dtype(0), c.shape(1)});
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor inputs[] = {c.input(0), c.input(1), c.output(1), c.output(2), c.grad()};
          c.give(0, record_all(kLogSoftmaxAtGrad, inputs)[0]);
        },
    .uses = {kScores | kIndex | kUsesOutput},
    .batch = batch_by_merging,
    .expand =
        [](std::span<const Tensor> inputs, std::span<const int64_t>) {
          return Tensors{take_along_checked(log_softmax(inputs[0], 1), inputs[1], 1)};
        },
};

}  // namespace

Tensor log_softmax_at(const Tensor& scores, const Tensor& index) {
  const int64_t classes = scores.shape().back();
  const Tensor rows = reshape(scores, {scores.size() / classes, classes});
  const Tensor chosen = record(kLogSoftmaxAt, {rows, reshape(index, {rows.shape()[0], 1})});
  return reshape(chosen, index.shape());
}

}  // namespace tegula
