#include "runtime/buffer.h"

#include <mutex>

#include "base/error.h"
#include "runtime/backend.h"

namespace tegula {

Buffer::~Buffer() {
  if (release_) release_();
  if (data_ && !lent_) backend_->allocator().deallocate(data_, bytes_);
}

void Buffer::allocate() {
  if (!data_) data_ = backend_->allocator().allocate(bytes_);
}

Forms& Buffer::forms() {
  static std::mutex& mutex = *std::make_unique<std::mutex>().release();
  const std::lock_guard lock(mutex);
  if (!forms_) forms_ = std::make_unique<Forms>(*backend_);
  return *forms_;
}

void Buffer::release_memory() {
  if (lent_ || !data_) return;
  forms_.reset();
  backend_->allocator().deallocate(std::exchange(data_, nullptr), bytes_);
}

void Buffer::take_memory(Buffer& donor) {
  // Broken by the planner, never by a user.
  if (data_ || !donor.data_ || donor.lent_ || donor.bytes_ != bytes_ || donor.backend_ != backend_)
    fail(ErrorKind::runtime, "a buffer of ", bytes_, " bytes cannot take over one of ",
         donor.bytes_, " bytes");
  donor.forms_.reset();
  data_ = std::exchange(donor.data_, nullptr);
}

}  // namespace tegula
