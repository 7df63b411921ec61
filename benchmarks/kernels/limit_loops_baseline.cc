#include "limit_loops-inl.h"

namespace tegula::bench {

const LimitLoops* baseline_limit_loops() {
  static const LimitLoops loops = make_loops();
  return &loops;
}

}  // namespace tegula::bench
