// Which loops a tile program runs in, and how they are cut; see compiled.h.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "backend/cpu/isa.h"
#include "backend/cpu/tile/compiler.h"
#include "base/error.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kPieceWork = 131072;  // instructions times elements
constexpr int64_t kRetained = 1 << 17;  // elements of a row value's columns kept between passes
constexpr int64_t kLine = 64;           // bytes
constexpr int64_t kBlockFrom = 16384;  // elements from which transposed operands are cut in blocks
constexpr int64_t kBlockRows = 32, kBlockColumns = 64;
constexpr int64_t kBlockStep = 512;  // elements of a row that a tile of a block has at most

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

}  // namespace

void Compiler::find_live() {
  values_.resize(p_.instrs.size());
  for (size_t i = p_.instrs.size(); i-- > 0;) {
    if (instr(i).op == TileOp::store) values_[i].live = true;
    if (!values_[i].live) continue;
    ++live_;
    for (int k = 0; k < arity(instr(i).op); ++k) source(instr(i), k).live = true;
  }
}

void Compiler::choose_loops() {
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
  if (part_columns_ > 0) {
    split_for_parts(kept);
  } else if (p_.reduce_axes == 0) {
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
  } else if (const size_t axis = contiguous_kept_axis(kept); axis < rank) {
    c_.columns = c_.lanes = true;
    std::erase(kept, axis);
    add_axes(kept, c_.batch_sizes, &Walk::batch);
    add_axes(reduced, c_.outer_sizes, &Walk::outer);
    add_axes({axis}, c_.inner_sizes, &Walk::inner);
    c_.batch = product(c_.batch_sizes);
  } else {
    add_axes(kept, c_.outer_sizes, &Walk::outer);
    add_axes(reduced, c_.inner_sizes, &Walk::inner);
  }
  c_.outer = product(c_.outer_sizes);
  c_.inner = product(c_.inner_sizes);
}

// The axis along which most of what is reduced is contiguous, if that is not a reduced one.
size_t Compiler::contiguous_kept_axis(const std::vector<size_t>& kept) const {
  constexpr int64_t kLeast = 16;  // elements of it
  const size_t rank = p_.extent.size(), first_reduced = rank - size_t(p_.reduce_axes);
  size_t found = rank;
  int across = 0;
  for (size_t k = 0; k < c_.operands.size(); ++k) {
    const Strides& s = strides_[k];
    size_t nearest = rank;
    bool full = false;
    for (size_t a = 0; a < rank; ++a) {
      if (p_.extent[a] == 1 || s[a] == 0) continue;
      full |= a >= first_reduced;
      if (nearest == rank || std::abs(s[a]) < std::abs(s[nearest])) nearest = a;
    }
    if (!full || c_.operands[k].number < 0) continue;
    const bool is_kept = std::find(kept.begin(), kept.end(), nearest) != kept.end() &&
                         s[nearest] == c_.operands[k].size && p_.extent[nearest] >= kLeast;
    if (is_kept) found = nearest;
    across += is_kept ? 1 : -1;
  }
  return across > 0 ? found : rank;
}

int64_t Compiler::divisor(int64_t n, int64_t limit) {
  int64_t d = std::min(n, limit);
  while (n % d != 0) --d;
  return d;
}

// Where an operand is contiguous along an outer axis but not along the inner loop (a transposed
// input), tiles are blocks of the two axes, so that its cache lines are used in full: the axes
// are cut in two, and a block's rows and columns become the last two.
void Compiler::cut_into_blocks() {
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
  const int64_t rows =
      divisor(c_.outer_sizes[axis], std::clamp<int64_t>(tile / columns, 1, kBlockRows));
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
void Compiler::sort_axes(std::vector<size_t>& axes) const {
  if (c_.operands.empty()) return;
  size_t guide = part_columns_ > 0 ? 0 : c_.operands.size() - 1;
  size_t best = 0;
  for (size_t k = 0; k < c_.operands.size() && part_columns_ == 0; ++k) {
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
void Compiler::add_axes(const std::vector<size_t>& axes, Dims& sizes, Dims Walk::* part) {
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

// The last axes, which hold a row of the result, are the inner loop.
void Compiler::split_for_parts(const std::vector<size_t>& axes) {
  size_t first = axes.size();
  int64_t inner = 1;
  while (first > 0 && inner < part_columns_) inner *= p_.extent[axes[--first]];
  if (inner != part_columns_)
    fail(ErrorKind::runtime, "internal: rows of ", part_columns_, " elements do not fit a program");
  const auto split = axes.begin() + std::ptrdiff_t(first);
  add_axes({axes.begin(), split}, c_.outer_sizes, &Walk::outer);
  add_axes({split, axes.end()}, c_.inner_sizes, &Walk::inner);
}

bool Compiler::moves(const Dims& strides) {
  return std::any_of(strides.begin(), strides.end(), [](int64_t s) { return s != 0; });
}

void Compiler::find_levels() {
  for (Operand& o : c_.operands) {
    const Dims& along = c_.columns ? o.strides.outer : o.strides.inner;
    const Dims& across = c_.columns ? o.strides.inner : o.strides.outer;
    o.level = moves(along)                              ? Level::full
              : moves(across) || moves(o.strides.batch) ? Level::row
                                                        : Level::scalar;
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

// Whether later passes compute a value again, at less cost than keeping it: one exact operation on
// one full input.
bool Compiler::remade(size_t i) {
  const TileInstr& in = instr(i);
  const bool cheap = in.op == TileOp::add || in.op == TileOp::subtract || in.op == TileOp::multiply;
  if (!cheap || values_[i].level != Level::full || is_half(in.dtype)) return false;
  int loads = 0;
  for (int k = 0; k < 2; ++k) {
    const Value& from = source(in, k);
    if (from.level != Level::full) continue;
    if (from.operand < 0) return false;
    ++loads;
  }
  return loads == 1;
}

void Compiler::find_passes() {
  int last_load = 0;  // the last pass that reads a full input
  int last = -1;
  const auto read_in = [&](Value& v, int pass) {
    const size_t i = size_t(&v - values_.data());
    if (pass > v.pass && remade(i)) {
      last_load = std::max(last_load, pass);
      return;
    }
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

bool Compiler::contiguous(const Operand& o, const Dims& strides, const Dims& sizes) const {
  int64_t step = o.size;
  for (size_t a = sizes.size(); a-- > 0; step *= sizes[a])
    if (strides[a] != step) return false;
  return true;
}

bool Compiler::dense(const Operand& o) const {
  if (!contiguous(o, o.strides.inner, c_.inner_sizes)) return false;
  int64_t step = o.size * c_.inner;
  for (size_t a = c_.outer_sizes.size(); a-- > 0; step *= c_.outer_sizes[a])
    if (o.strides.outer[a] != step) return false;
  return true;
}

// A vector along the inner loop, the same for all rows.
bool Compiler::repeats_per_row(const Operand& o) const {
  return !c_.columns && o.number >= 0 && !o.output && o.level == Level::full &&
         !moves(o.strides.outer) && contiguous(o, o.strides.inner, c_.inner_sizes);
}

int64_t Compiler::even_part(int64_t total, int64_t limit, int64_t grain) {
  if (total <= limit) return std::max<int64_t>(total, 1);
  const int64_t parts = (total + limit - 1) / limit;
  const int64_t part = (total + parts - 1) / parts;
  return std::min(limit, (part + grain - 1) / grain * grain);
}

void Compiler::choose_tiles(int64_t wanted) {
  int64_t widest = 1;
  for (const TileInstr& in : p_.instrs)
    widest = std::max(widest, int64_t(itemsize(kept_as(in.dtype))));
  const bool reduces = p_.reduce_axes > 0;
  // Tiles of a reduction along rows are whole blocks.
  if (widest >= 8 && wanted == kTile && !(reduces && !c_.columns)) wanted = wanted * 4 / widest;
  const int64_t tile = tile_size(wanted);
  if (in_blocks_) return choose_block_tiles(tile);
  const int64_t inner = std::max<int64_t>(c_.inner, 1);
  bool all_dense = true, by_row = reduces && !c_.columns;
  for (const Operand& o : c_.operands) {
    if (o.level != Level::full || (o.number >= 0 && dense(o))) continue;
    if (repeats_per_row(o)) by_row = true;
    else all_dense = false;
  }
  const int64_t rows_tile = by_row ? tile_size(kRowsTile) : tile;
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
      c_.rows_per_tile = std::clamp<int64_t>(rows_tile / inner, 1, std::max<int64_t>(c_.outer, 1));
    }
  } else if (reduces && !c_.columns) {
    c_.inner_step = tile >= kRowBlock ? tile / kRowBlock * kRowBlock : std::max<int64_t>(tile, 1);
  } else {
    c_.inner_step = even_part(c_.run, limit, limit >= 64 ? 32 : 1);
  }
  if (c_.blocks) c_.rows_per_tile = c_.outer_sizes.back();
  c_.rows_per_chunk = c_.columns ? c_.inner_step : c_.rows_per_tile;
  for (Operand& o : c_.operands) {
    if (o.number < 0 || o.level != Level::full) continue;
    const bool straight = c_.run < inner ? o.strides.inner.back() == o.size
                                         : contiguous(o, o.strides.inner, c_.inner_sizes);
    o.repeats = c_.rows_per_tile > 1 && !c_.blocks && repeats_per_row(o);
    o.direct = dense(o) || o.repeats || (straight && c_.rows_per_tile == 1);
  }
}

// A tile has several rows, or pieces of rows, of operands whose rows are all equally far apart.
void Compiler::choose_block_tiles(int64_t tile) {
  const int64_t inner = std::max<int64_t>(c_.inner, 1);
  c_.run = inner;
  c_.inner_step = even_part(inner, std::min(tile, kBlockStep), tile >= 64 ? 32 : 1);
  c_.rows_per_tile = 1;
  constexpr int64_t kFarthest = 1 << 30;
  const auto far = [](const Operand& o) { return std::abs(o.strides.outer.back()) > kFarthest; };
  if (!c_.outer_sizes.empty() && std::none_of(c_.operands.begin(), c_.operands.end(), far)) {
    const int64_t elements = std::max(tile_size(kRowsTile), tile);
    c_.outer_run = c_.outer_sizes.back();
    c_.rows_per_tile = std::clamp<int64_t>(elements / c_.inner_step, 1, c_.outer_run);
  }
  c_.rows_per_chunk = c_.rows_per_tile;
  for (Operand& o : c_.operands) {
    if (o.number < 0 || o.level != Level::full) continue;
    o.direct = contiguous(o, o.strides.inner, c_.inner_sizes);
    if (!o.direct || c_.rows_per_tile == 1) continue;
    o.repeats = o.strides.outer.back() == 0;
    if (!o.repeats) o.pitch = int32_t(o.strides.outer.back());
  }
}

void Compiler::choose_pieces() {
  const int64_t elements =
      tile_size(std::clamp<int64_t>(kPieceWork / std::max(live_, 1), 8192, 65536));
  const bool reduces = !c_.reductions.empty();
  const int64_t outer = c_.outer, inner = std::max<int64_t>(c_.inner, 1);
  const auto power = [](int64_t n) { return int64_t(std::bit_ceil(uint64_t(n))); };
  c_.outer_piece = std::max<int64_t>(outer, 1);
  c_.inner_piece = inner;
  constexpr double kPerMicrosecond = 3000;  // elements through an instruction
  c_.microseconds =
      double(c_.batch) * double(outer) * double(inner) * double(live_) / kPerMicrosecond;
  c_.batch_piece = std::max<int64_t>(elements / std::max<int64_t>(outer * inner, 1), 1);
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
  const int64_t steps =
      std::max<int64_t>(elements / std::max<int64_t>(outer * c_.inner_step, 1), 1);
  c_.inner_piece = c_.run < inner ? c_.run : std::min(inner, steps * c_.inner_step);
  const int64_t across = (inner + c_.inner_piece - 1) / c_.inner_piece;
  if (reduces && pass_count_ == 1 && outer * c_.inner_piece >= 4 * elements && across < 16 &&
      c_.batch == 1) {
    c_.outer_piece =
        power(std::max(elements / c_.inner_piece, c_.lanes ? kRowBlock : kColumnBlock));
    c_.splits_reduction = c_.outer_piece < outer;
  }
}

}  // namespace tegula::cpu
