// Channels exchanged with space, and among each other.
#include "ops/op.h"
#include "ops/ops.h"

namespace tegula {
namespace {

// x (..., C, H, W) as (N, C, H, W); N is 1 where there are no axes before.
Tensor as_images(const Tensor& x, const char* op) {
  require(x.rank() >= 3, op, ": x must be (..., C, H, W), got shape ", x.shape());
  const size_t lead = x.rank() - 3;
  Shape shape{numel(Shape(x.shape().begin(), x.shape().begin() + lead))};
  shape.append(x.shape().begin() + lead, x.shape().end());
  return reshape(x, shape);
}

Tensor with_lead(const Tensor& y, const Tensor& x) {
  Shape shape(x.shape().begin(), x.shape().end() - 3);
  shape.append(y.shape().begin() + 1, y.shape().end());
  return reshape(y, shape);
}

void check_factor(int64_t r, const char* op, const char* argument) {
  require(r > 0 && r < int64_t(1) << 15, op, ": ", argument, " must be positive, got ", r);
}

Tensor pixel_shuffle(const Tensor& given, int64_t r) {
  const Tensor x = as_images(given, "pixel_shuffle");
  check_factor(r, "pixel_shuffle", "upscale_factor");
  const int64_t n = x.shape()[0], c = x.shape()[1], h = x.shape()[2], w = x.shape()[3];
  require(c % (r * r) == 0, "pixel_shuffle: the ", c, " channels of x are no multiple of ", r * r,
          ", the square of upscale_factor");
  const Tensor parts = reshape(x, {n, c / (r * r), r, r, h, w});
  return with_lead(reshape(permute_dims(parts, {0, 1, 4, 2, 5, 3}), {n, c / (r * r), h * r, w * r}),
                   given);
}

Tensor pixel_unshuffle(const Tensor& given, int64_t r) {
  const Tensor x = as_images(given, "pixel_unshuffle");
  check_factor(r, "pixel_unshuffle", "downscale_factor");
  const int64_t n = x.shape()[0], c = x.shape()[1], h = x.shape()[2], w = x.shape()[3];
  require(h % r == 0 && w % r == 0, "pixel_unshuffle: x of shape ", given.shape(),
          " does not divide into blocks of ", r);
  const Tensor parts = reshape(x, {n, c, h / r, r, w / r, r});
  return with_lead(reshape(permute_dims(parts, {0, 1, 3, 5, 2, 4}), {n, c * r * r, h / r, w / r}),
                   given);
}

Tensor channel_shuffle(const Tensor& x, int64_t groups) {
  require(x.rank() >= 2, "channel_shuffle: x must be (N, C, ...), got shape ", x.shape());
  const int64_t n = x.shape()[0], c = x.shape()[1];
  require(groups > 0 && c % groups == 0, "channel_shuffle: the ", c,
          " channels of x do not divide into ", groups, " groups");
  const int64_t rest = numel(Shape(x.shape().begin() + 2, x.shape().end()));
  const Tensor parts = reshape(x, {n, groups, c / groups, rest});
  return reshape(permute_dims(parts, {0, 2, 1, 3}), x.shape());
}

// clang-format off
const Family kShuffles("Shuffles", {
    {.name = "pixel_shuffle",
     .parameters = "x: Tensor, upscale_factor: int",
     .doc = "Channels as pixels: x (..., C * r * r, H, W) as (..., C, H * r, W * r). Shi et al. "
            "2016, arXiv:1609.05158.",
     .call = [](const Args& a) { return Tensors{pixel_shuffle(a.tensor(0), a.integer(1))}; },
     .samples = "f(2, 8, 3, 4), 2;;f(9, 2, 1), 3;;f(0, 4, 2, 2), 2;;f(2, 2, 4, 1, 3), 2",
     .reference = "reference.pixel_shuffle",
     .method = false,
     .differentiable = true},
    {.name = "pixel_unshuffle",
     .parameters = "x: Tensor, downscale_factor: int",
     .doc = "Pixels as channels, what pixel_shuffle undoes: x (..., C, H * r, W * r) as (..., C * r "
            "* r, H, W).",
     .call = [](const Args& a) { return Tensors{pixel_unshuffle(a.tensor(0), a.integer(1))}; },
     .samples = "f(2, 2, 6, 4), 2;;f(1, 3, 6), 3;;f(2, 3, 2, 2), 1",
     .reference = "reference.pixel_unshuffle",
     .method = false,
     .differentiable = true},
    {.name = "channel_shuffle",
     .parameters = "x: Tensor, groups: int",
     .doc = "The channels of x (N, C, ...) in another order: the first of each of `groups` groups, "
            "then the second ones. Zhang et al. 2017, arXiv:1707.01083.",
     .call = [](const Args& a) { return Tensors{channel_shuffle(a.tensor(0), a.integer(1))}; },
     .samples = "f(2, 6, 3), 2;;f(1, 6, 2, 2), 3;;f(3, 4), 4",
     .reference = "reference.channel_shuffle",
     .method = false,
     .differentiable = true},
});
// clang-format on

}  // namespace
}  // namespace tegula
