// Transposition of rectangles that are dense along different axes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tegula::cpu {

// to[r * to_step + c] = from[r + c * from_step] for r < rows and c < cols, steps in elements.
// `stream` writes past the caches where the rows of `to` begin with a cache line.
using Transpose = void (*)(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step,
                           int64_t rows, int64_t cols, bool stream);
// For elements of `size` bytes: 1, 2, 4, 8 or 16.
Transpose transpose_function(size_t size);

}  // namespace tegula::cpu
