// Compiles tile programs; see compiled.h.
#include <algorithm>
#include <bit>

#include "backend/cpu/isa.h"
#include "backend/cpu/tile/compiled.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kTile = 1024;       // elements
constexpr int64_t kLongTile = 8192;   // where no tile is kept in working memory
constexpr int64_t kPieceWork = 131072;  // instructions times elements
constexpr int64_t kRetained = 1 << 17;  // elements of a row value's columns kept between passes
constexpr int64_t kLine = 64;
constexpr int64_t kBlockFrom = 16384;  // elements from which transposed operands are cut in blocks
constexpr int64_t kBlockRows = 32, kBlockColumns = 64;

bool is_half(DType d) { return d == DType::float16 || d == DType::bfloat16; }
// What values of a dtype are kept as.
DType kept_as(DType d) { return is_half(d) ? DType::float32 : d; }

// Gives a value that its 16-bit type holds whenever the operands are such.
bool is_exact(TileOp op) {
  switch (op) {
    case TileOp::negative: case TileOp::abs: case TileOp::sign: case TileOp::floor:
    case TileOp::ceil: case TileOp::trunc: case TileOp::round: case TileOp::maximum:
    case TileOp::minimum: case TileOp::copysign: case TileOp::nextafter: case TileOp::where:
    case TileOp::max: case TileOp::min: return true;
    default: return false;
  }
}

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

class Compiler {
 public:
  explicit Compiler(const TileProgram& program) : p_(program) {}

  CompiledTile compile() {
    c_.columns = p_.reduce_axes > 0 && p_.tree == ReduceTree::columns;
    find_live();
    choose_loops();
    if (c_.empty) return std::move(c_);
    find_levels();
    find_passes();
    choose_tiles(kTile);
    emit();
    if (!needs_tiles() && c_.rows_per_tile == 1 && c_.inner > c_.inner_step) {
      reset();
      choose_tiles(kLongTile);
      emit();
    }
    choose_pieces();
    place_slots();
    for (size_t size : {1, 2, 4, 8}) c_.copy[size] = strided_copy_function(size);
    return std::move(c_);
  }

 private:
  struct Value {
    bool live = false;
    Level level = Level::full;
    int pass = 0;        // full: where it is computed; else before which it is ready
    int last_pass = 0;   // full: the last that uses it
    int32_t slot = -1;
    int32_t operand = -1;
    std::vector<int32_t> slot_in_pass;  // full loads
  };

  const TileInstr& instr(size_t i) const { return p_.instrs[i]; }
  Value& source(const TileInstr& in, int k) { return values_[size_t(in.source[k])]; }

  void find_live() {
    values_.resize(p_.instrs.size());
    for (size_t i = p_.instrs.size(); i-- > 0;) {
      if (instr(i).op == TileOp::store) values_[i].live = true;
      if (!values_[i].live) continue;
      ++live_;
      for (int k = 0; k < arity(instr(i).op); ++k) source(instr(i), k).live = true;
    }
  }

  // --- loops ---

  void choose_loops() {
    // Every walk over the space: operands used, then index instructions.
    const size_t rank = p_.extent.size();
    for (size_t i = 0; i < p_.instrs.size(); ++i) {
      if (!values_[i].live) continue;
      const TileInstr& in = instr(i);
      if (in.op != TileOp::load && in.op != TileOp::store && in.op != TileOp::index) continue;
      Operand o;
      Strides strides(rank, 0);
      if (in.op == TileOp::index) {
        o.size = 8;
        strides[size_t(in.operand)] = 1;
      } else {
        o.number = in.operand;
        o.output = in.op == TileOp::store;
        const TileOperand& from = (o.output ? p_.outputs : p_.inputs)[size_t(in.operand)];
        o.size = int64_t(itemsize(from.dtype));
        for (size_t a = 0; a < rank; ++a) strides[a] = from.strides[a] * o.size;
      }
      values_[i].operand = int32_t(c_.operands.size());
      c_.operands.push_back(o);
      strides_.push_back(strides);
    }
    std::vector<size_t> kept, reduced;
    const size_t first_reduced = rank - size_t(p_.reduce_axes);
    for (size_t a = 0; a < rank; ++a) {
      if (p_.extent[a] == 1) continue;
      (a < first_reduced ? kept : reduced).push_back(a);
    }
    int64_t rows = 1, all = 1;
    for (size_t a = 0; a < rank; ++a) {
      all *= p_.extent[a];
      if (a < first_reduced) rows *= p_.extent[a];
    }
    c_.empty = p_.reduce_axes > 0 ? rows == 0 : all == 0;
    if (c_.empty) return;
    sort_axes(kept);
    if (p_.reduce_axes == 0) {
      add_axes(kept, c_.inner_sizes, &Walk::inner);
      // The last axis is the inner loop, the others the outer one.
      while (c_.inner_sizes.size() > 1) {
        c_.outer_sizes.push_back(c_.inner_sizes[0]);
        c_.inner_sizes.erase(0);
        for (Operand& o : c_.operands) {
          o.strides.outer.push_back(o.strides.inner[0]);
          o.strides.inner.erase(0);
        }
      }
      cut_into_blocks();
    } else if (c_.columns) {
      add_axes(reduced, c_.outer_sizes, &Walk::outer);
      add_axes(kept, c_.inner_sizes, &Walk::inner);
    } else {
      add_axes(kept, c_.outer_sizes, &Walk::outer);
      add_axes(reduced, c_.inner_sizes, &Walk::inner);
    }
    c_.outer = product(c_.outer_sizes);
    c_.inner = product(c_.inner_sizes);
  }

  static int64_t divisor(int64_t n, int64_t limit) {
    int64_t d = std::min(n, limit);
    while (n % d != 0) --d;
    return d;
  }

  // Where an operand is contiguous along an outer axis but not along the inner loop (a transposed
  // input), tiles are blocks of the two axes, so that its cache lines are used in full: the axes
  // are cut in two, and a block's rows and columns become the last two.
  void cut_into_blocks() {
    if (c_.outer_sizes.empty() || product(c_.outer_sizes) * c_.inner_sizes[0] < kBlockFrom) return;
    const int64_t inner = c_.inner_sizes[0];
    size_t axis = c_.outer_sizes.size();
    for (const Operand& o : c_.operands) {
      if (o.number < 0 || std::abs(o.strides.inner[0]) < kLine) continue;
      for (size_t a = 0; a < c_.outer_sizes.size(); ++a)
        if (std::abs(o.strides.outer[a]) == o.size) axis = a;
    }
    if (axis == c_.outer_sizes.size()) return;
    const int64_t tile = tile_size(kTile);
    const int64_t columns = divisor(inner, std::min<int64_t>(kBlockColumns, tile));
    const int64_t rows = divisor(c_.outer_sizes[axis],
                                 std::clamp<int64_t>(tile / columns, 1, kBlockRows));
    if (rows < 4 || columns < 4) return;
    c_.outer_sizes[axis] /= rows;
    c_.outer_sizes.push_back(inner / columns);
    c_.outer_sizes.push_back(rows);
    c_.inner_sizes[0] = columns;
    for (Operand& o : c_.operands) {
      o.strides.outer.push_back(o.strides.inner[0] * columns);
      o.strides.outer.push_back(o.strides.outer[axis]);
      o.strides.outer[axis] *= rows;
    }
    c_.blocks = true;
  }

  // Axes that are not reduced may be walked in any order: that of the operand that moves most,
  // or of the first output.
  void sort_axes(std::vector<size_t>& axes) const {
    if (c_.operands.empty()) return;
    size_t guide = c_.operands.size() - 1;
    size_t best = 0;
    for (size_t k = 0; k < c_.operands.size(); ++k) {
      size_t moves = 0;
      for (size_t a : axes) moves += strides_[k][a] != 0;
      if (c_.operands[k].number < 0) continue;
      if (moves > best || (moves == best && c_.operands[k].output && !c_.operands[guide].output)) {
        best = moves;
        guide = k;
      }
    }
    const Strides& s = strides_[guide];
    std::stable_sort(axes.begin(), axes.end(),
                     [&](size_t a, size_t b) { return std::abs(s[a]) > std::abs(s[b]); });
  }

  // Appends axes to a loop, joining neighbours that every operand walks as one.
  void add_axes(const std::vector<size_t>& axes, Dims& sizes, Dims Walk::*part) {
    for (size_t a : axes) {
      bool joins = !sizes.empty();
      for (size_t k = 0; joins && k < c_.operands.size(); ++k)
        joins = (c_.operands[k].strides.*part).back() == strides_[k][a] * p_.extent[a];
      if (joins) sizes.back() *= p_.extent[a];
      else sizes.push_back(p_.extent[a]);
      for (size_t k = 0; k < c_.operands.size(); ++k) {
        Dims& walk = c_.operands[k].strides.*part;
        if (joins) walk.back() = strides_[k][a];
        else walk.push_back(strides_[k][a]);
      }
    }
  }

  // --- levels and passes ---

  static bool moves(const Dims& strides) {
    return std::any_of(strides.begin(), strides.end(), [](int64_t s) { return s != 0; });
  }

  void find_levels() {
    for (Operand& o : c_.operands) {
      const Dims& along = c_.columns ? o.strides.outer : o.strides.inner;
      const Dims& across = c_.columns ? o.strides.inner : o.strides.outer;
      o.level = moves(along) ? Level::full : moves(across) ? Level::row : Level::scalar;
    }
    for (size_t i = 0; i < values_.size(); ++i) {
      Value& v = values_[i];
      if (!v.live) continue;
      if (v.operand >= 0) {
        v.level = c_.operands[size_t(v.operand)].level;
        // A row is the least that is stored.
        if (instr(i).op == TileOp::store) v.level = std::max(v.level, Level::row);
      } else if (is_reduction(instr(i).op)) {
        v.level = Level::row;
      } else {
        v.level = Level::scalar;
        for (int k = 0; k < arity(instr(i).op); ++k)
          v.level = std::max(v.level, source(instr(i), k).level);
      }
    }
  }

  void find_passes() {
    int last_load = 0;  // the last pass that reads a full input
    int last = -1;
    const auto read_in = [&](Value& v, int pass) {
      v.last_pass = std::max(v.last_pass, pass);
      if (v.level == Level::full && v.operand >= 0) last_load = std::max(last_load, pass);
    };
    for (size_t i = 0; i < values_.size(); ++i) {
      Value& v = values_[i];
      if (!v.live || instr(i).op == TileOp::store) continue;
      const int count = arity(instr(i).op);
      for (int k = 0; k < count; ++k) v.pass = std::max(v.pass, source(instr(i), k).pass);
      const bool reduces = is_reduction(instr(i).op);
      if (reduces || v.level == Level::full) {
        for (int k = 0; k < count; ++k) read_in(source(instr(i), k), v.pass);
        last = std::max(last, v.pass);
      }
      v.last_pass = v.pass;
      if (reduces) ++v.pass;
    }
    // Outputs may be inputs' memory: full values are stored once nothing reads inputs again.
    for (size_t i = 0; i < values_.size(); ++i) {
      Value& v = values_[i];
      if (instr(i).op != TileOp::store || v.level != Level::full) continue;
      v.pass = source(instr(i), 0).pass;
      read_in(source(instr(i), 0), v.pass);
      last = std::max(last, v.pass);
    }
    for (size_t i = 0; i < values_.size(); ++i) {
      Value& v = values_[i];
      if (instr(i).op != TileOp::store || v.level != Level::full) continue;
      v.pass = std::max(v.pass, last_load);
      read_in(source(instr(i), 0), v.pass);
      last = std::max(last, v.pass);
    }
    pass_count_ = last + 1;
  }

  // --- tiles and pieces ---

  bool contiguous(const Operand& o, const Dims& strides, const Dims& sizes) const {
    int64_t step = o.size;
    for (size_t a = sizes.size(); a-- > 0; step *= sizes[a])
      if (strides[a] != step) return false;
    return true;
  }
  bool dense(const Operand& o) const {
    if (!contiguous(o, o.strides.inner, c_.inner_sizes)) return false;
    int64_t step = o.size * c_.inner;
    for (size_t a = c_.outer_sizes.size(); a-- > 0; step *= c_.outer_sizes[a])
      if (o.strides.outer[a] != step) return false;
    return true;
  }

  static int64_t even_part(int64_t total, int64_t limit, int64_t grain) {
    if (total <= limit) return std::max<int64_t>(total, 1);
    const int64_t parts = (total + limit - 1) / limit;
    const int64_t part = (total + parts - 1) / parts;
    return std::min(limit, (part + grain - 1) / grain * grain);
  }

  void choose_tiles(int64_t wanted) {
    int64_t widest = 1;
    for (const TileInstr& in : p_.instrs)
      widest = std::max(widest, int64_t(itemsize(kept_as(in.dtype))));
    const bool reduces = p_.reduce_axes > 0;
    // Tiles of a reduction along rows are whole blocks.
    if (widest == 8 && wanted == kTile && !(reduces && !c_.columns)) wanted /= 2;
    const int64_t tile = tile_size(wanted);
    const int64_t inner = std::max<int64_t>(c_.inner, 1);
    bool all_dense = true;
    for (const Operand& o : c_.operands)
      if (o.level == Level::full && !(o.number >= 0 && dense(o))) all_dense = false;
    c_.run = inner;
    c_.rows_per_tile = 1;
    if (c_.columns && c_.inner_sizes.size() > 1 && c_.inner_sizes.back() >= 64)
      c_.run = c_.inner_sizes.back();
    int64_t limit = tile;
    if (c_.columns && pass_count_ > 1)
      limit = std::clamp<int64_t>(kRetained / std::max<int64_t>(c_.outer, 1), 1, tile);
    // A row a little longer than a tile is one tile.
    if (c_.run <= limit + limit / 2 && c_.run < inner) limit = c_.run;
    if (inner <= limit + limit / 2) {
      c_.run = inner;
      c_.inner_step = inner;
      if (all_dense || inner < 256) {
        c_.rows_per_tile = std::clamp<int64_t>(tile / inner, 1, std::max<int64_t>(c_.outer, 1));
      }
    } else if (reduces && !c_.columns) {
      c_.inner_step = tile >= kRowBlock ? tile / kRowBlock * kRowBlock
                                        : std::max<int64_t>(tile, 1);
    } else {
      c_.inner_step = even_part(c_.run, limit, limit >= 64 ? 32 : 1);
    }
    if (c_.blocks) c_.rows_per_tile = c_.outer_sizes.back();
    c_.rows_per_chunk = c_.columns ? c_.inner_step : c_.rows_per_tile;
    for (Operand& o : c_.operands) {
      if (o.number < 0 || o.level != Level::full) continue;
      const bool straight = c_.run < inner ? o.strides.inner.back() == o.size
                                           : contiguous(o, o.strides.inner, c_.inner_sizes);
      o.direct = dense(o) || (straight && c_.rows_per_tile == 1);
    }
  }

  void choose_pieces() {
    const int64_t elements =
        tile_size(std::clamp<int64_t>(kPieceWork / std::max(live_, 1), 8192, 65536));
    const bool reduces = !c_.reductions.empty();
    const int64_t outer = c_.outer, inner = std::max<int64_t>(c_.inner, 1);
    const auto power = [](int64_t n) { return int64_t(std::bit_ceil(uint64_t(n))); };
    c_.outer_piece = std::max<int64_t>(outer, 1);
    c_.inner_piece = inner;
    if (!c_.columns) {
      const int64_t rows = std::max(elements / inner, c_.rows_per_tile);
      c_.outer_piece = (rows + c_.rows_per_tile - 1) / c_.rows_per_tile * c_.rows_per_tile;
      if (p_.reduce_axes == 0 && inner >= 2 * elements) {
        c_.inner_piece = (elements + c_.inner_step - 1) / c_.inner_step * c_.inner_step;
      } else if (reduces && pass_count_ == 1 && inner >= 4 * elements && outer < 16) {
        c_.inner_piece = power(std::max(elements, kRowBlock));
        c_.splits_reduction = c_.inner_piece < inner;
      }
      return;
    }
    if (outer * inner < 2 * elements) return;
    const int64_t steps = std::max<int64_t>(elements / std::max<int64_t>(outer * c_.inner_step, 1), 1);
    c_.inner_piece = c_.run < inner ? c_.run : std::min(inner, steps * c_.inner_step);
    const int64_t across = (inner + c_.inner_piece - 1) / c_.inner_piece;
    if (reduces && pass_count_ == 1 && outer * c_.inner_piece >= 4 * elements && across < 16) {
      c_.outer_piece = power(std::max(elements / c_.inner_piece, kColumnBlock));
      c_.splits_reduction = c_.outer_piece < outer;
    }
  }

  // --- steps ---

  void reset() {
    c_.slots.clear();
    c_.reductions.clear();
    c_.scalar_steps.clear();
    c_.passes.clear();
    for (Value& v : values_) {
      v.slot = -1;
      v.slot_in_pass.clear();
    }
  }

  int32_t new_slot(Level level, int64_t size, Slot::Kind kind = Slot::fixed, int32_t number = -1) {
    c_.slots.push_back({kind, level, size, 0, number});
    return int32_t(c_.slots.size()) - 1;
  }
  int64_t size_of(int32_t slot) const { return c_.slots[size_t(slot)].size; }
  Level level_of(int32_t slot) const { return c_.slots[size_t(slot)].level; }

  // The steps that compute values of a level that are ready before, or full in, a pass.
  std::vector<Step>& section(Level level, int pass) {
    if (level == Level::scalar) return c_.scalar_steps;
    Pass& at = c_.passes[size_t(pass)];
    return level == Level::row ? at.row_steps : at.full_steps;
  }

  void add(std::vector<Step>& steps, TileFunction function, int32_t out, int32_t a, int32_t b = -1,
           int32_t c = -1) {
    Step s;
    s.function = function;
    s.out = out;
    s.a = a;
    s.b = b;
    s.c = c;
    const int32_t slots[4] = {out, a, b, c};
    bool in_parts = false;
    for (int k = 0; k < 4; ++k) {
      if (slots[k] < 0) continue;
      const int32_t size = int32_t(size_of(slots[k]));
      if (level_of(slots[k]) == Level::full) s.per_element[k] = size;
      if (level_of(slots[k]) == Level::row && level_of(out) == Level::full) {
        s.fixed[k] = c_.columns ? 0 : size;
        in_parts = c_.rows_per_tile > 1;
      }
    }
    if (in_parts) s.kind = StepKind::parts;
    steps.push_back(s);
  }

  void move_with(int32_t slot, int pass) {
    std::vector<int32_t>& moving = c_.passes[size_t(pass)].moving;
    if (std::find(moving.begin(), moving.end(), slot) == moving.end()) moving.push_back(slot);
  }

  // The slot of a value used in `pass`.
  int32_t use(int32_t i, int pass) {
    Value& v = values_[size_t(i)];
    if (v.level == Level::full) {
      if (v.operand >= 0) return load_full(i, pass);
      if (c_.slots[size_t(v.slot)].kind == Slot::retained) move_with(v.slot, pass);
      return v.slot;
    }
    return v.slot;
  }

  // Repeats a value of a lower level.
  int32_t expand(int32_t slot, Level level, int pass) {
    if (level_of(slot) >= level) return slot;
    const int64_t size = size_of(slot);
    const int32_t out = new_slot(level, size);
    const bool copies = c_.columns && level_of(slot) == Level::row;
    add(section(level, pass), copies ? copy_of(size) : fill_function(size_t(size)), out, slot);
    return out;
  }
  static TileFunction copy_of(int64_t size) {
    constexpr DType by_size[] = {DType::uint8, DType::uint16, DType::uint32, DType::uint64};
    return arithmetic_function(TileOp::load, by_size[std::countr_zero(uint64_t(size))],
                               Form::vectors);
  }

  // An operand's raw elements at its own level.
  int32_t load_raw(int32_t operand, int pass) {
    const Operand& o = c_.operands[size_t(operand)];
    if (o.direct) {
      const int32_t slot = new_slot(o.level, o.size, Slot::operand, operand);
      move_with(slot, pass);
      return slot;
    }
    Step s;
    s.kind = o.number < 0 ? StepKind::index : StepKind::gather;
    s.out = new_slot(o.level, o.size);
    s.number = operand;
    section(o.level, pass).push_back(s);
    return s.out;
  }
  int32_t widen(int32_t raw, DType dtype, int pass) {
    if (!is_half(dtype)) return raw;
    const int32_t slot = new_slot(level_of(raw), 4);
    add(section(level_of(raw), pass), cast_function(dtype, DType::float32), slot, raw);
    return slot;
  }
  int32_t load_full(int32_t i, int pass) {
    Value& v = values_[size_t(i)];
    v.slot_in_pass.resize(size_t(pass_count_), -1);
    int32_t& slot = v.slot_in_pass[size_t(pass)];
    if (slot < 0) {
      const int32_t made = widen(load_raw(v.operand, pass), instr(size_t(i)).dtype, pass);
      values_[size_t(i)].slot_in_pass[size_t(pass)] = made;
      return made;
    }
    return slot;
  }

  void emit() {
    c_.passes.resize(size_t(pass_count_) + 1);
    for (int pass = 0; pass <= pass_count_; ++pass) {
      for (size_t i = 0; i < values_.size(); ++i) {
        const Value& v = values_[i];
        if (!v.live || instr(i).op == TileOp::store) continue;
        if (is_reduction(instr(i).op)) {
          if (v.pass == pass + 1) emit_reduction(i, pass);
        } else if (v.pass == pass) {
          emit_value(i, pass);
        }
      }
      for (size_t i = 0; i < values_.size(); ++i)
        if (instr(i).op == TileOp::store) {
          const int when = values_[i].level == Level::full ? values_[i].pass : pass_count_;
          if (when == pass) emit_store(i, pass);
        }
    }
    for (Pass& pass : c_.passes) {
      place_stores(pass.row_steps);
      place_stores(pass.full_steps);
      write_directly(pass);
    }
  }

  void emit_value(size_t i, int pass) {
    const TileInstr& in = instr(i);
    Value& v = values_[i];
    if (v.operand >= 0) {
      if (v.level != Level::full) v.slot = widen(load_raw(v.operand, pass), in.dtype, pass);
      return;
    }
    const int64_t size = int64_t(itemsize(kept_as(in.dtype)));
    int32_t slots[3] = {-1, -1, -1};
    const int count = arity(in.op);
    for (int k = 0; k < count; ++k) slots[k] = use(in.source[k], pass);
    const DType from = instr(size_t(in.source[count - 1])).dtype;
    std::vector<Step>& steps = section(v.level, pass);
    const Level level = v.level;
    const bool kept = level == Level::full && v.last_pass > v.pass;
    const auto make_out = [&] {
      const int32_t slot = new_slot(level, size, kept ? Slot::retained : Slot::fixed);
      if (kept) move_with(slot, pass);
      return slot;
    };
    if (in.op == TileOp::cast) {
      const DType a = kept_as(from), b = kept_as(in.dtype);
      const bool rounds = is_half(in.dtype) && from != in.dtype;
      if (a == b && !rounds && !kept) {
        v.slot = slots[0];
        return;
      }
      const int32_t out = make_out();
      if (a != b) {
        add(steps, cast_function(a, b), out, slots[0]);
        if (rounds) add(steps, rounding_function(in.dtype), out, out);
      } else {
        add(steps, rounds ? rounding_function(in.dtype) : copy_of(size), out, slots[0]);
      }
      v.slot = out;
      return;
    }
    // One operand at most is repeated by the loop itself.
    Form form = Form::vectors;
    int scalars = 0;
    for (int k = 0; k < count; ++k) {
      const bool last_two = k >= count - 2 && count >= 2;
      const Level has = level_of(slots[k]);
      if (has == level) continue;
      if (c_.columns && has == Level::row && count >= 2) continue;  // a vector for every part
      if (last_two && scalars == 0) {
        ++scalars;
        form = k == count - 1 ? Form::scalar_right : Form::scalar_left;
      } else {
        slots[k] = expand(slots[k], level, pass);
      }
    }
    const DType dtype =
        in.op == TileOp::nextafter ? from : kept_as(from);
    const int32_t out = make_out();
    std::vector<Step>& to = section(level, pass);
    add(to, find_function(in.op, dtype, form), out, slots[0], slots[1], slots[2]);
    if (is_half(in.dtype) && !is_exact(in.op)) add(to, rounding_function(in.dtype), out, out);
    values_[i].slot = out;
  }

  void emit_reduction(size_t i, int pass) {
    const TileInstr& in = instr(i);
    Step s;
    s.kind = StepKind::reduce;
    s.a = expand(use(in.source[0], pass), Level::full, pass);
    s.number = int32_t(c_.reductions.size());
    Reduction r;
    r.op = in.op;
    r.dtype = kept_as(in.dtype);
    r.size = int64_t(itemsize(r.dtype));
    r.functions = reduce_functions(in.op, r.dtype);
    r.result = new_slot(Level::row, r.size);
    c_.reductions.push_back(r);
    c_.passes[size_t(pass)].full_steps.push_back(s);
    c_.passes[size_t(pass)].reductions.push_back(s.number);
    values_[i].slot = r.result;
    if (is_half(in.dtype) && !is_exact(in.op))
      add(c_.passes[size_t(pass) + 1].row_steps, rounding_function(in.dtype), r.result, r.result);
  }

  void emit_store(size_t i, int pass) {
    const TileInstr& in = instr(i);
    Value& v = values_[i];
    const Operand& o = c_.operands[size_t(v.operand)];
    Value& from = source(in, 0);
    const bool raw = is_half(in.dtype) && instr(size_t(in.source[0])).op == TileOp::load &&
                     from.level == v.level;  // a copy keeps every bit
    int32_t slot = raw ? load_raw(from.operand, pass)
                       : expand(use(in.source[0], pass), v.level, pass);
    std::vector<Step>& steps = section(v.level, pass);
    const bool narrows = is_half(in.dtype) && !raw;
    const TileFunction narrow = narrows ? cast_function(DType::float32, in.dtype) : nullptr;
    if (o.direct && v.level == Level::full) {
      const int32_t out = new_slot(Level::full, o.size, Slot::operand, v.operand);
      move_with(out, pass);
      add(steps, narrows ? narrow : copy_of(o.size), out, slot);
      return;
    }
    if (narrows) {
      const int32_t narrowed = new_slot(v.level, 2);
      add(steps, narrow, narrowed, slot);
      slot = narrowed;
    }
    Step s;
    s.kind = StepKind::scatter;
    s.a = slot;
    s.number = v.operand;
    steps.push_back(s);
  }

  bool reads_input(const Step& s) const {
    if (s.kind == StepKind::gather) return true;
    for (int32_t slot : {s.a, s.b, s.c}) {
      if (slot < 0 || c_.slots[size_t(slot)].kind != Slot::operand) continue;
      if (!c_.operands[size_t(c_.slots[size_t(slot)].number)].output) return true;
    }
    return false;
  }
  bool writes_output(const Step& s) const {
    if (s.kind == StepKind::scatter) return true;
    if (s.out < 0 || c_.slots[size_t(s.out)].kind != Slot::operand) return false;
    return c_.operands[size_t(c_.slots[size_t(s.out)].number)].output;
  }

  // Stores come after whatever reads inputs, which may be the same memory. A step that does both
  // reads an element before it writes it, but another output must not have been written by then:
  // those that copy an input go first, through working memory where there are several.
  void place_stores(std::vector<Step>& steps) {
    std::vector<Step> before, after;
    size_t copies = 0;
    for (const Step& s : steps) copies += writes_output(s) && reads_input(s);
    for (Step s : steps) {
      if (!writes_output(s)) {
        before.push_back(s);
        continue;
      }
      if (reads_input(s) && copies > 1) {
        const int32_t held = new_slot(Level::full, size_of(s.a));
        Step copy;
        copy.function = copy_of(size_of(s.a));
        copy.out = held;
        copy.a = s.a;
        before.push_back(copy);
        s.a = held;
      }
      if (reads_input(s)) after.insert(after.begin(), s);
      else after.push_back(s);
    }
    steps = std::move(before);
    steps.insert(steps.end(), after.begin(), after.end());
  }

  // A value that is only computed to be stored is computed in its place.
  void write_directly(Pass& pass) {
    std::vector<Step>& steps = pass.full_steps;
    for (size_t at = steps.size(); at-- > 0;) {
      const Step store = steps[at];
      if (!writes_output(store) || store.kind != StepKind::apply) continue;
      const Slot& value = c_.slots[size_t(store.a)];
      if (value.kind != Slot::fixed || value.level != Level::full ||
          store.function != copy_of(value.size))
        continue;
      // From the first step that makes the value on, nothing else may read an input or write.
      size_t first = 0;
      while (first < at && steps[first].out != store.a) ++first;
      if (first == at) continue;
      bool safe = true;
      for (size_t k = first + 1; k < steps.size() && safe; ++k)
        safe = k == at || !reads_input(steps[k]);
      if (!safe) continue;
      for (Step& s : steps) {
        if (s.out == store.a) s.out = store.out;
        if (s.a == store.a) s.a = store.out;
        if (s.b == store.a) s.b = store.out;
        if (s.c == store.a) s.c = store.out;
      }
      steps.erase(steps.begin() + std::ptrdiff_t(at));
    }
  }

  // --- working memory ---

  bool needs_tiles() const {
    for (const Pass& pass : c_.passes)
      for (const Step& s : pass.full_steps)
        for (int32_t slot : {s.out, s.a, s.b, s.c})
          if (slot >= 0 && c_.slots[size_t(slot)].level == Level::full &&
              c_.slots[size_t(slot)].kind != Slot::operand)
            return true;
    return false;
  }

  int64_t reserve(int64_t bytes) {
    const int64_t at = c_.memory;
    c_.memory += (bytes + kLine - 1) / kLine * kLine;
    return at;
  }

  void place_slots() {
    const int64_t tile = c_.rows_per_tile * c_.inner_step;
    // The odd lines keep tiles from falling on the same places of the cache.
    const int64_t pad = 3 * kLine;
    for (Slot& s : c_.slots) {
      if (s.kind == Slot::operand) continue;
      if (s.level == Level::scalar) s.offset = reserve(s.size);
      if (s.level == Level::row) s.offset = reserve(s.size * c_.rows_per_chunk);
    }
    for (Slot& s : c_.slots)
      if (s.kind == Slot::retained)
        s.offset = reserve(s.size * (c_.columns ? c_.outer * c_.inner_step
                                                : c_.rows_per_tile * c_.inner) + pad);
    for (Reduction& r : c_.reductions) r.offset = reserve(state_bytes(r));
    for (const Pass& pass : c_.passes) place_tiles(pass, tile, pad);
  }

  int64_t state_bytes(const Reduction& r) const {
    const int64_t width = c_.columns ? c_.inner_step : 1;
    const int64_t blocks = c_.columns ? c_.outer / kColumnBlock + 1 : c_.inner / kRowBlock + 1;
    const int64_t levels = std::bit_width(uint64_t(blocks)) + 1;
    return 2 * 8 + kLine + kRowLanes * 8 + (levels + 1) * (width * r.size + kLine);
  }

  // Tiles of one pass share memory when their lives do not overlap.
  void place_tiles(const Pass& pass, int64_t tile, int64_t pad) {
    const std::vector<Step>& steps = pass.full_steps;
    std::vector<int64_t> last(c_.slots.size(), -1);
    const auto is_tile = [&](int32_t slot) {
      return slot >= 0 && c_.slots[size_t(slot)].kind == Slot::fixed &&
             c_.slots[size_t(slot)].level == Level::full;
    };
    for (size_t k = 0; k < steps.size(); ++k)
      for (int32_t slot : {steps[k].out, steps[k].a, steps[k].b, steps[k].c})
        if (is_tile(slot)) last[size_t(slot)] = int64_t(k);
    std::vector<std::vector<int64_t>> free(9);  // by element size
    std::vector<bool> placed(c_.slots.size());
    for (auto& [size, offset] : reusable_) free[size_t(size)].push_back(offset);
    for (size_t k = 0; k < steps.size(); ++k) {
      const int32_t out = steps[k].out;
      if (is_tile(out) && !placed[size_t(out)]) {
        Slot& s = c_.slots[size_t(out)];
        std::vector<int64_t>& list = free[size_t(s.size)];
        if (list.empty()) {
          s.offset = reserve(tile * s.size + pad);
          reusable_.push_back({s.size, s.offset});
        } else {
          s.offset = list.back();
          list.pop_back();
        }
        placed[size_t(out)] = true;
      }
      const int32_t used[4] = {steps[k].out, steps[k].a, steps[k].b, steps[k].c};
      for (int32_t slot : used)
        if (is_tile(slot) && last[size_t(slot)] == int64_t(k)) {
          free[size_t(c_.slots[size_t(slot)].size)].push_back(c_.slots[size_t(slot)].offset);
          last[size_t(slot)] = -1;
        }
    }
  }

  const TileProgram& p_;
  CompiledTile c_;
  std::vector<Value> values_;
  std::vector<Strides> strides_;  // of operands, by axis of the program, in bytes
  std::vector<std::pair<int64_t, int64_t>> reusable_;  // size of element, offset
  int live_ = 0;
  int pass_count_ = 0;
};

}  // namespace

CompiledTile compile_tile(const TileProgram& program) { return Compiler(program).compile(); }

}  // namespace tegula::cpu
