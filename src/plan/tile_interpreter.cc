#include "plan/tile_interpreter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "plan/tile.h"
#include "plan/tile_interpreter_complex.h"

namespace tegula {
namespace {

// A value's element, as the bits of its dtype.
struct Word {
  uint64_t bits[2] = {};
};

template <class T>
T get(Word word) {
  T value;
  std::memcpy(static_cast<void*>(&value), word.bits, sizeof(T));
  return value;
}
template <class T>
Word word_of(T value) {
  Word word;
  std::memcpy(word.bits, &value, sizeof(T));
  return word;
}

template <class T>
constexpr bool kIsFloat = std::is_floating_point_v<compute_t<T>>;

// The C library, in double precision, rounded to C once.
template <class C>
C transcendental(TileOp op, C given) {
  const double x = given;
  switch (op) {
    case TileOp::exp:
      return C(std::exp(x));
    case TileOp::exp2:
      return C(std::exp2(x));
    case TileOp::expm1:
      return C(std::expm1(x));
    case TileOp::log:
      return C(std::log(x));
    case TileOp::log1p:
      return C(std::log1p(x));
    case TileOp::log2:
      return C(std::log2(x));
    case TileOp::log10:
      return C(std::log10(x));
    case TileOp::sin:
      return C(std::sin(x));
    case TileOp::cos:
      return C(std::cos(x));
    case TileOp::tan:
      return C(std::tan(x));
    case TileOp::asin:
      return C(std::asin(x));
    case TileOp::acos:
      return C(std::acos(x));
    case TileOp::atan:
      return C(std::atan(x));
    case TileOp::sinh:
      return C(std::sinh(x));
    case TileOp::cosh:
      return C(std::cosh(x));
    case TileOp::tanh:
      return C(std::tanh(x));
    case TileOp::asinh:
      return C(std::asinh(x));
    case TileOp::acosh:
      return C(std::acosh(x));
    case TileOp::atanh:
      return C(std::atanh(x));
    case TileOp::erf:
      return C(std::erf(x));
    default:
      return x < 0 ? C(std::exp(x) / (1 + std::exp(x))) : C(1 / (1 + std::exp(-x)));
  }
}

template <class C>
C float_unary(TileOp op, C x) {
  switch (op) {
    case TileOp::negative:
      return -x;
    case TileOp::abs:
      return std::abs(x);
    case TileOp::sign:
      return x > 0 ? C(1) : x < 0 ? C(-1) : x != x ? x : C(0);
    case TileOp::square:
      return x * x;
    case TileOp::sqrt:
      return std::sqrt(x);
    case TileOp::rsqrt:
      return C(1) / std::sqrt(x);
    case TileOp::reciprocal:
      return C(1) / x;
    case TileOp::floor:
      return std::floor(x);
    case TileOp::ceil:
      return std::ceil(x);
    case TileOp::trunc:
      return std::trunc(x);
    case TileOp::round:
      return std::nearbyint(x);
    default:
      return transcendental(op, x);
  }
}

// Two's complement arithmetic in the widest type wraps as the narrow one does.
template <class T>
T wrapped(uint64_t value) {
  return T(value);
}

template <class T>
T integer_unary(TileOp op, T x) {
  switch (op) {
    case TileOp::negative:
      return wrapped<T>(0 - uint64_t(x));
    case TileOp::abs:
      return x < T(0) ? wrapped<T>(0 - uint64_t(x)) : x;
    case TileOp::sign:
      return T((x > T(0)) - (x < T(0)));
    case TileOp::square:
      return wrapped<T>(uint64_t(x) * uint64_t(x));
    case TileOp::bitwise_invert:
      return wrapped<T>(~uint64_t(x));
    default:
      return x;  // floor, ceil, trunc, round
  }
}

template <class C>
C float_remainder(C a, C b) {
  const C r = std::fmod(a, b);
  if (r == 0) return std::copysign(C(0), b);
  return (r < 0) != (b < 0) ? r + b : r;
}
// As NumPy does it, but for infinities, which the array API standard divides as by /.
template <class C>
C float_floor_divide(C a, C b) {
  if (b == 0 || std::isinf(a) || std::isinf(b)) return a / b;
  const C r = std::fmod(a, b);
  C quotient = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(C(0), a / b);
  const C whole = std::floor(quotient);
  return quotient - whole > C(0.5) ? whole + 1 : whole;
}

template <class T>
T next_after(T a, T b) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    return std::nextafter(a, b);
  } else {
    const float x = a, y = b;
    if (x != x || y != y) return T(x + y);
    if (x == y) return b;
    T next = a;
    if (x == 0) next.bits = uint16_t(y < 0 ? 0x8001 : 1);
    else if ((x < y) == (x > 0)) ++next.bits;
    else --next.bits;
    return next;
  }
}

template <class C>
C float_binary(TileOp op, C a, C b) {
  switch (op) {
    case TileOp::add:
      return a + b;
    case TileOp::subtract:
      return a - b;
    case TileOp::multiply:
      return a * b;
    case TileOp::divide:
      return a / b;
    case TileOp::floor_divide:
      return float_floor_divide(a, b);
    case TileOp::remainder:
      return float_remainder(a, b);
    case TileOp::pow:
      return C(std::pow(double(a), double(b)));
    case TileOp::atan2:
      return C(std::atan2(double(a), double(b)));
    case TileOp::hypot:
      return C(std::hypot(double(a), double(b)));
    case TileOp::maximum:
      return a >= b || a != a ? a : b;
    case TileOp::minimum:
      return a <= b || a != a ? a : b;
    default:
      return std::copysign(a, b);
  }
}

template <class T>
T integer_pow(T a, T b) {
  if (b < T(0)) return a == T(1) ? T(1) : uint64_t(a) == ~uint64_t(0) ? (b % 2 ? a : T(1)) : T(0);
  uint64_t result = 1, base = uint64_t(a);
  for (uint64_t e = uint64_t(b); e; e >>= 1, base *= base)
    if (e & 1) result *= base;
  return wrapped<T>(result);
}

template <class T>
T integer_binary(TileOp op, T a, T b) {
  const bool minus_one = std::is_signed_v<T> && uint64_t(b) == ~uint64_t(0);
  constexpr uint64_t kBits = 8 * sizeof(T);
  const bool shifts_out = b < T(0) || uint64_t(b) >= kBits;
  switch (op) {
    case TileOp::add:
      return wrapped<T>(uint64_t(a) + uint64_t(b));
    case TileOp::subtract:
      return wrapped<T>(uint64_t(a) - uint64_t(b));
    case TileOp::multiply:
      return wrapped<T>(uint64_t(a) * uint64_t(b));
    case TileOp::floor_divide:
      if (b == T(0)) return T(0);
      if (minus_one) return wrapped<T>(0 - uint64_t(a));
      return T(a / b - ((a % b != 0) && ((a < T(0)) != (b < T(0)))));
    case TileOp::remainder: {
      if (b == T(0) || minus_one) return T(0);
      const T r = T(a % b);
      return r != 0 && (r < T(0)) != (b < T(0)) ? T(r + b) : r;
    }
    case TileOp::pow:
      return integer_pow(a, b);
    case TileOp::maximum:
      return std::max(a, b);
    case TileOp::minimum:
      return std::min(a, b);
    case TileOp::bitwise_and:
      return T(a & b);
    case TileOp::bitwise_or:
      return T(a | b);
    case TileOp::bitwise_xor:
      return T(a ^ b);
    case TileOp::bitwise_left_shift:
      return shifts_out ? T(0) : wrapped<T>(uint64_t(a) << b);
    default:
      return shifts_out ? (a < T(0) ? T(-1) : T(0)) : T(a >> b);
  }
}

template <class T>
T unary(TileOp op, T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return op == TileOp::logical_not || op == TileOp::bitwise_invert ? !x : x;
  } else if constexpr (kIsFloat<T>) {
    return T(float_unary(op, compute_t<T>(x)));
  } else {
    return integer_unary(op, x);
  }
}

template <class T>
bool question(TileOp op, T given) {
  const auto x = compute_t<T>(given);
  if constexpr (kIsFloat<T>) {
    switch (op) {
      case TileOp::isnan:
        return std::isnan(x);
      case TileOp::isinf:
        return std::isinf(x);
      case TileOp::isfinite:
        return std::isfinite(x);
      default:
        return std::signbit(x);
    }
  } else {
    return op == TileOp::isfinite || (op == TileOp::signbit && x < T(0));
  }
}

template <class T>
T binary(TileOp op, T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    switch (op) {
      case TileOp::logical_and:
        return a && b;
      case TileOp::logical_or:
        return a || b;
      case TileOp::logical_xor:
        return a != b;
      case TileOp::bitwise_left_shift:
      case TileOp::bitwise_right_shift:
        return a && !b;
      default:
        return integer_binary(op, int(a), int(b)) != 0;
    }
  } else if constexpr (kIsFloat<T>) {
    if (op == TileOp::nextafter) return next_after(a, b);
    return T(float_binary(op, compute_t<T>(a), compute_t<T>(b)));
  } else {
    return integer_binary(op, a, b);
  }
}

template <class T>
bool compare(TileOp op, T left, T right) {
  const auto a = compute_t<T>(left), b = compute_t<T>(right);
  switch (op) {
    case TileOp::equal:
      return a == b;
    case TileOp::not_equal:
      return a != b;
    case TileOp::less:
      return a < b;
    case TileOp::less_equal:
      return a <= b;
    case TileOp::greater:
      return a > b;
    default:
      return a >= b;
  }
}

template <class From, class To>
To cast(From given) {
  const auto x = compute_t<From>(given);
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (kIsFloat<From> && std::is_integral_v<To>) {
    if (x != x) return 0;
    const long double y = x;
    if (y >= (long double)std::numeric_limits<To>::max()) return std::numeric_limits<To>::max();
    if (y <= (long double)std::numeric_limits<To>::min()) return std::numeric_limits<To>::min();
    return To(x);
  } else {
    return To(compute_t<To>(x));
  }
}

// --- reductions ---

template <class C>
C join(TileOp op, C a, C b) {
  switch (op) {
    case TileOp::sum:
      if constexpr (std::is_integral_v<C>) return wrapped<C>(uint64_t(a) + uint64_t(b));
      else return a + b;
    case TileOp::prod:
      if constexpr (std::is_integral_v<C>) return wrapped<C>(uint64_t(a) * uint64_t(b));
      else return a * b;
    case TileOp::max:
      return a >= b || a != a ? a : b;
    case TileOp::min:
      return a <= b || a != a ? a : b;
    case TileOp::any:
      return C(a != C(0) || b != C(0));
    default:
      return C(a != C(0) && b != C(0));
  }
}

template <class C>
C pairwise(TileOp op, std::span<const C> blocks) {
  if (blocks.size() == 1) return blocks[0];
  size_t half = 1;
  while (half * 2 < blocks.size()) half *= 2;
  return join(op, pairwise(op, blocks.first(half)), pairwise(op, blocks.subspan(half)));
}

template <class C>
C row_block(TileOp op, std::span<const C> x) {
  std::vector<C> lanes(x.begin(), x.begin() + std::min<ptrdiff_t>(kRowLanes, ptrdiff_t(x.size())));
  for (size_t i = lanes.size(); i < x.size(); ++i)
    lanes[i % kRowLanes] = join(op, lanes[i % kRowLanes], x[i]);
  for (size_t half = kRowLanes / 2; half > 0; half /= 2)
    for (size_t j = 0; j < half && j + half < lanes.size(); ++j)
      lanes[j] = join(op, lanes[j], lanes[j + half]);
  return lanes[0];
}

template <class C>
C column_block(TileOp op, std::span<const C> x) {
  C result = x[0];
  for (const C& y : x.subspan(1)) result = join(op, result, y);
  return result;
}

template <class T>
T reduce(TileOp op, ReduceTree tree, const std::vector<Word>& words, size_t count) {
  using C = std::conditional_t<std::is_same_v<T, bool>, uint8_t, compute_t<T>>;
  if (count == 0) return T(C(op == TileOp::prod || op == TileOp::all ? 1 : 0));
  std::vector<C> x(count), blocks;
  for (size_t i = 0; i < count; ++i) x[i] = C(get<T>(words[words.size() == 1 ? 0 : i]));
  const size_t size = size_t(tree == ReduceTree::rows ? kRowBlock : kColumnBlock);
  for (size_t i = 0; i < count; i += size) {
    const std::span<const C> part = std::span<const C>(x).subspan(i, std::min(size, count - i));
    blocks.push_back(tree == ReduceTree::rows ? row_block(op, part) : column_block(op, part));
  }
  return T(pairwise<C>(op, blocks));
}

class Interpreter {
 public:
  Interpreter(const TileProgram& program, std::span<const View> inputs,
              std::span<const View> outputs)
      : p_(program), inputs_(inputs), outputs_(outputs), full_(full_values(program)) {}

  void run() {
    const size_t rank = p_.extent.size(), kept = rank - size_t(p_.reduce_axes);
    int64_t rows = 1;
    count_ = 1;
    for (size_t a = 0; a < rank; ++a) (a < kept ? rows : count_) *= p_.extent[a];
    for (int64_t row = 0; row < rows; ++row) {
      row_ = row;
      values_.assign(p_.instrs.size(), {});
      for (size_t i = 0; i < p_.instrs.size(); ++i)
        if (p_.instrs[i].op != TileOp::store) compute(i);
      // Last, because an output may be an input's memory.
      for (const TileInstr& in : p_.instrs)
        if (in.op == TileOp::store) store(in);
    }
  }

 private:
  // Coordinates of element j of this row. A row without elements still has a first place.
  Dims point(int64_t j) const {
    const size_t rank = p_.extent.size(), kept = rank - size_t(p_.reduce_axes);
    Dims at(rank, 0);
    int64_t rest = j;
    if (count_ > 0)
      for (size_t a = rank; a-- > kept; rest /= p_.extent[a]) at[a] = rest % p_.extent[a];
    rest = row_;
    for (size_t a = kept; a-- > 0; rest /= p_.extent[a]) at[a] = rest % p_.extent[a];
    return at;
  }
  std::byte* address(const View& view, const TileOperand& operand, int64_t j) const {
    const Dims at = point(j);
    int64_t offset = 0;
    for (size_t a = 0; a < at.size(); ++a) offset += at[a] * operand.strides[a];
    return view.data + offset * int64_t(itemsize(operand.dtype));
  }
  Word value(const TileInstr& in, int k, size_t j) const {
    const std::vector<Word>& words = values_[size_t(in.source[k])];
    return words[full_[size_t(in.source[k])] ? j : 0];
  }

  void compute(size_t i) {
    const TileInstr& in = p_.instrs[i];
    if (is_reduction(in.op)) {
      const size_t from = size_t(in.source[0]);
      values_[i] = {dispatch(in.dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<Word>& words = values_[from];
        if (full_[from]) return word_of(reduce<T>(in.op, p_.tree, words, size_t(count_)));
        return word_of(reduce<T>(in.op, p_.tree, {words[0]}, size_t(count_)));
      })};
      return;
    }
    const int64_t count = full_[i] ? count_ : 1;
    for (int64_t j = 0; j < count; ++j) values_[i].push_back(element(in, size_t(j)));
  }

  Word element(const TileInstr& in, size_t j) const {
    switch (in.op) {
      case TileOp::load: {
        Word word;
        const size_t k = size_t(in.operand);
        std::memcpy(word.bits, address(inputs_[k], p_.inputs[k], int64_t(j)), itemsize(in.dtype));
        return word;
      }
      case TileOp::index:
        return word_of(point(int64_t(j))[size_t(in.operand)]);
      case TileOp::where:
        return value(in, get<bool>(value(in, 0, j)) ? 1 : 2, j);
      default:
        break;
    }
    const DType from = p_.instrs[size_t(in.source[0])].dtype;
    if (from == DType::complex64) return complex_element<float>(in, j);
    if (from == DType::complex128) return complex_element<double>(in, j);
    if (in.op == TileOp::complex)
      return from == DType::float32 ? joined<float>(in, j) : joined<double>(in, j);
    if (is_complex(in.dtype))
      return dispatch(from, [&](auto zero) {
        const auto a = compute_t<decltype(zero)>(get<decltype(zero)>(value(in, 0, j)));
        return in.dtype == DType::complex64 ? word_of(complex64(float(a)))
                                            : word_of(complex128(double(a)));
      });
    return dispatch(from, [&](auto zero) -> Word {
      using T = decltype(zero);
      const T a = get<T>(value(in, 0, j));
      if (in.op == TileOp::cast)
        return dispatch(in.dtype, [&](auto one) { return word_of(cast<T, decltype(one)>(a)); });
      if (in.op >= TileOp::isnan && in.op <= TileOp::signbit) return word_of(question(in.op, a));
      if (arity(in.op) == 1) return word_of(unary(in.op, a));
      const T b = get<T>(value(in, 1, j));
      return is_comparison(in.op) ? word_of(compare(in.op, a, b)) : word_of(binary(in.op, a, b));
    });
  }

  template <class F>
  Word joined(const TileInstr& in, size_t j) const {
    return word_of(Complex<F>(get<F>(value(in, 0, j)), get<F>(value(in, 1, j))));
  }
  template <class F>
  Word complex_element(const TileInstr& in, size_t j) const {
    const auto a = get<Complex<F>>(value(in, 0, j));
    if (in.op == TileOp::cast)
      return in.dtype == DType::complex64 ? word_of(complex64(a)) : word_of(complex128(a));
    if (in.op == TileOp::real) return word_of(a.re);
    if (in.op == TileOp::imag) return word_of(a.im);
    if (arity(in.op) == 1) return word_of(complex_unary(in.op, a));
    const auto b = get<Complex<F>>(value(in, 1, j));
    if (in.op == TileOp::equal) return word_of(a == b);
    if (in.op == TileOp::not_equal) return word_of(!(a == b));
    return word_of(complex_binary(in.op, a, b));
  }

  void store(const TileInstr& in) const {
    const size_t k = size_t(in.operand);
    const int64_t count = moves_along_reduced(p_, p_.outputs[k].strides) ? count_ : 1;
    for (int64_t j = 0; j < count; ++j) {
      const Word word = value(in, 0, size_t(j));
      std::memcpy(address(outputs_[k], p_.outputs[k], j), word.bits, itemsize(in.dtype));
    }
  }

  const TileProgram& p_;
  std::span<const View> inputs_, outputs_;
  std::vector<bool> full_;
  int64_t row_ = 0, count_ = 1;
  std::vector<std::vector<Word>> values_;
};

}  // namespace

void interpret(const TileProgram& program, std::span<const View> inputs,
               std::span<const View> outputs) {
  Interpreter(program, inputs, outputs).run();
}

}  // namespace tegula
