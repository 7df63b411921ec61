// What flows into one output of a node while gradients are swept back.
#pragma once

#include <memory>
#include <vector>

#include "graph/tensor.h"

namespace tegula {

// A sum of gradients. Those of slices wait for their neighbours: slices that lie side by side are
// joined, others written into their place, where each by itself would become a tensor of its own,
// zeros around it, to be added. The sum is the same, in the same order, but for the sign of a zero:
// beside other slices -0 stays -0, and is not added to a zero that makes it +0.
class Upstream {
 public:
  // Adds `gradient`, of the output's shape.
  void add(const Output& output, const Tensor& gradient);
  // Adds `gradient` to the output's elements at starts, starts + steps, ...
  void add_slice(const Output& output, const Tensor& gradient, Dims starts, Dims steps);
  // The sum, which is then let go; an empty Tensor if nothing came.
  Tensor take(const Output& output);

 private:
  struct Slice {
    Tensor gradient;
    Dims starts, steps;
  };

  struct Waiting {
    std::vector<Slice> slices;
    int64_t elements = 0;
  };

  void add_waiting(const Output& output);
  static int64_t axis_of_neighbours(const Waiting& waiting, const Shape& shape);
  static Tensor join(const Waiting& waiting, const Output& output, int64_t axis);
  static Tensor write_into(const Waiting& waiting, const Output& output, Tensor base);

  Tensor total_;
  std::unique_ptr<Waiting> waiting_;
};

}  // namespace tegula
