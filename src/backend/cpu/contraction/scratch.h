// Working memory of the contraction kernels: kept by each thread, so that a hot call allocates
// nothing.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace tegula::cpu {

struct AlignedDelete {
  void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};
using AlignedBytes = std::unique_ptr<std::byte, AlignedDelete>;

inline AlignedBytes allocate_aligned(size_t bytes) {
  AlignedBytes memory(static_cast<std::byte*>(::operator new(bytes, std::align_val_t(64))));
#ifdef __linux__
  // Large pages, where there are any: packed operands are read from end to end.
  constexpr size_t kPage = size_t(2) << 20;
  const auto begin = (reinterpret_cast<uintptr_t>(memory.get()) + 4095) / 4096 * 4096;
  if (bytes >= 2 * kPage) madvise(reinterpret_cast<void*>(begin), bytes - 4096, MADV_HUGEPAGE);
#endif
  return memory;
}

// What a thread's buffers are for. Buffers of different uses can be held at the same time.
enum class ScratchUse {
  left,
  right,
  tile,
  planes,
  columns,
  shared,
  partials,
  vector,
  composite,
  count
};

// `count` uninitialised elements, aligned to 64 bytes, held until this object ends; a thread holds
// one object of a use at a time. Buffers over 64 MiB are not kept.
template <class T>
class Scratch {
 public:
  Scratch(ScratchUse use, size_t count) {
    const size_t bytes = count * sizeof(T) + 128;
    if (bytes > kKeep) {
      large_ = allocate_aligned(bytes);
      data_ = large_.get();
      return;
    }
    Buffer& buffer = buffers_[size_t(use)];
    if (buffer.size < bytes) {
      buffer.memory.reset();
      buffer.memory = allocate_aligned(bytes);
      buffer.size = bytes;
    }
    data_ = buffer.memory.get();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const& { return reinterpret_cast<T*>(data_); }
  operator T*() const& { return get(); }
  operator T*() && = delete;

 private:
  struct Buffer {
    AlignedBytes memory;
    size_t size = 0;
  };
  static constexpr size_t kKeep = size_t(64) << 20;
  static inline thread_local Buffer buffers_[size_t(ScratchUse::count)];

  AlignedBytes large_;
  std::byte* data_;
};

}  // namespace tegula::cpu
