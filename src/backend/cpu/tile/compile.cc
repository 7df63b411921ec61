// Writes the steps of a tile program and places its values; see compiled.h.
#include <algorithm>
#include <bit>

#include "backend/cpu/tile/accumulator.h"
#include "backend/cpu/tile/compiler.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kLine = 64;  // bytes

// Gives a value that its 16-bit type holds whenever the operands are such.
bool is_exact(TileOp op) {
  switch (op) {
    case TileOp::negative:
    case TileOp::abs:
    case TileOp::sign:
    case TileOp::floor:
    case TileOp::ceil:
    case TileOp::trunc:
    case TileOp::round:
    case TileOp::maximum:
    case TileOp::minimum:
    case TileOp::copysign:
    case TileOp::nextafter:
    case TileOp::where:
    case TileOp::max:
    case TileOp::min:
      return true;
    default:
      return false;
  }
}

}  // namespace

CompiledTile Compiler::compile() {
  c_.columns = p_.reduce_axes > 0 && p_.tree == ReduceTree::columns;
  find_live();
  choose_loops();
  if (c_.empty) return std::move(c_);
  find_levels();
  find_passes();
  choose_tiles(kTile);
  emit();
  const bool grows =
      in_blocks_ ? c_.rows_per_tile > 1 : c_.rows_per_tile == 1 && c_.inner > c_.inner_step;
  if (!needs_tiles() && grows) {
    reset();
    choose_tiles(in_blocks_ ? kBlock : kLongTile);
    emit();
  }
  choose_pieces();
  place_slots();
  if (part_columns_ == 0) find_copy();
  for (size_t size : {1, 2, 4, 8, 16}) {
    c_.copy[size] = strided_copy_function(size);
    c_.transpose[size] = transpose_function(size);
  }
  return std::move(c_);
}

// Where elements change their order, strided_copy() transposes in registers.
void Compiler::find_copy() {
  const bool copies = live_ == 2 && p_.reduce_axes == 0 && p_.inputs.size() == 1 &&
                      p_.outputs.size() == 1 && p_.inputs[0].dtype == p_.outputs[0].dtype &&
                      instr(0).op == TileOp::load && instr(1).op == TileOp::store;
  const bool reorders = std::any_of(c_.operands.begin(), c_.operands.end(),
                                    [](const Operand& o) { return !o.direct; });
  if (!copies || !reorders) return;
  c_.is_copy = true;
  c_.copy_shape = p_.extent;
  c_.copy_from = p_.inputs[0].strides;
  c_.copy_to = p_.outputs[0].strides;
}

void Compiler::reset() {
  c_.slots.clear();
  c_.reductions.clear();
  c_.chains.clear();
  c_.scalar_steps.clear();
  c_.passes.clear();
  for (Value& v : values_) {
    v.slot = -1;
    v.slot_in_pass.clear();
  }
}

int32_t Compiler::new_slot(Level level, int64_t size, Slot::Kind kind, int32_t number) {
  c_.slots.push_back({kind, level, size, 0, number});
  return int32_t(c_.slots.size()) - 1;
}

// The steps that compute values of a level that are ready before, or full in, a pass.
std::vector<Step>& Compiler::section(Level level, int pass) {
  if (level == Level::scalar) return c_.scalar_steps;
  Pass& at = c_.passes[size_t(pass)];
  return level == Level::row ? at.row_steps : at.full_steps;
}

void Compiler::add(std::vector<Step>& steps, TileFunction function, int32_t out, int32_t a,
                   int32_t b, int32_t c) {
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
    if (repeats(slots[k])) {
      in_parts = true;
    } else if (pitch(slots[k]) != 0) {
      s.fixed[k] = pitch(slots[k]);
      in_parts = true;
    } else if (level_of(slots[k]) == Level::full) {
      s.per_element[k] = size;
    }
    if (level_of(slots[k]) == Level::row && level_of(out) == Level::full) {
      s.fixed[k] = c_.columns ? 0 : size;
      in_parts |= c_.rows_per_tile > 1;
    }
  }
  if (in_parts) s.kind = StepKind::parts;
  steps.push_back(s);
}

void Compiler::move_with(int32_t slot, int pass) {
  std::vector<int32_t>& moving = c_.passes[size_t(pass)].moving;
  if (std::find(moving.begin(), moving.end(), slot) == moving.end()) moving.push_back(slot);
}

// The slot of a value used in `pass`.
int32_t Compiler::use(int32_t i, int pass) {
  Value& v = values_[size_t(i)];
  if (v.level == Level::full) {
    if (v.operand >= 0) return load_full(i, pass);
    if (v.pass < pass && remade(size_t(i))) return remake(i, pass);
    if (c_.slots[size_t(v.slot)].kind == Slot::retained) move_with(v.slot, pass);
    return v.slot;
  }
  return v.slot;
}

int32_t Compiler::remake(int32_t i, int pass) {
  Value& v = values_[size_t(i)];
  v.slot_in_pass.resize(size_t(pass_count_), -1);
  int32_t& slot = v.slot_in_pass[size_t(pass)];
  if (slot < 0) {
    emit_value(size_t(i), pass);
    slot = v.slot;
  }
  return slot;
}

// Repeats a value of a lower level.
int32_t Compiler::expand(int32_t slot, Level level, int pass) {
  if (level_of(slot) >= level) return slot;
  const int64_t size = size_of(slot);
  const int32_t out = new_slot(level, size);
  const bool copies = c_.columns && level_of(slot) == Level::row;
  add(section(level, pass), copies ? copy_of(size) : fill_function(size_t(size)), out, slot);
  return out;
}

// Gives every row of a tile its own elements.
int32_t Compiler::spread(int32_t slot, int pass) {
  if (!repeats(slot)) return slot;
  const int64_t size = size_of(slot);
  const int32_t out = new_slot(Level::full, size);
  add(section(Level::full, pass), copy_of(size), out, slot);
  return out;
}

TileFunction Compiler::copy_of(int64_t size) {
  constexpr DType by_size[] = {DType::uint8, DType::uint16, DType::uint32, DType::uint64,
                               DType::complex128};
  return arithmetic_function(TileOp::load, by_size[std::countr_zero(uint64_t(size))],
                             Form::vectors);
}

// An operand's raw elements at its own level.
int32_t Compiler::load_raw(int32_t operand, int pass) {
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

int32_t Compiler::widen(int32_t raw, DType dtype, int pass) {
  if (!is_half(dtype)) return raw;
  const int32_t slot = new_slot(level_of(raw), 4);
  add(section(level_of(raw), pass), cast_function(dtype, DType::float32), slot, raw);
  return slot;
}

int32_t Compiler::load_full(int32_t i, int pass) {
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

void Compiler::emit() {
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
    form_chains(pass);
  }
}

void Compiler::emit_value(size_t i, int pass) {
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
  const DType dtype = in.op == TileOp::nextafter ? from : kept_as(from);
  const int32_t out = make_out();
  std::vector<Step>& to = section(level, pass);
  add(to, find_function(in.op, dtype, form), out, slots[0], slots[1], slots[2]);
  to.back().op = in.op;
  to.back().is_float32 = dtype == DType::float32;
  if (is_half(in.dtype) && !is_exact(in.op)) add(to, rounding_function(in.dtype), out, out);
  values_[i].slot = out;
}

void Compiler::emit_reduction(size_t i, int pass) {
  const TileInstr& in = instr(i);
  Step s;
  s.kind = StepKind::reduce;
  s.a = spread(expand(use(in.source[0], pass), Level::full, pass), pass);
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

void Compiler::emit_store(size_t i, int pass) {
  const TileInstr& in = instr(i);
  Value& v = values_[i];
  const Operand& o = c_.operands[size_t(v.operand)];
  Value& from = source(in, 0);
  const bool raw = is_half(in.dtype) && instr(size_t(in.source[0])).op == TileOp::load &&
                   from.level == v.level;  // a copy keeps every bit
  int32_t slot =
      raw ? load_raw(from.operand, pass) : expand(use(in.source[0], pass), v.level, pass);
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
  s.a = spread(slot, pass);
  s.number = v.operand;
  steps.push_back(s);
}

bool Compiler::reads_input(const Step& s) const {
  if (s.kind == StepKind::gather) return true;
  for (int32_t slot : {s.a, s.b, s.c}) {
    if (slot < 0 || c_.slots[size_t(slot)].kind != Slot::operand) continue;
    if (!c_.operands[size_t(c_.slots[size_t(slot)].number)].output) return true;
  }
  return false;
}

bool Compiler::writes_output(const Step& s) const {
  if (s.kind == StepKind::scatter) return true;
  if (s.out < 0 || c_.slots[size_t(s.out)].kind != Slot::operand) return false;
  return c_.operands[size_t(c_.slots[size_t(s.out)].number)].output;
}

// Stores come after whatever reads inputs, which may be the same memory. A step that does both
// reads an element before it writes it, but another output must not have been written by then:
// those that copy an input go first, through working memory where there are several.
void Compiler::place_stores(std::vector<Step>& steps) {
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
      add(before, copy_of(size_of(s.a)), held, s.a);
      s.a = held;
      if (s.kind == StepKind::scatter) after.push_back(s);
      else add(after, s.function, s.out, held);
    } else if (reads_input(s)) {
      after.insert(after.begin(), s);
    } else {
      after.push_back(s);
    }
  }
  steps = std::move(before);
  steps.insert(steps.end(), after.begin(), after.end());
}

// A value that is only computed to be stored is computed in its place.
void Compiler::write_directly(Pass& pass) {
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

bool Compiler::needs_tiles() const {
  for (const Pass& pass : c_.passes)
    for (const Step& s : pass.full_steps)
      for (int32_t slot : slots_of(s))
        if (c_.slots[size_t(slot)].level == Level::full &&
            c_.slots[size_t(slot)].kind != Slot::operand)
          return true;
  return false;
}

int64_t Compiler::reserve(int64_t bytes) {
  const int64_t at = c_.memory;
  c_.memory += (bytes + kLine - 1) / kLine * kLine;
  return at;
}

void Compiler::place_slots() {
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
      s.offset = reserve(
          s.size * (c_.columns ? c_.outer * c_.inner_step : c_.rows_per_tile * c_.inner) + pad);
  for (Reduction& r : c_.reductions) r.offset = reserve(Accumulator::bytes(c_, r));
  for (Chain& chain : c_.chains)
    chain.memory = reserve(int64_t(2 * chain.code.size() * sizeof(ChainInstr)) + kLine +
                           chain.scratch * kScratch);
  for (const Pass& pass : c_.passes) place_tiles(pass, tile, pad);
}

// Tiles of one pass share memory when their lives do not overlap.
void Compiler::place_tiles(const Pass& pass, int64_t tile, int64_t pad) {
  const std::vector<Step>& steps = pass.full_steps;
  std::vector<int64_t> last(c_.slots.size(), -1);
  const auto is_tile = [&](int32_t slot) {
    return c_.slots[size_t(slot)].kind == Slot::fixed &&
           c_.slots[size_t(slot)].level == Level::full;
  };
  for (size_t k = 0; k < steps.size(); ++k)
    for (int32_t slot : slots_of(steps[k]))
      if (is_tile(slot)) last[size_t(slot)] = int64_t(k);
  std::vector<std::vector<int64_t>> free(kMaxElement + 1);  // by size
  std::vector<bool> placed(c_.slots.size());
  for (auto& [size, offset] : reusable_) free[size_t(size)].push_back(offset);
  for (size_t k = 0; k < steps.size(); ++k) {
    const std::vector<int32_t> used = slots_of(steps[k]);
    for (int32_t out : used) {
      if (!is_tile(out) || placed[size_t(out)]) continue;
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
    for (int32_t slot : used)
      if (is_tile(slot) && last[size_t(slot)] == int64_t(k)) {
        free[size_t(c_.slots[size_t(slot)].size)].push_back(c_.slots[size_t(slot)].offset);
        last[size_t(slot)] = -1;
      }
  }
}

CompiledTile compile_tile(const TileProgram& program) { return Compiler(program).compile(); }
CompiledTile compile_tile_parts(const TileProgram& program, int64_t columns, Parts parts) {
  return Compiler(program, columns, parts).compile();
}

}  // namespace tegula::cpu
