// Values that are cheaper to make again than to store: `x - mean` of a normalisation is wanted by
// the forward and by the backward pass, but storing it moves more bytes than reading x again. The
// count is of the bytes moved; bits do not change, since the same instructions make them.
#include <algorithm>
#include <optional>
#include <string_view>

#include "plan/lowering.h"

namespace tegula {
namespace {

constexpr size_t kMaxChain = 10;                    // nodes made again for one value
// Functions take longer than a cached value, but not than one that goes through memory.
constexpr int64_t kDearFactor = 16;  // times large_value_bytes()
constexpr size_t kMaxMembers = 48;

bool is_cheap(std::string_view primitive) {
  constexpr std::string_view kCheap[] = {
      "cast",     "negative",      "abs",   "sign",        "square",      "add",       "subtract",
      "multiply", "maximum",       "less",  "minimum",     "equal",       "not_equal", "less_equal",
      "greater",  "greater_equal", "where", "logical_not", "logical_and", "logical_or"};
  return std::find(std::begin(kCheap), std::end(kCheap), primitive) != std::end(kCheap);
}

bool is_dear(std::string_view primitive) {
  constexpr std::string_view kDear[] = {"exp", "erf", "tanh", "sigmoid"};
  return std::find(std::begin(kDear), std::end(kDear), primitive) != std::end(kDear);
}

class Recompute {
 public:
  Recompute(const Resolved& resolved, std::vector<Group>& groups)
      : resolved_(resolved), snapshot_(resolved.snapshot()), groups_(groups) {
    const size_t count = snapshot_.nodes.size();
    group_of_.assign(count, -1);
    readers_.resize(count);
    stored_.assign(count, 0);
    for (size_t g = 0; g < groups_.size(); ++g)
      for_nodes(groups_[g], [&](int32_t m) { group_of_[size_t(m)] = int32_t(g); });
    for (size_t i = 0; i < count; ++i) {
      for (size_t k = 0; k < snapshot_.live[i].size(); ++k)
        if (snapshot_.live[i][k]) must_store(resolved_.locate({int32_t(i), int32_t(k)}).base);
      if (resolved_.computed(int32_t(i)))
        for (const ValueRef& input : snapshot_.inputs[i]) note_use(int32_t(i), input);
    }
  }

  void run() {
    bool changed = false;
    for (size_t i = 0; i < group_of_.size(); ++i)
      if (group_of_[i] >= 0 && !stored_[i] && !readers_[i].empty()) changed |= consider(int32_t(i));
    if (!changed) return;
    for (Group& group : groups_)
      if (group.tile) drop_unused(group);
    std::erase_if(groups_,
                  [](const Group& group) { return group.members.empty() && group.carrier < 0; });
    for (Group& group : groups_)  // a step that has nothing to carry any more
      if (group.members.empty()) {
        const int32_t node = group.carrier;
        group = {};
        group.members = {node};
      }
  }

 private:
  void must_store(ValueRef base) {
    if (!base.is_leaf()) stored_[size_t(base.node)] = 1;
  }

  void note_use(int32_t user, ValueRef input) {
    const Located& located = resolved_.locate(input);
    const int32_t node = located.base.node, reader = group_of_[size_t(user)];
    if (located.base.is_leaf() || group_of_[size_t(node)] == reader) return;
    const Group& group = groups_[size_t(reader)];
    if (!group.tile || user == group.carrier || resolved_.is_copy(user) ||
        !(group.extent == resolved_.shape(located.base)) ||
        level_in(resolved_, group, located, resolved_.shape(input)) != Level::full)
      return must_store(located.base);
    add_reader(node, reader);
  }
  void add_reader(int32_t node, int32_t reader) {
    auto& all = readers_[size_t(node)];
    if (std::find(all.begin(), all.end(), reader) == all.end()) all.push_back(reader);
  }

  int64_t bytes(ValueRef v) const {
    return numel(resolved_.shape(v)) * int64_t(itemsize(resolved_.dtype(v)));
  }
  bool can_be_made(int32_t node) const {
    return resolved_.is_elementwise(node) && !resolved_.is_copy(node) &&
           !snapshot_.inputs[size_t(node)].empty() &&
           (is_cheap(snapshot_.nodes[size_t(node)]->primitive->name) || can_be_made_dear(node));
  }
  bool can_be_made_dear(int32_t node) const {
    return is_dear(snapshot_.nodes[size_t(node)]->primitive->name) &&
           resolved_.dtype({node, 0}) == DType::float32 &&
           bytes({node, 0}) >= kDearFactor * large_value_bytes();
  }
  bool has_member(int32_t group, int32_t node) const {
    const auto& members = groups_[size_t(group)].members;
    return std::find(members.begin(), members.end(), node) != members.end();
  }
  bool reads(int32_t group, ValueRef base) const {
    if (base.node >= 0 && base.node == groups_[size_t(group)].carrier) return true;
    for (int32_t m : groups_[size_t(group)].members)
      for (const ValueRef& input : snapshot_.inputs[size_t(m)])
        if (resolved_.locate(input).base == base) return true;
    return false;
  }

  // The nodes to make again so that `node` need not be stored, and the values they are made of.
  struct Chain {
    std::vector<int32_t> nodes;
    std::vector<ValueRef> from;
  };
  bool extend(int32_t node, Chain& chain) const {
    if (std::find(chain.nodes.begin(), chain.nodes.end(), node) != chain.nodes.end()) return true;
    chain.nodes.push_back(node);
    if (chain.nodes.size() > kMaxChain) return false;
    const Shape& shape = snapshot_.nodes[size_t(node)]->outputs[0].shape;
    for (const ValueRef& input : snapshot_.inputs[size_t(node)]) {
      const Located& located = resolved_.locate(input);
      const int32_t source = located.base.node;
      const bool in_memory =
          located.base.is_leaf() || stored_[size_t(source)] || !readers_[size_t(source)].empty();
      if (in_memory) {
        chain.from.push_back(located.base);
        continue;
      }
      if (!can_be_made(source) || !resolved_.is_as_stored(located, shape) || !extend(source, chain))
        return false;
    }
    return true;
  }

  bool consider(int32_t node) {
    if (!can_be_made(node) || bytes({node, 0}) < large_value_bytes()) return false;
    Chain chain;
    if (!extend(node, chain)) return false;
    int64_t more = 0;
    for (int32_t reader : readers_[size_t(node)]) {
      if (groups_[size_t(reader)].members.size() + chain.nodes.size() > kMaxMembers) return false;
      for (const ValueRef& base : chain.from) {
        if (!base.is_leaf() && has_member(reader, base.node)) return false;
        if (!reads(reader, base)) more += bytes(base);
      }
    }
    if (more >= bytes({node, 0}) * int64_t(1 + readers_[size_t(node)].size())) return false;
    for (int32_t reader : readers_[size_t(node)]) {
      auto& members = groups_[size_t(reader)].members;
      for (int32_t n : chain.nodes)
        if (!has_member(reader, n)) members.push_back(n);
      std::sort(members.begin(), members.end());
      for (const ValueRef& base : chain.from) must_store(base);
    }
    readers_[size_t(node)].clear();
    return true;
  }

  // Leaves the members whose values are stored, or needed for one that is.
  void drop_unused(Group& group) const {
    std::vector<int32_t> needed;
    const auto is_needed = [&](int32_t node) {
      return std::find(needed.begin(), needed.end(), node) != needed.end();
    };
    for (size_t i = group.members.size(); i-- > 0;) {
      const int32_t m = group.members[i];
      const bool own = &groups_[size_t(group_of_[size_t(m)])] == &group;
      const bool stored = own && (stored_[size_t(m)] || !readers_[size_t(m)].empty());
      if (!stored && !is_needed(m)) {
        group.members.erase(group.members.begin() + int64_t(i));
        continue;
      }
      for (const ValueRef& input : snapshot_.inputs[size_t(m)]) {
        const ValueRef base = resolved_.locate(input).base;
        if (!base.is_leaf()) needed.push_back(base.node);
      }
    }
  }

  const Resolved& resolved_;
  const Snapshot& snapshot_;
  std::vector<Group>& groups_;
  std::vector<int32_t> group_of_;              // by node: where it is computed first
  std::vector<std::vector<int32_t>> readers_;  // by node: other groups that read all of it in place
  std::vector<uint8_t> stored_;  // by node: needed in memory whatever it costs
};

}  // namespace

int64_t& large_value_bytes() {
  static int64_t bytes = int64_t(64) << 10;
  return bytes;
}

void recompute(const Resolved& resolved, std::vector<Group>& groups) {
  Recompute(resolved, groups).run();
}

}  // namespace tegula
