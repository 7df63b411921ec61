// nonzero, and the table of the sorting family.
#include "backend/cpu/sorting.h"

#include <cstring>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

// Calls f(i) for every flag i in [begin, end) that is set, in order, eight of them at a look.
template <class F>
void for_each_true(const uint8_t* flags, int64_t begin, int64_t end, F&& f) {
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    uint64_t word;
    std::memcpy(&word, flags + i, sizeof(word));
    if (word == 0) continue;
    for (int64_t j = 0; j < 8; ++j)
      if (flags[i + j]) f(i + j);
  }
  for (; i < end; ++i)
    if (flags[i]) f(i);
}

void run_nonzero(const KernelArgs& args) {
  const View &mask = args.inputs[0], &out = args.outputs[0];
  const size_t rank = mask.shape.size();
  const int64_t total = numel(mask.shape), found = out.shape.back();
  if (total == 0 || found == 0 || rank == 0) return;
  const DenseInput dense(mask);
  const auto* flags = dense.as<uint8_t>();
  const int64_t length = mask.shape.back();
  int64_t* const to = out.as<int64_t>();
  const int64_t chunk = tile_size(kPieceWork);
  const int64_t chunks = (total + chunk - 1) / chunk;
  std::vector<int64_t> first(chunks + 1);
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t n = 0;
      for_each_true(flags, c * chunk, std::min(total, (c + 1) * chunk), [&](int64_t) { ++n; });
      first[c + 1] = n;
    }
  });
  for (int64_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    Dims row(rank);  // where the row at hand is
    for (int64_t c = begin; c < end; ++c) {
      int64_t at = first[c], row_end = 0, row_begin = 0;
      for_each_true(flags, c * chunk, std::min(total, (c + 1) * chunk), [&](int64_t i) {
        if (at >= found) return;
        if (i >= row_end) {
          int64_t rest = i / length;
          row_begin = rest * length;
          row_end = row_begin + length;
          for (size_t axis = rank - 1; axis-- > 0; rest /= mask.shape[axis])
            row[axis] = rest % mask.shape[axis];
        }
        for (size_t axis = 0; axis + 1 < rank; ++axis) to[int64_t(axis) * found + at] = row[axis];
        to[int64_t(rank - 1) * found + at] = i - row_begin;
        ++at;
      });
    }
  });
}

constexpr KernelEntry kEntries[] = {
    {"sort", {.run = run_sort, .optional_outputs = true}},
    {"topk", {.run = run_topk, .optional_outputs = true}},
    {"cumulative", {run_cumulative}},
    {"argreduce", {run_argreduce}},
    {"nonzero", {run_nonzero}},
    {"searchsorted", {run_searchsorted}},
    {"histogram", {run_histogram, nullptr, true}},
    {"bincount", {run_bincount}},
};

}  // namespace

std::span<const KernelEntry> sorting_kernels() { return kEntries; }

}  // namespace tegula::cpu
