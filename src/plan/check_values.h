// For debugging: finding the step that first made a NaN or an infinity.
#pragma once

#include "plan/plan.h"

namespace tegula {

// While on, every operation is evaluated by itself as it is recorded, and every step's results are
// looked at.
bool checking_values();
void set_checking_values(bool on);

// "NaN" or "infinity", or null, for what there is among the values of floating-point operands.
// Inputs are to be looked at before the step runs, which may write over them.
const char* find_bad_value(std::span<const View> operands);

}  // namespace tegula
