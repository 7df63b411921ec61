// The vector loops of recurrent layers: what happens to hidden units between two products.
#pragma once

#include <cstdint>

namespace tegula::cpu {

// What one row of a step is made of. Gates are `hidden` elements apart, those of `sums`, which come
// from the product of state and weights, `pitch`.
struct UnitRange {
  int64_t count, hidden, pitch;
};

// Each runs over `count` hidden units of one row. T is float or double. Where a step's state lies
// before and after it may be the same place; `kept`, what the gradient needs, may be null.
template <class T>
struct RecurrentLoops {
  // in: gates i, f, g, o before bias and the state's sums are added; kept: the gates.
  void (*lstm)(const UnitRange& range, const T* in, const T* bias, const T* sums, const T* cell,
               T* next_cell, T* out, T* kept);
  // dh = dy + sums, where sums is what comes back from the next step. dcell is the gradient of the
  // cell after this step, then before it; `dgates` of the gates before their functions.
  void (*lstm_grad)(const UnitRange& range, const T* gates, const T* cell, const T* next_cell,
                    const T* dy, const T* sums, T* dcell, T* dgates);
  // in: gates r, z, n; bias: of the state's sums. kept: r, z, n and the state's part of n.
  void (*gru)(const UnitRange& range, const T* in, const T* sums, const T* bias, const T* before,
              T* out, T* kept);
  // carry is what the step's result gives to the state after it directly, then to that before it.
  // `din` and `dsums`: of the gates' two parts before their functions.
  void (*gru_grad)(const UnitRange& range, const T* kept, const T* before, const T* dy,
                   const T* sums, T* carry, T* din, T* dsums);
};
template <class T>
const RecurrentLoops<T>& recurrent_loops();

}  // namespace tegula::cpu
