// Turns runs of steps into threaded code; see chain.h.
#include <algorithm>
#include <cstdlib>
#include <span>
#include <string_view>

#include "backend/cpu/tile/compiler.h"
#include "base/error.h"

namespace tegula::cpu {
namespace {

constexpr int64_t kAhead = 512;  // elements
constexpr int64_t kRowsAhead = 2;
constexpr int64_t kPastCaches = 16 << 20;  // bytes of an output that is written past the caches

// TEGULA_TILE_EXECUTOR=steps leaves all steps as they are, which gives the same bits.
bool threaded() {
  const char* text = std::getenv("TEGULA_TILE_EXECUTOR");
  const std::string_view wanted = text ? text : "";
  require(wanted.empty() || wanted == "threaded" || wanted == "steps",
          "TEGULA_TILE_EXECUTOR must be threaded or steps, got '", wanted, "'");
  return wanted != "steps" && chain_step() > 0;
}

struct Emitted {
  ChainKind kind;
  TileOp op;
  int32_t slot;  // of the operand, or the reduction's number
};

// The order of instructions for steps: the last value is at hand, others come from memory.
class Writer {
 public:
  std::vector<Emitted> code;
  std::vector<int32_t> from_memory;  // slots that some instruction reads

  void step(const Step& s, bool keeps) {
    if (s.kind == StepKind::reduce) {
      take(s.a);
      code.push_back({ChainKind::reduce, s.op, s.number});
      return;
    }
    if (s.op == TileOp::where) {
      take(s.a);
      read({ChainKind::select, s.op, s.b});
      read({ChainKind::select_other, s.op, s.c});
    } else if (s.op == TileOp::load) {
      take(s.a);
    } else if (arity(s.op) == 1) {
      take(s.a);
      code.push_back({ChainKind::unary, s.op, -1});
    } else if (at_hand_ == s.b && s.a != s.b) {
      read({ChainKind::swapped, s.op, s.a});
    } else {
      take(s.a);
      read({ChainKind::binary, s.op, s.b});
    }
    at_hand_ = s.out;
    if (keeps) code.push_back({ChainKind::store, TileOp::store, s.out});
  }

 private:
  void read(Emitted e) {
    from_memory.push_back(e.slot);
    code.push_back(e);
  }
  void take(int32_t slot) {
    if (at_hand_ == slot) return;
    read({ChainKind::load, TileOp::load, slot});
    at_hand_ = slot;
  }
  int32_t at_hand_ = -1;
};

}  // namespace

// Whether a step can be one of those of a chain that begins at `run`, up to it.
bool Compiler::extends(std::span<const Step> run, const Step& s) const {
  if (chainable(s)) return true;
  if (s.kind != StepKind::apply && s.kind != StepKind::parts) return false;
  if (!s.is_float32 || level_of(s.out) != Level::full) return false;
  if (is_comparison(s.op)) return size_of(s.a) == 4 && level_of(s.a) == Level::full;
  if (s.op != TileOp::where || size_of(s.b) != 4 || size_of(s.c) != 4) return false;
  return std::any_of(run.begin(), run.end(), [&](const Step& t) { return t.out == s.a; });
}

// Whether what comparisons of the run give is used in the run alone, where it has other bytes than
// elsewhere.
bool Compiler::keeps_masks(const std::vector<Step>& steps, size_t begin, size_t end) const {
  for (size_t k = begin; k < end; ++k) {
    if (!is_comparison(steps[k].op)) continue;
    const int32_t mask = steps[k].out;
    if (c_.slots[size_t(mask)].kind != Slot::fixed) return false;
    for (size_t j = 0; j < steps.size(); ++j) {
      const Step& s = steps[j];
      const bool uses = s.a == mask || s.b == mask || s.c == mask || (s.out == mask && j != k);
      const bool selects = j > k && j < end && s.op == TileOp::where && s.a == mask;
      if (uses && !selects) return false;
    }
  }
  return true;
}

bool Compiler::chainable(const Step& s) const {
  if (s.kind == StepKind::reduce) {
    const Reduction& r = c_.reductions[size_t(s.number)];
    const bool blocks = c_.inner_step == c_.inner || c_.inner_step % kRowBlock == 0;
    return r.dtype == DType::float32 && !c_.columns && blocks;
  }
  if (s.kind != StepKind::apply && s.kind != StepKind::parts) return false;
  for (int32_t slot : {s.out, s.a, s.b, s.c})
    if (slot >= 0 && size_of(slot) != 4) return false;
  if (s.c >= 0 || level_of(s.out) != Level::full) return false;
  if (s.op == TileOp::load) return level_of(s.a) == Level::full || !c_.columns;
  if (!s.is_float32) return false;
  const ChainKind kind = arity(s.op) == 1 ? ChainKind::unary : ChainKind::binary;
  return chain_function(kind, s.op, Access::stream) != nullptr;
}

// Code that starts anew in every row wants long ones; a reduction alone has a loop as good.
bool Compiler::pays(std::span<const Step> run) const {
  if (run.size() == 1 && run[0].kind == StepKind::reduce) return false;
  const bool by_row = std::any_of(run.begin(), run.end(), [&](const Step& s) {
    return s.kind == StepKind::reduce || level_of(s.a) == Level::row ||
           (s.b >= 0 && level_of(s.b) == Level::row) || repeats(s.a) ||
           (s.b >= 0 && repeats(s.b)) || (s.c >= 0 && level_of(s.c) == Level::row) ||
           (s.c >= 0 && repeats(s.c)) || in_blocks_;
  });
  const bool whole = c_.inner_step == c_.inner && c_.inner % chain_step() == 0;
  const bool reduces =
      std::any_of(run.begin(), run.end(), [](const Step& s) { return s.kind == StepKind::reduce; });
  return !by_row || whole || c_.inner_step >= (reduces ? kRowBlock : kRowBlock / 2);
}

void Compiler::form_chains(Pass& pass) {
  if (!threaded()) return;
  std::vector<Step>& steps = pass.full_steps;
  for (Step& s : steps) {
    if (s.kind == StepKind::reduce) s.op = c_.reductions[size_t(s.number)].op;
    else if (s.function && s.function == copy_of(4)) s.op = TileOp::load;
  }
  std::vector<Step> out;
  for (size_t k = 0; k < steps.size();) {
    size_t end = k;
    while (end < steps.size() && extends({steps.data() + k, end - k}, steps[end])) ++end;
    if (!keeps_masks(steps, k, end))
      for (end = k; end < steps.size() && chainable(steps[end]);) ++end;
    if (end == k) {
      out.push_back(steps[k++]);
    } else if (pays({steps.data() + k, end - k})) {
      out.push_back(make_chain(steps, k, end));
    } else {
      out.insert(out.end(), steps.begin() + std::ptrdiff_t(k), steps.begin() + std::ptrdiff_t(end));
    }
    k = std::max(k, end);
  }
  steps = std::move(out);
}

Step Compiler::make_chain(const std::vector<Step>& steps, size_t begin, size_t end) {
  const std::span<const Step> run(steps.data() + begin, end - begin);
  // A value stays inside if it is a tile that no other step uses.
  const auto inside = [&](int32_t slot) {
    const Slot& s = c_.slots[size_t(slot)];
    if (s.kind != Slot::fixed || s.level != Level::full) return false;
    for (size_t k = 0; k < steps.size(); ++k) {
      if (k >= begin && k < end) continue;
      for (int32_t used : slots_of(steps[k]))
        if (used == slot) return false;
    }
    return std::any_of(run.begin(), run.end(), [&](const Step& t) { return t.out == slot; });
  };
  Writer trial, writer;
  for (const Step& s : run) trial.step(s, false);
  for (const Step& s : run) {
    const auto& read = trial.from_memory;
    writer.step(s, s.out >= 0 && (!inside(s.out) ||
                                  std::find(read.begin(), read.end(), s.out) != read.end()));
  }
  Chain chain;
  chain.step = chain_step();
  std::vector<int32_t> scratch_of(c_.slots.size(), -1), operand_of(c_.slots.size(), -1);
  for (const Emitted& e : writer.code)
    if (e.kind == ChainKind::reduce) chain.reductions.push_back(e.slot);
  chain.by_row = !chain.reductions.empty();
  chain.scratch = int32_t(chain.reductions.size());
  int32_t lanes = 0;
  // The lanes of the first reduction stay in registers, if there are enough.
  const bool near = !chain.reductions.empty() &&
                    chain_function(ChainKind::reduce, TileOp::sum, Access::near) != nullptr;
  if (!near) chain.near = chain.scratch++;
  Access before[2] = {};  // of the entry before, and of its tail
  const auto add = [&](ChainKind kind, TileOp op, Access access, Access in_tail, int32_t scratch) {
    std::byte* place = reinterpret_cast<std::byte*>(int64_t(scratch) * kScratch);
    const ChainKind last = kind == ChainKind::reduce ? ChainKind::reduce_tail : kind;
    chain.code.push_back({chain_function(kind, op, access), place, 0, kAhead});
    chain.tail.push_back({chain_function(last, op, in_tail), place});
    if (kind == ChainKind::select_other) {
      const size_t first = chain.code.size() - 2;
      chain.code[first].function = select_function(before[0], access);
      chain.tail[first].function = select_function(before[1], in_tail);
    }
    before[0] = access;
    before[1] = in_tail;
  };
  for (const Emitted& e : writer.code) {
    if (e.kind == ChainKind::reduce) {
      const Access access = lanes == 0 && near ? Access::near : Access::fixed;
      add(e.kind, e.op, access, access, lanes++);
    } else if (e.slot < 0) {
      add(e.kind, e.op, Access::fixed, Access::fixed, 0);
    } else if (inside(e.slot)) {
      int32_t& scratch = scratch_of[size_t(e.slot)];
      if (scratch < 0) scratch = chain.scratch++;
      add(e.kind, e.op, Access::fixed, Access::fixed, scratch);
    } else {
      int32_t& number = operand_of[size_t(e.slot)];
      if (number < 0) {
        number = int32_t(chain.operands.size());
        chain.operands.push_back(chain_operand(e.slot, chain));
      }
      ChainOperand& o = chain.operands[size_t(number)];
      (e.kind == ChainKind::store ? o.writes : o.reads) = true;
      o.instrs.push_back(int32_t(chain.code.size()));
      const Access in_tail = o.access == Access::repeat ? Access::repeat : Access::fixed;
      add(e.kind, e.op, o.access, in_tail, std::max(o.buffer, 0));
      // In a block the next rows are what comes, not the rest of this one.
      if (in_blocks_) chain.code.back().ahead = kRowsAhead * pitch(e.slot) / 4;
    }
  }
  for (ChainOperand& o : chain.operands) {
    if (!o.writes || o.reads || !writes_past_caches(o.slot)) continue;
    o.access = Access::past;
    chain.writes_past = true;
    for (int32_t k : o.instrs)
      chain.code[size_t(k)].function =
          chain_function(ChainKind::store, TileOp::store, Access::past);
  }
  add(ChainKind::loop, TileOp::load, Access::fixed, Access::fixed, 0);
  add(ChainKind::loop, TileOp::load, Access::fixed, Access::fixed, chain.near);
  Step s;
  s.kind = StepKind::chain;
  s.number = int32_t(c_.chains.size());
  c_.chains.push_back(std::move(chain));
  return s;
}

ChainOperand Compiler::chain_operand(int32_t slot, Chain& chain) {
  ChainOperand o;
  o.slot = slot;
  const Level level = level_of(slot);
  const bool repeated = level == Level::scalar || (level == Level::row && !c_.columns);
  if (repeats(slot) || pitch(slot) != 0) chain.by_row = true;
  else if (level == Level::full) o.per_element = 4;
  if (pitch(slot) != 0) o.fixed = pitch(slot);
  if (level == Level::row && !c_.columns) o.fixed = 4;
  if (level == Level::row) chain.by_row = true;
  o.access = repeated ? Access::repeat : Access::stream;
  if (!repeated) o.buffer = chain.scratch++;
  return o;
}

bool Compiler::writes_past_caches(int32_t slot) const {
  const Slot& s = c_.slots[size_t(slot)];
  return s.kind == Slot::operand && c_.outer * c_.inner * s.size >= kPastCaches;
}

std::vector<int32_t> Compiler::slots_of(const Step& s) const {
  std::vector<int32_t> slots;
  for (int32_t slot : {s.out, s.a, s.b, s.c})
    if (slot >= 0) slots.push_back(slot);
  if (s.kind == StepKind::chain)
    for (const ChainOperand& o : c_.chains[size_t(s.number)].operands) slots.push_back(o.slot);
  return slots;
}

}  // namespace tegula::cpu
