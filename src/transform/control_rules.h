// The forward derivatives and batching rules of control flow, which transform the bodies.
#pragma once

#include "ops/batching.h"
#include "transform/control.h"

namespace tegula {

void cond_jvp(JvpContext& c);
void scan_jvp(JvpContext& c);
void while_jvp(JvpContext& c);

Tensors batch_cond(BatchContext& c);
Tensors batch_scan(BatchContext& c);
Tensors batch_while(BatchContext& c);

// scan() and while_loop() with every output of the primitive, those too that only derivatives read.
Tensors scan_all(const Tensors& init, const Tensors& xs, int64_t length, bool reverse,
                 BodyDraft body);
Tensors while_all(const Tensors& init, int64_t max_iters, BodyDraft condition, BodyDraft body);

inline Shape row_shape(const Shape& shape) { return Shape(shape.begin() + 1, shape.end()); }

}  // namespace tegula
