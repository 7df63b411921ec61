#include "ops/op.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

namespace tegula {
namespace {

struct Registry {
  std::vector<const FamilyInfo*> families;
  std::vector<const Op*> ops;
  std::unordered_map<const Op*, std::vector<Parameter>> parameters;
};
Registry& registry() {
  static auto* registry = new Registry;  // outlives every static that registers
  return *registry;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

ArgKind kind_named(std::string_view word) {
  if (word == "Tensor") return ArgKind::tensor;
  if (word == "Tensors") return ArgKind::tensors;
  if (word == "int") return ArgKind::integer;
  if (word == "float") return ArgKind::real;
  if (word == "bool") return ArgKind::boolean;
  if (word == "ints") return ArgKind::ints;
  if (word == "dtype") return ArgKind::dtype;
  if (word == "str") return ArgKind::text;
  if (word == "float|str") return ArgKind::order;
  if (word == "device") return ArgKind::device;
  fail(ErrorKind::runtime, "an operation declares an argument of unknown kind '", word, "'");
}

Parameter parse_parameter(std::string_view text, bool keyword_only) {
  Parameter p;
  p.keyword_only = keyword_only;
  const size_t colon = text.find(':');
  p.name = trim(text.substr(0, colon));
  std::string_view rest = trim(text.substr(colon + 1));
  if (const size_t equals = rest.find('='); equals != rest.npos) {
    p.has_default = true;
    p.default_text = trim(rest.substr(equals + 1));
    rest = trim(rest.substr(0, equals));
  }
  if (rest.back() == '?') {
    p.optional = true;
    rest.remove_suffix(1);
  }
  p.kind = kind_named(rest);
  return p;
}

std::vector<Parameter> parse_parameters(std::string_view text) {
  std::vector<Parameter> result;
  bool keyword_only = false;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '(') ++depth;
    if (i < text.size() && text[i] == ')') --depth;
    if (i < text.size() && (text[i] != ',' || depth)) continue;
    const std::string_view piece = trim(text.substr(begin, i - begin));
    begin = i + 1;
    if (piece.empty()) continue;
    if (piece == "/") {
      for (Parameter& p : result) p.positional_only = true;
      continue;
    }
    const bool starred = piece.front() == '*';
    if (piece != "*") {
      result.push_back(parse_parameter(piece.substr(starred), keyword_only));
      result.back().variadic = starred;
    }
    keyword_only |= starred;
  }
  return result;
}

}  // namespace

std::string Op::module() const {
  return in_module() ? "tegula." + std::string(name.substr(0, name.find('.'))) : "tegula";
}

std::string Op::attribute() const {
  std::string text(name);
  std::replace(text.begin(), text.end(), '.', '_');
  return text;
}

Dims Args::axes(size_t i, size_t rank) const {
  if (has(i)) return ints(i);
  Dims all;
  for (size_t axis = 0; axis < rank; ++axis) all.push_back(int64_t(axis));
  return all;
}

std::string Args::order(size_t i, std::string_view otherwise) const {
  if (!has(i)) return std::string(otherwise);
  const double* number = std::get_if<double>(&values_[i]);
  return number ? cat(*number) : text(i);
}

Dims Args::per_axis(size_t i, size_t count, const std::string& what) const {
  const Dims& given = ints(i);
  require(given.size() == 1 || given.size() == count, what, " needs one int, or ", count, ", got ",
          given);
  return given.size() == count ? given : Dims(count, given[0]);
}

Family::Family(std::string_view title, std::vector<Op> rows) {
  auto* info = new FamilyInfo{title, std::move(rows)};  // lives as long as the process
  Registry& r = registry();
  r.families.push_back(info);
  for (const Op& op : info->ops) {
    r.ops.push_back(&op);
    r.parameters.emplace(&op, parse_parameters(op.parameters));
  }
}

const std::vector<const Op*>& ops() { return registry().ops; }
const std::vector<const FamilyInfo*>& families() { return registry().families; }
const std::vector<Parameter>& parameters(const Op& op) { return registry().parameters.at(&op); }

}  // namespace tegula
