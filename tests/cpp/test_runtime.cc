// Thread pool, CPU count, allocator and buffers.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "backend/null/null_backend.h"
#include "runtime/buffer.h"
#include "runtime/cancel.h"
#include "runtime/cpu_count.h"
#include "runtime/thread_pool.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::test;
using namespace std::chrono_literals;

namespace {

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// Its memory can be made larger in place.
class GrowingDevice : public NullBackend {
 public:
  GrowingDevice() : NullBackend(0) {}
  ~GrowingDevice() override { allocator().trim(); }
  std::byte* resize(std::byte* data, size_t, size_t) override {
    ++resized;
    return data;
  }
  int resized = 0;
};

}  // namespace

TEST_CASE("parallel_for runs every piece once") {
  for (int threads : {1, 2, 5}) {
    const Threads scope(threads);
    for (int64_t count : {0, 1, 2, 3, 64, 1000}) {
      std::vector<std::atomic<int>> runs(count);
      parallel_for(count, [&](int64_t i) { ++runs[i]; });
      for (auto& n : runs) CHECK(n == 1);
    }
    for (int round = 0; round < 2000; ++round) {
      std::atomic<int> sum = 0;
      parallel_for(3, [&](int64_t i) { sum += int(i) + 1; });
      REQUIRE(sum == 6);
    }
  }
}

TEST_CASE("parallel_for uses several threads") {
  const Threads scope(2);
  // Each piece waits for the other: one thread alone would never finish.
  std::atomic<int> arrived = 0;
  parallel_for(2, [&](int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("parallel_for wakes sleeping workers") {
  const Threads scope(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(2ms);
    std::atomic<int> arrived = 0;
    parallel_for(3, [&](int64_t) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
    });
    CHECK(arrived == 3);
  }
}

TEST_CASE("nested parallel_for stays on its thread") {
  const Threads scope(3);
  std::atomic<int> runs = 0, elsewhere = 0;
  parallel_for(6, [&](int64_t) {
    const auto here = std::this_thread::get_id();
    parallel_for(5, [&](int64_t) {
      ++runs;
      if (std::this_thread::get_id() != here) ++elsewhere;
    });
  });
  CHECK(runs == 30);
  CHECK(elsewhere == 0);
}

TEST_CASE("parallel_for from several threads at once") {
  const Threads scope(2);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total = 0;
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int round = 0; round < 300; ++round) parallel_for(7, [&](int64_t i) { total += i; });
    });
  for (auto& caller : callers) caller.join();
  CHECK(total == 4 * 300 * 21);
}

TEST_CASE("parallel_for rethrows the lowest failing piece") {
  for (int threads : {1, 2, 4}) {
    const Threads scope(threads);
    for (int round = 0; round < 100; ++round) {
      std::atomic<int> ran = 0;
      const auto [kind, message] = error_of([&] {
        parallel_for(1000, [&](int64_t i) {
          ++ran;
          if (i >= 5) fail(ErrorKind::index, "piece ", i);
        });
      });
      REQUIRE(kind == ErrorKind::index);
      REQUIRE(message == "piece 5");
      REQUIRE(ran < 1000);
    }
    std::atomic<int> ran = 0;
    parallel_for(10, [&](int64_t) { ++ran; });
    CHECK(ran == 10);
  }
}

TEST_CASE("a cancel stops parallel work between pieces") {
  for (int threads : {1, 3}) {
    const Threads scope(threads);
    std::atomic<int> ran = 0;
    const auto [kind, message] = error_of([&] {
      parallel_for(1000, [&](int64_t i) {
        ++ran;
        if (i == 3) request_cancel();
      });
    });
    CHECK(kind == ErrorKind::interrupted);
    CHECK(ran < 1000);
    CHECK(cancel_requested());
    clear_cancel();
    check_cancel();
  }
}

TEST_CASE("the number of threads") {
  const Threads scope(2);
  CHECK(error_of([] { set_num_threads(0); }).first == ErrorKind::value);
  CHECK(contains(error_of([] { set_num_threads(1025); }).second, "from 1 to 1024, got 1025"));
  for (int count : {1, 4, 2, 3}) {
    set_num_threads(count);
    CHECK(num_threads() == count);
    std::atomic<int> arrived = 0;  // exactly `count` threads take part
    parallel_for(count, [&](int64_t) {
      ++arrived;
      while (arrived < count) std::this_thread::yield();
    });
    stop_threads();
    parallel_for(8, [&](int64_t) { ++arrived; });
    CHECK(arrived == count + 8);
  }
  CHECK(error_of([] { parallel_for(4, [](int64_t) { set_num_threads(3); }); }).first ==
        ErrorKind::runtime);
}

TEST_CASE("child: print the number of threads" * doctest::skip()) {
  try {
    std::printf("threads=%d\n", num_threads());
  } catch (const Error& error) {
    std::printf("error=%s\n", error.what());
  }
}

TEST_CASE("TEGULA_NUM_THREADS") {
  const char* name = "child: print the number of threads";
  CHECK(contains(in_fresh_process("TEGULA_NUM_THREADS=3", name).second, "threads=3\n"));
  for (const char* bad : {"0", "-1", "two", "2x", "1025", "99999999999999999999"})
    CHECK(contains(
        in_fresh_process(cat("TEGULA_NUM_THREADS=", bad), name).second,
        cat("error=TEGULA_NUM_THREADS must be a whole number from 1 to 1024, got '", bad, "'")
            .c_str()));
  CHECK(contains(in_fresh_process("TEGULA_NUM_THREADS=", name).second,
                 cat("threads=", available_cpus(), "\n").c_str()));
}

TEST_CASE("the cgroup quota is rounded up") {
  const auto root = std::filesystem::temp_directory_path() / cat("tegula-cgroup-", getpid());
  const auto fresh = [&](const std::string& groups) {
    std::filesystem::remove_all(root);
    write_file(root / "proc/self/cgroup", groups);
  };
  fresh("0::/user/job\n");
  CHECK(cgroup_cpu_quota(root) == 0);
  write_file(root / "sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
  CHECK(cgroup_cpu_quota(root) == 0);
  write_file(root / "sys/fs/cgroup/user/cpu.max", "250000 100000\n");
  CHECK(cgroup_cpu_quota(root) == 3);
  write_file(root / "sys/fs/cgroup/user/job/cpu.max", "50000 100000\n");
  CHECK(cgroup_cpu_quota(root) == 1);

  fresh("5:memory:/m\n4:cpu,cpuacct:/docker/abc\n");
  write_file(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write_file(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(cgroup_cpu_quota(root) == 0);
  write_file(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  CHECK(cgroup_cpu_quota(root) == 4);

  fresh("0::/\n");
  write_file(root / "sys/fs/cgroup/cpu.max", "nonsense\n");
  CHECK(cgroup_cpu_quota(root) == 0);
  std::filesystem::remove_all(root);
  CHECK(available_cpus() >= 1);
}

TEST_CASE("block sizes waste at most an eighth") {
  CHECK(Allocator::block_size(0) == 64);
  CHECK(Allocator::block_size(65) == 128);
  CHECK(Allocator::block_size(4096) == 4096);
  CHECK(Allocator::block_size(4097) == 4608);
  CHECK(Allocator::block_size(size_t(1) << 20) == size_t(1) << 20);
  size_t before = 0;
  for (size_t bytes = 1; bytes < (size_t(1) << 46); bytes += 1 + bytes / 37) {
    const size_t block = Allocator::block_size(bytes);
    REQUIRE(block >= bytes);
    REQUIRE(block % 64 == 0);
    REQUIRE(block >= before);
    REQUIRE(Allocator::block_size(block) == block);
    if (bytes > 4096) REQUIRE(double(block) <= double(bytes) * 1.125 + 1);
    if (bytes > (size_t(4) << 20)) REQUIRE(double(block) <= double(bytes) * 1.03125 + 1);
    before = block;
  }
}

TEST_CASE("the allocator reuses, counts, trims") {
  NullBackend device(0);
  Allocator& memory = device.allocator();
  std::byte* a = memory.allocate(1000);
  CHECK(reinterpret_cast<uintptr_t>(a) % 64 == 0);
  CHECK(memory.stats().live_bytes == 1024);
  memory.deallocate(a, 1000);
  CHECK(memory.stats().live_bytes == 0);
  CHECK(memory.stats().cached_bytes == 1024);
  std::byte* b = memory.allocate(1024);
  CHECK(b == a);
  std::byte* c = memory.allocate(1024);
  CHECK(c != b);
  MemoryStats stats = memory.stats();
  CHECK(stats.allocations == 3);
  CHECK(stats.cache_hits == 1);
  CHECK(stats.system_allocations == 2);
  CHECK(stats.peak_bytes == 2048);
  memory.deallocate(b, 1024);
  memory.reset_peak();
  CHECK(memory.stats().peak_bytes == 1024);
  memory.trim();
  CHECK(memory.stats().cached_bytes == 0);
  memory.deallocate(c, 1024);
  memory.deallocate(nullptr, 5);
  memory.trim();
}

TEST_CASE("the allocator's cache is bounded and drops what is unused for longest") {
  NullBackend device(0);
  Allocator& memory = device.allocator();
  constexpr size_t kMiB = size_t(1) << 20;
  for (size_t mib = 1; mib <= 512; mib *= 2)
    memory.deallocate(memory.allocate(mib * kMiB), mib * kMiB);
  CHECK(memory.stats().cached_bytes <= int64_t(512 * kMiB));
  const int64_t hits = memory.stats().cache_hits;
  memory.deallocate(memory.allocate(512 * kMiB), 512 * kMiB);
  CHECK(memory.stats().cache_hits == hits + 1);
  memory.trim();
}

TEST_CASE("out of memory") {
  NullBackend device(1 << 20);
  Allocator& memory = device.allocator();
  std::byte* a = memory.allocate(512 << 10);
  memory.deallocate(a, 512 << 10);
  a = memory.allocate(768 << 10);  // fits only after the cache is given back
  CHECK(memory.stats().cached_bytes == 0);
  const auto [kind, message] = error_of([&] { memory.allocate(512 << 10); });
  CHECK(kind == ErrorKind::out_of_memory);
  CHECK(contains(message,
                 "out of memory on device 'null': 512.0 KiB requested; 768.0 KiB live (peak "
                 "768.0 KiB), 0 bytes cached"));
  CHECK(error_of([&] { memory.allocate(SIZE_MAX); }).first == ErrorKind::out_of_memory);
  memory.deallocate(a, 768 << 10);
  memory.trim();
}

TEST_CASE("the memory limit") {
  NullBackend device(0);
  Allocator& memory = device.allocator();
  CHECK(error_of([&] { memory.set_limit(-1); }).first == ErrorKind::value);
  memory.set_limit(1 << 20);
  std::byte* a = memory.allocate(512 << 10);
  memory.deallocate(a, 512 << 10);
  a = memory.allocate(640 << 10);  // the cache yields: together they would pass the limit
  CHECK(memory.stats().cached_bytes == 0);
  const auto [kind, message] = error_of([&] { memory.allocate(512 << 10); });
  CHECK(kind == ErrorKind::out_of_memory);
  CHECK(contains(message, "limit 1.0 MiB"));
  memory.set_limit(0);
  memory.deallocate(memory.allocate(512 << 10), 512 << 10);
  memory.deallocate(a, 640 << 10);
  memory.set_limit(64);
  CHECK(memory.stats().cached_bytes == 0);
}

TEST_CASE("what is borrowed may lie in a larger cached block") {
  NullBackend device(0);
  Allocator& memory = device.allocator();
  constexpr size_t kMiB = size_t(1) << 20;
  const auto use = [&](size_t bytes) { memory.deallocate(memory.allocate(bytes), bytes); };
  const auto borrowed = [&](size_t bytes) {
    std::byte* const data = memory.borrow(bytes);
    memory.deallocate(data, bytes);
    return bytes;
  };
  CHECK(borrowed(3 * kMiB) == 3 * kMiB);
  memory.trim();
  use(8 * kMiB);
  use(32 * kMiB);
  const int64_t before = memory.stats().system_allocations;
  CHECK(borrowed(3 * kMiB) == 8 * kMiB);
  CHECK(borrowed(12 * kMiB) == 32 * kMiB);
  CHECK(borrowed(kMiB / 16) == kMiB / 16);  // there is no need
  CHECK(memory.stats().system_allocations == before + 1);
  CHECK(memory.stats().live_bytes == 0);
  CHECK(memory.stats().cached_bytes == int64_t(40 * kMiB + kMiB / 16));
  use(3 * kMiB);
  CHECK(borrowed(3 * kMiB) == 3 * kMiB);  // its own size first
  size_t bytes = 4 * kMiB;
  std::byte* const data = memory.borrow(bytes);
  CHECK(memory.stats().live_bytes == int64_t(8 * kMiB));
  memory.deallocate(data, bytes);
  memory.set_limit(10 * kMiB);
  CHECK(borrowed(9 * kMiB) == 9 * kMiB);
  CHECK(error_of([&] { borrowed(11 * kMiB); }).first == ErrorKind::out_of_memory);
}

TEST_CASE("a cached block grows for a larger request, once for each size") {
  GrowingDevice device;
  Allocator& memory = device.allocator();
  const auto use = [&](size_t bytes) { memory.deallocate(memory.allocate(bytes), bytes); };
  use(4 << 20);
  use(6 << 20);
  CHECK(device.resized == 1);
  CHECK(memory.stats().system_allocations == 1);
  CHECK(memory.stats().cached_bytes == 6 << 20);
  use(4 << 20);  // still in use: it gets a block that stays
  use(6 << 20);
  use(4 << 20);
  CHECK(memory.stats().system_allocations == 2);
  use(32 << 20);  // too far from any
  CHECK(device.resized == 1);
  memory.set_limit(40 << 20);
  use(40 << 20);  // the cache yields first
  CHECK(memory.stats().cached_bytes <= 40 << 20);
}

TEST_CASE("a cached block shrinks for a request that is little smaller") {
  GrowingDevice device;
  Allocator& memory = device.allocator();
  const auto use = [&](size_t bytes) { memory.deallocate(memory.allocate(bytes), bytes); };
  use(64 << 20);
  use(60 << 20);
  CHECK(device.resized == 1);
  CHECK(memory.stats().cached_bytes == 60 << 20);
  use(50 << 20);  // too far
  CHECK(device.resized == 1);
}

TEST_CASE("memory of the cpu grows with what it holds already, and shrinks") {
  Backend& cpu = find_backend("cpu");
  const size_t size = 3 << 20, more = 9 << 20;
  std::byte* data = cpu.allocate(size);
  std::memset(data, 1, size);
  data = cpu.resize(data, size, more);
#ifdef __linux__
  REQUIRE(data);
  CHECK(reinterpret_cast<uintptr_t>(data) % 64 == 0);
  std::memset(data, 2, more);
  CHECK(data[more - 1] == std::byte(2));
  data = cpu.resize(data, more, size);
  REQUIRE(data);
  std::memset(data, 3, size);
  cpu.deallocate(data, size);
  data = cpu.allocate(64);
  CHECK(cpu.resize(data, 64, more) == nullptr);  // too small to have pages of its own
#endif
  cpu.deallocate(data, 64);
}

TEST_CASE("the allocator serves several threads") {
  NullBackend device(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (size_t i = 1; i < 500; ++i) {
        std::byte* data = device.allocator().allocate(i * 64);
        device.allocator().deallocate(data, i * 64);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(device.allocator().stats().live_bytes == 0);
  CHECK(device.allocator().stats().allocations == 4 * 499);
}

TEST_CASE("buffers") {
  Backend& null = find_backend("null");
  const int64_t live = null.allocator().stats().live_bytes;
  {
    const auto a = make_ref<Buffer>(null, 4096), b = make_ref<Buffer>(null, 4096);
    a->allocate();
    std::byte* data = a->data();
    a->allocate();
    CHECK(a->data() == data);
    CHECK(null.allocator().stats().live_bytes == live + 4096);
    b->take_memory(*a);
    CHECK(b->data() == data);
    CHECK(a->data() == nullptr);
    CHECK(error_of([&] { b->take_memory(*a); }).first == ErrorKind::runtime);
    CHECK(b->donatable());
    b->add_export();
    CHECK_FALSE(b->donatable());
    b->drop_export();
    CHECK(b->donatable());
    b->release_memory();
    CHECK(b->data() == nullptr);
    CHECK(null.allocator().stats().live_bytes == live);
  }
  CHECK(null.allocator().stats().live_bytes == live);

  int released = 0;
  std::byte lent[8];
  {
    const auto buffer = make_ref<Buffer>(null, lent, sizeof(lent), [&] { ++released; });
    const Ref<Buffer> copy = buffer;
    CHECK_FALSE(buffer->donatable());
    buffer->allocate();
    CHECK(buffer->data() == lent);
    CHECK(released == 0);
  }
  CHECK(released == 1);
}

TEST_CASE("small work stays on its thread") {
  const Threads scope(2);
  const auto caller = std::this_thread::get_id();
  bool elsewhere = false;
  for (int round = 0; round < 100; ++round)
    parallel_for(64, [&](int64_t) { elsewhere |= std::this_thread::get_id() != caller; }, 1.0);
  CHECK(!elsewhere);
}

TEST_CASE("work in small amounts wakes a sleeping worker in the end") {
  const Threads scope(2);
  std::atomic<bool> elsewhere = false;
  const auto caller = std::this_thread::get_id();
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!elsewhere && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(200us);
    parallel_for(
        8,
        [&](int64_t) {
          const auto stop = std::chrono::steady_clock::now() + 20us;
          while (std::chrono::steady_clock::now() < stop) {
          }
          if (std::this_thread::get_id() != caller) elsewhere = true;
        },
        10.0);
  }
  CHECK(elsewhere);
}

TEST_CASE("work goes on while another process holds a processor") {
  const Threads scope(2);
  std::atomic<bool> stop = false;
  std::thread competitor([&] {
    while (!stop) {
    }
  });
  cpu_set_t before, after;
  pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> sum = 0;
    parallel_for(16, [&](int64_t i) {
      const auto end = std::chrono::steady_clock::now() + 20us;
      while (std::chrono::steady_clock::now() < end) {
      }
      sum += int(i);
    });
    REQUIRE(sum == 120);
  }
  stop = true;
  competitor.join();
  pthread_getaffinity_np(pthread_self(), sizeof(after), &after);
  CHECK(CPU_EQUAL(&before, &after));  // whoever was moved is back
}
