// What users can call: one declaration per operation. The bindings, the type stubs, the reference
// pages and the table-driven tests are all made from these, read in Python as tegula._core.ops().
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/tensor.h"

namespace tegula {

// How an argument is written in Op::parameters, after the colon; a "?" adds None.
enum class ArgKind : uint8_t {
  tensor,   // Tensor: also what asarray takes; a Python number stays weakly typed
  tensors,  // Tensors: a sequence of them
  integer,  // int
  real,     // float
  boolean,  // bool
  ints,     // ints: an int or a sequence of ints (axes, shapes, a pair)
  dtype,    // dtype
  text,     // str
  order,    // float|str: of a norm
  device,   // device: the name of one
};

struct Parameter {
  std::string name;
  ArgKind kind = ArgKind::tensor;
  bool optional = false;      // None is allowed
  bool has_default = false;
  bool keyword_only = false;
  bool positional_only = false;
  bool variadic = false;      // "*arrays": all that is given by position
  std::string default_text;   // as written
};

using Arg = std::variant<std::monostate, Tensor, Tensors, int64_t, double, bool, Dims, DType,
                         std::string, Backend*>;

// The arguments of one call, in the order of the parameters, defaults filled in.
class Args {
 public:
  explicit Args(std::vector<Arg>& values) : values_(values) {}
  bool has(size_t i) const { return !std::holds_alternative<std::monostate>(values_[i]); }
  const Tensor& tensor(size_t i) const { return std::get<Tensor>(values_[i]); }
  // An empty handle for None.
  Tensor optional_tensor(size_t i) const { return has(i) ? tensor(i) : Tensor(); }
  const Tensors& tensors(size_t i) const { return std::get<Tensors>(values_[i]); }
  int64_t integer(size_t i) const { return std::get<int64_t>(values_[i]); }
  double real(size_t i) const { return std::get<double>(values_[i]); }
  bool boolean(size_t i) const { return std::get<bool>(values_[i]); }
  const Dims& ints(size_t i) const { return std::get<Dims>(values_[i]); }
  // Of a number its digits, or "inf" or "-inf"; `otherwise` for None.
  std::string order(size_t i, std::string_view otherwise) const;
  const std::string& text(size_t i) const { return std::get<std::string>(values_[i]); }
  DType dtype(size_t i) const { return std::get<DType>(values_[i]); }
  DType dtype_or(size_t i, DType otherwise) const { return has(i) ? dtype(i) : otherwise; }
  // A device that is given is also the default one while the operation is called.
  Backend& device_or(size_t i, Backend& otherwise) const {
    return has(i) ? *std::get<Backend*>(values_[i]) : otherwise;
  }
  // None means all axes.
  Dims axes(size_t i, size_t rank) const;
  // One int for each of `count` axes; a single one stands for all. `what` begins the message.
  Dims per_axis(size_t i, size_t count, const std::string& what) const;

 private:
  std::vector<Arg>& values_;
};

struct Op {
  // Of the function in `tegula`; "linalg.inv" is inv in the module tegula.linalg instead.
  std::string_view name;
  // As in a Python signature: "x: Tensor, /, axis: ints? = None, *, keepdims: bool = False". One
  // may be "*arrays: Tensors"; those before it go without their names.
  std::string_view parameters;
  std::string_view doc;       // one line, then details if any
  Tensors (*call)(const Args& args);
  // Calls that the table-driven tests make, arguments as Python text separated by ";;". The
  // makers (f, pos, unit, ints, mask, ...) are those of tests/python/samples.py.
  std::string_view samples;
  // What the result is compared with: a Python expression for a function of the same arguments.
  std::string_view reference;
  bool method = true;          // also a method of Tensor
  bool differentiable = false; // the table-driven test checks it against finite differences
  double tolerance = 1e-6;     // relative, float32 against the reference
  bool returns_tuple = false;
  // Of a named tuple: its name and its fields', as in "QRResult: Q, R"; or "list", where the array
  // API standard asks for one.
  std::string_view result = {};

  bool returns_list() const { return result == "list"; }
  bool in_module() const { return name.find('.') != name.npos; }
  std::string_view short_name() const { return name.substr(name.find('.') + 1); }
  // The module that users find it in.
  std::string module() const;
  // Its name in tegula._core: "linalg_inv".
  std::string attribute() const;
};

// All operations, in order of declaration.
const std::vector<const Op*>& ops();
const std::vector<Parameter>& parameters(const Op& op);

// Declares operations: one static object per family.
struct Family {
  Family(std::string_view title, std::vector<Op> rows);
};
struct FamilyInfo {
  std::string_view title;
  std::vector<Op> ops;
};
const std::vector<const FamilyInfo*>& families();

}  // namespace tegula
