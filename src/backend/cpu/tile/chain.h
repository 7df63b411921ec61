// Threaded code for runs of float32 steps: the elements of a tile pass through all steps of a run
// a few vectors at a time. Each instruction is a function that ends in a call of the next one, so
// the value it gives stays in vector registers; other values of the run wait in scratch memory of a
// few vectors. The functions are those of the steps, so the bits are the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "plan/tile.h"

namespace tegula::cpu {

// How an instruction finds its operand.
enum class Access : uint8_t {
  stream,  // moves on with the elements
  past,  // likewise, written past the caches
  fixed,  // in the same vectors at every stop
  repeat,  // one element for all
  near,  // lanes of a reduction that are in registers
};
enum class ChainKind : uint8_t {
  load,
  store,
  unary,
  binary,
  swapped,
  select,  // where(value at hand, operand, operand of the next entry)
  select_other,  // that entry
  reduce,
  reduce_tail,
  loop,
};

struct ChainInstr {
  using Function = void (*)();
  Function function = nullptr;
  std::byte* base = nullptr;  // of the operand
  int64_t per_row = 0;  // bytes from the operand of a row to that of the next, in run_chain_rows
  int64_t ahead = 0;  // of a stream: elements that are fetched before they are needed
};

// Memory that a run reads or writes, whose place depends on the tile.
struct ChainOperand {
  int32_t slot = -1;
  int32_t per_element = 0, fixed = 0;  // bytes from one row to the next, as in Step
  Access access = Access::stream;
  bool reads = false, writes = false;
  int32_t buffer = -1;  // scratch: where the tail of a stream is
  std::vector<int32_t> instrs;  // those that use it
};

struct Chain {
  // The last instruction is not one: it is where the lanes in registers are kept. A base is a place
  // in the scratch memory until it is bound.
  std::vector<ChainInstr> code, tail;
  std::vector<ChainOperand> operands;
  std::vector<int32_t> reductions;  // their lanes are the first scratch values
  int32_t near = 0;  // the scratch value of what is in registers from the beginning to the end
  int32_t scratch = 0;  // values
  int64_t memory = 0;  // offset of the code, then the tail, then the scratch memory
  int64_t step = 0;  // elements between two stops
  bool by_row = false;  // rows may not be joined
  bool writes_past = false;  // the caches
};

inline constexpr int64_t kScratch = 256;  // bytes of a scratch value
inline constexpr size_t kMaxFolds = 8;  // reductions of a chain

// Null where there is no such instruction.
ChainInstr::Function chain_function(ChainKind kind, TileOp op, Access access);
// By how it finds its two operands.
ChainInstr::Function select_function(Access first, Access second);
// The elements between two stops; 0 where threaded code is not available.
int64_t chain_step();
// Runs elements begin to end of the operands, with the lanes kept in registers from `near`.
void run_chain(const ChainInstr* code, const std::byte* near, int64_t begin, int64_t end);
// What becomes of the lanes of a reduction at the end of a row.
struct ChainFold {
  TileOp op;
  std::byte* lanes;
  std::byte* out;  // of the first row
  void (*block)(void* out, const void* data, int64_t n);
};
// Runs rows of `columns` elements, which are whole vectors.
void run_chain_rows(ChainInstr* code, size_t instrs, std::byte* near,
                    std::span<const ChainFold> folds, int64_t rows, int64_t columns);
// Sets the lanes of a reduction to what changes nothing.
void clear_lanes(TileOp op, std::byte* lanes);
// Makes what was written past the caches visible to others.
void finish_past_stores();

}  // namespace tegula::cpu
