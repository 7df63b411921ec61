// Reductions whose elements come tile by tile, in the order of ReduceTree.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/tile/compiled.h"

namespace tegula::cpu {

// The progress of a reduction over rows or columns that come tile by tile; its memory follows.
struct State {
  int64_t filled;    // elements, or rows of elements, in the unfinished block
  uint64_t blocks;
  alignas(64) std::byte memory[1];
};

inline void write_identity(TileOp op, DType dtype, std::byte* out, int64_t n) {
  const bool one = op == TileOp::prod || op == TileOp::all;
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = reinterpret_cast<T*>(out);
    std::fill(to, to + n, T(compute_t<T>(one ? 1 : 0)));
  });
}

class Accumulator {
 public:
  Accumulator(const CompiledTile& tile, const Reduction& reduction, std::byte* memory)
      : r_(reduction),
        state_(reinterpret_cast<State*>(memory + reduction.offset)),
        pitch_((width(tile) * reduction.size + 63) / 64 * 64),
        lanes_bytes_(lanes_bytes(tile, reduction)),
        by_lanes_(tile.lanes) {}
  // Of working memory, at the reduction's offset.
  static int64_t bytes(const CompiledTile& tile, const Reduction& reduction) {
    const int64_t length = tile.columns ? tile.outer : tile.inner;
    const int64_t block = tile.columns && !tile.lanes ? kColumnBlock : kRowBlock;
    const int64_t levels = std::bit_width(uint64_t(length / block + 1)) + 1;
    return int64_t(sizeof(State)) + lanes_bytes(tile, reduction) +
           (levels + 1) * (width(tile) * reduction.size + 64);
  }

  void start() {
    state_->filled = 0;
    state_->blocks = 0;
  }
  // `last`: nothing follows, so the block may be finished.
  void absorb_row(const std::byte* data, int64_t n, bool last) {
    while (n > 0) {
      const int64_t take = std::min(n, kRowBlock - state_->filled);
      if (state_->filled == 0 && (take == kRowBlock || last)) {
        r_.functions.block(current(), data, take);
        push(1);
      } else {
        r_.functions.lanes(lanes(), data, state_->filled, take);
        state_->filled += take;
        if (state_->filled == kRowBlock) end_row_block();
      }
      data += take * r_.size;
      n -= take;
    }
  }
  // Lanes that hold a whole block.
  void absorb_lanes(const std::byte* full) {
    r_.functions.block(current(), full, kRowLanes);
    push(1);
  }
  void absorb_columns(const std::byte* data, int64_t rows, int64_t columns) {
    if (by_lanes_) return absorb_into_lanes(data, rows, columns);
    while (rows > 0) {
      int64_t take = 1;
      if (state_->filled == 0) {
        std::memcpy(current(), data, size_t(columns * r_.size));
      } else {
        take = std::min(rows, kColumnBlock - state_->filled);
        r_.functions.columns(current(), data, take, columns);
      }
      state_->filled += take;
      if (state_->filled == kColumnBlock) {
        push(columns);
        state_->filled = 0;
      }
      data += take * columns * r_.size;
      rows -= take;
    }
  }
  void finish_row(std::byte* out) {
    if (state_->filled > 0) end_row_block();
    finish(out, 1);
  }
  void finish_columns(std::byte* out, int64_t columns) {
    if (state_->filled > 0) by_lanes_ ? end_block_of_lanes(columns) : push(columns);
    finish(out, columns);
  }

 private:
  static int64_t width(const CompiledTile& tile) { return tile.columns ? tile.inner_step : 1; }
  static int64_t lanes_bytes(const CompiledTile& tile, const Reduction& reduction) {
    return kRowLanes * (tile.lanes ? width(tile) * reduction.size : 8);
  }
  std::byte* lanes() const { return state_->memory; }
  std::byte* current() const { return state_->memory + lanes_bytes_; }
  std::byte* level(int k) const { return current() + (k + 1) * pitch_; }

  void end_row_block() {
    r_.functions.fold(current(), lanes(), state_->filled);
    state_->filled = 0;
    push(1);
  }
  // Columns in the order of rows: row j of a block goes into lane j mod kRowLanes.
  void absorb_into_lanes(const std::byte* data, int64_t rows, int64_t columns) {
    const int64_t bytes = columns * r_.size;
    while (rows > 0) {
      const int64_t lane = state_->filled % kRowLanes, take = std::min(rows, kRowLanes - lane);
      std::byte* const to = lanes() + lane * bytes;
      if (state_->filled < kRowLanes) std::memcpy(to, data, size_t(take * bytes));
      else r_.functions.combine(to, to, data, nullptr, take * columns);
      state_->filled += take;
      if (state_->filled == kRowBlock) end_block_of_lanes(columns);
      data += take * bytes;
      rows -= take;
    }
  }
  void end_block_of_lanes(int64_t columns) {
    const int64_t bytes = columns * r_.size, used = std::min(state_->filled, kRowLanes);
    for (int64_t half = kRowLanes / 2; half > 0; half /= 2)
      if (const int64_t pairs = std::min(half, used - half); pairs > 0)
        r_.functions.combine(lanes(), lanes(), lanes() + half * bytes, nullptr, pairs * columns);
    std::memcpy(current(), lanes(), size_t(bytes));
    state_->filled = 0;
    push(columns);
  }
  void push(int64_t n) {
    int k = 0;
    for (; (state_->blocks >> k) & 1; ++k)
      r_.functions.combine(current(), level(k), current(), nullptr, n);
    std::memcpy(level(k), current(), size_t(n * r_.size));
    ++state_->blocks;
  }
  void finish(std::byte* out, int64_t n) {
    if (state_->blocks == 0) return write_identity(r_.op, r_.dtype, out, n);
    int k = std::countr_zero(state_->blocks);
    std::memcpy(out, level(k), size_t(n * r_.size));
    for (++k; state_->blocks >> k; ++k)
      if ((state_->blocks >> k) & 1) r_.functions.combine(out, level(k), out, nullptr, n);
  }

  const Reduction& r_;
  State* state_;
  int64_t pitch_, lanes_bytes_;
  bool by_lanes_;  // columns are added up in the order of rows
};

}  // namespace tegula::cpu
