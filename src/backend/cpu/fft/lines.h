// One-dimensional transforms of many lines.
#pragma once

#include "backend/cpu/fft/plan.h"
#include "base/shape.h"

namespace tegula::cpu::fft {

enum class Numbers : uint8_t { complex, to_complex, to_real };

// Lines along one axis. Distances count T's: a complex number is two of them.
template <class T>
struct AxisTransform {
  const T* in = nullptr;
  T* out = nullptr;
  Dims shape;  // of the other axes
  Strides in_strides, out_strides;
  int64_t in_step = 0, out_step = 0;  // along the axis
  int64_t count = 0;  // numbers that a line of `in` has; zeros follow, or the rest is not read
  // The length of the transform: n complex numbers; n real ones to or from n / 2 + 1 complex ones.
  int64_t n = 0;
  Numbers numbers = Numbers::complex;
  bool inverse = false;  // complex: e^(+2 pi i ...)
  double scale = 1;
  bool last = false;  // no other axis has its numbers within those of this one
};

// `in` and `out` may be one and the same, with equal strides, for Numbers::complex.
template <class T>
void transform_axis(const AxisTransform<T>& t);

// The contiguous complex line z, in place.
template <class T>
void transform_line(const LinePlan<T>& plan, T* z);

}  // namespace tegula::cpu::fft
