// A tile program ready to run: loops chosen, operands classified, instructions resolved to loops
// over the slots of a working memory.
//
// The iteration space is two loops, outer and inner, each over one or more axes. Work goes tile by
// tile: some outer indices times a range of inner ones, more than one outer index only where the
// range is all of the inner loop, so that a tile is one stretch of elements numbered row-major.
// Where the reduction tree is `rows`, the inner loop is over the reduced axes and a row value has
// an element per outer index; for `columns` the outer loop is over the reduced axes and a row value
// has an element per inner index. A program without reduction is cut like `rows`, its last axis
// playing the reduced one. A tree of `rows` over axes that lie across what is contiguous (pixels of
// images whose channels come last) is cut like `columns`, once for each index of the batch axes.
#pragma once

#include <span>
#include <vector>

#include "backend/cpu/strided_transpose.h"
#include "backend/cpu/tile/chain.h"
#include "backend/cpu/tile/functions.h"
#include "runtime/kernel.h"

namespace tegula::cpu {

inline constexpr size_t kMaxElement = 16;  // bytes

enum class Level : uint8_t { scalar, row, full };

// A loop's axes and how an operand moves along them, in bytes.
struct Walk {
  Dims outer, inner, batch;
};

struct Operand {
  int32_t number = -1;  // input or output, -1 for an index instruction: memory whose bytes are
  bool output = false;  // their own addresses
  int64_t size = 0;  // bytes of an element
  Walk strides;
  Level level = Level::full;
  bool direct = false;  // a tile of it is contiguous memory, used in place
  bool repeats = false;  // the same for every outer index of a tile, which holds it once
  int32_t pitch =
      0;  // of a part's operand: bytes from a row of a tile to the next, where it has more
};

enum class StepKind : uint8_t {
  apply,  // function over all elements
  parts,  // function over the inner elements of each outer index
  gather,  // operand -> out
  scatter,  // a -> operand
  index,  // coordinates -> out
  reduce,  // a into reduction `number`
  chain,  // chain `number`
};

struct Step {
  StepKind kind = StepKind::apply;
  int32_t out = -1, a = -1, b = -1, c = -1;  // slots
  TileFunction function = nullptr;
  TileOp op = TileOp::index;  // what the function computes, where chains may have use for it
  bool is_float32 = false;
  int32_t number = -1;  // operand, reduction or chain
  // parts: bytes from one part to the next, per element of the inner range or in all
  int32_t per_element[4] = {}, fixed[4] = {};  // out, a, b, c
};

// Where a value is while the program runs.
struct Slot {
  enum Kind : uint8_t { fixed, operand, retained } kind = fixed;
  Level level = Level::full;
  int64_t size = 0;  // bytes of an element
  int64_t offset = 0;  // fixed and retained: into the working memory
  int32_t number = -1;  // operand
};

struct Reduction {
  TileOp op;
  DType dtype;
  int64_t size = 0;
  ReduceFunctions functions;
  int32_t result = -1;  // slot
  int64_t offset = 0;  // of its partial results in the working memory
};

struct Pass {
  std::vector<Step> row_steps;  // before the tiles
  std::vector<Step> full_steps;  // for each tile
  std::vector<int32_t> moving;  // slots whose place depends on the tile
  std::vector<int32_t> reductions;
};

struct CompiledTile {
  Dims outer_sizes, inner_sizes, batch_sizes;
  int64_t outer = 1, inner = 1, batch = 1;
  bool columns = false;
  bool lanes = false;  // columns are added up in the order of `rows`
  bool empty = false;
  bool blocks = false;  // tiles are blocks of two axes: the last outer one and the inner one

  // A chunk has rows_per_chunk row values; a tile has rows_per_tile outer indices or inner_step
  // inner ones. `run` is how far along the inner loop a tile may go before an axis ends.
  int64_t rows_per_tile = 1, inner_step = 1, run = 1, rows_per_chunk = 1;
  int64_t outer_run = 0;  // of parts: likewise, how many outer indices a tile may have
  // Pieces for parallel_for.
  int64_t outer_piece = 1, inner_piece = 1, batch_piece = 1;
  bool splits_reduction = false;
  double microseconds = 0;  // that one thread takes, about

  std::vector<Operand> operands;
  std::vector<Slot> slots;
  std::vector<Reduction> reductions;
  std::vector<Chain> chains;
  std::vector<Step> scalar_steps;
  std::vector<Pass> passes;  // the last has row steps only
  int64_t memory = 0;  // bytes of working memory

  StridedCopy copy[kMaxElement + 1] = {};  // by element size
  Transpose transpose[kMaxElement + 1] = {};

  // A program that only moves elements between different orders goes by strided_copy() instead.
  bool is_copy = false;
  Dims copy_shape, copy_to, copy_from;
};

// The program must have passed check().
CompiledTile compile_tile(const TileProgram& program);
void run_tile(const CompiledTile& tile, std::span<const View> inputs,
              std::span<const View> outputs);

// For running parts of the space, see epilogue.h: the inner loop is over `columns` elements of
// input 0, which is dense and the program's first load. The program has no reductions. Parts are
// of whole inner loops, or of any range of them.
enum class Parts : uint8_t { rows, blocks };
CompiledTile compile_tile_parts(const TileProgram& program, int64_t columns, Parts parts);
// Outer indices [outer, outer + rows) of inner ones [inner, inner + columns), on this thread.
void run_tile_part(const CompiledTile& tile, std::span<const View> inputs,
                   std::span<const View> outputs, int64_t outer, int64_t rows, int64_t inner,
                   int64_t columns);

}  // namespace tegula::cpu
