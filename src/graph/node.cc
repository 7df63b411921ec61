#include "graph/node.h"

#include <algorithm>
#include <mutex>

#include "graph/body.h"
#include "graph/primitive.h"
#include "graph/trace.h"

namespace tegula {
namespace {

// Freed nodes are kept for the next ones: recording is a steady stream of births and deaths.
struct NodePool {
  static constexpr size_t kMaxKept = 4096;
  std::vector<void*> free;
  ~NodePool() {
    for (void* p : free) ::operator delete(p);
  }
};
NodePool& node_pool() {
  static auto* pool = new NodePool;  // outlives every static that may hold a node
  return *pool;
}

uint64_t next_sequence = 0;

}  // namespace

SourceHooks& source_hooks() {
  static SourceHooks hooks;
  return hooks;
}

std::string describe(SourceLocation where) {
  if (!where.token || !source_hooks().describe) return "";
  return source_hooks().describe(where);
}

GradCell::GradCell() = default;
GradCell::~GradCell() = default;

bool Output::fills_buffer() const {
  return layout.offset == 0 && is_contiguous(shape, layout.strides) &&
         buffer->bytes() == size_t(numel(shape)) * itemsize(dtype);
}

Ref<Node> Node::create() {
  auto& free = node_pool().free;
  void* memory;
  if (free.empty()) {
    memory = ::operator new(sizeof(Node));
  } else {
    memory = free.back();
    free.pop_back();
  }
  Node* node = new (memory) Node();
  node->sequence = next_sequence++;
  if (const Trace* trace = Trace::current()) node->trace = trace->id();
  return Ref<Node>(node);
}

void Node::destroy() {
  // Releasing the inputs may release theirs, and so on down a chain: keep the dead in a list.
  static std::vector<Node*>* dying = nullptr;
  if (dying) {
    dying->push_back(this);
    return;
  }
  std::vector<Node*> list{this};
  dying = &list;
  while (!list.empty()) {
    Node* node = list.back();
    list.pop_back();
    if (node->list_) NodeList::remove(node);
    if (node->where.token && source_hooks().release) source_hooks().release(node->where.token);
    node->~Node();
    auto& free = node_pool().free;
    if (free.size() < NodePool::kMaxKept) {
      free.push_back(node);
    } else {
      ::operator delete(node);
    }
  }
  dying = nullptr;
}

namespace {

// Lists of threads that have ended.
struct Retired {
  std::mutex mutex;
  std::vector<PendingList*> lists;
};
Retired& retired() {
  static auto* instance = new Retired;  // outlives every thread
  return *instance;
}

}  // namespace

// A thread ends without the graph lock, when others may be unlinking the nodes it recorded: its
// list is put aside as it is, and a later thread takes it over once it is empty.
PendingList& PendingList::current() {
  struct Owner {
    PendingList* list = nullptr;
    Owner() {
      const std::lock_guard lock(retired().mutex);
      auto& lists = retired().lists;
      const auto empty = std::find_if(lists.begin(), lists.end(),
                                      [](const PendingList* l) { return l->size() == 0; });
      if (empty == lists.end()) {
        list = new PendingList;
      } else {
        list = *empty;
        lists.erase(empty);
      }
    }
    ~Owner() {
      const std::lock_guard lock(retired().mutex);
      retired().lists.push_back(list);
    }
  };
  if (Trace* trace = Trace::current()) return trace->list();
  static thread_local Owner owner;
  return *owner.list;
}

void PendingList::adopt_effects() {
  const std::lock_guard lock(retired().mutex);
  for (PendingList* list : retired().lists) {
    if (!list->last_held()) continue;
    while (Node* node = list->first()) {
      const Ref<Node> keep(node);
      const bool held = is_held(*node);
      remove(node);
      append(node);
      if (held) hold(node);
    }
  }
}

NodeList& evaluated_nodes() {
  static auto& list = *std::make_unique<NodeList>().release();  // nodes may outlive static objects
  return list;
}

void NodeList::append(Node* node) {
  node->list_ = this;
  node->previous_ = last_;
  node->next_ = nullptr;
  (last_ ? last_->next_ : first_) = node;
  last_ = node;
  ++size_;
  bytes_ += output_bytes(*node);
}

void NodeList::remove(Node* node) {
  NodeList* list = node->list_;
  if (!list) return;
  (node->previous_ ? node->previous_->next_ : list->first_) = node->next_;
  (node->next_ ? node->next_->previous_ : list->last_) = node->previous_;
  node->previous_ = node->next_ = nullptr;
  node->list_ = nullptr;
  --list->size_;
  list->bytes_ -= output_bytes(*node);
  if (list->last_held_ == node) list->last_held_ = nullptr;
  if (std::exchange(node->held_, false)) node->release();
}

void NodeList::hold(Node* node) {
  node->retain();
  node->held_ = true;
  last_held_ = node;
}

int64_t output_bytes(const Node& node) {
  if (node.primitive && node.primitive->kind == Kind::view) return 0;
  int64_t bytes = 0;
  for (const Output& output : node.outputs)
    bytes += numel(output.shape) * int64_t(itemsize(output.dtype));
  return bytes;
}

}  // namespace tegula
