#include "backend/null/null_backend.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace tegula {
namespace {

constexpr size_t kAlignment = 64;

int64_t capacity_from_environment() {
  const char* text = std::getenv("TEGULA_NULL_MEMORY");
  if (!text || !*text) return 0;
  int64_t bytes = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, bytes);
  require(error == std::errc() && stop == end && bytes >= 1,
          "TEGULA_NULL_MEMORY must be a positive whole number of bytes, got '", text, "'");
  return bytes;
}

// Like the CPU's products and convolutions.
bool contracts(const StepSpec& step) {
  return step.kind == "matmul" || step.kind == "conv" || step.kind == "conv_input_grad";
}

}  // namespace

std::byte* NullBackend::allocate(size_t bytes) {
  const int64_t used = used_.fetch_add(int64_t(bytes)) + int64_t(bytes);
  if (capacity_ > 0 && used > capacity_) {
    used_.fetch_sub(int64_t(bytes));
    return nullptr;
  }
  // At least one step, so that empty blocks have addresses of their own.
  const size_t step = (bytes / kAlignment + 1) * kAlignment;
  return reinterpret_cast<std::byte*>(next_address_.fetch_add(step));
}

void NullBackend::deallocate(std::byte*, size_t bytes) noexcept { used_.fetch_sub(int64_t(bytes)); }

const Kernel* NullBackend::find_kernel(const StepSpec&) const {
  static constexpr Kernel kNothing{.run = [](const KernelArgs&) {}, .takes_epilogue = contracts};
  return &kNothing;
}

void NullBackend::copy_from_host(std::byte*, const void*, size_t) {}

void NullBackend::copy_to_host(void*, const std::byte*, size_t) const {
  fail(ErrorKind::device, "the null device computes nothing, so it has no values to read");
}

std::string NullBackend::description() const {
  return capacity_ > 0 ? cat("plans but computes nothing, ", capacity_, " bytes of memory")
                       : std::string("plans but computes nothing, unlimited memory");
}

void register_null_backend() {
  register_backend(std::make_unique<NullBackend>(capacity_from_environment()));
}

}  // namespace tegula
