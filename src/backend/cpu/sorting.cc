// nonzero, and the table of the sorting family.
#include "backend/cpu/sorting.h"

#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/strided_copy.h"
#include "backend/cpu/strided_loop.h"
#include "graph/attrs.h"

namespace tegula::cpu {
namespace {

void run_nonzero(const KernelArgs& args) {
  const View &mask = args.inputs[0], &out = args.outputs[0];
  const size_t rank = mask.shape.size();
  const int64_t total = numel(mask.shape), found = out.shape.back();
  if (total == 0 || found == 0 || rank == 0) return;
  const DenseInput dense(mask);
  const auto* flags = dense.as<uint8_t>();
  const int64_t chunk = tile_size(kPieceWork);
  const int64_t chunks = (total + chunk - 1) / chunk;
  std::vector<int64_t> first(chunks + 1);
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t n = 0;
      for (int64_t i = c * chunk; i < std::min(total, (c + 1) * chunk); ++i) n += flags[i] != 0;
      first[c + 1] = n;
    }
  });
  for (int64_t c = 0; c < chunks; ++c) first[c + 1] += first[c];
  for_pieces(chunks, chunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t at = first[c];
      for (int64_t i = c * chunk; at < std::min(found, first[c + 1]); ++i) {
        if (!flags[i]) continue;
        int64_t rest = i;
        for (size_t axis = rank; axis-- > 0;) {
          out.as<int64_t>()[int64_t(axis) * found + at] = rest % mask.shape[axis];
          rest /= mask.shape[axis];
        }
        ++at;
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
};

}  // namespace

std::span<const KernelEntry> sorting_kernels() { return kEntries; }

}  // namespace tegula::cpu
