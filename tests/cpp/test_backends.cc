// The registry of backends, the cpu and the null backend, and their environment variables.
#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "backend/null/null_backend.h"
#include "runtime/backend.h"
#include "runtime/buffer.h"
#include "runtime_helpers.h"

using namespace tegula;
using namespace tegula::test;

namespace {

StepSpec step_of_kind(std::string_view kind) {
  StepSpec step;
  step.kind = kind;
  return step;
}

}  // namespace

TEST_CASE("backends are found by name") {
  CHECK(find_backend("cpu").name() == "cpu");
  CHECK(find_backend("cpu").host_memory());
  CHECK(backends().size() >= 2);
  const auto [kind, message] = error_of([] { find_backend("tpu"); });
  CHECK(kind == ErrorKind::device);
  CHECK(contains(message, "no device is called 'tpu'; there are: cpu, null"));
  CHECK(error_of([] { register_null_backend(); }).first == ErrorKind::value);
}

TEST_CASE("the cpu backend") {
  Backend& cpu = find_backend("cpu");
  CHECK(cpu.find_kernel(step_of_kind("matmul")) != nullptr);
  CHECK(cpu.find_kernel(step_of_kind("no such step")) == nullptr);
  CHECK(contains(cpu.description(), cpu::isa_name().c_str()));
  CHECK_FALSE(contains(cpu.description(), "\n"));
}

TEST_CASE("the cpu's memory can be written, small and mapped") {
  Backend& cpu = find_backend("cpu");
  for (size_t bytes : {0, 1, 5000, 4 << 20, (9 << 20) + 3}) {
    const Ref<Buffer> buffer = make_ref<Buffer>(cpu, bytes);
    CHECK(buffer->data() == nullptr);
    buffer->allocate();
    REQUIRE(buffer->data());
    CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % 64 == 0);
    std::memset(buffer->data(), 7, bytes);
    std::vector<std::byte> back(bytes);
    cpu.copy_to_host(back.data(), buffer->data(), bytes);
    for (size_t i = 0; i < bytes; i += 997) CHECK(back[i] == std::byte(7));
  }
  cpu.allocator().trim();
}

TEST_CASE("the null backend") {
  NullBackend null(1000);
  CHECK_FALSE(null.host_memory());
  std::set<std::byte*> seen;
  for (int i = 0; i < 10; ++i) {
    std::byte* data = null.allocate(100);
    CHECK(data);
    CHECK(seen.insert(data).second);
  }
  CHECK(null.allocate(1) == nullptr);
  null.deallocate(*seen.begin(), 100);
  CHECK(null.allocate(64) != nullptr);
  const Kernel* kernel = null.find_kernel(step_of_kind("anything"));
  REQUIRE(kernel);
  kernel->run({});
  int value = 5;
  null.copy_from_host(*seen.begin(), &value, sizeof(value));
  const auto [kind, message] = error_of([&] { null.copy_to_host(&value, *seen.begin(), 4); });
  CHECK(kind == ErrorKind::device);
  CHECK(contains(message, "computes nothing"));
}

TEST_CASE("child: print the instruction set" * doctest::skip()) {
  std::printf("isa=%s tile=%d\n", cpu::isa_name().c_str(), int(cpu::tile_size(1024)));
}

TEST_CASE("TEGULA_ISA, TEGULA_TILE and TEGULA_NULL_MEMORY") {
  const char* name = "child: print the instruction set";
  const auto all = cpu::supported_isas();
  CHECK(all.back() == "baseline");
  for (const std::string& isa : all)
    CHECK(contains(in_fresh_process("TEGULA_TILE= TEGULA_ISA=" + isa, name).second,
                   cat("isa=", isa, " tile=1024\n").c_str()));
  CHECK(contains(in_fresh_process("TEGULA_ISA= TEGULA_TILE=8", name).second,
                 cat("isa=", all.front(), " tile=8\n").c_str()));
  const auto [status, output] = in_fresh_process("TEGULA_ISA=mmx", name);
  CHECK(status == 2);
  CHECK(contains(output, "TEGULA_ISA: 'mmx' is not an instruction set of this processor"));
  CHECK(contains(in_fresh_process("TEGULA_NULL_MEMORY=much", name).second,
                 "TEGULA_NULL_MEMORY must be a positive whole number of bytes, got 'much'"));
}
