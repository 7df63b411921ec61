// Copies between strides against one element after another: every size of element, permuted axes,
// both sides of the edges of the squares that transposition is made of, and sizes that stream.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "backend/cpu/strided_copy.h"
#include "tile_harness.h"

namespace tegula::testing {
namespace {

std::vector<std::byte> numbered(size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = std::byte((i * 2654435761u) >> 13);
  return data;
}

// The element of a row-major copy at every coordinate, one by one.
std::vector<std::byte> copied(const std::byte* from, const Dims& strides, const Dims& shape,
                              size_t size) {
  std::vector<std::byte> out(size_t(numel(shape)) * size);
  for (int64_t at = 0; at < numel(shape); ++at) {
    int64_t rest = at, offset = 0;
    for (size_t axis = shape.size(); axis-- > 0; rest /= shape[axis])
      offset += rest % shape[axis] * strides[axis];
    std::memcpy(out.data() + size_t(at) * size, from + offset * int64_t(size), size);
  }
  return out;
}

// A dense array of `shape`, its axes taken in the order of `axes`.
void check_permuted(const Dims& shape, const std::vector<size_t>& axes, size_t size) {
  const Dims dense = contiguous_strides(shape);
  Dims to_shape, strides;
  for (size_t axis : axes) {
    to_shape.push_back(shape[axis]);
    strides.push_back(dense[axis]);
  }
  const std::vector<std::byte> from = numbered(size_t(numel(shape)) * size);
  std::vector<std::byte> to(from.size());
  cpu::strided_copy(to.data(), contiguous_strides(to_shape), from.data(), strides, to_shape, size);
  CHECK_MESSAGE((to == copied(from.data(), strides, to_shape, size)), "elements of ", size,
                " bytes, shape ", shape.size(), " axes, last ", shape[shape.size() - 1]);
}

TEST_CASE("strided copy: permuted axes, elements of every size") {
  for_each_isa([&](const std::string&) {
    for (size_t size : {1, 2, 4, 8}) {
      for (int64_t rows : {1, 7, 8, 16, 31, 32, 64, 65, 200})
        for (int64_t cols : {1, 9, 16, 63, 64, 130}) check_permuted({rows, cols}, {1, 0}, size);
      check_permuted({3, 65, 17, 5}, {0, 2, 3, 1}, size);
      check_permuted({3, 17, 5, 65}, {0, 3, 1, 2}, size);
      check_permuted({2, 33, 4, 64}, {0, 2, 1, 3}, size);
      check_permuted({0, 5}, {1, 0}, size);
    }
  });
}

TEST_CASE("strided copy: transposition past the caches") {
  for_each_isa([&](const std::string&) {
    check_permuted({2048 + 7, 2048}, {1, 0}, 4);   // rows that do not begin with a cache line
    check_permuted({2048, 2048 + 16}, {1, 0}, 4);  // rows that do
    check_permuted({4096, 4100}, {1, 0}, 1);
  });
}

}  // namespace
}  // namespace tegula::testing
