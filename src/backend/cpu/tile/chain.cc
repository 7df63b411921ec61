// The instructions of threaded code; see chain.h.
#include "backend/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/tile/chain.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/tile/chain.h"
#include "backend/cpu/tile/circle_float-inl.h"
#include "backend/cpu/tile/exp_float-inl.h"
#include "backend/cpu/tile/log_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tegula::cpu {
namespace HWY_NAMESPACE {

#include "backend/cpu/tile/math_functions.h"

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kVectors = 4;  // of a value

int64_t lanes() { return int64_t(hn::Lanes(D())); }

// a to d are the value at hand, e to h the lanes of a reduction: as many arguments as calling
// conventions keep in vector registers.
using Handler = void (*)(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f,
                         V g, V h);

HWY_INLINE void next(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f,
                     V g, V h) {
  return reinterpret_cast<Handler>(at[1].function)(at + 1, i, end, a, b, c, d, e, f, g, h);
}

template <Access kAccess>
HWY_INLINE float* place(const ChainInstr* at, int64_t i) {
  float* base = reinterpret_cast<float*>(at->base);
  return kAccess == Access::stream || kAccess == Access::past ? base + i : base;
}
// Vector k of the operand.
template <Access kAccess>
HWY_INLINE V operand(const ChainInstr* at, int64_t i, int k) {
  const float* from = place<kAccess>(at, i);
  if constexpr (kAccess == Access::repeat) {
    return hn::Set(D(), *from);
  } else {
    from += k * lanes();
    if constexpr (kAccess == Access::stream)
      if (k * lanes() % 16 == 0) hwy::Prefetch(from + at->ahead);
    return hn::LoadU(D(), from);
  }
}

template <Access kAccess>
void load(const ChainInstr* at, int64_t i, int64_t end, V, V, V, V, V e, V f, V g, V h) {
  return next(at, i, end, operand<kAccess>(at, i, 0), operand<kAccess>(at, i, 1),
              operand<kAccess>(at, i, 2), operand<kAccess>(at, i, 3), e, f, g, h);
}
template <Access kAccess>
void store(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  float* to = place<kAccess>(at, i);
  const int64_t n = lanes();
  if (kAccess == Access::past && reinterpret_cast<uintptr_t>(to) % 64 == 0) {
    hn::Stream(a, D(), to);
    hn::Stream(b, D(), to + n);
    hn::Stream(c, D(), to + 2 * n);
    hn::Stream(d, D(), to + 3 * n);
  } else {
    if constexpr (kAccess == Access::stream)
      for (int64_t k = 0; k < kVectors * n; k += 16) __builtin_prefetch(to + at->ahead + k, 1);
    hn::StoreU(a, D(), to);
    hn::StoreU(b, D(), to + n);
    hn::StoreU(c, D(), to + 2 * n);
    hn::StoreU(d, D(), to + 3 * n);
  }
  return next(at, i, end, a, b, c, d, e, f, g, h);
}
template <class Op>
void unary(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  const D t;
  return next(at, i, end, Op::apply(t, a), Op::apply(t, b), Op::apply(t, c), Op::apply(t, d), e, f,
              g, h);
}
template <class Op, Access kAccess, bool kSwapped>
void binary(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  const auto apply = [&](V x, int k) HWY_ATTR {
    const V y = operand<kAccess>(at, i, k);
    return kSwapped ? Op::apply(D(), y, x) : Op::apply(D(), x, y);
  };
  return next(at, i, end, apply(a, 0), apply(b, 1), apply(c, 2), apply(d, 3), e, f, g, h);
}
// The value at hand is what a comparison gives: ones or zeros for each element. The second operand
// is that of the entry after this one, which is no instruction.
template <Access kFirst, Access kSecond>
void select(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  const auto pick = [&](V mask, int k) HWY_ATTR {
    return hn::IfThenElse(hn::MaskFromVec(mask), operand<kFirst>(at, i, k),
                          operand<kSecond>(at + 1, i, k));
  };
  return next(at + 1, i, end, pick(a, 0), pick(b, 1), pick(c, 2), pick(d, 3), e, f, g, h);
}
// lane[j] op x[j], for the elements before `end`.
template <class Op, bool kTail>
HWY_INLINE V absorb(V lane, V x, int64_t i, int64_t end) {
  const V joined = Op::apply(D(), lane, x);
  if constexpr (!kTail) return joined;
  const int64_t left = std::clamp<int64_t>(end - i, 0, lanes());
  return hn::IfThenElse(hn::FirstN(D(), size_t(left)), joined, lane);
}
constexpr bool kHasNear = hn::MaxLanes(D()) == 8 || hn::MaxLanes(D()) == 16;
// Into the lanes in registers.
template <class Op, bool kTail>
void reduce_near(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g,
                 V h) {
  const int64_t n = lanes();
  e = absorb<Op, kTail>(e, a, i, end);
  f = absorb<Op, kTail>(f, b, i + n, end);
  if constexpr (hn::MaxLanes(D()) * 2 == kRowLanes) {
    e = absorb<Op, kTail>(e, c, i + 2 * n, end);
    f = absorb<Op, kTail>(f, d, i + 3 * n, end);
  } else {
    g = absorb<Op, kTail>(g, c, i + 2 * n, end);
    h = absorb<Op, kTail>(h, d, i + 3 * n, end);
  }
  return next(at, i, end, a, b, c, d, e, f, g, h);
}
// Into lanes in memory.
template <class Op, bool kTail>
void reduce(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  const auto into_memory = [&](V x, int k) HWY_ATTR {
    const int64_t from = i + k * lanes();
    float* lane = reinterpret_cast<float*>(at->base) + (from & (kRowLanes - 1));
    hn::StoreU(absorb<Op, kTail>(hn::LoadU(D(), lane), x, from, end), D(), lane);
  };
  into_memory(a, 0);
  into_memory(b, 1);
  into_memory(c, 2);
  into_memory(d, 3);
  return next(at, i, end, a, b, c, d, e, f, g, h);
}
HWY_INLINE void store_near(V e, V f, V g, V h, std::byte* to) {
  float* lane = reinterpret_cast<float*>(to);
  hn::StoreU(e, D(), lane);
  hn::StoreU(f, D(), lane + lanes());
  hn::StoreU(g, D(), lane + 2 * lanes());
  hn::StoreU(h, D(), lane + 3 * lanes());
}
// The end of the code; its base is the beginning, the next one's where the near lanes are kept.
void loop(const ChainInstr* at, int64_t i, int64_t end, V a, V b, V c, V d, V e, V f, V g, V h) {
  i += kVectors * lanes();
  if (i >= end) return store_near(e, f, g, h, at[1].base);
  const ChainInstr* begin = reinterpret_cast<const ChainInstr*>(at->base);
  return reinterpret_cast<Handler>(begin->function)(begin, i, end, a, b, c, d, e, f, g, h);
}

struct Negative {
  static V apply(D, V x) { return hn::Neg(x); }
};
struct Abs {
  static V apply(D, V x) { return hn::Abs(x); }
};
struct Square {
  static V apply(D, V x) { return hn::Mul(x, x); }
};
struct Sqrt {
  static V apply(D, V x) { return hn::Sqrt(x); }
};
struct Rsqrt {
  static V apply(D d, V x) { return hn::Div(hn::Set(d, 1.0f), hn::Sqrt(x)); }
};
struct Reciprocal {
  static V apply(D d, V x) { return hn::Div(hn::Set(d, 1.0f), x); }
};
struct ErfFloat {
  static V apply(D d, V x) { return erf_float(d, x); }
};
struct Add {
  static V apply(D, V x, V y) { return hn::Add(x, y); }
};
struct Subtract {
  static V apply(D, V x, V y) { return hn::Sub(x, y); }
};
struct Multiply {
  static V apply(D, V x, V y) { return hn::Mul(x, y); }
};
struct Divide {
  static V apply(D, V x, V y) { return hn::Div(x, y); }
};
// NaN wins; the first of equals stays.
struct Maximum {
  static V apply(D, V x, V y) { return hn::IfThenElse(hn::Or(hn::Ge(x, y), hn::IsNaN(x)), x, y); }
};
struct Minimum {
  static V apply(D, V x, V y) { return hn::IfThenElse(hn::Or(hn::Le(x, y), hn::IsNaN(x)), x, y); }
};

struct Equal {
  static V apply(D d, V x, V y) { return hn::VecFromMask(d, hn::Eq(x, y)); }
};
// Also of a NaN, for which Ne() is not specified.
struct NotEqual {
  static V apply(D d, V x, V y) { return hn::VecFromMask(d, hn::Not(hn::Eq(x, y))); }
};
struct Less {
  static V apply(D d, V x, V y) { return hn::VecFromMask(d, hn::Lt(x, y)); }
};
struct LessEqual {
  static V apply(D d, V x, V y) { return hn::VecFromMask(d, hn::Le(x, y)); }
};

template <class F>
ChainInstr::Function erased(F* function) {
  return reinterpret_cast<ChainInstr::Function>(function);
}

template <class F, bool kSwapped>
ChainInstr::Function binary_by_access(Access access) {
  switch (access) {
    case Access::repeat:
      return erased(binary<F, Access::repeat, kSwapped>);
    case Access::fixed:
      return erased(binary<F, Access::fixed, kSwapped>);
    default:
      return erased(binary<F, Access::stream, kSwapped>);
  }
}

template <bool kSwapped>
ChainInstr::Function find_binary(TileOp op, Access access) {
  switch (op) {
    case TileOp::add:
      return binary_by_access<Add, false>(access);
    case TileOp::multiply:
      return binary_by_access<Multiply, false>(access);
    case TileOp::subtract:
      return binary_by_access<Subtract, kSwapped>(access);
    case TileOp::divide:
      return binary_by_access<Divide, kSwapped>(access);
    case TileOp::maximum:
      return binary_by_access<Maximum, kSwapped>(access);
    case TileOp::minimum:
      return binary_by_access<Minimum, kSwapped>(access);
    case TileOp::equal:
      return binary_by_access<Equal, false>(access);
    case TileOp::not_equal:
      return binary_by_access<NotEqual, false>(access);
    case TileOp::less:
      return binary_by_access<Less, kSwapped>(access);
    case TileOp::less_equal:
      return binary_by_access<LessEqual, kSwapped>(access);
    case TileOp::greater:
      return binary_by_access<Less, !kSwapped>(access);
    case TileOp::greater_equal:
      return binary_by_access<LessEqual, !kSwapped>(access);
    default:
      return nullptr;
  }
}

ChainInstr::Function find_unary(TileOp op) {
  switch (op) {
    case TileOp::negative:
      return erased(unary<Negative>);
    case TileOp::abs:
      return erased(unary<Abs>);
    case TileOp::square:
      return erased(unary<Square>);
    case TileOp::sqrt:
      return erased(unary<Sqrt>);
    case TileOp::rsqrt:
      return erased(unary<Rsqrt>);
    case TileOp::reciprocal:
      return erased(unary<Reciprocal>);
    case TileOp::exp:
      return erased(unary<Exp>);
    case TileOp::expm1:
      return erased(unary<Expm1>);
    case TileOp::log:
      return erased(unary<Log>);
    case TileOp::log1p:
      return erased(unary<Log1p>);
    case TileOp::tanh:
      return erased(unary<Tanh>);
    case TileOp::sigmoid:
      return erased(unary<Sigmoid>);
    case TileOp::erf:
      return erased(unary<ErfFloat>);
    default:
      return nullptr;
  }
}

template <class Op, bool kTail>
ChainInstr::Function reduction_into(Access access) {
  if (access != Access::near) return erased(reduce<Op, kTail>);
  if constexpr (kHasNear) return erased(reduce_near<Op, kTail>);
  return nullptr;
}
template <bool kTail>
ChainInstr::Function find_reduction(TileOp op, Access access) {
  switch (op) {
    case TileOp::sum:
      return reduction_into<Add, kTail>(access);
    case TileOp::prod:
      return reduction_into<Multiply, kTail>(access);
    case TileOp::max:
      return reduction_into<Maximum, kTail>(access);
    case TileOp::min:
      return reduction_into<Minimum, kTail>(access);
    default:
      return nullptr;
  }
}

ChainInstr::Function find_chain(ChainKind kind, TileOp op, Access access) {
  switch (kind) {
    case ChainKind::load:
      return access == Access::repeat  ? erased(load<Access::repeat>)
             : access == Access::fixed ? erased(load<Access::fixed>)
                                       : erased(load<Access::stream>);
    case ChainKind::store:
      return access == Access::past    ? erased(store<Access::past>)
             : access == Access::fixed ? erased(store<Access::fixed>)
                                       : erased(store<Access::stream>);
    case ChainKind::unary:
      return find_unary(op);
    case ChainKind::binary:
      return find_binary<false>(op, access);
    case ChainKind::swapped:
      return find_binary<true>(op, access);
    case ChainKind::reduce:
      return find_reduction<false>(op, access);
    case ChainKind::reduce_tail:
      return find_reduction<true>(op, access);
    case ChainKind::select:
    case ChainKind::select_other:
      return nullptr;  // see select_function
    default:
      return erased(loop);
  }
}

template <Access kFirst>
ChainInstr::Function select_second(Access second) {
  return second == Access::repeat  ? erased(select<kFirst, Access::repeat>)
         : second == Access::fixed ? erased(select<kFirst, Access::fixed>)
                                   : erased(select<kFirst, Access::stream>);
}
ChainInstr::Function find_select(Access first, Access second) {
  return first == Access::repeat  ? select_second<Access::repeat>(second)
         : first == Access::fixed ? select_second<Access::fixed>(second)
                                  : select_second<Access::stream>(second);
}

int64_t find_step() { return kVectors * lanes(); }

void start_chain(const ChainInstr* code, const std::byte* near, int64_t begin, int64_t end) {
  const float* lane = reinterpret_cast<const float*>(near);
  const int64_t n = lanes();
  const D d;
  const V zero = hn::Zero(d);
  reinterpret_cast<Handler>(code->function)(code, begin, end, zero, zero, zero, zero,
                                            hn::LoadU(d, lane), hn::LoadU(d, lane + n),
                                            hn::LoadU(d, lane + 2 * n), hn::LoadU(d, lane + 3 * n));
}

// In whole vectors, as they are read.
void set_neutral(TileOp op, std::byte* to) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float neutral = op == TileOp::sum    ? -0.0f
                        : op == TileOp::prod ? 1.0f
                        : op == TileOp::max  ? -kInfinity
                                             : kInfinity;
  float* lane = reinterpret_cast<float*>(to);
  for (int64_t k = 0; k < kRowLanes; k += lanes()) hn::StoreU(hn::Set(D(), neutral), D(), lane + k);
}

void start_rows(ChainInstr* code, size_t instrs, std::byte* near, std::span<const ChainFold> folds,
                int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    for (const ChainFold& fold : folds) set_neutral(fold.op, fold.lanes);
    start_chain(code, near, 0, columns);
    for (const ChainFold& fold : folds) fold.block(fold.out + row * 4, fold.lanes, kRowLanes);
    for (size_t k = 0; k < instrs; ++k) code[k].base += code[k].per_row;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tegula::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tegula::cpu {

HWY_EXPORT(find_chain);
HWY_EXPORT(find_select);
HWY_EXPORT(find_step);
HWY_EXPORT(start_chain);
HWY_EXPORT(start_rows);
HWY_EXPORT(set_neutral);

ChainInstr::Function chain_function(ChainKind kind, TileOp op, Access access) {
  return HWY_DYNAMIC_DISPATCH(find_chain)(kind, op, access);
}

ChainInstr::Function select_function(Access first, Access second) {
  return HWY_DYNAMIC_DISPATCH(find_select)(first, second);
}

// Where calls at a function's end are not jumps, the stack would grow with every element.
int64_t chain_step() {
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 0;
#else
  return HWY_DYNAMIC_DISPATCH(find_step)();
#endif
}

void run_chain(const ChainInstr* code, const std::byte* near, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(start_chain)(code, near, begin, end);
}

void run_chain_rows(ChainInstr* code, size_t instrs, std::byte* near,
                    std::span<const ChainFold> folds, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(start_rows)(code, instrs, near, folds, rows, columns);
}

void clear_lanes(TileOp op, std::byte* lanes) { HWY_DYNAMIC_DISPATCH(set_neutral)(op, lanes); }

void finish_past_stores() { hwy::FlushStream(); }

}  // namespace tegula::cpu
#endif
