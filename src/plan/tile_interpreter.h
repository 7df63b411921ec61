// The reference interpreter of tile programs: one point at a time, straight from the definition.
#pragma once

#include <span>

#include "plan/tile.h"
#include "runtime/kernel.h"

namespace tegula {

// Runs a checked program. inputs[i].data and outputs[i].data point at the operand's element for
// index (0, ..., 0); their shapes and strides are ignored in favour of the program's.
void interpret(const TileProgram& program, std::span<const View> inputs,
               std::span<const View> outputs);

}  // namespace tegula
