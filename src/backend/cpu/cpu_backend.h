// The processor this program runs on.
#pragma once

#include <string_view>
#include <unordered_map>

#include "runtime/backend.h"

namespace tegula {

class CpuBackend : public Backend {
 public:
  // Chooses the instruction set. Throws ValueError for a bad TEGULA_ISA.
  CpuBackend();
  ~CpuBackend() override { allocator().trim(); }

  std::string_view name() const override { return "cpu"; }
  std::byte* allocate(size_t bytes) override;
  void deallocate(std::byte* data, size_t bytes) noexcept override;
  std::byte* resize(std::byte* data, size_t bytes, size_t new_bytes) override;
  const Kernel* find_kernel(const StepSpec& step) const override;
  void copy_from_host(std::byte* destination, const void* source, size_t bytes) override;
  void copy_to_host(void* destination, const std::byte* source, size_t bytes) const override;
  bool host_memory() const override { return true; }
  bool runs_steps_at_once() const override { return true; }
  std::string description() const override;

 private:
  std::unordered_map<std::string_view, const Kernel*> kernels_;
};

// Makes the device "cpu" known; throws ValueError if it is already.
void register_cpu_backend();

}  // namespace tegula
