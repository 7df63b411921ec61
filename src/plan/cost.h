// What a step costs, estimated when it is planned, and corrected by what steps of its kind were
// seen to take. It decides where and when a step runs, never how.
#pragma once

#include "plan/plan.h"

namespace tegula {

// Sets the bytes a step moves and its floating-point operations. `has_memory`: of each output,
// whether it is written to memory of its own.
void count_work(Step& step, std::span<const uint8_t> has_memory);

// Estimated time on one thread in microseconds: by fixed figures, and corrected.
double model_us(const Step& step);
double cost_us(const Step& step);
// A step took so long on one thread.
void note_cost(const Step& step, double microseconds);

}  // namespace tegula
