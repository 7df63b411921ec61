// Tracing: a function is recorded once, apart from what its thread has pending, and what it did
// becomes a Graph that can run again without the program that recorded it.
#pragma once

#include <span>
#include <vector>

#include "graph/generator.h"
#include "graph/tensor.h"

namespace tegula {

// What a traced function computes. Its nodes stay pending for good: they are what plans are made
// from and what is recorded again, never evaluated themselves.
struct Graph {
  struct Number {
    Ref<Node> node;  // a scalar, in the dtype that its use asks for
    int32_t slot;
  };
  struct Draw {
    Ref<Node> node;  // draws random numbers
    int32_t generator;
    uint64_t offset;  // counters that the function drew from this generator before it
  };
  struct Stream {
    Ref<Generator> generator;  // null for the generator in use when the graph runs
    uint64_t length = 0;       // counters that one run takes
  };

  std::vector<Ref<Node>> nodes;   // those that outputs need, in recorded order
  std::vector<Ref<Node>> inputs;  // leaves without memory
  std::vector<Value> outputs;  // of nodes, inputs, or leaves made meanwhile, which are constants
  std::vector<Number> numbers;
  std::vector<Draw> draws;
  std::vector<Stream> streams;
  bool has_effects = false;  // ordered ones
  Backend* device = nullptr;
};

// While it lives, what this thread records goes into it. Operations see inputs as they see any
// tensor; reading a value that is not known is an error that names the user's line.
class Trace {
 public:
  Trace();
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  static Trace* current();  // this thread's, or null
  uint32_t id() const { return id_; }

  // Whether a node was made since the trace began, by its thread.
  bool made(const Node& node) const { return node.trace == id_; }
  // Whether it or a trace around it, which its thread goes on with afterwards, made a node.
  bool sees(const Node& node) const { return made(node) || (outer_ && outer_->sees(node)); }
  // A tensor to be known when the graph runs, like one there is now. A leaf's gradient cell is
  // shared.
  Tensor input(const Tensor& like);
  // A number to be known when the graph runs, given as a weak scalar of its own. Its present value
  // decides the dtype and what functions see that look at it, which makes it constant.
  Tensor number(Tensor value);
  bool is_constant(size_t slot) const { return slots_[slot].constant; }
  // x computed at once, outside of the trace, where it depends on numbers and constants alone: they
  // are constants from now on. Else an empty handle.
  Tensor known(const Tensor& x);

  // What follows from outputs, and the ordered effects. The trace must be over (see end()) for it
  // to be used.
  Graph graph(std::vector<Value> outputs) const;
  // Nodes recorded, in order, as long as something refers to them.
  PendingList& list() { return list_; }
  // From here on the thread records as before.
  void end();

  void note_look(const Node& scalar);  // somebody decides by a number's value
  void note_draw(Generator& generator, Node* node, uint64_t counters);
  void note_drawn_again(const Node& first, Node& again);  // the same numbers

 private:
  struct Drawn {
    Ref<Generator> generator;
    Node* node;
    uint64_t sequence;
    uint64_t counters;
    size_t first;  // which of these drew the numbers; its own place where this did
  };

  // What outputs and effects follow from.
  Graph graph_of(std::vector<Value> outputs, const std::vector<Node*>& effects) const;

  PendingList list_;
  uint32_t id_;
  bool ended_ = false;
  std::vector<Ref<Node>> inputs_;
  struct Slot {
    Ref<Node> number;
    bool constant = false;
  };
  std::vector<Slot> slots_;
  std::vector<Drawn> drawn_;
  Generator* ambient_;
  Trace* outer_;
};

// While it lives this thread records outside of any trace.
class TracePause {
 public:
  TracePause();
  ~TracePause();
  TracePause(const TracePause&) = delete;
  TracePause& operator=(const TracePause&) = delete;

 private:
  Trace* paused_;
};

// x, or its value computed aside (see Trace::known); throws if it is not known because it is being
// traced. `use` says what asks for it.
Tensor require_known(const Tensor& x, const char* use);

// Records the graph's operations anew for other inputs, so that gradients flow through them.
// numbers: the value of each slot as a weak scalar.
Tensors record_graph(const Graph& graph, std::span<const Tensor> inputs,
                     std::span<const Tensor> numbers);

}  // namespace tegula
