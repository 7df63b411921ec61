// Control flow: primitives that call bodies (graph/body.h). They live beside reverse mode because
// their derivatives are made by differentiating the bodies.
#pragma once

#include "graph/body.h"

namespace tegula {

// The attribute words of the primitives begin with these; the structure of the bodies follows.
struct CondAttrs {
  int64_t branches;
};
struct ScanAttrs {
  int64_t carries, rows, length, reverse;  // rows: how many operands are walked along
};
struct WhileAttrs {
  int64_t carries, max_iters;  // -1: no limit
};

// The names under which steps are known.
const Primitive& cond_primitive();
const Primitive& scan_primitive();
const Primitive& while_primitive();

// What branch `index` (an integer, moved to the nearest branch there is) gives for the operands.
// All branches give values of the same shapes and dtypes.
Tensors cond(const Tensor& index, Tensors operands, std::vector<BodyDraft> branches);

// (carry, row) -> (carry, result), for each row of `xs` in order, or from the last on. Gives the
// last carry, then the results stacked. body: of carries and rows.
Tensors scan(const Tensors& init, const Tensors& xs, int64_t length, bool reverse, BodyDraft body);

// The carry after as many calls of `body` as `condition` gives true for what it is before.
Tensors while_loop(const Tensors& init, int64_t max_iters, BodyDraft condition, BodyDraft body);

// x as a value that a body being traced can give: one that a node of its trace computes and that is
// not among those `given` already.
Tensor as_result(const Tensor& x, const Tensors& given, BodyDraft& draft);

}  // namespace tegula
