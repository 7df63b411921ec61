#include "machine_limits.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "backend/cpu/isa.h"
#include "base/error.h"
#include "limit_loops.h"
#include "runtime/thread_pool.h"

namespace tegula::bench {
namespace {

constexpr int64_t kPieces = 32;         // of a call, for the threads to claim
constexpr int64_t kRounds = 20'000;     // of arithmetic in a piece: some 100 µs
constexpr size_t kStretches[] = {16 << 10, 1 << 20};  // bytes of each array in a piece
constexpr size_t kOwnCache = 512 << 10;  // what a thread's own cache holds for sure
constexpr int64_t kPasses = 64;  // over what stays in a thread's own cache

[[noreturn]] void lacking(const std::string& what) {
  fail(ErrorKind::unsupported, "this processor, or this build, has no ", what);
}

const LimitLoops* loops_of(const std::string& isa) {
  if (isa == "amx") return amx_limit_loops();
  if (isa.starts_with("avx512")) return avx512_limit_loops();
  if (isa == "avx2") return avx2_limit_loops();
  return baseline_limit_loops();
}

ArithmeticLoop arithmetic_loop(const std::string& what) {
  const size_t dot = what.find('.');
  const std::string isa = dot == std::string::npos ? cpu::isa_name() : what.substr(0, dot);
  const std::string type = dot == std::string::npos ? what : what.substr(dot + 1);
  const LimitLoops* loops = loops_of(isa);
  if (!loops) lacking(isa);
  const ArithmeticLoop loop = type == "f32"    ? loops->f32
                              : type == "f64"  ? loops->f64
                              : type == "bf16" ? loops->bf16
                                               : loops->int8;
  if (!loop.run) lacking(isa + " instruction for " + type);
  return loop;
}

// Turns seconds per call into 10^9 units a second.
Timing rate(const Timing& time, double units) {
  const double giga = units * 1e-9;
  return {giga / time.median, giga / time.high, giga / time.low, time.calls};
}

Timing arithmetic(const std::string& what, double seconds) {
  const ArithmeticLoop loop = arithmetic_loop(what);
  const auto call = [&] { parallel_for(kPieces, [&](int64_t) { loop.run(kRounds); }); };
  return rate(time_calls(call, seconds), double(kPieces * kRounds) * double(loop.operations));
}

// Arrays kept from one measurement to the next, since fresh memory costs page faults.
class Arrays {
 public:
  ~Arrays() { release(); }

  // `count` arrays of so many bytes, filled; they start in different sets of the cache.
  const std::vector<std::byte*>& get(size_t count, size_t bytes) {
    if (arrays_.size() != count || bytes_ != bytes) {
      release();
      bytes_ = bytes;
      for (size_t i = 0; i < count; ++i) {
        std::byte* block = find_backend("cpu").allocate(bytes + kMostSkipped);
        if (!block) fail(ErrorKind::out_of_memory, "limit: no memory for ", bytes, " bytes");
        std::fill_n(block, bytes + kMostSkipped, std::byte(i + 1));
        blocks_.push_back(block);
        arrays_.push_back(block + i * kSkip);
      }
    }
    return arrays_;
  }

 private:
  static constexpr size_t kSkip = 9 * kLine;
  static constexpr size_t kMostSkipped = (kMostReads + kMostWrites) * kSkip;

  void release() {
    for (std::byte* block : blocks_) find_backend("cpu").deallocate(block, bytes_ + kMostSkipped);
    blocks_.clear();
    arrays_.clear();
  }

  std::vector<std::byte*> blocks_, arrays_;
  size_t bytes_ = 0;
};

struct Traffic {
  int reads = 0, writes = 0;
  size_t bytes = 0;  // of each array
  std::string stores = "plain";

  explicit Traffic(const std::string& what) {
    std::istringstream in(what);
    char comma = 0;
    in >> reads >> comma >> writes >> comma >> bytes >> comma;
    require(!in.bad() && bytes > 0, "limit memory: READS,WRITES,BYTES expected, got '", what, "'");
    if (comma == ',' && !in.eof()) in >> stores;
    require(reads >= 0 && reads <= kMostReads && writes >= 0 && writes <= kMostWrites &&
                reads + writes > 0,
            "limit memory: at most ", kMostReads, " reads and ", kMostWrites, " writes");
    require(stores == "plain" || stores == "nt" || (stores == "inplace" && writes <= reads),
            "limit memory: stores are plain, nt or inplace, got '", stores, "'");
    bytes = (bytes + 4 * kLine - 1) / (4 * kLine) * (4 * kLine);
  }
  size_t arrays() const { return size_t(stores == "inplace" ? reads : reads + writes); }
};

// Passes over all the arrays, by pieces of which each array has so many bytes.
Timing pass_time(const Traffic& traffic, size_t stretch, int64_t passes, double seconds) {
  static Arrays kept;
  const LimitLoops* loops = loops_of(cpu::isa_name());
  const MemoryPass pass = loops->memory[traffic.reads][traffic.writes][traffic.stores == "nt"];
  const std::vector<std::byte*>& arrays = kept.get(traffic.arrays(), traffic.bytes);
  std::byte* const* out = arrays.data() + (traffic.stores == "inplace" ? 0 : traffic.reads);
  const auto pieces = int64_t((traffic.bytes + stretch - 1) / stretch);
  const auto piece = [&](int64_t index) {
    const size_t first = size_t(index) * stretch;
    const size_t last = std::min(first + stretch, traffic.bytes);
    for (int64_t i = 0; i < passes; ++i) pass(arrays.data(), out, first / kLine, last / kLine);
  };
  return time_calls([&] { parallel_for(pieces, piece); }, seconds);
}

Timing memory(const std::string& what, double seconds) {
  const Traffic traffic(what);
  const double moved = double(traffic.reads + traffic.writes) * double(traffic.bytes);
  const auto threads = size_t(num_threads());
  if (traffic.arrays() * traffic.bytes <= kOwnCache * threads) {
    // What fits the threads' own caches is passed over many times by whoever claims the piece.
    const size_t share = (traffic.bytes / threads + 4 * kLine - 1) / (4 * kLine) * 4 * kLine;
    return rate(pass_time(traffic, share, kPasses, seconds), moved * double(kPasses));
  }
  // The better of short pieces, which keep a page of memory open, and long ones.
  Timing best = {};
  for (const size_t stretch : kStretches) {
    const Timing time = pass_time(traffic, stretch, 1, seconds / std::size(kStretches));
    if (best.calls == 0 || time.median < best.median) best = time;
  }
  return rate(best, moved);
}

}  // namespace

Timing measure_limit(const std::string& kind, const std::string& what, double seconds) {
  if (kind == "fma" || kind == "dot") return arithmetic(what, seconds);
  if (kind == "memory") return memory(what, seconds);
  fail(ErrorKind::value, "limit: fma, dot or memory, got '", kind, "'");
}

}  // namespace tegula::bench
