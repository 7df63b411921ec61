// Choices by comparisons, which run as threaded code: the interpreter's bits, whatever is compared
// and chosen and wherever it lies.
#include "base/error.h"
#include "tile_harness.h"

using namespace tegula;
using namespace tegula::testing;

namespace {

constexpr const char* kComparisons[] = {"equal",      "not_equal", "less",
                                        "less_equal", "greater",   "greater_equal"};

// Few different numbers, so that some are equal.
void fill(TileMemory& memory, unsigned seed) {
  constexpr float kNumbers[] = {-1.5f,
                                -0.0f,
                                0.0f,
                                0.25f,
                                2.0f,
                                std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity()};
  std::mt19937 random(seed);
  for (int64_t i = 0; i < memory.size(); ++i)
    if (memory.dtype == DType::float32) memory.data<float>()[i] = kNumbers[random() % 7];
}

void check_program(const std::string& text) {
  CAPTURE(text);
  const TileProgram p = parse_tile(text);
  check(p);
  TileOperands wanted(p);
  unsigned seed = 1;
  for (TileMemory& m : wanted.inputs) fill(m, seed++);
  TileOperands got = wanted;
  wanted.interpret(p);
  got.execute(p);
  for (size_t k = 0; k < p.outputs.size(); ++k)
    CHECK(first_difference(got.outputs[k], wanted.outputs[k]) == -1);
}

// Four inputs of the given strides, v0 to v3, and what is done with them.
std::string program(int64_t rows, int64_t columns, const std::string (&strides)[4],
                    const std::string& body, const std::string& outputs, int reduce = 0) {
  std::string text = cat("tile (", rows, ", ", columns, ")");
  if (reduce) text += " reduce 1 rows";
  text += "\n";
  for (int k = 0; k < 4; ++k) text += cat("in", k, ": float32 ", strides[k], "\n");
  text += outputs;
  for (int k = 0; k < 4; ++k) text += cat("v", k, " = load float32 in", k, "\n");
  return text + body;
}

}  // namespace

TEST_CASE("tile: choices by a comparison") {
  for (const char* comparison : kComparisons)
    for (int64_t columns : {1, 7, 64, 100, 1500}) {
      const int64_t rows = 70;
      const std::string full = cat("(", columns, ", 1)"), row = "(1, 0)", column = "(0, 1)",
                        scalar = "(0, 0)";
      const std::string out = "out0: float32 " + full + "\n";
      const auto compare = [&](const char* a, const char* b) {
        return cat("v4 = ", comparison, " bool ", a, ", ", b, "\n");
      };
      for (const std::string& second : {full, row, column, scalar}) {
        // Of a rectifier, and of its gradient.
        check_program(program(rows, columns, {full, second, full, full},
                              compare("v0", "v1") + "v5 = where float32 v4, v1, v0\n" +
                                  "v6 = add float32 v2, v3\nv7 = multiply float32 v5, v6\n" +
                                  "store float32 v7 to out0\n",
                              out));
        check_program(program(rows, columns, {full, second, full, full},
                              compare("v1", "v0") + "v5 = add float32 v2, v3\n" +
                                  "v6 = where float32 v4, v5, v1\nstore float32 v6 to out0\n",
                              out));
        check_program(program(rows, columns, {full, full, second, full},
                              compare("v0", "v1") + "v5 = add float32 v0, v3\n" +
                                  "v6 = where float32 v4, v2, v5\n" +
                                  "v7 = where float32 v4, v6, v2\n" +
                                  "v8 = add float32 v6, v7\nstore float32 v8 to out0\n",
                              out));
      }
      // The comparison itself is stored, too.
      check_program(program(rows, columns, {full, full, full, full},
                            compare("v0", "v1") + "v5 = add float32 v2, v3\n" +
                                "v6 = where float32 v4, v5, v1\nstore float32 v6 to out0\n" +
                                "store bool v4 to out1\n",
                            out + "out1: bool " + full + "\n"));
      check_program(program(rows, columns, {full, column, row, full},
                            compare("v0", "v1") + "v5 = add float32 v2, v3\n" +
                                "v6 = where float32 v4, v5, v0\nv7 = max float32 v6\n" +
                                "store float32 v7 to out0\n",
                            "out0: float32 (1, 0)\n", 1));
    }
}
