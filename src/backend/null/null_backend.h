// A device that plans, schedules and lays out memory but computes nothing: the planner's tests run
// on it, for any imagined hardware.
#pragma once

#include <atomic>
#include <string_view>

#include "runtime/backend.h"

namespace tegula {

class NullBackend : public Backend {
 public:
  // Of the given size; 0 for no limit.
  explicit NullBackend(int64_t capacity_bytes) : capacity_(capacity_bytes) {}

  std::string_view name() const override { return "null"; }
  // Addresses that nothing lies behind.
  std::byte* allocate(size_t bytes) override;
  void deallocate(std::byte* data, size_t bytes) noexcept override;
  // A kernel that does nothing, for every kind.
  const Kernel* find_kernel(const StepSpec& step) const override;
  void copy_from_host(std::byte* destination, const void* source, size_t bytes) override;
  void copy_to_host(void* destination, const std::byte* source, size_t bytes) const override;
  bool host_memory() const override { return false; }
  bool runs_steps_at_once() const override { return true; }
  std::string description() const override;

 private:
  int64_t capacity_;
  std::atomic<int64_t> used_{0};
  std::atomic<uintptr_t> next_address_{uintptr_t(1) << 40};
};

// Makes the device "null" known, with TEGULA_NULL_MEMORY bytes of memory (unset: no limit). Throws
// ValueError if it is known already or the variable is not a positive number.
void register_null_backend();

}  // namespace tegula
