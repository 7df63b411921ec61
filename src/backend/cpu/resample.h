// Images resampled along their two axes: each element of the result is a weighted sum of a few
// elements of the image, along the rows and then along the columns.
#pragma once

#include <cstdint>
#include <vector>

namespace tegula::cpu {

// What the elements of one axis of the result are sums of.
template <class T>
struct ResampleTaps {
  int64_t from = 0, to = 0;  // sizes of the axis
  int64_t width = 0;         // terms of a sum, at most
  int64_t padded = 0;        // `to`, or more: whole vectors
  // [width][padded]: term k of element i is weight * image[index]. Terms that an element lacks have
  // weight 0 and the index `from`, where there has to be a zero.
  std::vector<int32_t> index;
  std::vector<T> weight;
  // [to]: how many terms an element has.
  std::vector<int32_t> count;
  // [width][padded / lanes]: where two vectors begin that hold all that a vector of terms needs,
  // whose indices are then counted from there; -1 where there are no such.
  std::vector<int32_t> base;
  bool same = false;  // the result is the image
};

template <class T>
struct ResampleLoops {
  // to[x] = sum over t of weights[t] * rows[t][x]
  void (*sum_rows)(const T* const* rows, const T* weights, int64_t terms, int64_t width, T* to);
  // The elements of one row. It is followed by a zero, and readable for two vectors beyond.
  void (*sum_columns)(const T* row, const ResampleTaps<T>& taps, T* to);
  int64_t lanes;
};

}  // namespace tegula::cpu
