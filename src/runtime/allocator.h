// A caching allocator in front of a backend's memory: freed blocks are kept by size class and
// handed out again, so a training loop asks the system for nothing after its first steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace tegula {

class Backend;

struct MemoryStats {
  int64_t live_bytes = 0;         // handed out now
  int64_t peak_bytes = 0;         // most ever handed out at once
  int64_t cached_bytes = 0;       // kept for reuse
  int64_t allocations = 0;        // calls served
  int64_t cache_hits = 0;         // of these, from the cache
  int64_t system_allocations = 0; // asked of the backend
};

class Allocator {
 public:
  explicit Allocator(Backend& backend) : backend_(backend) {}
  ~Allocator();

  // 64-byte aligned memory of at least `bytes`. When the backend has none left the cache is given
  // back and it is asked again; then throws OutOfMemoryError with the figures of stats().
  std::byte* allocate(size_t bytes);
  void deallocate(std::byte* data, size_t bytes) noexcept;
  // Gives the cache back to the backend.
  void trim();
  MemoryStats stats() const;
  void reset_peak();

 private:
  Backend& backend_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> cache_;
  MemoryStats stats_;
};

}  // namespace tegula
