// The vector loops that tile programs are made of: one function per operation and type, found when
// a program is prepared, for the instruction set in use.
//
// 16-bit floats do not appear here except in casts: their values are kept as float32.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "plan/tile.h"

namespace tegula::cpu {

// Writes n elements of the result. `out` may be an operand's own memory, if the elements have the
// same size, but must not overlap it otherwise.
using TileFunction = void (*)(void* out, const void* a, const void* b, const void* c, int64_t n);

// Which of the last two operands are one element, used n times.
enum class Form : uint8_t { vectors, scalar_right, scalar_left };

// `dtype` is that of the operands (for where: of the last two). Null where there is no such loop.
// Operations with one operand ignore the form.
TileFunction arithmetic_function(TileOp op, DType dtype, Form form);
TileFunction logic_function(TileOp op, DType dtype, Form form);  // compare, bits, where
TileFunction math_function(TileOp op, DType dtype, Form form);
TileFunction complex_function(TileOp op, DType dtype, Form form);
// Any of them.
TileFunction find_function(TileOp op, DType dtype, Form form);

TileFunction cast_function(DType from, DType to);
// Rounds float32 values to those that float16 or bfloat16 can hold.
TileFunction rounding_function(DType dtype);
// Repeats one element of `size` (1, 2, 4, 8 or 16) bytes.
TileFunction fill_function(size_t size);

// The parts of a reduction; see ReduceTree. Elements have one dtype throughout.
struct ReduceFunctions {
  // One block of rows: n <= kRowBlock elements to one.
  void (*block)(void* out, const void* data, int64_t n) = nullptr;
  // Rows of one block each, one after the other.
  void (*rows)(void* out, const void* data, int64_t rows, int64_t n) = nullptr;
  // The same in parts: elements `start` ... of a block to its kRowLanes lanes, then one of them.
  void (*lanes)(void* lanes, const void* data, int64_t start, int64_t n) = nullptr;
  void (*fold)(void* out, void* lanes, int64_t n) = nullptr;
  // accumulated[j] = accumulated[j] op data[r * columns + j] for r = 0, 1, ...
  void (*columns)(void* accumulated, const void* data, int64_t rows, int64_t columns) = nullptr;
  // out[i] = a[i] op b[i]
  TileFunction combine = nullptr;
};
ReduceFunctions reduce_functions(TileOp op, DType dtype);

// Copies `count` elements of `size` bytes between memory with strides in bytes.
using StridedCopy = void (*)(std::byte* to, int64_t to_stride, const std::byte* from,
                             int64_t from_stride, int64_t count);
StridedCopy strided_copy_function(size_t size);

}  // namespace tegula::cpu
