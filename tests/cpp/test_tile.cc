// Tile programs: the checker, the text form, and how the CPU executor cuts and orders work.
#include <algorithm>
#include <string>

#include "runtime/thread_pool.h"
#include "tile_harness.h"

namespace tegula::testing {
namespace {

constexpr const char* kSoftmax = R"(
# exp(x - max x) / sum
tile (3, 4) reduce 1 rows
in0: float32 (4, 1)
out0: float32 (4, 1)
v0 = load float32 in0
v1 = max float32 v0
v2 = subtract float32 v0, v1
v3 = exp float32 v2
v4 = sum float32 v3
v5 = divide float32 v3, v4
store float32 v5 to out0
)";

std::string failure(const TileProgram& p) {
  try {
    check(p);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::value);
    return error.what();
  }
  return "";
}
std::string parse_failure(const std::string& text) {
  try {
    parse_tile(text);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::value);
    return error.what();
  }
  return "";
}
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("tile: text is parsed and printed") {
  const TileProgram p = parse_tile(kSoftmax);
  check(p);
  CHECK(p.extent == Shape{3, 4});
  CHECK(p.reduce_axes == 1);
  CHECK(p.instrs.size() == 7);
  CHECK(parse_tile(print(p)) == p);
  CHECK(print(parse_tile(print(p))) == print(p));
  const TileProgram scalar = parse_tile(
      "tile ()\nin0: int8 ()\nout0: int8 ()\n"
      "v0 = load int8 in0\nstore int8 v0 to out0");
  check(scalar);
  CHECK(parse_tile(print(scalar)) == scalar);
}

TEST_CASE("tile: a text error names line and column") {
  CHECK(has(parse_failure("tyle (3)"), "line 1, column 1: expected 'tile'"));
  CHECK(has(parse_failure("tile (3)\nin0: float31 (1)"), "line 2, column 6: expected a dtype"));
  CHECK(has(parse_failure("tile (3)\nin1: float32 (1)"), "expected in0, not in1"));
  CHECK(has(parse_failure("tile (3)\nv0 = lode float32 in0"),
            "line 2, column 6: expected the name of an instruction"));
  CHECK(has(parse_failure("tile (3)\nv1 = load float32 in0"), "expected value v0, not v1"));
  CHECK(has(parse_failure("tile (3) 7"), "expected the end of the line"));
  CHECK(has(parse_failure("tile (99999999999999999999)"), "expected a number"));
  CHECK(has(parse_failure("tile (3)\nv0 = load float32 in99999999"), "a number from 0"));
  CHECK(has(parse_failure(""), "expected 'tile'"));
  CHECK(has(parse_failure("tile (3"), "expected ','"));
}

TEST_CASE("tile: the checker names the instruction and the broken rule") {
  const TileProgram good = parse_tile(kSoftmax);
  const auto broken = [&](auto&& change) {
    TileProgram p = good;
    change(p);
    return failure(p);
  };
  using P = TileProgram&;
  CHECK(failure(good) == "");
  CHECK(has(broken([](P p) { p.reduce_axes = 3; }), "reduce_axes is 3"));
  CHECK(has(broken([](P p) { p.reduce_axes = 0; }), "no axis is to be reduced"));
  CHECK(has(broken([](P p) { p.extent[0] = -1; }), "extent"));
  CHECK(has(broken([](P p) { p.inputs[0].strides = {1}; }), "input 0 has 1 strides"));
  CHECK(has(broken([](P p) { p.inputs[0].strides = {int64_t(1) << 60, 1}; }), "address space"));
  CHECK(has(broken([](P p) { p.outputs[0].strides = {3, 1}; }), "two points in one place"));
  CHECK(has(broken([](P p) { p.outputs[0].strides = {1, 0}; }), "full value to output 0"));
  CHECK(has(broken([](P p) { p.outputs.push_back(p.outputs[0]); }), "output 1 is never stored"));
  CHECK(has(broken([](P p) { p.instrs.push_back(p.instrs[6]); }), "a second time"));
  CHECK(has(broken([](P p) { p.instrs[2].source[1] = 2; }), "instruction 2 (subtract)"));
  CHECK(has(broken([](P p) { p.instrs[2].source[1] = -1; }), "not an earlier one"));
  CHECK(has(broken([](P p) { p.instrs[2].source[2] = 0; }), "takes 2 operands"));
  CHECK(has(broken([](P p) { p.instrs[2].operand = 0; }), "no use for an operand number"));
  CHECK(has(broken([](P p) { p.instrs[0].operand = 1; }), "names input 1 of 1"));
  CHECK(has(broken([](P p) { p.instrs[0].dtype = DType::float64; }), "holds float32"));
  CHECK(has(broken([](P p) { p.instrs[3].dtype = DType::float64; }), "gives float32"));
  CHECK(has(broken([](P p) { p.instrs[3].op = TileOp::logical_not; }), "needs bool"));
  CHECK(has(broken([](P p) { p.instrs[3].op = TileOp::bitwise_invert; }), "needs integers"));
  CHECK(has(broken([](P p) { p.instrs[2].op = TileOp::less; }), "gives bool"));
  CHECK(has(broken([](P p) { p.extent[1] = 0; }), "have no extremum"));
  CHECK(has(broken([](P p) { p.instrs[2] = {TileOp::where, DType::float32, {0, 1, 1}}; }),
            "needs a bool condition"));
  CHECK(has(broken([](P p) { p.instrs[2] = {TileOp::index, DType::int64, {-1, -1, -1}, 2}; }),
            "asks for axis 2"));
  CHECK(has(broken([](P p) { p.instrs[2] = {TileOp::index, DType::int32, {-1, -1, -1}, 0}; }),
            "gives int64"));
  CHECK(has(broken([](P p) { p.instrs[1] = {TileOp::cast, DType::float64, {0, -1, -1}}; }),
            "mixes float32 and float64"));
  CHECK(
      has(broken([](P p) { p.instrs.push_back({TileOp::negative, DType::float32, {6, -1, -1}}); }),
          "which is a store"));
  CHECK(has(broken([](P p) {
              p.inputs[0].dtype = p.outputs[0].dtype = DType::int32;
              for (TileInstr& in : p.instrs) in.dtype = DType::int32;
            }),
            "needs a floating or complex dtype"));
  CHECK(has(broken([](P p) {
              p.instrs[0].dtype = p.instrs[1].dtype = p.inputs[0].dtype = DType::bool_;
              p.instrs[1].op = TileOp::sum;
            }),
            "not defined for bool"));
}

void fill_numbers(TileMemory& memory, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> any(-2, 2);
  for (int64_t i = 0; i < memory.size(); ++i) memory.data<float>()[i] = any(random);
}

// The bytes of the outputs with one, two and three threads must be the interpreter's.
void check_threads(const TileProgram& p) {
  CAPTURE(print(p));
  check(p);
  TileOperands wanted(p);
  for (TileMemory& m : wanted.inputs) fill_numbers(m, 5);
  const TileOperands fresh = wanted;
  wanted.interpret(p);
  const int before = num_threads();
  for (int threads = 1; threads <= 3; ++threads) {
    set_num_threads(threads);
    TileOperands got = fresh;
    got.execute(p);
    for (size_t k = 0; k < p.outputs.size(); ++k)
      CHECK(first_difference(got.outputs[k], wanted.outputs[k]) == -1);
  }
  set_num_threads(before);
}

TEST_CASE("tile: bits do not depend on the number of threads") {
  constexpr DType F = DType::float32;
  const auto load = [](int k) { return TileInstr{TileOp::load, F, {-1, -1, -1}, k}; };
  const auto store = [](int v) { return TileInstr{TileOp::store, F, {v, -1, -1}, 0}; };
  const std::vector<TileInstr> sum = {load(0), {TileOp::sum, F, {0, -1, -1}}, store(1)};
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 700001},
                                {3, 300000},
                                {20, 40000},
                                {70000, 6},
                                {100, 1500}}) {
    check_threads({{rows, n}, 1, ReduceTree::rows, {{F, {n, 1}}}, {{F, {1, 0}}}, sum});
    check_threads({{n, rows}, 1, ReduceTree::rows, {{F, {1, n}}}, {{F, {1, 0}}}, sum});
    check_threads({{n, rows}, 1, ReduceTree::columns, {{F, {1, n}}}, {{F, {1, 0}}}, sum});
    check_threads({{rows, n}, 1, ReduceTree::columns, {{F, {1, rows}}}, {{F, {1, 0}}}, sum});
    check_threads({{rows, n},
                   0,
                   ReduceTree::rows,
                   {{F, {n, 1}}, {F, {0, 1}}},
                   {{F, {n, 1}}},
                   {load(0), load(1), {TileOp::multiply, F, {0, 1, -1}}, store(2)}});
    check_threads({{rows, n},
                   0,
                   ReduceTree::rows,
                   {{F, {1, rows}}, {F, {1, 0}}},
                   {{F, {n, 1}}},
                   {load(0), load(1), {TileOp::add, F, {0, 1, -1}}, store(2)}});
    check_threads(
        {{rows, n}, 0, ReduceTree::rows, {{F, {1, rows}}}, {{F, {n, 1}}}, {load(0), store(0)}});
  }
  // Batches of sums over a middle axis, and two passes over long rows.
  check_threads(
      {{9, 80, 500}, 1, ReduceTree::columns, {{F, {80 * 500, 1, 80}}}, {{F, {80, 1, 0}}}, sum});
  for (ReduceTree tree : {ReduceTree::rows, ReduceTree::columns})
    check_threads({{3, 90000},
                   1,
                   tree,
                   {{F, {90000, 1}}},
                   {{F, {90000, 1}}},
                   {load(0),
                    {TileOp::max, F, {0, -1, -1}},
                    {TileOp::subtract, F, {0, 1, -1}},
                    {TileOp::square, F, {2, -1, -1}},
                    {TileOp::sum, F, {3, -1, -1}},
                    {TileOp::divide, F, {3, 4, -1}},
                    store(5)}});
}

// Sums over the pixels of images whose channels lie side by side, and what is made of them in a
// second pass: blocks, lanes and pieces that end anywhere.
TEST_CASE("tile: rows across what is contiguous") {
  constexpr DType F = DType::float32;
  const auto load = [](int k) { return TileInstr{TileOp::load, F, {-1, -1, -1}, k}; };
  const auto store = [](int v, int k) { return TileInstr{TileOp::store, F, {v, -1, -1}, k}; };
  for (int64_t images : {1, 3, 40})
    for (int64_t channels : {16, 17, 64, 100})
      for (const auto& [height, width] :
           {std::pair<int64_t, int64_t>{1, 1}, {1, 31}, {4, 8}, {3, 11}, {25, 41}, {33, 65}}) {
        if (images * channels * height * width > 200'000) continue;
        const int64_t pixels = height * width;
        const Strides full = {pixels * channels, 1, width * channels, channels};
        check_threads({{images, channels, height, width},
                       2,
                       ReduceTree::rows,
                       {{F, full}, {F, {0, 1, 0, 0}}, {F, {channels, 1, 0, 0}}},
                       {{F, {channels, 1, 0, 0}}, {F, full}, {F, {1, images, 0, 0}}},
                       {load(0),
                        load(1),
                        load(2),
                        {TileOp::subtract, F, {0, 1, -1}},
                        {TileOp::multiply, F, {3, 2, -1}},
                        {TileOp::sum, F, {4, -1, -1}},
                        {TileOp::max, F, {0, -1, -1}},
                        {TileOp::subtract, F, {4, 5, -1}},
                        store(5, 0),
                        store(7, 1),
                        store(6, 2)}});
      }
  // Values that are the same for a whole image, and places along each axis.
  check_threads({{5, 24, 6, 7},
                 2,
                 ReduceTree::rows,
                 {{F, {1008, 1, 168, 24}}, {F, {1, 0, 0, 0}}},
                 {{F, {24, 1, 0, 0}}, {DType::int64, {24, 1, 0, 0}}, {DType::int64, {1, 5, 0, 0}}},
                 {load(0),
                  load(1),
                  {TileOp::multiply, F, {0, 1, -1}},
                  {TileOp::sum, F, {2, -1, -1}},
                  {TileOp::index, DType::int64, {-1, -1, -1}, 0},
                  {TileOp::index, DType::int64, {-1, -1, -1}, 1},
                  {TileOp::index, DType::int64, {-1, -1, -1}, 2},
                  {TileOp::index, DType::int64, {-1, -1, -1}, 3},
                  {TileOp::multiply, DType::int64, {4, 7, -1}},
                  {TileOp::add, DType::int64, {8, 6, -1}},
                  {TileOp::sum, DType::int64, {9, -1, -1}},
                  {TileOp::multiply, DType::int64, {4, 5, -1}},
                  store(3, 0),
                  {TileOp::store, DType::int64, {10, -1, -1}, 1},
                  {TileOp::store, DType::int64, {11, -1, -1}, 2}}});
  // One image of few channels: the pixels are shared out.
  check_threads({{1, 16, 700, 100},
                 2,
                 ReduceTree::rows,
                 {{F, {1'120'000, 1, 1600, 16}}},
                 {{F, {16, 1, 0, 0}}},
                 {load(0), {TileOp::sum, F, {0, -1, -1}}, store(1, 0)}});
}

// In place, an input is still read where one output has been written.
TEST_CASE("tile: outputs may take over inputs") {
  for (int64_t n : {5, 1000, 5000}) {
    TileProgram p;
    constexpr DType F = DType::float32;
    p.extent = {n};
    p.inputs = {{F, {1}}, {F, {1}}};
    p.outputs = {{F, {1}}, {F, {1}}, {F, {1}}};
    p.instrs = {{TileOp::load, F, {-1, -1, -1}, 0}, {TileOp::square, F, {0, -1, -1}},
                {TileOp::store, F, {1, -1, -1}, 0}, {TileOp::load, F, {-1, -1, -1}, 1},
                {TileOp::add, F, {0, 3, -1}},       {TileOp::store, F, {4, -1, -1}, 1},
                {TileOp::store, F, {0, -1, -1}, 2}};
    check(p);
    for (const auto& [first, second, third] :
         {std::tuple{0, 1, -1}, {1, 0, -1}, {0, -1, 1}, {-1, 0, 1}, {1, -1, 0}, {-1, -1, 1}}) {
      TileOperands wanted(p);
      for (TileMemory& m : wanted.inputs) fill_numbers(m, unsigned(n));
      wanted.alias = {first, second, third};
      TileOperands got = wanted;
      wanted.interpret(p);
      got.execute(p);
      for (size_t k = 0; k < 3; ++k) CHECK(first_difference(got.output(k), wanted.output(k)) == -1);
    }
  }
}

TEST_CASE("tile: copies keep every bit of 16-bit floats") {
  for (DType dtype : {DType::float16, DType::bfloat16}) {
    TileProgram p;
    p.extent = {256, 256};
    p.inputs = {{dtype, {1, 256}}};
    p.outputs = {{dtype, {256, 1}}};
    p.instrs = {{TileOp::load, dtype, {-1, -1, -1}, 0}, {TileOp::store, dtype, {0, -1, -1}, 0}};
    TileOperands operands(p);
    for (int i = 0; i < 65536; ++i) operands.inputs[0].data<uint16_t>()[i] = uint16_t(i);
    operands.execute(p);
    for (int i = 0; i < 256; ++i)
      for (int j = 0; j < 256; ++j)
        CHECK(operands.outputs[0].data<uint16_t>()[i * 256 + j] == uint16_t(j * 256 + i));
  }
}

}  // namespace
}  // namespace tegula::testing
