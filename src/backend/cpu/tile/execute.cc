// Runs compiled tile programs; see compiled.h.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/tile/accumulator.h"
#include "backend/cpu/tile/compiled.h"
#include "runtime/thread_pool.h"

namespace tegula::cpu {
namespace {

// Memory that a thread keeps from one program to the next.
class Workspace {
 public:
  ~Workspace() { release(); }
  std::byte* get(int64_t bytes) {
    if (bytes > size_) {
      release();
      size_ = std::max<int64_t>(bytes, 1 << 16);
      memory_ = static_cast<std::byte*>(::operator new(size_t(size_), kAlign));
    }
    return memory_;
  }

 private:
  static constexpr std::align_val_t kAlign{64};
  void release() {
    if (memory_) ::operator delete(memory_, kAlign);
    memory_ = nullptr;
    size_ = 0;
  }
  std::byte* memory_ = nullptr;
  int64_t size_ = 0;
};
thread_local Workspace tile_workspace;
thread_local Workspace partial_workspace;

struct Tile {
  int64_t outer, rows, inner, columns;
};

int64_t walk_offset(const Dims& sizes, const Dims& strides, int64_t index) {
  const size_t rank = sizes.size();
  if (rank == 0 || index == 0) return 0;
  if (rank == 1) return index * strides[0];
  int64_t offset = 0;
  for (size_t a = rank; a-- > 0;) {
    offset += index % sizes[a] * strides[a];
    index /= sizes[a];
  }
  return offset;
}

// Calls f(offset, stride, count) for the straight runs of a range of a loop.
template <class F>
void for_runs(const Dims& sizes, const Dims& strides, int64_t first, int64_t count, F&& f) {
  if (sizes.size() <= 1) {
    const int64_t stride = sizes.empty() ? 0 : strides[0];
    return f(first * stride, stride, count);
  }
  if (count == 1) return f(walk_offset(sizes, strides, first), 0, count);
  const int64_t last = sizes.back();
  while (count > 0) {
    const int64_t n = std::min(count, last - first % last);
    f(walk_offset(sizes, strides, first), strides.back(), n);
    first += n;
    count -= n;
  }
}

// Where the pieces of a split reduction leave their results, one array per reduction: by row and
// piece, or by piece and column. Combined, they are in the first piece's place.
struct Partials {
  std::byte* memory = nullptr;
  int64_t pieces = 1;

  static int64_t bytes(const CompiledTile& tile, int64_t pieces) {
    const int64_t rows = tile.columns ? tile.inner : tile.outer;
    int64_t total = 0;
    for (const Reduction& r : tile.reductions) total += rows * pieces * r.size;
    return total;
  }
  std::byte* at(const CompiledTile& tile, size_t reduction, int64_t row, int64_t piece) const {
    const int64_t rows = tile.columns ? tile.inner : tile.outer;
    std::byte* place = memory;
    for (size_t k = 0; k < reduction; ++k) place += rows * pieces * tile.reductions[k].size;
    const int64_t index = tile.columns ? piece * rows + row : row * pieces + piece;
    return place + index * tile.reductions[reduction].size;
  }
};

class Worker {
 public:
  Worker(const CompiledTile& tile, std::span<const View> inputs, std::span<const View> outputs)
      : c_(tile), inputs_(inputs), outputs_(outputs) {
    const int64_t table = (int64_t(tile.slots.size() * sizeof(void*)) + 63) / 64 * 64;
    std::byte* all = tile_workspace.get(table + tile.memory);
    slots_ = reinterpret_cast<std::byte**>(all);
    memory_ = all + table;
    for (size_t k = 0; k < tile.slots.size(); ++k) slots_[k] = memory_ + tile.slots[k].offset;
    for (const Chain& chain : tile.chains) bind(chain);
    if (!tile.scalar_steps.empty()) execute(tile.scalar_steps, {0, 1, 0, 1});
  }

  void run_batch(int64_t begin, int64_t end, int64_t inner_begin, int64_t inner_end) {
    for (batch_ = begin; batch_ < end; ++batch_) run(0, c_.outer, inner_begin, inner_end);
  }
  void run(int64_t outer_begin, int64_t outer_end, int64_t inner_begin, int64_t inner_end) {
    range_[0] = c_.columns ? outer_begin : inner_begin;
    range_[1] = c_.columns ? outer_end : inner_end;
    if (!c_.columns) {
      for (int64_t o = outer_begin, n; o < outer_end; o += n) {
        n = std::min(c_.rows_per_chunk, outer_end - o);
        if (c_.outer_run > 0) n = std::min(n, c_.outer_run - o % c_.outer_run);
        chunk(o, n);
      }
    } else {
      for (int64_t i = inner_begin; i < inner_end;) {
        const int64_t n = std::min({c_.inner_step, inner_end - i, c_.run - i % c_.run});
        chunk(i, n);
        i += n;
      }
    }
  }
  // The part of a split reduction that falls into a piece.
  void run_part(int64_t outer_begin, int64_t outer_end, int64_t inner_begin, int64_t inner_end,
                const Partials& partials, int64_t piece) {
    partials_ = &partials;
    piece_ = piece;
    run(outer_begin, outer_end, inner_begin, inner_end);
  }
  // What is left when all parts are done and combined.
  void finish(const Partials& partials) {
    partials_ = &partials;
    piece_ = -1;
    run(0, c_.outer, 0, c_.inner);
  }

 private:
  void chunk(int64_t row, int64_t rows) {
    const Tile row_tile = c_.columns ? Tile{0, 1, row, rows} : Tile{row, rows, 0, 1};
    for (size_t k = 0; k < c_.passes.size(); ++k) {
      const Pass& pass = c_.passes[k];
      if (!pass.row_steps.empty()) execute(pass.row_steps, row_tile);
      if (k + 1 == c_.passes.size()) return;
      if (partials_ && piece_ < 0) {
        for (int32_t n : pass.reductions)
          std::memcpy(slots_[c_.reductions[size_t(n)].result], partials_->at(c_, size_t(n), row, 0),
                      size_t(rows * c_.reductions[size_t(n)].size));
        continue;
      }
      for (int32_t n : pass.reductions) accumulator(n).start();
      if (c_.columns) {
        for (int64_t o = range_[0]; o < range_[1]; o += c_.rows_per_tile)
          tile(pass, {o, std::min(c_.rows_per_tile, range_[1] - o), row, rows}, range_[0], row);
      } else {
        for (int64_t i = range_[0]; i < range_[1]; i += c_.inner_step)
          tile(pass, {row, rows, i, std::min(c_.inner_step, range_[1] - i)}, row, range_[0]);
      }
      for (int32_t n : pass.reductions) finish_reduction(n, row, rows);
      if (partials_) return;
    }
  }

  Accumulator accumulator(int32_t n) const {
    return Accumulator(c_, c_.reductions[size_t(n)], memory_);
  }
  // Whole rows are reduced as they come.
  bool whole_rows(const Tile& t) const { return !c_.columns && t.columns == c_.inner; }

  void finish_reduction(int32_t n, int64_t row, int64_t rows) {
    const Reduction& r = c_.reductions[size_t(n)];
    std::byte* out = slots_[r.result];
    if (partials_) out = partials_->at(c_, size_t(n), row, piece_);
    if (c_.columns) return accumulator(n).finish_columns(out, rows);
    if (c_.inner == 0) return write_identity(r.op, r.dtype, out, rows);
    if (c_.inner_step == c_.inner) return;
    accumulator(n).finish_row(out);
  }

  void tile(const Pass& pass, const Tile& t, int64_t first_outer, int64_t first_inner) {
    for (int32_t slot : pass.moving) {
      const Slot& s = c_.slots[size_t(slot)];
      if (s.kind == Slot::operand) {
        const Operand& o = c_.operands[size_t(s.number)];
        slots_[slot] = data(o) + walk_offset(c_.outer_sizes, o.strides.outer, t.outer) +
                       walk_offset(c_.inner_sizes, o.strides.inner, t.inner);
      } else {
        const int64_t before = (t.outer - first_outer) * t.columns + (t.inner - first_inner);
        slots_[slot] = memory_ + s.offset + before * s.size;
      }
    }
    execute(pass.full_steps, t);
  }

  std::byte* data(const Operand& o) const {
    if (o.number < 0) return nullptr;
    return (o.output ? outputs_ : inputs_)[size_t(o.number)].data +
           walk_offset(c_.batch_sizes, o.strides.batch, batch_);
  }
  std::byte* slot(int32_t k) const { return k < 0 ? nullptr : slots_[k]; }

  void execute(const std::vector<Step>& steps, const Tile& t) {
    const int64_t n = t.rows * t.columns;
    for (const Step& s : steps) {
      switch (s.kind) {
        case StepKind::apply:
          s.function(slot(s.out), slot(s.a), slot(s.b), slot(s.c), n);
          break;
        case StepKind::parts: {
          int64_t step[4];
          for (int k = 0; k < 4; ++k) step[k] = s.per_element[k] * t.columns + s.fixed[k];
          std::byte *out = slot(s.out), *a = slot(s.a), *b = slot(s.b), *c = slot(s.c);
          for (int64_t row = 0; row < t.rows; ++row) {
            s.function(out, a, b, c, t.columns);
            out += step[0];
            a += step[1];
            if (b) b += step[2];
            if (c) c += step[3];
          }
          break;
        }
        case StepKind::gather: {
          const Operand& o = c_.operands[size_t(s.number)];
          std::byte* to = slots_[s.out];
          const std::byte* from = data(o);
          if (c_.blocks && o.strides.outer.back() == o.size) {
            gather_block(o, t, to);
            break;
          }
          for_pieces(o, t, [&](int64_t offset, int64_t stride, int64_t count) {
            c_.copy[o.size](to, o.size, from + offset, stride, count);
            to += count * o.size;
          });
          break;
        }
        case StepKind::scatter: {
          const Operand& o = c_.operands[size_t(s.number)];
          const std::byte* from = slots_[s.a];
          std::byte* to = data(o);
          for_pieces(o, t, [&](int64_t offset, int64_t stride, int64_t count) {
            c_.copy[o.size](to + offset, stride, from, o.size, count);
            from += count * o.size;
          });
          break;
        }
        case StepKind::index: {
          const Operand& o = c_.operands[size_t(s.number)];
          int64_t* to = reinterpret_cast<int64_t*>(slots_[s.out]);
          const int64_t first = walk_offset(c_.batch_sizes, o.strides.batch, batch_);
          for_pieces(o, t, [&](int64_t offset, int64_t stride, int64_t count) {
            for (int64_t k = 0; k < count; ++k) *to++ = first + offset + k * stride;
          });
          break;
        }
        case StepKind::reduce:
          reduce(s, t);
          break;
        case StepKind::chain:
          run_steps(c_.chains[size_t(s.number)], t);
          break;
      }
    }
  }

  // Reads along the rows of the block, where the memory is contiguous.
  void gather_block(const Operand& o, const Tile& t, std::byte* to) const {
    const std::byte* from = data(o) + walk_offset(c_.outer_sizes, o.strides.outer, t.outer) +
                            walk_offset(c_.inner_sizes, o.strides.inner, t.inner);
    c_.transpose[o.size](to, t.columns, from, o.strides.inner[0] / o.size, t.rows, t.columns,
                         false);
  }

  // The straight runs of an operand's elements in a tile.
  template <class F>
  void for_pieces(const Operand& o, const Tile& t, F&& f) const {
    if (t.columns == 1) {
      const int64_t base = walk_offset(c_.inner_sizes, o.strides.inner, t.inner);
      for_runs(
          c_.outer_sizes, o.strides.outer, t.outer, t.rows,
          [&](int64_t offset, int64_t stride, int64_t count) { f(base + offset, stride, count); });
      return;
    }
    for (int64_t row = 0; row < t.rows; ++row) {
      const int64_t base = walk_offset(c_.outer_sizes, o.strides.outer, t.outer + row);
      for_runs(
          c_.inner_sizes, o.strides.inner, t.inner, t.columns,
          [&](int64_t offset, int64_t stride, int64_t count) { f(base + offset, stride, count); });
    }
  }

  void reduce(const Step& s, const Tile& t) {
    const Reduction& r = c_.reductions[size_t(s.number)];
    const std::byte* from = slots_[s.a];
    if (c_.columns) return accumulator(s.number).absorb_columns(from, t.rows, t.columns);
    if (!whole_rows(t)) {
      const bool last = t.inner + t.columns == range_[1];
      return accumulator(s.number).absorb_row(from, t.columns, last);
    }
    std::byte* out = slots_[r.result];
    if (t.columns <= kRowBlock) return r.functions.rows(out, from, t.rows, t.columns);
    for (int64_t row = 0; row < t.rows; ++row) {
      Accumulator a = accumulator(s.number);
      a.start();
      a.absorb_row(from, t.columns, true);
      a.finish_row(out);
      out += r.size;
      from += t.columns * r.size;
    }
  }

  ChainInstr* code(const Chain& chain) const {
    return reinterpret_cast<ChainInstr*>(memory_ + chain.memory);
  }
  std::byte* scratch(const Chain& chain, int32_t value) const {
    const auto end = reinterpret_cast<uintptr_t>(code(chain) + 2 * chain.code.size());
    return reinterpret_cast<std::byte*>((end + 63) / 64 * 64) + value * kScratch;
  }
  // Copies the code, whose operands this worker moves.
  void bind(const Chain& chain) {
    const size_t n = chain.code.size();
    ChainInstr* to = code(chain);
    std::copy(chain.code.begin(), chain.code.end(), to);
    std::copy(chain.tail.begin(), chain.tail.end(), to + n);
    const int64_t start = scratch(chain, 0) - static_cast<std::byte*>(nullptr);
    for (size_t k = 0; k < 2 * n; ++k) to[k].base += start;
    to[n - 2].base = reinterpret_cast<std::byte*>(to);
    to[2 * n - 2].base = reinterpret_cast<std::byte*>(to + n);
    for (const ChainOperand& o : chain.operands) {
      if (o.access != Access::past || !is_input(c_.slots[size_t(o.slot)])) continue;
      for (int32_t k : o.instrs)
        to[k].function = chain_function(ChainKind::store, TileOp::store, Access::stream);
    }
  }
  // Whether an output is some input's memory, which is in the caches when it is written.
  bool is_input(const Slot& output) const {
    const std::byte* at = outputs_[size_t(c_.operands[size_t(output.number)].number)].data;
    return std::any_of(inputs_.begin(), inputs_.end(),
                       [&](const View& input) { return input.data == at; });
  }

  void run_steps(const Chain& chain, const Tile& t) {
    const bool joined = !chain.by_row;
    const int64_t rows = joined ? 1 : t.rows, columns = joined ? t.rows * t.columns : t.columns;
    ChainInstr* to = code(chain);
    const bool blocks = columns <= kRowBlock && chain.reductions.size() <= kMaxFolds;
    if (rows > 1 && columns % chain.step == 0 && (chain.reductions.empty() || blocks))
      return run_rows(chain, t);
    for (int64_t row = 0; row < rows; ++row) {
      for (const ChainOperand& o : chain.operands) {
        std::byte* at = slots_[o.slot] + row * (o.per_element * columns + o.fixed);
        for (int32_t k : o.instrs) {
          to[k].base = at;
          if (o.access == Access::repeat) to[size_t(k) + chain.code.size()].base = at;
        }
      }
      if (chain.reductions.empty()) run_range(chain, 0, columns);
      else reduce_row(chain, t, row);
    }
    if (chain.writes_past) finish_past_stores();
  }
  // Whole rows of whole vectors, each one block of a reduction.
  void run_rows(const Chain& chain, const Tile& t) {
    ChainInstr* to = code(chain);
    for (const ChainOperand& o : chain.operands)
      for (int32_t k : o.instrs) {
        to[k].base = slots_[o.slot];
        to[k].per_row = o.per_element * t.columns + o.fixed;
      }
    ChainFold folds[kMaxFolds];
    for (size_t k = 0; k < chain.reductions.size(); ++k) {
      const Reduction& r = c_.reductions[size_t(chain.reductions[k])];
      folds[k] = {r.op, scratch(chain, int32_t(k)), slots_[r.result], r.functions.block};
    }
    run_chain_rows(to, chain.code.size() - 2, scratch(chain, chain.near),
                   {folds, chain.reductions.size()}, t.rows, t.columns);
    if (chain.writes_past) finish_past_stores();
  }
  void reduce_row(const Chain& chain, const Tile& t, int64_t row) {
    const bool whole = whole_rows(t), one = whole && t.columns <= kRowBlock;
    const auto each = [&](auto&& f) {
      for (size_t k = 0; k < chain.reductions.size(); ++k) {
        const Reduction& r = c_.reductions[size_t(chain.reductions[k])];
        f(r, chain.reductions[k], scratch(chain, int32_t(k)), slots_[r.result] + row * r.size);
      }
    };
    if (whole && !one)
      each([&](const Reduction&, int32_t n, std::byte*, std::byte*) { accumulator(n).start(); });
    for (int64_t i = 0; i < t.columns; i += kRowBlock) {
      each([&](const Reduction& r, int32_t, std::byte* lanes, std::byte*) {
        clear_lanes(r.op, lanes);
      });
      run_range(chain, i, std::min(i + kRowBlock, t.columns));
      each([&](const Reduction& r, int32_t n, std::byte* lanes, std::byte* out) {
        if (one) r.functions.block(out, lanes, kRowLanes);
        else accumulator(n).absorb_lanes(lanes);
      });
    }
    if (whole && !one)
      each([&](const Reduction&, int32_t n, std::byte*, std::byte* out) {
        accumulator(n).finish_row(out);
      });
  }
  // What does not fill the vectors passes through scratch memory.
  void run_range(const Chain& chain, int64_t begin, int64_t end) {
    const ChainInstr* whole = code(chain);
    const std::byte* near = scratch(chain, chain.near);
    const int64_t step = chain.step, rest = (end - begin) % step, from = end - rest;
    if (from > begin) run_chain(whole, near, begin, from);
    if (rest == 0) return;
    const size_t bytes = size_t(rest) * 4;
    for (const ChainOperand& o : chain.operands) {
      if (o.access == Access::repeat || !o.reads) continue;
      std::byte* buffer = scratch(chain, o.buffer);
      std::memcpy(buffer, whole[o.instrs[0]].base + from * 4, bytes);
      std::memset(buffer + bytes, 0, size_t(kScratch) - bytes);
    }
    run_chain(whole + chain.code.size(), near, from, end);
    for (const ChainOperand& o : chain.operands)
      if (o.writes)
        std::memcpy(whole[o.instrs[0]].base + from * 4, scratch(chain, o.buffer), bytes);
  }

  const CompiledTile& c_;
  std::span<const View> inputs_, outputs_;
  std::byte** slots_;
  std::byte* memory_;
  int64_t batch_ = 0;
  int64_t range_[2] = {};  // of the loop that a row value does not move along
  const Partials* partials_ = nullptr;
  int64_t piece_ = -1;
};

// Combines the pieces' results pairwise, neighbours first: the tree of pairwise().
void combine_partials(const CompiledTile& tile, const Partials& partials) {
  const int64_t width = tile.columns ? tile.inner : 1;
  const int64_t rows = tile.columns ? 1 : tile.outer;
  for (size_t k = 0; k < tile.reductions.size(); ++k) {
    const Reduction& r = tile.reductions[k];
    const int64_t bytes = width * r.size;
    for (int64_t row = 0; row < rows; ++row) {
      std::byte* base = partials.at(tile, k, row, 0);
      for (int64_t n = partials.pieces; n > 1; n = (n + 1) / 2) {
        for (int64_t j = 0; j < n / 2; ++j)
          r.functions.combine(base + j * bytes, base + 2 * j * bytes, base + (2 * j + 1) * bytes,
                              nullptr, width);
        if (n % 2) std::memmove(base + n / 2 * bytes, base + (n - 1) * bytes, size_t(bytes));
      }
    }
  }
}

}  // namespace

void run_tile(const CompiledTile& tile, std::span<const View> inputs,
              std::span<const View> outputs) {
  if (tile.empty) return;
  const auto parts = [](int64_t count, int64_t piece) {
    return std::max<int64_t>((count + piece - 1) / piece, 1);
  };
  const bool batched = tile.batch > 1;
  const int64_t across = parts(tile.inner, tile.inner_piece);
  const int64_t down =
      batched ? parts(tile.batch, tile.batch_piece) : parts(tile.outer, tile.outer_piece);
  Partials partials;
  if (tile.splits_reduction) {
    partials.pieces = tile.columns ? down : across;
    partials.memory = partial_workspace.get(Partials::bytes(tile, partials.pieces));
  }
  const auto run_piece = [&](int64_t piece) {
    const int64_t i = piece % across * tile.inner_piece;
    const int64_t inner_end = std::min(tile.inner, i + tile.inner_piece);
    Worker worker(tile, inputs, outputs);
    if (batched) {
      const int64_t b = piece / across * tile.batch_piece;
      return worker.run_batch(b, std::min(tile.batch, b + tile.batch_piece), i, inner_end);
    }
    const int64_t o = piece / across * tile.outer_piece;
    const int64_t outer_end = std::min(tile.outer, o + tile.outer_piece);
    if (tile.splits_reduction) {
      worker.run_part(o, outer_end, i, inner_end, partials,
                      tile.columns ? piece / across : piece % across);
    } else {
      worker.run(o, outer_end, i, inner_end);
    }
  };
  if (across * down == 1) return run_piece(0);
  parallel_for(across * down, run_piece, tile.microseconds);
  if (!tile.splits_reduction) return;
  combine_partials(tile, partials);
  Worker(tile, inputs, outputs).finish(partials);
}

void run_tile_part(const CompiledTile& tile, std::span<const View> inputs,
                   std::span<const View> outputs, int64_t outer, int64_t rows, int64_t inner,
                   int64_t columns) {
  if (!tile.empty) Worker(tile, inputs, outputs).run(outer, outer + rows, inner, inner + columns);
}

namespace {

std::shared_ptr<void> prepare(const StepSpec& step) {
  return std::make_shared<CompiledTile>(compile_tile(*step.program));
}
void run(const KernelArgs& args) {
  const auto& tile = *static_cast<const CompiledTile*>(args.prepared);
  if (tile.is_copy) {
    const View &from = args.inputs[0], &to = args.outputs[0];
    strided_copy(to.data, tile.copy_to, from.data, tile.copy_from, tile.copy_shape,
                 itemsize(to.dtype));
  } else {
    run_tile(tile, args.inputs, args.outputs);
  }
}

constexpr KernelEntry kEntries[] = {{"tile", {run, prepare}}};

}  // namespace

std::span<const KernelEntry> tile_kernels() { return kEntries; }

}  // namespace tegula::cpu
