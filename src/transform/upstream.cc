#include "transform/upstream.h"

#include <algorithm>

#include "graph/node.h"
#include "ops/ops.h"

namespace tegula {

void Upstream::add(const Output& output, const Tensor& gradient) {
  add_waiting(output);
  total_ = total_ ? tegula::add(total_, gradient) : gradient;
}

void Upstream::add_slice(const Output& output, const Tensor& gradient, Dims starts, Dims steps) {
  // More elements than there are: some overlap, so waiting for more would only hold memory.
  if (waiting_ && waiting_->elements + gradient.size() > numel(output.shape)) add_waiting(output);
  if (!waiting_) waiting_ = std::make_unique<Waiting>();
  waiting_->elements += gradient.size();
  waiting_->slices.push_back({gradient, std::move(starts), std::move(steps)});
}

Tensor Upstream::take(const Output& output) {
  add_waiting(output);
  return std::exchange(total_, {});
}

void Upstream::add_waiting(const Output& output) {
  if (!waiting_) return;
  const std::unique_ptr<Waiting> waiting = std::move(waiting_);
  const int64_t axis = axis_of_neighbours(*waiting, output.shape);
  if (axis >= 0 || waiting->slices.size() == 1) {
    const Tensor joined = join(*waiting, output, axis);
    total_ = total_ ? tegula::add(total_, joined) : joined;
  } else {
    total_ = write_into(*waiting, output, std::move(total_));
  }
}

// The one axis that all are cut along, into runs of neighbours that do not overlap; -1 if there is
// none. Sorting would change the order of a sum, so it happens only where nothing is added.
int64_t Upstream::axis_of_neighbours(const Waiting& waiting, const Shape& shape) {
  int64_t axis = -1;
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (const Slice& slice : waiting.slices) {
    const Shape& part = slice.gradient.shape();
    for (size_t i = 0; i < shape.size(); ++i) {
      if (slice.steps[i] != 1 && part[i] > 1) return -1;
      if (part[i] == shape[i]) continue;
      if (axis >= 0 && axis != int64_t(i)) return -1;
      axis = int64_t(i);
    }
  }
  if (axis < 0) return -1;
  for (const Slice& slice : waiting.slices) {
    const int64_t start = slice.starts[size_t(axis)];
    runs.emplace_back(start, start + slice.gradient.shape()[size_t(axis)]);
  }
  std::sort(runs.begin(), runs.end());
  for (size_t i = 1; i < runs.size(); ++i)
    if (runs[i].first < runs[i - 1].second) return -1;
  return axis;
}

// Slices that do not overlap as one tensor. Where they leave nothing out they are concatenated;
// else they are written over zeros, and where they begin is no part of the plan.
Tensor Upstream::join(const Waiting& waiting, const Output& output, int64_t axis) {
  if (axis >= 0 && waiting.elements > 0 && waiting.elements == numel(output.shape)) {
    std::vector<const Slice*> sorted;
    for (const Slice& slice : waiting.slices) sorted.push_back(&slice);
    std::sort(sorted.begin(), sorted.end(), [&](const Slice* a, const Slice* b) {
      return a->starts[size_t(axis)] < b->starts[size_t(axis)];
    });
    Tensors parts;
    for (const Slice* slice : sorted) parts.push_back(slice->gradient);
    return concat(parts, axis);
  }
  Tensor joined = zeros(output.shape, output.dtype);
  for (const Slice& s : waiting.slices)
    joined = slice_update(joined, s.gradient, s.starts, s.steps);
  return joined;
}

// Adds slices of any kind to `base`, one after the other in the order they came, each in its place.
Tensor Upstream::write_into(const Waiting& waiting, const Output& output, Tensor base) {
  for (const Slice& s : waiting.slices) {
    Tensor sum = s.gradient;
    if (base) sum = tegula::add(slice(base, s.starts, sum.shape(), s.steps), sum);
    else base = zeros(output.shape, output.dtype);
    base = slice_update(base, sum, s.starts, s.steps);
  }
  return base;
}

}  // namespace tegula
