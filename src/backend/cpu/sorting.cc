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

int64_t count_true(const uint8_t* flags, int64_t count) {
  constexpr int64_t kBytes = 128;  // whose number of true ones fits a byte
  int64_t found = 0;
  for (int64_t i = 0; i < count; i += kBytes) {
    uint8_t here = 0;
    for (int64_t j = i; j < std::min(count, i + kBytes); ++j) here += flags[j] != 0;
    found += here;
  }
  return found;
}

constexpr int64_t kFlags = 64;

// Writes the positions of the true ones of up to kFlags flags; returns how many there are. Without
// branches, which random flags would mispredict.
int64_t list_true(const uint8_t* flags, int64_t count, int64_t* positions) {
  if (count == kFlags) {
    uint64_t words[kFlags / 8], any = 0;
    std::memcpy(words, flags, sizeof(words));
    for (const uint64_t word : words) any |= word;
    if (any == 0) return 0;
  }
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    positions[found] = i;
    found += flags[i] != 0;
  }
  return found;
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
    for (int64_t c = begin; c < end; ++c)
      first[c + 1] = count_true(flags + c * chunk, std::min(chunk, total - c * chunk));
  });
  for (int64_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    Dims row(rank);  // where the row at hand is
    for (int64_t c = begin; c < end; ++c) {
      int64_t at = first[c], row_begin = 0, row_end = 0;
      const int64_t stop = std::min(total, (c + 1) * chunk);
      for (int64_t i = c * chunk; i < stop; i += kFlags) {
        int64_t positions[kFlags];
        const int64_t many = list_true(flags + i, std::min(kFlags, stop - i), positions);
        for (int64_t j = 0; j < std::min(many, found - at); ++j) {
          const int64_t position = i + positions[j];
          if (position >= row_end) {
            int64_t rest = position / length;
            row_begin = rest * length;
            row_end = row_begin + length;
            for (size_t axis = rank - 1; axis-- > 0; rest /= mask.shape[axis])
              row[axis] = rest % mask.shape[axis];
          }
          for (size_t axis = 0; axis + 1 < rank; ++axis)
            to[int64_t(axis) * found + at + j] = row[axis];
          to[int64_t(rank - 1) * found + at + j] = position - row_begin;
        }
        at += many;
      }
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
