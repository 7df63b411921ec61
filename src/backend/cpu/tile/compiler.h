// What compiles a tile program: compile_loops.cc chooses loops, tiles and pieces, compile.cc writes
// the steps.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "backend/cpu/tile/compiled.h"

namespace tegula::cpu {

inline constexpr int64_t kTile = 1024;  // elements
inline constexpr int64_t kRowsTile = 4096;  // where whole rows have values of their own
inline constexpr int64_t kLongTile = 8192;  // where no tile is kept in working memory
inline constexpr int64_t kBlock = 1 << 16;  // likewise, rows of a block

inline bool is_half(DType d) { return d == DType::float16 || d == DType::bfloat16; }
// What values of a dtype are kept as.
inline DType kept_as(DType d) { return is_half(d) ? DType::float32 : d; }

class Compiler {
 public:
  explicit Compiler(const TileProgram& program, int64_t part_columns = 0, Parts parts = Parts::rows)
      : p_(program), part_columns_(part_columns), in_blocks_(parts == Parts::blocks) {}

  CompiledTile compile();

 private:
  struct Value {
    bool live = false;
    Level level = Level::full;
    int pass = 0;  // full: where it is computed; else before which it is ready
    int last_pass = 0;  // full: the last that uses it
    int32_t slot = -1;
    int32_t operand = -1;
    std::vector<int32_t> slot_in_pass;  // full loads
  };

  const TileInstr& instr(size_t i) const { return p_.instrs[i]; }
  Value& source(const TileInstr& in, int k) { return values_[size_t(in.source[k])]; }

  // compile_loops.cc
  void find_live();
  void choose_loops();
  size_t contiguous_kept_axis(const std::vector<size_t>& kept) const;
  static int64_t divisor(int64_t n, int64_t limit);
  void cut_into_blocks();
  void sort_axes(std::vector<size_t>& axes) const;
  void add_axes(const std::vector<size_t>& axes, Dims& sizes, Dims Walk::* part);
  static bool moves(const Dims& strides);
  void find_levels();
  bool remade(size_t i);
  void find_passes();
  bool contiguous(const Operand& o, const Dims& strides, const Dims& sizes) const;
  bool dense(const Operand& o) const;
  bool repeats_per_row(const Operand& o) const;
  static int64_t even_part(int64_t total, int64_t limit, int64_t grain);
  void choose_tiles(int64_t wanted);
  void split_for_parts(const std::vector<size_t>& axes);
  void choose_block_tiles(int64_t tile);
  void choose_pieces();

  // compile.cc
  void find_copy();
  void reset();
  int32_t new_slot(Level level, int64_t size, Slot::Kind kind = Slot::fixed, int32_t number = -1);
  int64_t size_of(int32_t slot) const { return c_.slots[size_t(slot)].size; }
  Level level_of(int32_t slot) const { return c_.slots[size_t(slot)].level; }
  bool repeats(int32_t slot) const {
    const Slot& s = c_.slots[size_t(slot)];
    return s.kind == Slot::operand && c_.operands[size_t(s.number)].repeats;
  }
  int32_t pitch(int32_t slot) const {
    const Slot& s = c_.slots[size_t(slot)];
    return s.kind == Slot::operand ? c_.operands[size_t(s.number)].pitch : 0;
  }

  std::vector<Step>& section(Level level, int pass);
  void add(std::vector<Step>& steps, TileFunction function, int32_t out, int32_t a, int32_t b = -1,
           int32_t c = -1);
  void move_with(int32_t slot, int pass);
  int32_t use(int32_t i, int pass);
  int32_t remake(int32_t i, int pass);
  int32_t expand(int32_t slot, Level level, int pass);
  int32_t spread(int32_t slot, int pass);
  static TileFunction copy_of(int64_t size);
  int32_t load_raw(int32_t operand, int pass);
  int32_t widen(int32_t raw, DType dtype, int pass);
  int32_t load_full(int32_t i, int pass);
  void emit();
  void emit_value(size_t i, int pass);
  void emit_reduction(size_t i, int pass);
  void emit_store(size_t i, int pass);
  bool reads_input(const Step& s) const;
  bool writes_output(const Step& s) const;
  void place_stores(std::vector<Step>& steps);
  void write_directly(Pass& pass);
  bool needs_tiles() const;

  // compile_chain.cc
  bool chainable(const Step& s) const;
  bool extends(std::span<const Step> run, const Step& s) const;
  bool keeps_masks(const std::vector<Step>& steps, size_t begin, size_t end) const;
  bool pays(std::span<const Step> run) const;
  void form_chains(Pass& pass);
  Step make_chain(const std::vector<Step>& steps, size_t begin, size_t end);
  ChainOperand chain_operand(int32_t slot, Chain& chain);
  bool writes_past_caches(int32_t slot) const;
  std::vector<int32_t> slots_of(const Step& s) const;

  int64_t reserve(int64_t bytes);
  void place_slots();
  void place_tiles(const Pass& pass, int64_t tile, int64_t pad);

  const TileProgram& p_;
  const int64_t part_columns_;  // 0: the program runs as a whole
  const bool in_blocks_;
  CompiledTile c_;
  std::vector<Value> values_;
  std::vector<Strides> strides_;  // of operands, by axis of the program, in bytes
  std::vector<std::pair<int64_t, int64_t>> reusable_;  // size of element, offset
  int live_ = 0;
  int pass_count_ = 0;
};

}  // namespace tegula::cpu
