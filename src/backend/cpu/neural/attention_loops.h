// The vector loops of attention: what happens to a block of scores between two products.
#pragma once

#include <cstdint>

namespace tegula::cpu {

// A block of scores is stored key by key: scores[key * width + lane], a lane for each query, width
// a multiple of the vector. T is float or double.
template <class T>
struct AttentionLoops {
  // Scores become 2^(score - top), where top[lane] is the largest score so far, at first minus
  // infinity; total[lane] is their sum. factor[lane] is what earlier results have to be multiplied
  // with.
  void (*online)(T* scores, int64_t keys, int64_t width, T* top, T* total, T* factor);
  // The same for one query with its scores one after another, padded with minus infinity to a
  // multiple of 64 bytes. Returns the factor.
  T (*online_row)(T* scores, int64_t keys, T& top, T& total);
  // Scores become 2^(score - logsum[lane]).
  void (*weights)(T* scores, int64_t keys, int64_t width, const T* logsum);
  // grads = weights * (grads - delta[lane])
  void (*score_grads)(T* grads, const T* weights, int64_t keys, int64_t width, const T* delta);
  // x[row * width + j] *= factor[row]
  void (*scale_rows)(T* x, int64_t rows, int64_t width, const T* factor);
  void (*scale)(T* x, int64_t count, T factor);
  // to += from * factor
  void (*add)(T* to, const T* from, int64_t count, T factor);
  T (*dot)(const T* a, const T* b, int64_t count);
};
template <class T>
const AttentionLoops<T>& attention_loops();

}  // namespace tegula::cpu
