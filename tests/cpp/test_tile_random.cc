// Random tile programs: the CPU executor must give the interpreter's bits.
#include <algorithm>
#include <optional>

#include "runtime/thread_pool.h"
#include "tile_harness.h"

namespace tegula::testing {
namespace {

using Random = std::mt19937;

int64_t pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}
template <class T, size_t N>
T one_of(Random& random, const T (&list)[N]) {
  return list[size_t(pick(random, 0, int64_t(N) - 1))];
}

constexpr DType kTypes[] = {DType::bool_,   DType::int8,    DType::int32,   DType::int64,
                            DType::uint16,  DType::uint64,  DType::float16, DType::bfloat16,
                            DType::float32, DType::float32, DType::float32, DType::float64};
constexpr TileOp kNumeric[] = {
    TileOp::negative, TileOp::abs,      TileOp::square,  TileOp::sign,    TileOp::add,
    TileOp::subtract, TileOp::multiply, TileOp::maximum, TileOp::minimum, TileOp::floor};
constexpr TileOp kFloating[] = {TileOp::sqrt, TileOp::divide, TileOp::reciprocal, TileOp::rsqrt};
constexpr TileOp kCompare[] = {TileOp::less, TileOp::equal, TileOp::greater_equal};
constexpr TileOp kLogic[] = {TileOp::logical_and, TileOp::logical_or, TileOp::logical_not};
constexpr TileOp kReduce[] = {TileOp::sum, TileOp::prod, TileOp::max, TileOp::min};
constexpr int64_t kSizes[] = {1, 2, 3, 5, 7, 8, 9, 31, 32, 33, 64, 65};
constexpr int64_t kLongSizes[] = {1023, 1024, 1025, 1536, 1537, 2049, 5000};

void fill(TileMemory& memory, Random& random) {
  dispatch(memory.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t i = 0; i < memory.size(); ++i) {
      T& x = memory.data<T>()[i];
      if constexpr (std::is_same_v<T, bool>) {
        x = pick(random, 0, 1) != 0;
      } else if constexpr (std::is_integral_v<T>) {
        x = T(pick(random, -9, 9));
      } else {
        const int64_t kind = pick(random, 0, 400);
        const float inf = std::numeric_limits<float>::infinity();
        x = T(compute_t<T>(kind == 0   ? inf
                           : kind == 1 ? -inf
                           : kind == 2 ? -0.0f
                           : kind == 3 ? std::numeric_limits<float>::quiet_NaN()
                                       : float(pick(random, -4000, 4000)) / 1024));
      }
    }
  });
}

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  TileProgram make() {
    p_ = {};
    int64_t budget = 30000;
    for (int64_t rank = pick(random_, 0, 4); rank > 0; --rank) {
      int64_t size =
          pick(random_, 0, 6) == 0 ? one_of(random_, kLongSizes) : one_of(random_, kSizes);
      if (pick(random_, 0, 60) == 0) size = 0;
      if (size > budget) size = 1;
      if (size > 0) budget /= size;
      p_.extent.push_back(size);
    }
    p_.reduce_axes = pick(random_, 0, 2) ? int(pick(random_, 0, int64_t(p_.extent.size()))) : 0;
    p_.tree = pick(random_, 0, 1) ? ReduceTree::rows : ReduceTree::columns;
    // Images with their channels last: what is reduced lies across what is contiguous.
    const int64_t kept = int64_t(p_.extent.size()) - p_.reduce_axes;
    nearest_ = p_.reduce_axes > 0 && kept > 0 && pick(random_, 0, 3) == 0
                   ? std::optional(size_t(pick(random_, 0, kept - 1)))
                   : std::nullopt;
    for (int64_t n = pick(random_, 1, 4); n > 0; --n) add_input();
    for (int64_t n = pick(random_, 1, 14); n > 0; --n) add_instr();
    for (int64_t n = pick(random_, 1, 3); n > 0; --n) add_store();
    return p_;
  }
  // Sometimes an output takes over an input's memory.
  void alias(TileOperands& operands) {
    for (size_t k = 0; k < p_.outputs.size(); ++k)
      for (size_t i = 0; i < p_.inputs.size(); ++i)
        if (p_.outputs[k] == p_.inputs[i] && pick(random_, 0, 1) &&
            std::count(operands.alias.begin(), operands.alias.end(), int(i)) == 0)
          operands.alias[k] = int(i);
  }
  void fill_all(TileOperands& operands) {
    for (TileMemory& m : operands.inputs) fill(m, random_);
  }

 private:
  // Strides of an array of the extent, its axes in any order, some reversed, some with gaps.
  Strides layout(const std::vector<size_t>& axes, bool plain) {
    std::vector<size_t> order(axes);
    Strides strides(p_.extent.size(), 0);
    if (!plain && pick(random_, 0, 2) == 0) std::shuffle(order.begin(), order.end(), random_);
    if (nearest_ && std::erase(order, *nearest_)) order.push_back(*nearest_);
    int64_t step = !plain && pick(random_, 0, 5) == 0 ? 2 : 1;
    for (size_t i = order.size(); i-- > 0;) {
      strides[order[i]] = !plain && pick(random_, 0, 7) == 0 ? -step : step;
      step *= std::max<int64_t>(p_.extent[order[i]], 1);
    }
    return strides;
  }
  void add_input() {
    std::vector<size_t> axes;
    const int64_t mode = pick(random_, 0, 5);
    const size_t kept = p_.extent.size() - size_t(p_.reduce_axes);
    for (size_t a = 0; a < p_.extent.size(); ++a)
      if (mode <= 2 || (mode == 3 && pick(random_, 0, 1)) || (mode == 4 && a < kept))
        axes.push_back(a);
    const DType dtype = one_of(random_, kTypes);
    p_.inputs.push_back({dtype, layout(axes, mode <= 1)});
    p_.instrs.push_back({TileOp::load, dtype, {-1, -1, -1}, int32_t(p_.inputs.size()) - 1});
  }
  int32_t any_value() {
    while (true) {
      const int64_t i = pick(random_, 0, 2)
                            ? pick(random_, std::max<int64_t>(0, int64_t(p_.instrs.size()) - 4),
                                   int64_t(p_.instrs.size()) - 1)
                            : pick(random_, 0, int64_t(p_.instrs.size()) - 1);
      if (p_.instrs[size_t(i)].op != TileOp::store) return int32_t(i);
    }
  }
  DType type(int32_t i) const { return p_.instrs[size_t(i)].dtype; }
  int32_t convert(int32_t i, DType dtype) {
    if (type(i) == dtype) return i;
    p_.instrs.push_back({TileOp::cast, dtype, {i, -1, -1}});
    return int32_t(p_.instrs.size()) - 1;
  }
  void push(TileOp op, DType dtype, int32_t a, int32_t b = -1, int32_t c = -1) {
    TileInstr in{op, dtype, {a, b, c}};
    for (int k = arity(op); k < 3; ++k) in.source[k] = -1;
    p_.instrs.push_back(in);
  }

  void add_instr() {
    const int32_t a = any_value();
    const int64_t kind = pick(random_, 0, 11);
    if (kind == 0 && !p_.extent.empty()) {
      p_.instrs.push_back({TileOp::index,
                           DType::int64,
                           {-1, -1, -1},
                           int32_t(pick(random_, 0, int64_t(p_.extent.size()) - 1))});
    } else if (kind == 1) {
      push(TileOp::cast, one_of(random_, kTypes), a);
    } else if (kind == 2) {
      const int32_t c = convert(any_value(), DType::bool_);
      const int32_t b = convert(any_value(), type(a));
      push(TileOp::where, type(a), c, a, b);
    } else if (kind == 3) {
      push(one_of(random_, kCompare), DType::bool_, a, convert(any_value(), type(a)));
    } else if (kind == 4 && is_floating(type(a))) {
      push(one_of(random_, kFloating), type(a), a, convert(any_value(), type(a)));
    } else if (kind <= 7 && p_.reduce_axes > 0) {
      add_reduction(a);
    } else if (type(a) == DType::bool_) {
      push(one_of(random_, kLogic), DType::bool_, a, convert(any_value(), DType::bool_));
    } else {
      push(one_of(random_, kNumeric), type(a), a, convert(any_value(), type(a)));
    }
  }
  void add_reduction(int32_t a) {
    int64_t n = 1;
    for (size_t k = p_.extent.size() - size_t(p_.reduce_axes); k < p_.extent.size(); ++k)
      n *= p_.extent[k];
    if (type(a) == DType::bool_)
      return push(pick(random_, 0, 1) ? TileOp::any : TileOp::all, DType::bool_, a);
    TileOp op = one_of(random_, kReduce);
    if (n == 0 && (op == TileOp::max || op == TileOp::min)) op = TileOp::sum;
    push(op, type(a), a);
  }
  void add_store() {
    const int32_t value = any_value();
    const bool full = full_values(p_)[size_t(value)];
    std::vector<size_t> axes;
    const size_t kept = p_.extent.size() - size_t(p_.reduce_axes);
    const bool as_row = !full && (pick(random_, 0, 3) || p_.reduce_axes == 0);
    for (size_t a = 0; a < (as_row ? kept : p_.extent.size()); ++a) axes.push_back(a);
    p_.outputs.push_back({type(value), layout(axes, pick(random_, 0, 3) != 0)});
    p_.instrs.push_back(
        {TileOp::store, type(value), {value, -1, -1}, int32_t(p_.outputs.size()) - 1});
  }

  Random random_;
  TileProgram p_;
  std::optional<size_t> nearest_;  // the axis along which operands are contiguous
};

// Runs program number `seed` both ways; false where its check fails.
void run_random(unsigned seed, int threads) {
  Generator generator(seed);
  const TileProgram program = generator.make();
  CAPTURE(seed);
  const std::string text = print(program);
  CAPTURE(text);
  check(program);
  CHECK(parse_tile(text) == program);
  TileOperands wanted(program);
  generator.alias(wanted);
  generator.fill_all(wanted);
  TileOperands got = wanted;
  wanted.interpret(program);
  set_num_threads(threads);
  got.execute(program);
  for (size_t k = 0; k < program.outputs.size(); ++k) {
    CAPTURE(k);
    CHECK(first_difference(got.output(k), wanted.output(k)) == -1);
  }
}

TEST_CASE("tile: random programs give the interpreter's bits on every instruction set") {
  const int before = num_threads();
  for_each_isa([](const std::string&) {
    for (unsigned seed = 0; seed < 2000; ++seed) run_random(seed, 1 + int(seed % 3));
  });
  set_num_threads(before);
}

// Many elementwise float32 steps: values that threaded code keeps, sets aside and reads again,
// at every length of what does not fill its vectors; then many rows of a tile at once.
TEST_CASE("tile: long runs of float32 steps give the interpreter's bits") {
  for_each_isa([](const std::string&) {
    Random random(7);
    for (int64_t n = 1; n <= 200; ++n) {
      const bool short_rows = n > 140, reduces = n % 3 == 0;
      TileProgram p;
      p.extent = {2, reduces ? n * 29 : n};
      if (short_rows) p.extent = {11, (n - 140) * 16};
      p.reduce_axes = reduces ? 1 : 0;
      const Strides dense{p.extent[1], 1};
      for (const Strides& s : {dense, dense, Strides{0, 1}, Strides{1, 0}, Strides{0, 0}}) {
        p.instrs.push_back({TileOp::load, DType::float32, {-1, -1, -1}, int32_t(p.inputs.size())});
        p.inputs.push_back({DType::float32, s});
      }
      for (int k = 0; k < 24; ++k) {
        const int32_t last = int32_t(p.instrs.size()) - 1;
        TileOp op = pick(random, 0, 4) == 0 ? one_of(random, kFloating) : one_of(random, kNumeric);
        if (reduces && pick(random, 0, 7) == 0) op = one_of(random, kReduce);
        TileInstr in{op, DType::float32, {last, -1, -1}};
        if (arity(op) == 2) in.source[pick(random, 0, 1)] = int32_t(pick(random, 0, last));
        if (arity(op) == 2 && in.source[0] != last) in.source[1] = last;
        if (arity(op) == 2 && in.source[1] < 0) in.source[1] = int32_t(pick(random, 0, last));
        p.instrs.push_back(in);
      }
      const int32_t last = int32_t(p.instrs.size()) - 1;
      for (int32_t value : {last, last - 5}) {
        p.instrs.push_back(
            {TileOp::store, DType::float32, {value, -1, -1}, int32_t(p.outputs.size())});
        p.outputs.push_back({DType::float32, dense});
      }
      check(p);
      const std::string text = print(p);
      CAPTURE(text);
      TileOperands wanted(p);
      for (TileMemory& m : wanted.inputs) fill(m, random);
      if (n % 2) wanted.alias[0] = 0;
      TileOperands got = wanted;
      wanted.interpret(p);
      got.execute(p);
      for (size_t k = 0; k < p.outputs.size(); ++k)
        CHECK(first_difference(got.output(k), wanted.output(k)) == -1);
    }
  });
}

}  // namespace
}  // namespace tegula::testing
