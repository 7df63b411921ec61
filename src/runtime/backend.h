// The one interface a device implements. A backend is found by name at run time; the engine above
// knows no other way to reach a device.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/kernel.h"
#include "runtime/queue.h"

namespace tegula {

class Backend {
 public:
  Backend();
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  // 64-byte aligned memory, or null when there is none.
  virtual std::byte* allocate(size_t bytes) = 0;
  virtual void deallocate(std::byte* data, size_t bytes) noexcept = 0;
  // Makes a block larger or smaller, at another address perhaps, without asking for memory it
  // already has; its contents are lost. Null if that cannot be done: the block is as it was.
  virtual std::byte* resize([[maybe_unused]] std::byte* data, [[maybe_unused]] size_t bytes,
                            [[maybe_unused]] size_t new_bytes) {
    return nullptr;
  }
  // The kernel that runs such steps, or null if the backend has none. When a composite is recorded
  // its name comes alone, without operands: null then means that it is to be recorded expanded.
  virtual const Kernel* find_kernel(const StepSpec& step) const = 0;
  virtual void copy_from_host(std::byte* destination, const void* source, size_t bytes) = 0;
  // Throws DeviceError where the device holds no values (the null device).
  virtual void copy_to_host(void* destination, const std::byte* source, size_t bytes) const = 0;
  // Whether data() can be read by the host directly.
  virtual bool host_memory() const = 0;
  // Whether kernels of different steps may run on several threads at once.
  virtual bool runs_steps_at_once() const { return false; }
  // One line for `tegula info`: instruction sets, model, memory.
  virtual std::string description() const = 0;

  Allocator& allocator() { return allocator_; }
  Queue& queue() { return queue_; }

 private:
  Allocator allocator_;
  Queue queue_;
};

// Adds a backend; throws ValueError if the name is taken.
void register_backend(std::unique_ptr<Backend> backend);
// Throws DeviceError naming the devices there are.
Backend& find_backend(std::string_view name);
std::vector<Backend*> backends();

}  // namespace tegula
