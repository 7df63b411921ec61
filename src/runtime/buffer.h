// Reference-counted memory of one device, and the event that says when its contents are there.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include "base/ref.h"
#include "runtime/forms.h"

namespace tegula {

// Completion of one submitted piece of work. Shared by everything that work writes.
class Event : public RefCounted<Event> {
 public:
  bool done() const { return done_.load(std::memory_order_acquire); }
  // The failure, once done; null for success.
  std::exception_ptr error() const { return done() ? error_ : nullptr; }
  void complete(std::exception_ptr error = nullptr) {
    error_ = std::move(error);
    done_.store(true, std::memory_order_release);
    done_.notify_all();
  }

 private:
  std::atomic<bool> done_{false};
  std::exception_ptr error_;
};

class Buffer : public RefCounted<Buffer> {
 public:
  // Memory to be allocated when the work that writes it runs (see allocate()).
  Buffer(Backend& backend, size_t bytes) : backend_(&backend), bytes_(bytes) {}
  // Memory lent by somebody else: never donated, `release` runs when the last reference goes.
  Buffer(Backend& backend, std::byte* data, size_t bytes, std::function<void()> release)
      : backend_(&backend), data_(data), bytes_(bytes), release_(std::move(release)), lent_(true) {}
  ~Buffer();

  // Takes memory from the backend's caching allocator unless it has some. Throws OutOfMemoryError.
  void allocate();
  // Gives its memory back: what was to be computed has failed.
  void release_memory();
  // Takes over the memory of `donor`, which must be as large, allocated and not lent.
  void take_memory(Buffer& donor);

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Backend& backend() const { return *backend_; }

  // What kernels made of the contents, for use by the work that runs.
  Forms& forms();

  // The work that writes the contents; null when they are there.
  const Ref<Event>& event() const { return event_; }
  void set_event(Ref<Event> event) { event_ = std::move(event); }

  // A plan may overwrite it when nobody else refers to it: not lent, not seen by NumPy or DLPack.
  bool donatable() const { return !lent_ && exports_.load(std::memory_order_acquire) == 0; }
  void add_export() { exports_.fetch_add(1, std::memory_order_relaxed); }
  void drop_export() { exports_.fetch_sub(1, std::memory_order_release); }

  // References held by work on the queue. Work runs in order, so they are gone by the time that
  // anything submitted later begins, and do not stand in the way of its overwriting the memory.
  void enter_run() { runs_.fetch_add(1, std::memory_order_relaxed); }
  void leave_run() { runs_.fetch_sub(1, std::memory_order_release); }  // before the reference goes
  uint32_t owners() const {
    const uint32_t all = ref_count();  // read first: a run that ends meanwhile counts as an owner
    return all - runs_.load(std::memory_order_acquire);
  }

 private:
  Backend* backend_;
  std::byte* data_ = nullptr;
  size_t bytes_;
  Ref<Event> event_;
  std::unique_ptr<Forms> forms_;
  std::function<void()> release_;
  bool lent_ = false;
  std::atomic<int> exports_{0};
  std::atomic<uint32_t> runs_{0};
};

}  // namespace tegula
