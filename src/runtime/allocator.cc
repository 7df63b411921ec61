#include "runtime/allocator.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <iomanip>

#include "base/error.h"
#include "runtime/backend.h"
#include "runtime/fork_guard.h"
#include "runtime/forms.h"

namespace tegula {
namespace {

constexpr size_t kFineStep = 64;
constexpr size_t kFineLimit = 4096;  // at and below: multiples of kFineStep
constexpr size_t kLargeLimit = size_t(4) << 20;  // above: kLargeSteps to each power of two
constexpr size_t kSteps = 8, kLargeSteps = 32;

size_t steps_above(size_t power) { return power < kLargeLimit ? kSteps : kLargeSteps; }
constexpr size_t kMaxBytes = size_t(1) << 47;
// The cache may hold as much as was ever live at once, and this much in any case.
constexpr int64_t kSmallCache = int64_t(256) << 20;

std::atomic<std::string (*)(Backend&)> shortage_explainer{nullptr};

}  // namespace

std::string readable_bytes(int64_t bytes) {
  std::ostringstream out;
  if (bytes < 1024) {
    out << bytes << " bytes";
  } else {
    const char* const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = double(bytes) / 1024;
    int unit = 0;
    for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
    out << std::fixed << std::setprecision(1) << value << ' ' << units[unit];
  }
  return out.str();
}

void set_shortage_explainer(std::string (*explain)(Backend& device)) {
  shortage_explainer = explain;
}

size_t Allocator::block_size(size_t bytes) {
  const size_t below = std::bit_floor(std::max<size_t>(bytes, 2) - 1);
  const size_t step = bytes <= kFineLimit ? kFineStep : below / steps_above(below);
  return (std::max<size_t>(bytes, 1) + step - 1) / step * step;
}

size_t Allocator::class_index(size_t block_bytes) {
  if (block_bytes <= kFineLimit) return block_bytes / kFineStep - 1;
  const size_t below = std::bit_floor(block_bytes - 1);  // the power of two it lies above
  const size_t powers = size_t(std::bit_width(below) - std::bit_width(kFineLimit));
  const size_t large =
      size_t(std::bit_width(std::max(below, kLargeLimit)) - std::bit_width(kLargeLimit));
  return 64 + kSteps * powers + (kLargeSteps - kSteps) * large +
         (block_bytes - below) / (below / steps_above(below)) - 1;
}

std::byte* Allocator::allocate(size_t bytes) {
  use_engine();
  std::byte* data = try_allocate(bytes);
  if (!data && release_forms(backend_)) data = try_allocate(bytes);
  if (!data) fail_out_of_memory(bytes);
  return data;
}

std::byte* Allocator::try_allocate(size_t bytes) {
  if (bytes > kMaxBytes) return nullptr;
  const size_t block_bytes = block_size(bytes);
  const int64_t block = int64_t(block_bytes);
  std::lock_guard lock(mutex_);
  const int64_t limit = stats_.limit_bytes;
  if (limit > 0 && stats_.live_bytes + block > limit) return nullptr;

  SizeClass& size_class = classes_[class_index(block_bytes)];
  size_class.block_bytes = block_bytes;
  size_class.last_use = ++clock_;
  std::byte* data = take_cached(size_class);
  if (!data) {
    size_class.missed |= size_class.lent;
    if (limit > 0) evict_until(limit - stats_.live_bytes - block);
    data = resize_cached(block_bytes);
  }
  if (!data) {
    data = backend_.allocate(block_bytes);
    if (!data) {
      evict_until(0);
      data = backend_.allocate(block_bytes);
    }
    if (!data) return nullptr;
    ++stats_.system_allocations;
  }
  note_allocation(block_bytes);
  return data;
}

void Allocator::note_allocation(size_t block_bytes) {
  ++stats_.allocations;
  stats_.live_bytes += int64_t(block_bytes);
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  highest_live_ = std::max(highest_live_, stats_.live_bytes);
}

std::byte* Allocator::borrow(size_t& bytes) {
  {
    std::lock_guard lock(mutex_);
    // What is cached counts against the limit already.
    if (const size_t larger = larger_cached(bytes)) {
      SizeClass& size_class = classes_[class_index(larger)];
      size_class.last_use = ++clock_;
      note_allocation(larger);
      bytes = larger;
      return take_cached(size_class);
    }
  }
  return allocate(bytes);
}

// The size of the smallest cached block above the size that serves a request, of which there is
// none; else 0.
size_t Allocator::larger_cached(size_t bytes) const {
  constexpr size_t kSlowFrom = size_t(128) << 10;  // below, the C library has memory at hand
  if (bytes < kSlowFrom || bytes > kMaxBytes) return 0;
  size_t index = class_index(block_size(bytes));
  if (!classes_[index].blocks.empty()) return 0;
  while (++index < kClasses && classes_[index].blocks.empty()) {
  }
  return index == kClasses ? 0 : classes_[index].block_bytes;
}

std::byte* Allocator::take_cached(SizeClass& size_class) {
  if (size_class.blocks.empty()) return nullptr;
  std::byte* data = size_class.blocks.back();
  size_class.blocks.pop_back();
  stats_.cached_bytes -= int64_t(size_class.block_bytes);
  ++stats_.cache_hits;
  return data;
}

// Where shapes change from step to step, the block of the step before is resized: most of its
// memory has been touched already, which is slow the first time. A program that goes on using the
// other size asks for it again, and is not robbed twice.
std::byte* Allocator::resize_cached(size_t block_bytes) {
  SizeClass* closest = nullptr;
  for (SizeClass& other : classes_)  // by size: the largest that suits
    if (!other.blocks.empty() && !other.missed && other.block_bytes >= block_bytes / 4 &&
        other.block_bytes <= block_bytes + block_bytes / 8)
      closest = &other;
  if (!closest) return nullptr;
  std::byte* data = backend_.resize(closest->blocks.back(), closest->block_bytes, block_bytes);
  if (!data) return nullptr;
  closest->lent = true;
  closest->blocks.pop_back();
  stats_.cached_bytes -= int64_t(closest->block_bytes);
  ++stats_.cache_hits;
  return data;
}

void Allocator::deallocate(std::byte* data, size_t bytes) noexcept {
  // The lock may have been held at the fork; the memory goes when the child ends.
  if (!data || in_forked_child()) return;
  std::lock_guard lock(mutex_);
  const size_t block_bytes = block_size(bytes);
  SizeClass& size_class = classes_[class_index(block_bytes)];
  stats_.live_bytes -= int64_t(block_bytes);
  try {
    size_class.blocks.push_back(data);
  } catch (const std::bad_alloc&) {
    backend_.deallocate(data, block_bytes);
    return;
  }
  size_class.last_use = ++clock_;
  stats_.cached_bytes += int64_t(block_bytes);
  evict_until(std::max(kSmallCache, highest_live_));
}

// Frees blocks, of the sizes unused for longest first, until at most `cached_bytes` are kept.
void Allocator::evict_until(int64_t cached_bytes) {
  while (stats_.cached_bytes > std::max<int64_t>(cached_bytes, 0)) {
    SizeClass* oldest = nullptr;
    for (SizeClass& candidate : classes_)
      if (!candidate.blocks.empty() && (!oldest || candidate.last_use < oldest->last_use))
        oldest = &candidate;
    release_blocks(*oldest, cached_bytes);
  }
}

void Allocator::release_blocks(SizeClass& size_class, int64_t cached_bytes) {
  while (!size_class.blocks.empty() && stats_.cached_bytes > cached_bytes) {
    backend_.deallocate(size_class.blocks.back(), size_class.block_bytes);
    size_class.blocks.pop_back();
    stats_.cached_bytes -= int64_t(size_class.block_bytes);
  }
}

void Allocator::trim() {
  if (in_forked_child()) return;
  std::lock_guard lock(mutex_);
  evict_until(0);
}

void Allocator::set_limit(int64_t bytes) {
  require(bytes >= 0, "set_memory_limit: bytes must not be negative, got ", bytes);
  use_engine();
  std::lock_guard lock(mutex_);
  stats_.limit_bytes = bytes;
  if (bytes > 0) evict_until(bytes - stats_.live_bytes);
}

MemoryStats Allocator::stats() const {
  use_engine();
  std::lock_guard lock(mutex_);
  return stats_;
}

void Allocator::reset_peak() {
  use_engine();
  std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.live_bytes;
  stats_.plan_peak_bytes = 0;
  noted_peak_ = 0;
}

int64_t Allocator::note_plan(int64_t bytes) {
  std::lock_guard lock(mutex_);
  stats_.plan_bytes = bytes;
  stats_.plan_peak_bytes = std::max(stats_.plan_peak_bytes, bytes);
  if (stats_.peak_bytes <= noted_peak_) return 0;
  return noted_peak_ = stats_.peak_bytes;
}

void Allocator::fail_out_of_memory(size_t bytes) const {
  const MemoryStats now = stats();
  const auto explain = shortage_explainer.load();
  const std::string holders = explain ? explain(backend_) : "";
  fail(ErrorKind::out_of_memory, "out of memory on device '", backend_.name(),
       "': ", readable_bytes(int64_t(std::min(bytes, size_t(INT64_MAX)))), " requested; ",
       readable_bytes(now.live_bytes), " live (peak ", readable_bytes(now.peak_bytes), "), ",
       readable_bytes(now.cached_bytes), " cached",
       now.limit_bytes > 0 ? cat(", limit ", readable_bytes(now.limit_bytes)) : std::string(),
       holders.empty() ? "" : "\n", holders);
}

}  // namespace tegula
