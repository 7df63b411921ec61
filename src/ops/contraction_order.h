// In which order several tensors are multiplied, two at a time.
#pragma once

#include <bitset>
#include <cstddef>
#include <utility>
#include <vector>

namespace tegula {

// Labels of axes by number.
using Labels = std::bitset<128>;

// The two tensors of a step, as places in the list of those that are left: both are taken out, and
// what they make is put at its end. opt_einsum writes its paths so.
using ContractionPath = std::vector<std::pair<size_t, size_t>>;

struct ContractionOrder {
  ContractionPath path;
  double operations = 0;  // multiplications and additions of all steps
};

// The order with the fewest operations for up to eight tensors, found by dynamic programming over
// their subsets; of more, the pair that shrinks memory most is always taken next (Smith and Gray
// 2018, "opt_einsum", JOSS 3(26)). `sizes` are those of the labels, `result` the labels to keep.
ContractionOrder contraction_order(const std::vector<Labels>& tensors, const Labels& result,
                                   const std::vector<double>& sizes);

}  // namespace tegula
