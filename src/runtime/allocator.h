// A caching allocator in front of a backend's memory: freed blocks are kept by size class and
// handed out again, so a training loop asks the system for nothing after its first steps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace tegula {

class Backend;

// Bytes are those of whole blocks, as rounded up to their size class.
struct MemoryStats {
  int64_t live_bytes = 0;         // handed out now
  int64_t peak_bytes = 0;         // most ever handed out at once
  int64_t cached_bytes = 0;       // kept for reuse
  int64_t allocations = 0;        // calls served
  int64_t cache_hits = 0;         // of these, from the cache
  int64_t system_allocations = 0; // asked of the backend
  int64_t limit_bytes = 0;        // see Allocator::set_limit
  int64_t plan_bytes = 0;         // what the last plan to run had in memory
  int64_t plan_peak_bytes = 0;    // the most that a plan had
};

class Allocator {
 public:
  explicit Allocator(Backend& backend) : backend_(backend) {}
  // Does not give the cache back: the backend that would take it is already half destroyed. A
  // backend that ends before the process calls trim() in its own destructor.
  ~Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // 64-byte aligned memory of at least `bytes`. When the backend has none left the cache is given
  // back and it is asked again, then without what kernels have prepared (see forms.h); then throws
  // OutOfMemoryError with the figures of stats().
  std::byte* allocate(size_t bytes);
  void deallocate(std::byte* data, size_t bytes) noexcept;
  // The same for a short time: a larger block of the cache serves too, since fresh memory is slow
  // to touch. `bytes` becomes what deallocate() is to be told.
  std::byte* borrow(size_t& bytes);
  // Gives the cache back to the backend.
  void trim();
  // From now on at most this many bytes are live, and live and cached together where the cache can
  // yield; 0 for no limit. Throws ValueError if negative.
  void set_limit(int64_t bytes);
  MemoryStats stats() const;
  void reset_peak();
  // A plan runs that has so many bytes in memory. The most ever live at once, if that has risen
  // since the last such call; else 0.
  int64_t note_plan(int64_t bytes);

  // The size of the block that serves a request: multiples of 64 up to 4 KiB, then eight steps to
  // each power of two, so at most an eighth is wasted, and 32 above 4 MiB.
  static size_t block_size(size_t bytes);

 private:
  // Blocks of one size, and when one of them was last handed out or kept.
  struct SizeClass {
    size_t block_bytes = 0;
    uint64_t last_use = 0;
    bool lent = false;    // a block of it was resized for another class
    bool missed = false;  // and was asked for again: from then on its blocks stay
    std::vector<std::byte*> blocks;
  };
  static constexpr size_t kClasses = 64 + 8 * 10 + 32 * 26;
  static size_t class_index(size_t block_bytes);

  std::byte* try_allocate(size_t bytes);  // null if out of memory
  std::byte* take_cached(SizeClass& size_class);
  size_t larger_cached(size_t bytes) const;
  void note_allocation(size_t block_bytes);
  std::byte* resize_cached(size_t block_bytes);
  void evict_until(int64_t cached_bytes);
  void release_blocks(SizeClass& size_class, int64_t cached_bytes);
  [[noreturn]] void fail_out_of_memory(size_t bytes) const;

  Backend& backend_;
  mutable std::mutex mutex_;
  std::array<SizeClass, kClasses> classes_;
  uint64_t clock_ = 0;
  int64_t highest_live_ = 0;  // as stats_.peak_bytes, but never reset
  int64_t noted_peak_ = 0;    // stats_.peak_bytes at the last note_plan()
  MemoryStats stats_;
};

// "1.5 MiB"
std::string readable_bytes(int64_t bytes);

// Has `explain` say what holds a device's memory when there is too little of it. It may be called
// on any thread.
void set_shortage_explainer(std::string (*explain)(Backend& device));

}  // namespace tegula
