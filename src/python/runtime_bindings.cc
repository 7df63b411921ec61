// Devices, memory, threads, and the random generator.
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "backend/cpu/conv_algorithm.h"
#include "plan/evaluate.h"
#include "plan/memory_report.h"
#include "backend/cpu/isa.h"
#include "ops/ops.h"
#include "graph/trace.h"
#include "python/bindings.h"
#include "python/casters.h"
#include "runtime/profile.h"
#include "runtime/backend.h"
#include "runtime/host.h"
#include "runtime/lapack.h"
#include "runtime/thread_pool.h"

namespace nb = nanobind;

namespace tegula::python {
namespace {

Backend& device_of(const nb::object& device, const char* op) { return to_device(device.ptr(), op); }

nb::list device_names() {
  nb::list names;
  for (const Backend* backend : backends())
    names.append(nb::str(backend->name().data(), backend->name().size()));
  return names;
}

nb::dict memory_stats(const nb::object& device) {
  const MemoryStats stats = device_of(device, "memory_stats").allocator().stats();
  nb::dict result;
  result["live_bytes"] = stats.live_bytes;
  result["peak_bytes"] = stats.peak_bytes;
  result["cached_bytes"] = stats.cached_bytes;
  result["allocations"] = stats.allocations;
  result["cache_hits"] = stats.cache_hits;
  result["system_allocations"] = stats.system_allocations;
  result["limit_bytes"] = stats.limit_bytes;
  result["plan_bytes"] = stats.plan_bytes;
  result["plan_peak_bytes"] = stats.plan_peak_bytes;
  return result;
}

nb::dict instruction_sets() {
  nb::dict result;
  result["used"] = cpu::isa_name();
  nb::list supported;
  for (const std::string& name : cpu::supported_isas()) supported.append(name);
  result["supported"] = supported;
  return result;
}

int64_t byte_limit(const nb::object& bytes) {
  return bytes.is_none() ? 0 : to_int(bytes.ptr(), "set_memory_limit", "bytes");
}

// ---- random ----------------------------------------------------------------------------------

uint64_t parse_seed(const nb::object& seed) {
  const int64_t value = to_int(seed.ptr(), "manual_seed", "seed");
  return uint64_t(value);
}

// A generator's state is set once, when a traced function is recorded, and not when it runs.
void refuse_in_trace(const char* what) {
  if (Trace::current())
    fail(ErrorKind::trace, what,
         ": inside a traced function it would happen once, when it is "
         "recorded; call it outside");
}

void set_generator(uint64_t key, uint64_t offset) {
  refuse_in_trace("manual_seed");
  default_generator().set(key, offset);
}

// Lets the operations of its `with` block draw from it.
struct PythonGenerator {
  Ref<Generator> state;
  std::unique_ptr<GeneratorScope> scope;
};

constexpr const char* kEventKinds[] = {"record", "plan", "find", "run", "step", "share", "wait"};

nb::tuple finish_profile() {
  const Profile profile = stop_profile();
  nb::list events;
  for (const ProfileEvent& e : profile.events)
    events.append(nb::make_tuple(kEventKinds[e.kind], e.name, e.begin, e.end, e.thread, e.bytes,
                                 e.flops, e.count, e.lines, e.plan_number, e.step_number,
                                 e.algorithm));
  nb::list threads;
  for (const std::string& name : profile.threads) threads.append(name);
  return nb::make_tuple(events, threads);
}

}  // namespace

void add_runtime_functions(nb::module_& m) {
  m.def("devices", device_names, nb::sig("def devices() -> list[str]"),
        "The names of all devices.");
  m.def(
      "device_description",
      [](const nb::object& device) {
        return device_of(device, "device_description").description();
      },
      nb::arg("device") = nb::none(),
      nb::sig("def device_description(device: str | None = None) -> str"),
      "One line about a device: model, instruction sets, memory.");
  m.def(
      "get_default_device", [] { return std::string(default_device().name()); },
      "The device on which tensors are made.");
  m.def(
      "set_default_device",
      [](const nb::object& device) { set_default_device(device_of(device, "set_default_device")); },
      nb::arg("device").none(), nb::sig("def set_default_device(device: str | None) -> None"),
      "Makes new tensors on this device; None for the cpu.");
  m.def(
      "memory_stats", memory_stats, nb::arg("device") = nb::none(),
      nb::sig("def memory_stats(device: str | None = None) -> dict[str, int]"),
      "A device's memory: live_bytes, peak_bytes, cached_bytes, allocations, cache_hits,\n"
      "system_allocations and limit_bytes; plan_bytes is what the last plan to run had in memory\n"
      "(inputs, results, temporary values), plan_peak_bytes the most that one had.");
  m.def(
      "memory_report",
      [](const nb::object& device) { return memory_report(device_of(device, "memory_report")); },
      nb::arg("device") = nb::none(),
      nb::sig("def memory_report(device: str | None = None) -> str"),
      "What holds a device's memory: values by size, with operation, shape, dtype and the line of\n"
      "the program that made them; and, of the plan that ran when most was in use since\n"
      "reset_peak_memory(), what was in memory at its largest step. Values under 64 KiB are\n"
      "counted together. OutOfMemoryError carries the same.");
  m.def(
      "reset_peak_memory",
      [](const nb::object& device) { reset_peak_memory(device_of(device, "reset_peak_memory")); },
      nb::arg("device") = nb::none(),
      nb::sig("def reset_peak_memory(device: str | None = None) -> None"),
      "Starts peak_bytes and plan_peak_bytes anew.");
  m.def(
      "release_cached_memory",
      [](const nb::object& device) {
        device_of(device, "release_cached_memory").allocator().trim();
      },
      nb::arg("device") = nb::none(),
      nb::sig("def release_cached_memory(device: str | None = None) -> None"),
      "Gives memory kept for reuse back to the system.");
  m.def(
      "set_memory_limit",
      [](const nb::object& bytes, const nb::object& device) {
        device_of(device, "set_memory_limit").allocator().set_limit(byte_limit(bytes));
      },
      nb::arg("bytes").none(), nb::arg("device") = nb::none(),
      nb::sig("def set_memory_limit(bytes: int | None, device: str | None = None) -> None"),
      "The most bytes that may be live at once; None for no limit.");
  m.def("get_num_threads", &num_threads, "Threads that compute, the caller included.");
  m.def(
      "set_num_threads",
      [](const nb::object& count) {
        const int64_t threads = to_int(count.ptr(), "set_num_threads", "count");
        require(threads >= 1 && threads <= 1024,
                "set_num_threads: needs a number from 1 to 1024, got ", threads);
        const Unlocked unlocked;  // it waits for threads that may need the GIL
        set_num_threads(int(threads));
      },
      nb::arg("count"), nb::sig("def set_num_threads(count: int) -> None"),
      "Sets the threads that compute. It changes no result.");
  m.def(
      "get_conv_algorithm", [] { return std::string(cpu::name(cpu::conv_algorithm())); },
      "How the cpu computes 3 x 3 convolutions of stride 1: see set_conv_algorithm.");
  m.def(
      "set_conv_algorithm",
      [](const std::string& algorithm) {
        const auto wanted = cpu::parse_conv_algorithm(algorithm, "set_conv_algorithm");
        synchronize();  // what is under way keeps the algorithm it began with
        cpu::set_conv_algorithm(wanted);
      },
      nb::arg("algorithm"), nb::sig("def set_conv_algorithm(algorithm: str) -> None"),
      "How the cpu computes 3 x 3 convolutions of stride 1 evaluated from now on: 'winograd2'\n"
      "(the default; as accurate as direct), 'winograd4' (faster, error 10 times larger) or\n"
      "'direct'. Waits for what is being computed, and raises its failure. Sources: Lavin and "
      "Gray\n"
      "2016; docs/numerics.md. ValueError for other names.");
  m.def("_lapack_names", &lapack_names, "The functions that _set_lapack asks for.");
  m.def(
      "_set_lapack",
      [](const std::map<std::string, uintptr_t>& addresses) {
        set_lapack([&](const std::string& name) {
          const auto at = addresses.find(name);
          return at == addresses.end() ? nullptr : reinterpret_cast<void*>(at->second);
        });
      },
      nb::arg("addresses"), nb::sig("def _set_lapack(addresses: dict[str, int]) -> None"),
      "Gives the engine LAPACK's functions, by their addresses.");
  m.def("_readable_bytes", &readable_bytes, nb::arg("bytes"), "So many bytes in words.");
  m.def("_start_profile", &start_profile, "Begins to note what is planned and run.");
  m.def("_stop_profile", finish_profile,
        nb::sig("def _stop_profile() -> tuple[list[tuple[Any, ...]], list[str]]"),
        "Events (kind, name, begin and end in us, thread, bytes, flops, count, lines, plan, step,\n"
        "algorithm), and the threads' names.");
  m.def("isa", instruction_sets, nb::sig("def isa() -> dict[str, Any]"),
        "The instruction set the kernels use, and all they could use here.");

  m.def(
      "manual_seed", [](const nb::object& seed) { set_generator(parse_seed(seed), 0); },
      nb::arg("seed"), nb::sig("def manual_seed(seed: int) -> None"),
      "Starts the default random generator anew.");
  m.def(
      "_generator_state",
      [] { return std::pair(default_generator().key, default_generator().offset); },
      "Key and next counter of the generator in use.");
  m.def("_set_generator_state", &set_generator, nb::arg("key"), nb::arg("offset"), "Sets both.");
  nb::class_<PythonGenerator>(m, "_Generator", "A random generator: a key and a counter.")
      .def(
          "__init__",
          [](PythonGenerator* self, const nb::object& seed) {
            new (self) PythonGenerator{make_ref<Generator>(parse_seed(seed), 0), nullptr};
          },
          nb::arg("seed") = nb::int_(0), nb::sig("def __init__(self, seed: int = 0) -> None"))
      .def("__enter__",
           [](PythonGenerator& self) {
             if (self.scope) fail(ErrorKind::runtime, "Generator: it is in use already");
             self.scope = std::make_unique<GeneratorScope>(*self.state);
           })
      .def(
          "__exit__", [](PythonGenerator& self, const nb::args&) { self.scope.reset(); },
          nb::sig("def __exit__(self, *args: Any) -> None"))
      .def(
          "get_state",
          [](const PythonGenerator& self) {
            return std::pair(self.state->key, self.state->offset);
          },
          "(key, counter), for set_state.")
      .def(
          "set_state",
          [](PythonGenerator& self, std::pair<uint64_t, uint64_t> state) {
            refuse_in_trace("set_state");
            self.state->set(state.first, state.second);
          },
          nb::arg("state"), "Goes on from a state of get_state.");
}

}  // namespace tegula::python
