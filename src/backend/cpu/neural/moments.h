// Mean and variance of the elements along some axes, read once.
//
// The elements that go into one result are cut, by shape alone, into blocks of neighbours along the
// last reduced axes. A block has 16 sums, to which its elements go in turn; its mean and the sum of
// squared distances to it are made while it is in the cache, and those of the blocks are put
// together in double precision.
#pragma once

#include <cstdint>

#include "runtime/kernel.h"

namespace tegula::cpu {

template <class T>
struct MomentsKernels {
  // Of one block of neighbours.
  void (*row)(const T* x, int64_t count, T* mean, T* spread);
  // Of a block for each of `columns` neighbours; elements of a block are `step` apart.
  void (*columns)(const T* x, int64_t step, int64_t count, int64_t columns, T* mean, T* spread);
};
template <class T>
const MomentsKernels<T>& moments_kernels();

ChannelsLast moments_channels_last(const StepSpec& step);
void run_moments(const KernelArgs& args);

}  // namespace tegula::cpu
