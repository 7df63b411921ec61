// Layouts of the attribute words of primitives that have any. Each struct is only int64_t words,
// so the words of a node, of a plan key and of a kernel call are one and the same.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
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
// max_pool2d, avg_pool2d and their gradients; avg_pool2d_grad has two more words, the size of the
// image. avg divides by the whole window
// when count_padding, else by the elements inside the image.
struct PoolAttrs {
  int64_t kernel[2], stride[2], padding[2], count_padding;
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
enum ScatterMode : int64_t { kScatterSet = 0, kScatterAdd = 1 };
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
// optimizer updates over `count` tensors at once (see src/ops/optimizer.cc).
struct OptimizerAttrs {
  int64_t count;
  int64_t flags;
};
enum OptimizerFlags : int64_t { kNesterov = 1, kDecoupledDecay = 2, kMaximize = 4 };

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

}  // namespace tegula
