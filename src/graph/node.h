// The computational graph. A Node is one recorded operation, or a leaf that holds a value; an edge
// is a Value: one output of a node. Nodes are built and released under the graph lock (Python's
// GIL), so their counts are plain integers; workers never touch them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/ref.h"
#include "base/shape.h"
#include "graph/custom_rules.h"
#include "runtime/backend.h"
#include "runtime/buffer.h"
#include "runtime/host.h"
#include "runtime/kernel.h"

namespace tegula {

struct Body;
struct Primitive;
class Node;
class Tensor;
using Bodies = std::vector<std::shared_ptr<const Body>>;

// One output of a node, without being a user's handle to it.
struct Value {
  Ref<Node> node;
  uint32_t index = 0;

  friend bool operator==(const Value&, const Value&) = default;
};

// Where in the user's program a node was recorded. The token belongs to the host (a code object).
struct SourceLocation {
  const void* token = nullptr;
  int32_t offset = 0;
};
struct SourceHooks {
  SourceLocation (*capture)() = nullptr;             // gives a reference to the token
  void (*retain)(const void* token) = nullptr;
  void (*release)(const void* token) = nullptr;
  std::string (*describe)(SourceLocation) = nullptr;  // "train.py:12 in step"; from any thread
  std::string (*rewrite)(SourceLocation) = nullptr;  // the statement without asking for a value
};
SourceHooks& source_hooks();
std::string describe(SourceLocation where);  // "" when unknown

// A hook on several values recorded one right after the other: called once in a backward pass with
// the gradients of all, empty where none flows, which it may replace. Each value has one like it.
struct GroupHook {
  uint64_t group;
  size_t index, size;  // which of how many values
  std::function<void(std::vector<Tensor>& gradients)> run;
};

// What a tensor that requires grad shares with every value its handle is bound to.
struct GradCell : RefCounted<GradCell> {
  using Hook = std::function<Tensor(const Tensor&)>;

  bool is_leaf = true;      // gradients accumulate here
  bool keeps_grad = false;  // retain_grad() of a value that is not a leaf
  std::vector<std::pair<int64_t, Hook>> hooks;  // by id, in the order added
  std::unique_ptr<GroupHook> group_hook;
  std::unique_ptr<Tensor> grad;
  // For a function being traced: whether it matters to it if there was a gradient at the start.
  enum class Entry : uint8_t { ignored, unasked, asked, replaced } entry = Entry::ignored;
  void note_ask() {
    if (entry == Entry::unasked) entry = Entry::asked;
  }
  void note_replace() {
    if (entry == Entry::unasked) entry = Entry::replaced;
  }

  GradCell();
  ~GradCell();
};

// Where an evaluated value lies: element (0, ..., 0) is `offset` elements into the buffer.
struct Layout {
  Strides strides;
  int64_t offset = 0;
};

struct Output {
  DType dtype = DType::float32;
  bool requires_grad = false;
  uint32_t handles = 0;  // live Tensors that refer to it
  Shape shape;
  Ref<Buffer> buffer;    // null while pending, and where the value was not kept
  Layout layout;
  Ref<GradCell> cell;
  // The last value its handle had before it was rebound to this one, until this one is there: a
  // plan that fails gives it back (see Run).
  Ref<Buffer> previous;
  int32_t plan_index = -1;  // scratch of the planner

  // Whether the value, evaluated, is all of its buffer, element after element.
  bool fills_buffer() const;
};

enum class NodeState : uint8_t {
  pending,    // recorded, in its thread's list
  evaluated,  // submitted or done: outputs that somebody needed have buffers
  scalar,     // a Python number: `scalar_bits` holds it
};

class Node {
 public:
  static Ref<Node> create();

  const Primitive* primitive = nullptr;  // null for a leaf
  const Primitive* made_by = nullptr;    // of a leaf: what computed it, where that is known
  Backend* device = nullptr;
  NodeState state = NodeState::evaluated;
  bool on_tape = false;        // keeps inputs for a backward pass
  bool tape_released = false;  // was on a tape that backward() used up
  bool without_grad = false;  // recorded where no gradients are, as every recording of it again is
  bool weak_scalar = false;  // takes the dtype of what it meets
  uint32_t trace = 0;  // of the trace that made it; 0 for none
  uint64_t sequence = 0;  // order of recording, over all threads
  // The value of a scalar, in the bits of its dtype; of a complex one those of the real part, which
  // is all that a scalar has.
  uint64_t scalar_bits = 0;
  int32_t plan_index = -1;  // scratch of the planner
  SourceLocation where;
  SmallVector<Value, 3> inputs;
  SmallVector<Output, 1> outputs;
  Attrs attrs;  // part of the plan key
  SmallVector<int64_t, 2> dynamic;  // run-time words: not part of it
  Ref<HostFunction> host;  // what it calls, if that is what it does (graph/effects.h)
  Ref<CustomRules> rules;  // of a call of a custom operation (graph/custom.h)
  Bodies bodies;  // functions it calls, for control flow (graph/body.h)

  bool pending() const { return state == NodeState::pending; }
  uint32_t ref_count() const { return count_; }
  void retain() { ++count_; }
  void release() {
    if (--count_ == 0) destroy();
  }

 private:
  friend class NodeList;
  friend bool is_held(const Node& node);
  Node() = default;
  ~Node() = default;
  void destroy();  // iterative: a chain of a million nodes does not recurse

  uint32_t count_ = 0;
  Node* previous_ = nullptr;
  Node* next_ = nullptr;
  class NodeList* list_ = nullptr;
  bool held_ = false;
};

// Whether a pending node is an ordered effect, which is evaluated though nobody refers to it.
inline bool is_held(const Node& node) { return node.held_; }

// Nodes in the order they were appended; a node is in one list at most. Does not own them: a node
// that nobody refers to leaves the list as it dies. Ordered effects alone are held until they
// leave.
class NodeList {
 public:
  void append(Node* node);
  static void remove(Node* node);  // from whichever list it is in; ends what nobody else holds
  void hold(Node* node);  // one of its own, an ordered effect
  Node* last_held() const { return last_held_; }  // null if that one has left
  Node* first() const { return first_; }
  static Node* next(const Node* node) { return node->next_; }
  size_t size() const { return size_; }
  int64_t bytes() const { return bytes_; }

 private:
  Node* first_ = nullptr;
  Node* last_ = nullptr;
  Node* last_held_ = nullptr;
  size_t size_ = 0;
  int64_t bytes_ = 0;
};

// The pending nodes of one thread in recorded order. That the dead leave it is all the dead-code
// removal recording needs.
class PendingList : public NodeList {
 public:
  static PendingList& current();  // this thread's; it stays after the thread while it has nodes
  // Takes over what threads that have ended left pending with effects among it.
  void adopt_effects();
};

// The nodes that have a value in memory, of all threads.
NodeList& evaluated_nodes();

// Bytes of a node's outputs if they were all stored; views take none.
int64_t output_bytes(const Node& node);

}  // namespace tegula
