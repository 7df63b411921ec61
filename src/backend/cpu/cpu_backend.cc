#include "backend/cpu/cpu_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <new>

#include "backend/cpu/effects.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "runtime/thread_pool.h"

namespace tegula {
namespace {

constexpr size_t kAlignment = 64;
// Blocks from here on are mapped apart, at the boundary of a huge page: the first touch of fresh
// memory is then several times faster, and later passes miss the TLB less.
constexpr size_t kMapFrom = size_t(1) << 20;
constexpr size_t kHugePage = size_t(2) << 20;

size_t whole_pages(size_t bytes) {
  static const size_t page = size_t(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

std::byte* map_aligned(size_t bytes, int protection) {
  const size_t wanted = whole_pages(bytes);
  const size_t mapped = wanted + kHugePage;
  void* raw = mmap(nullptr, mapped, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  std::byte* base = static_cast<std::byte*>(raw);
  const size_t skipped = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
  if (skipped > 0) munmap(base, skipped);
  std::byte* data = base + skipped;
  const size_t rest = mapped - skipped - wanted;
  if (rest > 0) munmap(data + wanted, rest);
#ifdef MADV_HUGEPAGE
  madvise(data, wanted, MADV_HUGEPAGE);
#endif
  return data;
}

// Its pages move to a range of addresses that is large enough; only those it lacks are new.
std::byte* remap_aligned([[maybe_unused]] std::byte* data, [[maybe_unused]] size_t bytes,
                         [[maybe_unused]] size_t new_bytes) {
#ifdef MREMAP_FIXED
  std::byte* range = map_aligned(new_bytes, PROT_NONE);
  if (!range) return nullptr;
  const size_t wanted = whole_pages(new_bytes);
  void* moved = mremap(data, whole_pages(bytes), wanted, MREMAP_MAYMOVE | MREMAP_FIXED, range);
  if (moved != MAP_FAILED) return static_cast<std::byte*>(moved);
  munmap(range, wanted);
#endif
  return nullptr;
}

std::string processor_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

double memory_gib() {
  return double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE)) / (1 << 30);
}

}  // namespace

CpuBackend::CpuBackend() {
  cpu::choose_isa();
  for (const auto family : {cpu::contraction_kernels(), cpu::effect_kernels(), cpu::fft_kernels(),
                            cpu::indexing_kernels(), cpu::linalg_kernels(), cpu::neural_kernels(),
                            cpu::optimizer_kernels(), cpu::pooling_kernels(), cpu::random_kernels(),
                            cpu::resampling_kernels(), cpu::sorting_kernels(),
                            cpu::special_kernels(), cpu::tile_kernels()})
    for (const cpu::KernelEntry& entry : family)
      if (!kernels_.emplace(entry.kind, &entry.kernel).second)
        fail(ErrorKind::runtime, "cpu: two kernels for steps of kind '", entry.kind, "'");
}

std::byte* CpuBackend::allocate(size_t bytes) {
  if (bytes >= kMapFrom) return map_aligned(bytes, PROT_READ | PROT_WRITE);
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
}

void CpuBackend::deallocate(std::byte* data, size_t bytes) noexcept {
  if (bytes >= kMapFrom) munmap(data, whole_pages(bytes));
  else std::free(data);
}

std::byte* CpuBackend::resize(std::byte* data, size_t bytes, size_t new_bytes) {
  return std::min(bytes, new_bytes) >= kMapFrom ? remap_aligned(data, bytes, new_bytes) : nullptr;
}

const Kernel* CpuBackend::find_kernel(const StepSpec& step) const {
  const auto found = kernels_.find(step.kind);
  return found == kernels_.end() ? nullptr : found->second;
}

void CpuBackend::copy_from_host(std::byte* destination, const void* source, size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

void CpuBackend::copy_to_host(void* destination, const std::byte* source, size_t bytes) const {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

std::string CpuBackend::description() const {
  std::string isas;
  for (const std::string& isa : cpu::supported_isas()) isas += (isas.empty() ? "" : ", ") + isa;
  const int threads = num_threads();
  return cat(processor_model(), ", ", threads, threads == 1 ? " thread" : " threads", ", ",
             std::fixed, std::setprecision(1), memory_gib(), " GiB, ", cpu::isa_name(), " (has ",
             isas, ")");
}

void register_cpu_backend() { register_backend(std::make_unique<CpuBackend>()); }

}  // namespace tegula
