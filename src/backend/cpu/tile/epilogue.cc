#include "backend/cpu/tile/epilogue.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/tile/compiled.h"

namespace tegula::cpu {
namespace {

// The program with the axis cut in two in which a row begins, if it begins inside of one.
TileProgram cut_at_rows(TileProgram program, int64_t columns) {
  std::vector<size_t> axes;
  for (size_t a = 0; a < program.extent.size(); ++a)
    if (program.extent[a] != 1) axes.push_back(a);
  const Strides order = program.inputs[0].strides;
  std::stable_sort(axes.begin(), axes.end(),
                   [&](size_t a, size_t b) { return std::abs(order[a]) > std::abs(order[b]); });
  int64_t inner = 1;
  while (!axes.empty() && inner * program.extent[axes.back()] <= columns) {
    inner *= program.extent[axes.back()];
    axes.pop_back();
  }
  const int64_t part = columns / inner;
  if (part == 1 || axes.empty()) return program;
  const size_t axis = axes.back();
  const auto cut = [&](Strides& strides) {
    const int64_t stride = strides[axis];
    strides[axis] = stride * part;
    strides.insert(axis + 1, stride);
  };
  program.extent[axis] /= part;
  program.extent.insert(axis + 1, part);
  for (TileOperand& o : program.inputs) cut(o.strides);
  for (TileOperand& o : program.outputs) cut(o.strides);
  return program;
}

}  // namespace

struct Epilogue::Prepared {
  CompiledTile rows, blocks;
  int64_t columns;
  size_t first;  // input of the step that is the program's second
};

std::shared_ptr<void> Epilogue::prepare(const StepSpec& step, int64_t columns) {
  if (!step.program) return nullptr;
  const TileProgram program = cut_at_rows(*step.program, columns);
  return std::make_shared<Prepared>(
      Prepared{compile_tile_parts(program, columns, Parts::rows),
               compile_tile_parts(program, columns, Parts::blocks), columns,
               step.inputs.size() - (step.program->inputs.size() - 1)});
}

Epilogue::Epilogue(const KernelArgs& args)
    : prepared_(static_cast<const Prepared*>(args.prepared)) {
  if (!prepared_) return;
  inputs_.push_back(args.outputs[0]);
  inputs_.append(args.inputs.begin() + std::ptrdiff_t(prepared_->first), args.inputs.end());
  outputs_ = args.outputs.subspan(1);
}

void Epilogue::run(int64_t row, int64_t rows, int64_t column, int64_t columns) const {
  const bool whole = columns == prepared_->columns;
  run_tile_part(whole ? prepared_->rows : prepared_->blocks, inputs_, outputs_, row, rows, column,
                columns);
}

void Epilogue::run() const { run_tile(prepared_->rows, inputs_, outputs_); }

double Epilogue::microseconds() const { return prepared_ ? prepared_->rows.microseconds : 0; }

}  // namespace tegula::cpu
