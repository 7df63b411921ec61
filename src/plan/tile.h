// The tile program: the unit of fusion, and the contract between the planner, which writes it, and
// the back ends, which run it. docs/tile-format.md defines the format; tile_interpreter.h runs it
// slowly and literally, and every other executor is tested against that.
//
// A program runs over an iteration space of `extent`. Its last `reduce_axes` axes, if any, are
// reduced. A value is either *full* (one element per point of the space) or a *row* (one element
// per point of the axes that are left): what a reduction gives, a load that does not move along
// the reduced axes, an index of another axis, or an instruction with rows alone for operands. Using
// a row value in an instruction with a full operand, in a reduction, or in a store to an output
// that moves along the reduced axes repeats it along them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace tegula {

// clang-format off
enum class TileOp : uint8_t {
  // memory
  load, store, index,
  // one operand
  cast, negative, abs, sign, square, sqrt, rsqrt, reciprocal, exp, exp2, expm1, log, log1p, log2,
  log10, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, erf, sigmoid,
  floor, ceil, trunc, round, isnan, isinf, isfinite, signbit, logical_not, bitwise_invert,
  real, imag, conj,
  // two operands
  add, subtract, multiply, divide, floor_divide, remainder, pow, atan2, hypot, maximum, minimum,
  copysign, nextafter, equal, not_equal, less, less_equal, greater, greater_equal, logical_and,
  logical_or, logical_xor, bitwise_and, bitwise_or, bitwise_xor, bitwise_left_shift,
  bitwise_right_shift, complex,
  // three operands: where(condition, a, b)
  where,
  // full -> row
  sum, prod, max, min, any, all,
};
// clang-format on
inline constexpr int kTileOpCount = int(TileOp::all) + 1;

std::string_view name(TileOp op);
int arity(TileOp op);  // value operands: load and index 0, store 1, where 3
bool is_reduction(TileOp op);
bool is_comparison(TileOp op);  // takes two of one dtype and gives bool
// Finds an elementwise or reduction instruction by name; false when there is none.
bool find_tile_op(std::string_view name, TileOp& op);

struct TileInstr {
  TileOp op;
  DType dtype;  // of the result; for store, of the value stored
  int32_t source[3] = {-1, -1, -1};  // indices of earlier instructions
  int32_t operand = -1;  // load: input; store: output; index: axis of the iteration space

  friend bool operator==(const TileInstr&, const TileInstr&) = default;
};

// How an operand is walked: strides in elements, one per axis of the iteration space. An output
// of a row value has stride 0 along the reduced axes. All strides 0 make an input a scalar.
struct TileOperand {
  DType dtype;
  Strides strides;

  friend bool operator==(const TileOperand&, const TileOperand&) = default;
};

// The order in which a reduction adds up, part of its meaning so that every executor gives the
// same bits. In both, n elements are numbered in row-major order of the reduced axes, and the
// partial results of blocks (0, 1, 2, ...) are combined by pairwise(): see below.
enum class ReduceTree : uint8_t {
  // Blocks of kRowBlock elements. In a block, lane j of kRowLanes takes elements j, j + lanes,
  // j + 2 lanes, ... in order, starting from the first it has (lanes without elements do not take
  // part); then lane j absorbs lane j + h for h = lanes/2, lanes/4, ..., 1.
  rows,
  // Blocks of kColumnBlock elements, each added up one after the other.
  columns,
};
inline constexpr int64_t kRowBlock = 1024;
inline constexpr int64_t kRowLanes = 32;
inline constexpr int64_t kColumnBlock = 64;
// pairwise(b0..bn-1): the result of the largest power of two below n first blocks, combined with
// the result of the others; one block is itself. Equivalently: a binary counter of partials, its
// leftovers folded from the latest to the earliest.

// float16 and bfloat16 are computed in float32 and rounded after every instruction; sums and
// products of them are accumulated in float32 and rounded once. Sums of integers wrap. Arithmetic
// of complex numbers is that of base/complex.h; their functions are computed in complex128.
struct TileProgram {
  Shape extent;
  int reduce_axes = 0;
  ReduceTree tree = ReduceTree::rows;
  std::vector<TileOperand> inputs;
  std::vector<TileOperand> outputs;
  std::vector<TileInstr> instrs;

  friend bool operator==(const TileProgram&, const TileProgram&) = default;
};

// For every instruction, whether its value is full rather than a row. A store has its operand's.
std::vector<bool> full_values(const TileProgram& program);
// Whether the strides move along the reduced axes (axes of size 1 do not count).
bool moves_along_reduced(const TileProgram& program, const Strides& strides);

// Throws ValueError naming the instruction and the rule broken. A checked program is safe to run
// on operands as large as its strides say.
void check(const TileProgram& program);
// The text form of docs/tile-format.md, and back. parse(print(p)) == p; parse throws ValueError
// naming line and column.
std::string print(const TileProgram& program);
TileProgram parse_tile(std::string_view text);

}  // namespace tegula
