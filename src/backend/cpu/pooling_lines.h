// Pooling of images whose rows lie together in memory: see pooling.h.
#pragma once

#include "backend/cpu/pooling_shapes.h"

namespace tegula::cpu {

// What is pooled: an image, its windows, and the tap that each window chose. Where nobody wants
// the results or the choices, their data is null.
struct PoolViews {
  Image image, windows, choices;
};

// Whether the two functions below can serve.
template <class T>
bool have_lines(const Pooling& p, const PoolViews& v);

template <class T>
void pool_lines(const Pooling& p, const PoolViews& v, bool average);
template <class T>
void pool_lines_gradient(const Pooling& p, const PoolViews& v);

}  // namespace tegula::cpu
