// The text form of tile programs; docs/tile-format.md has the grammar.
#include <charconv>
#include <sstream>

#include "base/error.h"
#include "plan/tile.h"

namespace tegula {
namespace {

const char* const kTrees[] = {"rows", "columns"};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  TileProgram parse() {
    TileProgram p;
    skip_blank_lines();
    expect("tile");
    p.extent = dims();
    if (accept("reduce")) {
      p.reduce_axes = int(number());
      if (accept("columns")) p.tree = ReduceTree::columns;
      else expect("rows");
    }
    end_line();
    while (!at_end()) {
      line(p);
      end_line();
    }
    return p;
  }

 private:
  [[noreturn]] void error(const std::string& wanted) const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); ++i) {
      ++column;
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      }
    }
    fail(ErrorKind::value, "tile program text, line ", line, ", column ", column, ": expected ",
         wanted);
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
    if (at_ < text_.size() && text_[at_] == '#')
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }
  void skip_blank_lines() {
    for (skip_spaces(); at_ < text_.size() && text_[at_] == '\n'; skip_spaces()) ++at_;
  }
  bool at_end() {
    skip_blank_lines();
    return at_ == text_.size();
  }
  void end_line() {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] != '\n') error("the end of the line");
    skip_blank_lines();
  }

  // Accepts a word or a punctuation mark.
  bool accept(std::string_view wanted) {
    skip_spaces();
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    const size_t end = at_ + wanted.size();
    if (is_word(wanted.back()) && end < text_.size() && is_word(text_[end])) return false;
    at_ = end;
    return true;
  }
  void expect(std::string_view wanted) {
    if (!accept(wanted)) error(cat("'", wanted, "'"));
  }

  int64_t number() {
    skip_spaces();
    int64_t value = 0;
    const char* begin = text_.data() + at_;
    const auto [end, code] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (code != std::errc()) error("a number of 64 bits");
    at_ += size_t(end - begin);
    return value;
  }
  int32_t small_number() {
    const size_t begin = at_;
    const int64_t value = number();
    if (value >= 0 && value < (1 << 24)) return int32_t(value);
    at_ = begin;
    error("a number from 0 to 16777215");
  }
  // A prefix directly followed by a number: v3, in0.
  bool accept_numbered(std::string_view prefix, int32_t& value) {
    skip_spaces();
    const size_t digits = at_ + prefix.size();
    if (text_.substr(at_, prefix.size()) != prefix || digits >= text_.size() ||
        text_[digits] < '0' || text_[digits] > '9')
      return false;
    at_ = digits;
    value = small_number();
    return true;
  }
  int32_t numbered(std::string_view prefix) {
    int32_t value = 0;
    if (!accept_numbered(prefix, value)) error(cat("'", prefix, "' and a number"));
    return value;
  }
  std::string_view word() {
    skip_spaces();
    size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }
  DType dtype() {
    const std::string_view found = word();
    for (int d = 0; d < kDTypeCount; ++d)
      if (name(DType(d)) == found) {
        at_ += found.size();
        return DType(d);
      }
    error("a dtype");
  }
  Dims dims() {
    Dims result;
    expect("(");
    while (!accept(")")) {
      if (!result.empty()) {
        expect(",");
        if (accept(")")) break;
      }
      result.push_back(number());
    }
    return result;
  }

  void line(TileProgram& p) {
    int32_t n = 0;
    if (accept_numbered("in", n)) return operand(p.inputs, n, "in");
    if (accept_numbered("out", n)) return operand(p.outputs, n, "out");
    const bool stores = accept("store");
    if (!stores && !accept_numbered("v", n)) error("'in', 'out', 'v' with a number, or 'store'");
    TileInstr instr{TileOp::store, DType::bool_};
    if (!stores) {
      if (n != int32_t(p.instrs.size())) error(cat("value v", p.instrs.size(), ", not v", n));
      expect("=");
      operation(instr);
    }
    instr.dtype = dtype();
    if (instr.op == TileOp::load) instr.operand = numbered("in");
    if (instr.op == TileOp::index) instr.operand = small_number();
    for (int k = 0; k < arity(instr.op); ++k) {
      if (k > 0) expect(",");
      instr.source[k] = numbered("v");
    }
    if (stores) {
      expect("to");
      instr.operand = numbered("out");
    }
    p.instrs.push_back(instr);
  }
  void operand(std::vector<TileOperand>& list, int32_t n, const char* what) {
    if (n != int32_t(list.size())) error(cat(what, list.size(), ", not ", what, n));
    expect(":");
    const DType type = dtype();
    list.push_back({type, dims()});
  }
  void operation(TileInstr& instr) {
    const std::string_view found = word();
    if (found == "load") instr.op = TileOp::load;
    else if (found == "index") instr.op = TileOp::index;
    else if (!find_tile_op(found, instr.op)) error("the name of an instruction");
    at_ += found.size();
  }

  std::string_view text_;
  size_t at_ = 0;
};

void print_operands(std::ostream& out, const char* what, const std::vector<TileOperand>& list) {
  for (size_t i = 0; i < list.size(); ++i)
    out << what << i << ": " << list[i].dtype << ' ' << list[i].strides << '\n';
}

}  // namespace

std::string print(const TileProgram& program) {
  std::ostringstream out;
  out << "tile " << program.extent;
  // The tree matters only to programs that reduce, but is kept with every one.
  if (program.reduce_axes != 0 || program.tree != ReduceTree::rows)
    out << " reduce " << program.reduce_axes << ' ' << kTrees[int(program.tree)];
  out << '\n';
  print_operands(out, "in", program.inputs);
  print_operands(out, "out", program.outputs);
  for (size_t i = 0; i < program.instrs.size(); ++i) {
    const TileInstr& in = program.instrs[i];
    if (in.op == TileOp::store) {
      out << "store " << in.dtype << " v" << in.source[0] << " to out" << in.operand << '\n';
      continue;
    }
    out << 'v' << i << " = " << name(in.op) << ' ' << in.dtype;
    if (in.op == TileOp::load) out << " in" << in.operand;
    if (in.op == TileOp::index) out << ' ' << in.operand;
    for (int k = 0; k < arity(in.op); ++k) out << (k ? ", v" : " v") << in.source[k];
    out << '\n';
  }
  return out.str();
}

TileProgram parse_tile(std::string_view text) { return Parser(text).parse(); }

}  // namespace tegula
