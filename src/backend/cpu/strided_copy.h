// Copies between arbitrary strides.
#pragma once

#include <memory>

#include "runtime/kernel.h"

namespace tegula::cpu {

// Copies the elements of a space of `shape`, each `itemsize` (1, 2, 4, 8 or 16) bytes; strides
// count elements. The destination's elements are distinct and overlap no element of the source.
// Large copies use the thread pool.
void strided_copy(std::byte* dst, const Dims& dst_strides, const std::byte* src,
                  const Dims& src_strides, const Dims& shape, size_t itemsize);

// Writes the elements of `view` to `dst` in row-major order.
void copy_dense(std::byte* dst, const View& view);

// A view's elements in row-major order: its own memory where that is so already, else a copy.
class DenseInput {
 public:
  explicit DenseInput(const View& view);
  const std::byte* data() const { return data_; }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  std::unique_ptr<std::byte[]> copy_;
  const std::byte* data_;
};

}  // namespace tegula::cpu
