// Layouts of the attribute words of primitives that have any. Each struct is only int64_t words,
// so the words of a node, of a plan key and of a kernel call are one and the same.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "runtime/kernel.h"

namespace tegula {

// matmul: operands to be read with their last two axes exchanged. A last word is the result's
// dtype.
struct MatmulAttrs {
  int64_t transpose_a, transpose_b;
};
// conv, conv_input_grad, conv_weight_grad, in one to three dimensions: the last words are those of
// the last axis, and axes that are not there have stride and dilation 1. Zeros are padded before
// and after each axis. After these words the gradients have three more: the spatial sizes of the
// image, or of the kernel.
struct ConvAttrs {
  int64_t stride[3], padding[3], padding_after[3], dilation[3], groups;
};
// max_pool, avg_pool and their gradients: the sizes of the image and of the grid of windows; the
// missing ones of three spatial axes come first and have size 1. Adaptive windows go from
// floor(i * size / grid) to ceil((i + 1) * size / grid) and have at most `kernel` elements. An
// average divides by what a window has inside the padded image when count_padding, else by what it
// has inside the image.
struct PoolAttrs {
  int64_t size[3], grid[3], kernel[3], stride[3], padding[3], dilation[3], count_padding, adaptive;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // Whether the number of a tap needs more than a byte: choices are then uint32, else uint8.
  bool wide() const { return taps() > 256; }
};
// gather, take_along_axis, scatter, scatter_along_axis, concat, sort, cumulative, argreduce.
struct AxisAttrs {
  int64_t axis;
  int64_t mode;  // ScatterMode, SortMode, CumulativeMode or ArgMode
};
// topk, along the last axis.
struct TopKAttrs {
  int64_t k;
  int64_t mode;  // SortMode
};
enum ScatterMode : int64_t {
  kScatterSet = 0,
  kScatterAdd = 1,
  kScatterMul = 2,
  kScatterMax = 3,
  kScatterMin = 4
};
// check_index: these words, then text (write_text) that begins the message for an index outside.
struct CheckIndexAttrs {
  int64_t size, axis, strict;
};
enum BagMode : int64_t { kBagSum = 0, kBagMean = 1, kBagMax = 2 };  // embedding_bag
enum SortMode : int64_t { kAscending = 0, kDescending = 1 };
enum CumulativeMode : int64_t { kCumSum = 0, kCumProd = 1, kCumMax = 2, kCumMin = 3 };
enum ArgMode : int64_t { kArgMax = 0, kArgMin = 1 };
// random: dynamic words are {key, offset}; the kind decides what an element is made of.
struct RandomAttrs {
  int64_t kind;
};
enum RandomKind : int64_t { kRandomBits = 0, kRandomUniform = 1, kRandomNormal = 2 };
// attention and its gradient; the scale multiplies the scores.
struct AttentionAttrs {
  int64_t is_causal;
  double scale;
};
// solve_triangular: which triangle the matrix is, and whether its diagonal counts as ones.
struct TriangularAttrs {
  int64_t upper, unit_diagonal;
};
// svd: what is wanted beside the singular values.
enum SvdMode : int64_t { kSvdValues = 0, kSvdReduced = 1, kSvdFull = 2 };
// row_norm and its gradient; a bias comes with a weight.
struct RowNormAttrs {
  int64_t has_weight, has_bias, centered;
  double eps;
};
// optimizer updates over `count` tensors at once (see src/ops/optimizer.cc).
struct OptimizerAttrs {
  int64_t count;
  int64_t flags;
};
enum OptimizerFlags : int64_t { kNesterov = 1, kDecoupledDecay = 2, kMaximize = 4 };

// fft_c2c, fft_r2c, fft_c2r: these words, then the axis and the length of each transform; the last
// is done first. The result is multiplied by `scale`.
struct FftAttrs {
  int64_t inverse;  // fft_c2c alone: e^(+2 pi i ...)
  double scale;
};
struct FftAxis {
  int64_t axis, n;
};

template <class A>
A read_attrs(std::span<const int64_t> words) {
  static_assert(std::is_trivially_copyable_v<A> && sizeof(A) % sizeof(int64_t) == 0);
  A attrs;
  std::memcpy(&attrs, words.data(), sizeof(A));
  return attrs;
}
template <class A>
Attrs write_attrs(const A& attrs) {
  Attrs words(sizeof(A) / sizeof(int64_t));
  std::memcpy(words.data(), &attrs, sizeof(A));
  return words;
}

// Text behind the other words, up to the end of the attributes.
inline void write_text(std::string_view text, Attrs& words) {
  const size_t begin = words.size();
  words.resize(begin + (text.size() + sizeof(int64_t) - 1) / sizeof(int64_t));
  std::memcpy(words.data() + begin, text.data(), text.size());
}
inline std::string_view read_text(std::span<const int64_t> words) {
  const std::string_view padded(reinterpret_cast<const char*>(words.data()), words.size_bytes());
  return padded.substr(0, padded.find('\0'));
}

}  // namespace tegula
