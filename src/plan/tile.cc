#include "plan/tile.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.h"

namespace tegula {
namespace {

// Which dtypes an instruction takes, and what it gives.
enum class Types : uint8_t {
  memory,     // load, store, index: by operand
  cast,       // any to any
  any,        // any real, the same comes out
  field,      // any, complex too
  numbers,    // any but bool
  part,       // complex, the dtype of its parts comes out
  conjugate,  // complex
  join,       // two floats, a complex number comes out
  floats,
  analytic,   // floats and complex numbers
  question,   // any real, bool comes out
  equality,   // any, bool comes out
  logic,      // bool
  bits,       // integers and bool
  selection,  // bool and twice any
};

struct Row {
  std::string_view name;
  int arity;
  Types types;
};

constexpr std::array<Row, kTileOpCount> kRows = {{
    {"load", 0, Types::memory},
    {"store", 1, Types::memory},
    {"index", 0, Types::memory},
    {"cast", 1, Types::cast},
    {"negative", 1, Types::field},
    {"abs", 1, Types::any},
    {"sign", 1, Types::any},
    {"square", 1, Types::field},
    {"sqrt", 1, Types::analytic},
    {"rsqrt", 1, Types::analytic},
    {"reciprocal", 1, Types::analytic},
    {"exp", 1, Types::analytic},
    {"exp2", 1, Types::analytic},
    {"expm1", 1, Types::analytic},
    {"log", 1, Types::analytic},
    {"log1p", 1, Types::analytic},
    {"log2", 1, Types::analytic},
    {"log10", 1, Types::analytic},
    {"sin", 1, Types::analytic},
    {"cos", 1, Types::analytic},
    {"tan", 1, Types::analytic},
    {"asin", 1, Types::analytic},
    {"acos", 1, Types::analytic},
    {"atan", 1, Types::analytic},
    {"sinh", 1, Types::analytic},
    {"cosh", 1, Types::analytic},
    {"tanh", 1, Types::analytic},
    {"asinh", 1, Types::analytic},
    {"acosh", 1, Types::analytic},
    {"atanh", 1, Types::analytic},
    {"erf", 1, Types::floats},
    {"sigmoid", 1, Types::analytic},
    {"floor", 1, Types::any},
    {"ceil", 1, Types::any},
    {"trunc", 1, Types::any},
    {"round", 1, Types::any},
    {"isnan", 1, Types::question},
    {"isinf", 1, Types::question},
    {"isfinite", 1, Types::question},
    {"signbit", 1, Types::question},
    {"logical_not", 1, Types::logic},
    {"bitwise_invert", 1, Types::bits},
    {"real", 1, Types::part},
    {"imag", 1, Types::part},
    {"conj", 1, Types::conjugate},
    {"add", 2, Types::field},
    {"subtract", 2, Types::field},
    {"multiply", 2, Types::field},
    {"divide", 2, Types::analytic},
    {"floor_divide", 2, Types::any},
    {"remainder", 2, Types::any},
    {"pow", 2, Types::field},
    {"atan2", 2, Types::floats},
    {"hypot", 2, Types::floats},
    {"maximum", 2, Types::any},
    {"minimum", 2, Types::any},
    {"copysign", 2, Types::floats},
    {"nextafter", 2, Types::floats},
    {"equal", 2, Types::equality},
    {"not_equal", 2, Types::equality},
    {"less", 2, Types::question},
    {"less_equal", 2, Types::question},
    {"greater", 2, Types::question},
    {"greater_equal", 2, Types::question},
    {"logical_and", 2, Types::logic},
    {"logical_or", 2, Types::logic},
    {"logical_xor", 2, Types::logic},
    {"bitwise_and", 2, Types::bits},
    {"bitwise_or", 2, Types::bits},
    {"bitwise_xor", 2, Types::bits},
    {"bitwise_left_shift", 2, Types::bits},
    {"bitwise_right_shift", 2, Types::bits},
    {"complex", 2, Types::join},
    {"where", 3, Types::selection},
    {"sum", 1, Types::numbers},
    {"prod", 1, Types::numbers},
    {"max", 1, Types::any},
    {"min", 1, Types::any},
    {"any", 1, Types::logic},
    {"all", 1, Types::logic},
}};

const Row& row(TileOp op) { return kRows[size_t(op)]; }

constexpr int64_t kFarthest = int64_t(1) << 47;  // elements from the first

class Checker {
 public:
  explicit Checker(const TileProgram& program) : p_(program) {}

  void check() {
    check_space();
    for (size_t i = 0; i < p_.inputs.size(); ++i) check_strides(p_.inputs[i], "input", i);
    for (size_t i = 0; i < p_.outputs.size(); ++i) {
      check_strides(p_.outputs[i], "output", i);
      check_overlap(p_.outputs[i], i);
    }
    stored_.resize(p_.outputs.size());
    for (at_ = 0; at_ < p_.instrs.size(); ++at_) check_instr(p_.instrs[at_]);
    for (size_t i = 0; i < stored_.size(); ++i)
      require(stored_[i], "tile program: output ", i, " is never stored");
    const std::vector<bool> full = full_values(p_);
    for (at_ = 0; at_ < p_.instrs.size(); ++at_) {
      const TileInstr& instr = p_.instrs[at_];
      if (instr.op != TileOp::store || !full[at_]) continue;
      want(moves_along_reduced(p_, p_.outputs[size_t(instr.operand)].strides),
           "stores a full value to output ", instr.operand,
           ", whose strides are 0 along the reduced axes");
    }
  }

 private:
  template <class... Parts>
  void want(bool ok, const Parts&... parts) const {
    if (!ok)
      fail(ErrorKind::value, "tile program: instruction ", at_, " (", name(p_.instrs[at_].op), ") ",
           parts...);
  }

  void check_space() const {
    checked_numel(p_.extent, "tile program: extent");
    require(p_.reduce_axes >= 0 && size_t(p_.reduce_axes) <= p_.extent.size(),
            "tile program: reduce_axes is ", p_.reduce_axes, ", but the extent ", p_.extent,
            " has ", p_.extent.size(), " axes");
    require(p_.tree == ReduceTree::rows || p_.tree == ReduceTree::columns,
            "tile program: unknown reduction tree");
  }

  void check_strides(const TileOperand& operand, const char* what, size_t i) const {
    require(operand.strides.size() == p_.extent.size(), "tile program: ", what, " ", i, " has ",
            operand.strides.size(), " strides for an extent of ", p_.extent.size(), " axes");
    require(int(operand.dtype) < kDTypeCount, "tile program: ", what, " ", i, " has no dtype");
    __int128 reach = 0;
    for (size_t axis = 0; axis < p_.extent.size(); ++axis) {
      const __int128 stride = operand.strides[axis];
      const int64_t last = std::max<int64_t>(p_.extent[axis] - 1, 0);
      reach += (stride < 0 ? -stride : stride) * last;
    }
    require(reach <= kFarthest, "tile program: ", what, " ", i, " with strides ", operand.strides,
            " reaches past the address space");
  }

  // No two points may be stored in one place, but for the repeats of a row along reduced axes.
  void check_overlap(const TileOperand& output, size_t i) const {
    const bool is_row = !moves_along_reduced(p_, output.strides);
    const size_t axes = p_.extent.size() - (is_row ? size_t(p_.reduce_axes) : 0);
    std::vector<std::pair<int64_t, int64_t>> walk;  // |stride|, size
    for (size_t axis = 0; axis < axes; ++axis) {
      if (p_.extent[axis] == 0) return;
      if (p_.extent[axis] > 1) walk.push_back({std::abs(output.strides[axis]), p_.extent[axis]});
    }
    std::sort(walk.begin(), walk.end());
    int64_t reach = 0;
    for (const auto& [stride, size] : walk) {
      require(stride > reach, "tile program: output ", i, " with strides ", output.strides,
              " over extent ", p_.extent, " stores two points in one place");
      reach += stride * (size - 1);
    }
  }

  DType source(const TileInstr& instr, int k) const {
    return p_.instrs[size_t(instr.source[k])].dtype;
  }

  void check_instr(const TileInstr& instr) {
    require(int(instr.op) < kTileOpCount, "tile program: instruction ", at_, " is unknown");
    want(int(instr.dtype) < kDTypeCount, "has no dtype");
    const int count = arity(instr.op);
    for (int k = 0; k < 3; ++k) {
      if (k >= count) {
        want(instr.source[k] == -1, "takes ", count, " operands, but has another");
        continue;
      }
      want(instr.source[k] >= 0 && size_t(instr.source[k]) < at_, "takes value ", instr.source[k],
           ", which is not an earlier one");
      want(p_.instrs[size_t(instr.source[k])].op != TileOp::store, "takes value ", instr.source[k],
           ", which is a store");
    }
    if (row(instr.op).types != Types::memory) {
      want(instr.operand == -1, "has no use for an operand number");
    }
    check_types(instr);
    if (is_reduction(instr.op)) {
      want(p_.reduce_axes > 0, "reduces, but no axis is to be reduced");
      int64_t n = 1;
      for (size_t axis = p_.extent.size() - size_t(p_.reduce_axes); axis < p_.extent.size(); ++axis)
        n *= p_.extent[axis];
      want(n > 0 || (instr.op != TileOp::max && instr.op != TileOp::min),
           "reduces no elements, which have no extremum");
    }
  }

  void check_memory(const TileInstr& instr) {
    if (instr.op == TileOp::index) {
      want(instr.operand >= 0 && size_t(instr.operand) < p_.extent.size(), "asks for axis ",
           instr.operand, " of an extent with ", p_.extent.size(), " axes");
      want(instr.dtype == DType::int64, "gives int64, not ", instr.dtype);
      return;
    }
    const bool load = instr.op == TileOp::load;
    const auto& operands = load ? p_.inputs : p_.outputs;
    const char* what = load ? "input" : "output";
    want(instr.operand >= 0 && size_t(instr.operand) < operands.size(), "names ", what, " ",
         instr.operand, " of ", operands.size());
    const DType dtype = operands[size_t(instr.operand)].dtype;
    want(instr.dtype == dtype, "is of dtype ", instr.dtype, ", but ", what, " ", instr.operand,
         " holds ", dtype);
    if (load) return;
    want(source(instr, 0) == instr.dtype, "stores a ", source(instr, 0), " value as ", instr.dtype);
    want(!stored_[size_t(instr.operand)], "stores output ", instr.operand, " a second time");
    stored_[size_t(instr.operand)] = true;
  }

  void check_types(const TileInstr& instr) {
    const Types types = row(instr.op).types;
    const int count = arity(instr.op);
    if (types == Types::memory) return check_memory(instr);
    if (types == Types::cast) {
      want(!is_complex(source(instr, 0)) || is_complex(instr.dtype), "makes ", instr.dtype,
           " of a complex value");
      return;
    }
    const int first = types == Types::selection ? 1 : 0;
    if (first)
      want(source(instr, 0) == DType::bool_, "needs a bool condition, got ", source(instr, 0));
    const DType dtype = source(instr, first);
    for (int k = first + 1; k < count; ++k)
      want(source(instr, k) == dtype, "mixes ", dtype, " and ", source(instr, k));
    const bool asks = types == Types::question || types == Types::equality;
    const DType result = asks                   ? DType::bool_
                         : types == Types::part ? real_dtype(dtype)
                         : types == Types::join ? complex_dtype(dtype)
                                                : dtype;
    want(instr.dtype == result, "gives ", result, ", not ", instr.dtype);
    switch (types) {
      case Types::any:
      case Types::question:
        want(!is_complex(dtype), "needs a real dtype, got ", dtype);
        break;
      case Types::analytic:
        want(is_inexact(dtype), "needs a floating or complex dtype, got ", dtype);
        break;
      case Types::part:
      case Types::conjugate:
        want(is_complex(dtype), "needs a complex dtype, got ", dtype);
        break;
      case Types::join:
        want(dtype == DType::float32 || dtype == DType::float64, "needs float32 or float64, got ",
             dtype);
        break;
      case Types::numbers:
        want(!is_complex(dtype), "needs a real dtype, got ", dtype);
        want(dtype != DType::bool_, "is not defined for bool");
        break;
      case Types::floats:
        want(is_floating(dtype), "needs a floating dtype, got ", dtype);
        break;
      case Types::logic:
        want(dtype == DType::bool_, "needs bool, got ", dtype);
        break;
      case Types::bits:
        want(!is_inexact(dtype), "needs integers or bool, got ", dtype);
        break;
      default:
        break;
    }
  }

  const TileProgram& p_;
  std::vector<bool> stored_;
  size_t at_ = 0;
};

}  // namespace

std::string_view name(TileOp op) { return row(op).name; }
int arity(TileOp op) { return row(op).arity; }
bool is_reduction(TileOp op) { return op >= TileOp::sum; }
bool is_comparison(TileOp op) { return op >= TileOp::equal && op <= TileOp::greater_equal; }

bool find_tile_op(std::string_view wanted, TileOp& op) {
  for (int i = int(TileOp::cast); i < kTileOpCount; ++i) {
    if (kRows[size_t(i)].name != wanted) continue;
    op = TileOp(i);
    return true;
  }
  return false;
}

bool moves_along_reduced(const TileProgram& program, const Strides& strides) {
  const size_t rank = program.extent.size();
  if (program.reduce_axes == 0) return true;
  for (size_t axis = rank - size_t(program.reduce_axes); axis < rank; ++axis)
    if (program.extent[axis] != 1 && strides[axis] != 0) return true;
  return false;
}

std::vector<bool> full_values(const TileProgram& program) {
  const size_t kept = program.extent.size() - size_t(program.reduce_axes);
  std::vector<bool> full(program.instrs.size());
  for (size_t i = 0; i < full.size(); ++i) {
    const TileInstr& instr = program.instrs[i];
    if (instr.op == TileOp::load) {
      full[i] = moves_along_reduced(program, program.inputs[size_t(instr.operand)].strides);
    } else if (instr.op == TileOp::index) {
      full[i] = program.reduce_axes == 0 ||
                (size_t(instr.operand) >= kept && program.extent[size_t(instr.operand)] != 1);
    } else if (!is_reduction(instr.op)) {
      for (int k = 0; k < arity(instr.op); ++k)
        if (full[size_t(instr.source[k])]) full[i] = true;
    }
  }
  return full;
}

void check(const TileProgram& program) { Checker(program).check(); }

}  // namespace tegula
