// Prepared forms of a buffer's contents.
#include <doctest/doctest.h>

#include "backend/null/null_backend.h"
#include "runtime/buffer.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::test;

namespace {

struct Maker {
  int made = 0;
  std::shared_ptr<const std::byte> operator()(Buffer& buffer, int64_t key, size_t bytes = 4096) {
    return buffer.forms().find_or_make({key}, bytes, [&](std::byte*) { ++made; });
  }
};

}  // namespace

TEST_CASE("a form is made at its second use and kept") {
  NullBackend backend(1 << 20);
  Buffer buffer(backend, 64);
  buffer.allocate();
  Maker make;
  const int64_t before = backend.allocator().stats().live_bytes;
  CHECK(make(buffer, 1) == nullptr);
  CHECK(make(buffer, 2) == nullptr);
  const auto first = make(buffer, 1);
  CHECK(first != nullptr);
  CHECK(make(buffer, 1) == first);
  CHECK(make.made == 1);
  CHECK(backend.allocator().stats().live_bytes == before + 4096);
  CHECK(make(buffer, 2) != first);
  CHECK(make.made == 2);
}

TEST_CASE("forms die with the contents") {
  NullBackend backend(1 << 20);
  auto buffer = make_ref<Buffer>(backend, 64);
  buffer->allocate();
  Maker make;
  const int64_t before = backend.allocator().stats().live_bytes;
  make(*buffer, 1);
  make(*buffer, 1);
  Buffer heir(backend, 64);
  heir.take_memory(*buffer);
  CHECK(backend.allocator().stats().live_bytes == before);
  CHECK(make(heir, 1) == nullptr);
  make(heir, 1);
  CHECK(backend.allocator().stats().live_bytes == before + 4096);
}

TEST_CASE("forms yield when memory runs short") {
  NullBackend backend(1 << 20);
  Buffer buffer(backend, 64);
  buffer.allocate();
  Maker make;
  make(buffer, 1);
  make(buffer, 1);
  backend.allocator().set_limit(backend.allocator().stats().live_bytes + 1024);
  SUBCASE("for another allocation") {
    Buffer other(backend, 4096);
    other.allocate();
    CHECK(make(buffer, 1) == nullptr);  // and there is no memory to make it again
    CHECK(make.made == 1);
  }
  SUBCASE("one that is held lives until it is let go") {
    auto held = make(buffer, 1);
    const int64_t live = backend.allocator().stats().live_bytes;
    Buffer other(backend, 4096);
    CHECK(error_of([&] { other.allocate(); }).first == ErrorKind::out_of_memory);
    CHECK(backend.allocator().stats().live_bytes == live);
    held.reset();
    other.allocate();
    CHECK(backend.allocator().stats().live_bytes == live);
  }
}
