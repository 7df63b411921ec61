// The recorded operations that lead from some values to others, and that a derivative walks along.
#pragma once

#include <unordered_set>
#include <vector>

#include "graph/tensor.h"

namespace tegula {

struct Tape {
  // Held: a hook may release the tape.
  std::vector<Ref<Node>> order;  // earlier ones first
  std::unordered_set<const Node*> nodes;  // the same

  bool has(const Value& v) const {
    return v.node->outputs[v.index].requires_grad && nodes.count(v.node.get());
  }
};

// Every operation on the way from `targets` to `outputs`, and both ends. Without targets:
// everything that outputs depend on and that requires grad. Where `stop_at_targets`, what the
// targets themselves were computed from is left out.
Tape tape_between(const Tensors& targets, const Tensors& outputs, bool stop_at_targets);

// Whether outputs also depend on tensors that require grad by other ways than through `variables`.
bool depends_on_others(const Tensors& outputs, const Tensors& variables);

}  // namespace tegula
