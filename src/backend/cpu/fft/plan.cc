#include "backend/cpu/fft/plan.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <numbers>
#include <tuple>

#include "backend/cpu/fft/lines.h"

namespace tegula::cpu::fft {
namespace {

using Wide = std::complex<long double>;

// e^(-2 pi i k / n), 0 <= k < n, from an angle of at most an eighth of a turn.
Wide exact_root(int64_t k, int64_t n) {
  const auto angle = [&](int64_t eighths) {
    return std::numbers::pi_v<long double> * (long double)(eighths) / (long double)(4 * n);
  };
  const int64_t x = std::min(8 * k, 8 * (n - k));  // the other half is the conjugate
  long double c, s;
  if (x < n) c = std::cos(angle(x)), s = std::sin(angle(x));
  else if (x < 2 * n) c = std::sin(angle(2 * n - x)), s = std::cos(angle(2 * n - x));
  else if (x < 3 * n) c = -std::sin(angle(x - 2 * n)), s = std::cos(angle(x - 2 * n));
  else c = -std::cos(angle(4 * n - x)), s = std::sin(angle(4 * n - x));
  return {c, 2 * k <= n ? -s : s};
}

// The same for many k: products of two of about sqrt(n) each.
class Roots {
 public:
  explicit Roots(int64_t n) : n_(n) {
    while ((int64_t(1) << (2 * bits_)) < n) ++bits_;
    const int64_t size = int64_t(1) << bits_;
    for (int64_t k = 0; k < std::min(size, n); ++k) low_.push_back(exact_root(k, n));
    for (int64_t k = 0; k < n; k += size) high_.push_back(exact_root(k, n));
  }
  Wide operator()(int64_t k) const {
    const Wide a = high_[size_t(k >> bits_)];
    const Wide b = low_[size_t(k & ((int64_t(1) << bits_) - 1))];
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }
  int64_t n() const { return n_; }

 private:
  int64_t n_;
  int bits_ = 0;
  std::vector<Wide> low_, high_;
};

template <class T>
void push(std::vector<T>& to, Wide w) {
  to.push_back(T(w.real()));
  to.push_back(T(w.imag()));
}

// Of the passes over n rows, in order; empty where a prime is too large.
std::vector<int64_t> radices(int64_t n) {
  int64_t twos = 0;
  std::vector<int64_t> out;
  for (; n % 2 == 0; n /= 2) ++twos;
  int64_t eights = twos / 3;
  if (twos % 3 == 1 && eights > 0) --eights, out = {4, 4};
  else if (twos % 3 == 1) out = {2};
  else if (twos % 3 == 2) out = {4};
  for (int64_t p = 3; p <= kMaxPrime && p * p <= n; p += 2)
    for (; n % p == 0; n /= p) out.push_back(p);
  if (n > kMaxPrime) return {};
  if (n > 1) out.push_back(n);
  out.insert(out.end(), size_t(eights), 8);
  if (out.empty()) out.push_back(1);
  return out;
}

// Vector operations for a row in one pass, about.
double radix_cost(int64_t radix) {
  switch (radix) {
    case 1:
    case 2:
      return 8;
    case 3:
      return 10;
    case 4:
      return 10;
    case 5:
      return 14;
    case 7:
      return 18;
    case 8:
      return 14;
    case 11:
      return 26;
    default:
      return 12 + 2.0 * double(radix);
  }
}

constexpr double kNanoseconds = 0.28;  // of one such operation
constexpr double kImpossible = std::numeric_limits<double>::infinity();
constexpr double kCopyCost = 6;  // of a row, in and out

double smooth_cost(int64_t n) {
  double each = 0;
  const auto all = radices(n);
  if (all.empty()) return kImpossible;
  for (int64_t radix : all) each += radix_cost(radix);
  return each * double(n);
}

// Calls f(m) for products of 2, 3, 5 and 7 in [least, most].
template <class F>
void for_smooth(int64_t least, int64_t most, const F& f) {
  for (int64_t a = 1; a <= most; a *= 7)
    for (int64_t b = a; b <= most; b *= 5)
      for (int64_t c = b; c <= most; c *= 3) {
        int64_t m = c;
        while (m < least) m *= 2;
        if (m <= most) f(m);
      }
}

template <class Cost>
std::pair<int64_t, double> best_convolution(int64_t n, const Cost& cost) {
  std::pair<int64_t, double> best{0, kImpossible};
  const int64_t least = 2 * n - 1;
  for_smooth(least, 2 * least, [&](int64_t m) {
    const double c = cost(m);
    if (c < best.second) best = {m, c};
  });
  return best;
}

constexpr double kTurnCost = 16;   // of a row between the two passes over a line
constexpr double kCallCost = 150;  // of working on a block at all

double cache_factor(double bytes) {
  return bytes <= 32768 ? 1 : bytes <= 0.6e6 ? 1.1 : bytes <= 1.2e6 ? 1.7 : bytes <= 5e6 ? 3 : 8;
}

std::pair<int64_t, double> column_convolution(int64_t n) {
  auto best = best_convolution(n, smooth_cost);
  best.second = 2 * best.second + 20.0 * double(best.first);
  return best;
}

double column_cost(int64_t n, int64_t row_bytes) {
  double cost = smooth_cost(n);
  int64_t rows = n;
  if (cost == kImpossible) std::tie(rows, cost) = column_convolution(n);
  return cost * cache_factor(double(rows * row_bytes)) + kCopyCost * double(n) + kCallCost;
}

struct Split {
  int64_t n1 = 0;
  double cost = kImpossible;
};
Split best_split(int64_t n, int64_t lanes, int64_t row_bytes) {
  Split best;
  const auto blocks = [&](int64_t columns) { return double((columns + lanes - 1) / lanes); };
  for (int64_t d = 2; d * d <= n; ++d) {
    if (n % d != 0) continue;
    const double a = column_cost(d, row_bytes), b = column_cost(n / d, row_bytes);
    for (const bool swapped : {false, true}) {
      const int64_t n1 = swapped ? n / d : d, n2 = n / n1;
      const double first = swapped ? b : a, second = swapped ? a : b;
      const double cost =
          blocks(n2) * first + blocks(n1) * second + kTurnCost * blocks(n2) * double(n1);
      if (cost < best.cost) best = {n1, cost};
    }
  }
  return best;
}
std::pair<int64_t, double> line_convolution(int64_t n, int64_t lanes, int64_t row_bytes) {
  auto best = best_convolution(n, [&](int64_t m) {
    return m % 4 == 0 ? best_split(m, lanes, row_bytes).cost : kImpossible;
  });
  best.second = 2 * best.second + 16.0 * double(best.first) / double(lanes);
  return best;
}

double line_cost(int64_t n, int64_t lanes, int64_t row_bytes) {
  const double split = best_split(n, lanes, row_bytes).cost;
  if (!radices(n).empty()) return split;
  return std::min(split, line_convolution(n, lanes, row_bytes).second);
}

// ---- building ---------------------------------------------------------------------------------

// e^(-pi i k^2 / n) for k < n.
std::vector<Wide> chirp_of(int64_t n) {
  const Roots roots(2 * n);
  std::vector<Wide> chirp;
  chirp.reserve(size_t(n));
  int64_t square = 0;  // modulo 2 n
  for (int64_t k = 0; k < n; ++k) {
    chirp.push_back(roots(square));
    square = (square + 2 * k + 1) % (2 * n);
  }
  return chirp;
}

template <class T>
void prepare_convolution(int64_t n, int64_t m, std::vector<T>& chirp, std::vector<T>& spectrum) {
  const std::vector<Wide> exact = chirp_of(n);
  chirp.reserve(size_t(2 * n));
  for (const Wide& w : exact) push(chirp, w);
  std::vector<double> filter(size_t(2 * m));
  for (int64_t k = 0; k < n; ++k)
    for (const int64_t at : {k, k > 0 ? m - k : 0}) {
      filter[size_t(2 * at)] = double(exact[size_t(k)].real() / (long double)(m));
      filter[size_t(2 * at + 1)] = double(-exact[size_t(k)].imag() / (long double)(m));
    }
  transform_line(*line_plan<double>(m), filter.data());
  spectrum.assign(filter.begin(), filter.end());
}

template <class T>
size_t bytes_of(const std::vector<T>& v) {
  return v.capacity() * sizeof(T);
}
template <class T>
size_t bytes_of(const ColumnPlan<T>& plan) {
  size_t bytes =
      sizeof(plan) + bytes_of(plan.order) + bytes_of(plan.chirp) + bytes_of(plan.spectrum);
  for (const Level<T>& level : plan.levels)
    bytes += bytes_of(level.twiddles) + bytes_of(level.roots);
  return bytes;
}
template <class T>
size_t bytes_of(const LinePlan<T>& plan) {
  return sizeof(plan) + bytes_of(plan.twiddles) + bytes_of(plan.blocks) + bytes_of(plan.chirp) +
         bytes_of(plan.spectrum);
}

size_t bytes_of(const Costs& costs) { return sizeof(costs); }

template <class T>
ColumnPlan<T> make_column(int64_t n) {
  ColumnPlan<T> plan;
  plan.n = n;
  const auto all = radices(n);
  if (all.empty()) {
    const int64_t m = column_convolution(n).first;
    plan.inner = column_plan<T>(m);
    prepare_convolution(n, m, plan.chirp, plan.spectrum);
    return plan;
  }
  const Roots roots(n);
  int64_t length = n;
  for (int64_t radix : all) {
    Level<T> level{radix, length, {}, {}};
    const int64_t step = length / radix;
    if (step > 1) level.twiddles.reserve(size_t(2 * step * (radix - 1)));
    for (int64_t p = 0; step > 1 && p < step; ++p)
      for (int64_t j = 1; j < radix; ++j) push(level.twiddles, roots(n / length * (j * p)));
    if (radix > 11)
      for (int64_t k = 0; k < radix; ++k) push(level.roots, exact_root(k, radix));
    plan.levels.push_back(std::move(level));
    length = step;
  }
  plan.order = {0};
  int64_t weight = 1;
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    std::vector<int64_t> next;
    for (int64_t base : plan.order)
      for (int64_t j = 0; j < all[i]; ++j) next.push_back(base + weight * j);
    plan.order = std::move(next);
    weight *= all[i];
  }
  return plan;
}

template <class T>
LinePlan<T> make_line(int64_t n) {
  LinePlan<T> plan;
  plan.n = n;
  const Split split = best_split(n, kLanes<T>, kRow<T> * sizeof(T));
  const auto [m, cost] = radices(n).empty() ? line_convolution(n, kLanes<T>, kRow<T> * sizeof(T))
                                            : std::pair<int64_t, double>{0, kImpossible};
  if (cost < split.cost) {
    plan.inner = line_plan<T>(m);
    prepare_convolution(n, m, plan.chirp, plan.spectrum);
    return plan;
  }
  plan.n1 = split.n1;
  plan.n2 = n / split.n1;
  plan.first = column_plan<T>(plan.n1);
  plan.second = column_plan<T>(plan.n2);
  const Roots roots(n);
  const int64_t blocks = (plan.n2 + kLanes<T> - 1) / kLanes<T>;
  // All factors while they stay in the cache; else those of the first block and of the others'
  // first columns.
  const bool whole = blocks * plan.n1 * kRow<T> * int64_t(sizeof(T)) <= 262144;
  const int64_t kept = whole ? blocks : 1;
  plan.twiddles.resize(size_t(kept * plan.n1 * kRow<T>));
  T* to = plan.twiddles.data();
  for (int64_t block = 0; block < kept; ++block)
    for (int64_t k = 0; k < plan.n1; ++k, to += kRow<T>)
      for (int64_t l = 0; l < kLanes<T>; ++l) {
        const Wide w = roots((block * kLanes<T> + l) * k % n);
        to[l] = T(w.real());
        to[kLanes<T> + l] = T(w.imag());
      }
  if (whole) return plan;
  plan.blocks.reserve(size_t(2 * blocks * plan.n1));
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t k = 0; k < plan.n1; ++k) push(plan.blocks, roots(block * kLanes<T> * k % n));
  return plan;
}

template <class T>
std::vector<T> make_real(int64_t n) {
  std::vector<T> twiddles;
  const Roots roots(n);
  for (int64_t k = 0; k <= n / 4; ++k) push(twiddles, roots(k));
  return twiddles;
}

// ---- the cache --------------------------------------------------------------------------------

enum class Kind : uint8_t { column, line, real, costs };
using Key = std::tuple<Kind, size_t, int64_t>;  // the size of a number, the length

// The least recently used plans go when all together take more than kMost bytes; who works with one
// keeps it alive.
class Cache {
 public:
  static Cache& instance() {
    static Cache cache;
    return cache;
  }
  std::shared_ptr<const void> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->plan;
  }
  void insert(const Key& key, std::shared_ptr<const void> plan, size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (by_key_.contains(key)) return;
    entries_.push_front({key, std::move(plan), bytes});
    by_key_[key] = entries_.begin();
    bytes_ += bytes;
    while (bytes_ > kMost && entries_.size() > 1) {
      bytes_ -= entries_.back().bytes;
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }
  CacheStats stats() {
    const std::lock_guard lock(mutex_);
    return {entries_.size(), bytes_};
  }

 private:
  static constexpr size_t kMost = size_t(128) << 20;
  struct Entry {
    Key key;
    std::shared_ptr<const void> plan;
    size_t bytes;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
  std::map<Key, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

template <class T, class P, class Make>
std::shared_ptr<const P> cached(Kind kind, int64_t n, const Make& make) {
  const Key key{kind, sizeof(T), n};
  if (auto found = Cache::instance().find(key)) return std::static_pointer_cast<const P>(found);
  auto plan = std::make_shared<const P>(make(n));
  Cache::instance().insert(key, plan, bytes_of(*plan));
  return plan;
}

}  // namespace

template <class T>
std::shared_ptr<const ColumnPlan<T>> column_plan(int64_t n) {
  return cached<T, ColumnPlan<T>>(Kind::column, n, make_column<T>);
}
template <class T>
std::shared_ptr<const LinePlan<T>> line_plan(int64_t n) {
  return cached<T, LinePlan<T>>(Kind::line, n, make_line<T>);
}
template <class T>
std::shared_ptr<const std::vector<T>> real_twiddles(int64_t n) {
  return cached<T, std::vector<T>>(Kind::real, n, make_real<T>);
}
template std::shared_ptr<const ColumnPlan<float>> column_plan<float>(int64_t);
template std::shared_ptr<const ColumnPlan<double>> column_plan<double>(int64_t);
template std::shared_ptr<const LinePlan<float>> line_plan<float>(int64_t);
template std::shared_ptr<const LinePlan<double>> line_plan<double>(int64_t);
template std::shared_ptr<const std::vector<float>> real_twiddles<float>(int64_t);
template std::shared_ptr<const std::vector<double>> real_twiddles<double>(int64_t);

template <class T>
Costs plan_costs(int64_t n) {
  constexpr int64_t kBytes = kRow<T> * int64_t(sizeof(T));
  return *cached<T, Costs>(Kind::costs, n, [](int64_t length) {
    return Costs{kNanoseconds * column_cost(length, kBytes),
                 kNanoseconds * line_cost(length, kLanes<T>, kBytes)};
  });
}
template Costs plan_costs<float>(int64_t);
template Costs plan_costs<double>(int64_t);

CacheStats plan_cache() { return Cache::instance().stats(); }

}  // namespace tegula::cpu::fft
