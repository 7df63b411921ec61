// Measures what the machine can do at most with N threads: float32 fused multiply-adds, reading and
// copying memory. Prints one figure a line.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr int kRounds = 9;
constexpr int kLanes = 16, kChains = 14;  // enough independent sums to hide the latency
using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The best time of a few in which all threads do their part.
double best_time(int threads, const std::function<void(int)>& part) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double start = seconds();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(part, t);
    part(0);
    for (std::thread& other : others) other.join();
    best = std::min(best, seconds() - start);
  }
  return best;
}

volatile float sink;

void multiply_add(long count) {
  Vector sums[kChains], a, b;
  for (int i = 0; i < kLanes; ++i) {
    a[i] = 1 + 1e-7f * float(i);
    b[i] = 1e-7f;
  }
  for (Vector& sum : sums) sum = b;
  for (long n = 0; n < count; ++n)
    for (Vector& sum : sums) sum = sum * a + b;
  Vector total = b;
  for (const Vector& sum : sums) total += sum;
  sink = total[0];
}

void read(const Vector* data, size_t count) {
  Vector sums[8] = {};
  for (size_t i = 0; i + 8 <= count; i += 8)
    for (int k = 0; k < 8; ++k) sums[k] += data[i + size_t(k)];
  for (int k = 1; k < 8; ++k) sums[0] += sums[k];
  sink = sums[0][0];
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  constexpr long kCount = 20'000'000;
  const double flops = 2.0 * kLanes * kChains * double(kCount) * threads;
  std::printf("FMA GFLOP/s %.1f\n",
              flops / best_time(threads, [&](int) { multiply_add(kCount); }) / 1e9);

  constexpr size_t kBytes = size_t(256) << 20;
  std::vector<std::vector<char>> from, to;
  for (int t = 0; t < threads; ++t) {
    from.emplace_back(kBytes + 64, char(1));
    to.emplace_back(kBytes + 64, char(2));
  }
  const double moved = double(kBytes) * threads / 1e9;
  const auto aligned = [](std::vector<char>& memory) {
    return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  };
  std::printf("read GB/s %.1f\n", moved / best_time(threads, [&](int t) {
                                    read(reinterpret_cast<const Vector*>(aligned(from[size_t(t)])),
                                         kBytes / sizeof(Vector));
                                  }));
  std::printf("copy GB/s (read and written) %.1f\n",
              2 * moved / best_time(threads, [&](int t) {
                std::memcpy(aligned(to[size_t(t)]), aligned(from[size_t(t)]), kBytes);
              }));
}
