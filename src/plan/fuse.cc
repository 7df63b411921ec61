// Which nodes become one step. Nodes are taken in recorded order; each joins the groups of its
// inputs where the iteration spaces agree and joining makes no cycle among the steps.
#include <algorithm>
#include <queue>
#include <unordered_map>

#include "plan/lowering.h"

namespace tegula {
namespace {

constexpr size_t kMaxMembers = 48;   // keeps a program's live tiles in cache
constexpr size_t kMaxOperands = 24;
constexpr int64_t kMaxRow = 1 << 16; // elements of a row that a program may go over twice

// The groups that must run before one, directly or not. The latest are told apart; of those long
// before it is assumed that they must, which at worst keeps two groups apart. So a graph of any
// depth takes memory and time in proportion.
class Ancestors {
 public:
  bool test(size_t i) const {
    const size_t word = i / 64;
    if (word < first_) return true;
    return word - first_ < words_.size() && (words_[word - first_] >> (i % 64) & 1);
  }
  void set(size_t i) {
    const size_t word = i / 64;
    if (word < first_) return;
    if (word - first_ >= words_.size()) words_.resize(word - first_ + 1);
    words_[word - first_] |= uint64_t(1) << (i % 64);
    if (words_.size() > 2 * kWords) forget(first_ + words_.size() - kWords);
  }
  void reset(size_t i) {
    const size_t word = i / 64;
    if (word >= first_ && word - first_ < words_.size())
      words_[word - first_] &= ~(uint64_t(1) << (i % 64));
  }
  bool contains(const Ancestors& other) const {
    for (size_t i = 0; i < other.words_.size(); ++i) {
      const size_t word = other.first_ + i;
      if (word < first_) continue;
      const uint64_t own = word - first_ < words_.size() ? words_[word - first_] : 0;
      if (other.words_[i] & ~own) return false;
    }
    return true;
  }
  void operator|=(const Ancestors& other) {
    if (other.first_ > first_) forget(other.first_);
    const size_t end = other.first_ + other.words_.size();
    if (end > first_ + words_.size()) words_.resize(end - first_);
    for (size_t i = 0; i < other.words_.size(); ++i)
      if (other.first_ + i >= first_) words_[other.first_ + i - first_] |= other.words_[i];
    if (words_.size() > 2 * kWords) forget(first_ + words_.size() - kWords);
  }

 private:
  static constexpr size_t kWords = 64;

  // From here on those below word `first` are not told apart.
  void forget(size_t first) {
    const size_t count = std::min(first - first_, words_.size());
    words_.erase(words_.begin(), words_.begin() + int64_t(count));
    first_ = first;
  }

  size_t first_ = 0;
  std::vector<uint64_t> words_;
};

struct Draft {
  Group group;
  bool merged_away = false;
  bool row_used_as_full = false;
  std::vector<int32_t> direct;  // groups it reads from
  Ancestors before;                // groups that must run before it, directly or not
  std::vector<ValueRef> reads;  // bases from outside
};

class Fuser {
 public:
  explicit Fuser(const Resolved& resolved)
      : resolved_(resolved), group_of_(resolved.snapshot().nodes.size(), -1) {
    for (size_t i = 0; i < group_of_.size(); ++i)
      if (resolved.computed(int32_t(i))) place(int32_t(i));
  }

  std::vector<Group> take() {
    find_riders();
    // Kahn's algorithm, the earliest recorded group first. A step that could carry another's
    // program waits for that one's turn; then they are one, if nothing else is missing.
    const size_t count = drafts_.size();
    std::vector<int> waiting(count, 0);
    std::vector<std::vector<int32_t>> readers(count);
    for (size_t g = 0; g < count; ++g) {
      if (drafts_[g].merged_away) continue;
      for (int32_t d : drafts_[g].direct) {
        readers[size_t(d)].push_back(int32_t(g));
        ++waiting[g];
      }
    }
    const auto turn = [&](int32_t g) {
      const int32_t rider = rider_[size_t(g)];
      return drafts_[size_t(rider < 0 ? g : rider)].group.members.back();
    };
    const auto later = [&](int32_t a, int32_t b) { return turn(a) > turn(b); };
    std::priority_queue<int32_t, std::vector<int32_t>, decltype(later)> ready(later);
    for (size_t g = 0; g < count; ++g)
      if (!drafts_[g].merged_away && waiting[g] == 0) ready.push(int32_t(g));
    std::vector<Group> order;
    size_t done = 0;
    const auto release = [&](int32_t g) {
      ++done;
      for (int32_t r : readers[size_t(g)])
        if (--waiting[size_t(r)] == 0) ready.push(r);
    };
    while (!ready.empty()) {
      const int32_t g = ready.top(), rider = rider_[size_t(g)];
      ready.pop();
      Group& group = drafts_[size_t(g)].group;
      if (rider >= 0 && waiting[size_t(rider)] == 1) {
        order.push_back(std::move(drafts_[size_t(rider)].group));
        order.back().carrier = group.members[0];
        ++waiting[size_t(rider)];  // it has had its turn
        release(rider);
      } else {
        order.push_back(std::move(group));
      }
      release(g);
    }
    const auto kept = std::count_if(drafts_.begin(), drafts_.end(),
                                    [](const Draft& d) { return !d.merged_away; });
    if (done != size_t(kept))
      fail(ErrorKind::runtime, "internal: fusion made a cycle among the steps");
    return order;
  }

 private:
  struct Use {
    Located located;
    Shape shape;
  };

  // For each step the group that is to ride on it: of several steps a group reads, the last that
  // no other of them waits for.
  void find_riders() {
    rider_.assign(drafts_.size(), -1);
    if (!epilogues_enabled()) return;
    const Riders riders(resolved_, [&](int32_t node) { return find(group_of_[size_t(node)]); });
    for (size_t g = 0; g < drafts_.size(); ++g) {
      const Draft& draft = drafts_[g];
      if (draft.merged_away || !draft.group.tile) continue;
      int32_t carrier = -1;
      for (int32_t d : draft.direct)
        if (d > carrier && rider_[size_t(d)] < 0 && !drafts_[size_t(d)].group.tile &&
            std::none_of(
                draft.direct.begin(), draft.direct.end(),
                [&](int32_t other) {
                  return other != d && drafts_[size_t(other)].before.test(size_t(d));
                }) &&
            riders.can_ride(draft.group, drafts_[size_t(d)].group.members[0]))
          carrier = d;
      if (carrier >= 0) rider_[size_t(carrier)] = int32_t(g);
    }
  }

  void place(int32_t node) {
    const Snapshot& s = resolved_.snapshot();
    Draft draft;
    draft.group.members = {node};
    draft.group.tile = true;
    const Shape& own = s.nodes[size_t(node)]->outputs[0].shape;
    if (resolved_.is_reduction(node)) {
      const Shape& from = resolved_.shape(s.inputs[size_t(node)][0]);
      draft.group.extent = from;
      const Attrs& axes = s.nodes[size_t(node)]->attrs;
      draft.group.reduced = Dims(axes.begin(), axes.end());
      draft.group.tree = axes.front() + int64_t(axes.size()) == int64_t(from.size())
                             ? ReduceTree::rows
                             : ReduceTree::columns;
    } else if (resolved_.is_elementwise(node)) {
      draft.group.extent = own;
    } else if (resolved_.is_copy(node)) {
      draft.group.extent = resolved_.shape(s.inputs[size_t(node)][0]);
    } else {
      draft.group.tile = false;
    }
    for (const ValueRef& input : s.inputs[size_t(node)]) read(draft, resolved_.locate(input).base);

    const int32_t id = int32_t(drafts_.size());
    finish(draft);
    drafts_.push_back(std::move(draft));
    group_of_[size_t(node)] = id;
    if (!drafts_.back().group.tile || resolved_.is_copy(node)) return;
    const std::vector<int32_t> candidates = drafts_[size_t(id)].direct;
    int32_t current = id;
    for (int32_t candidate : candidates) {
      candidate = find(candidate);
      if (candidate != current && can_merge(candidate, current))
        current = merge(candidate, current);
    }
    if (!drafts_[size_t(current)].group.reduced.empty()) join_sibling(current);
  }

  // Reductions of one space that read the same large value are one step, which reads it once.
  void join_sibling(int32_t id) {
    const std::vector<ValueRef> reads = drafts_[size_t(id)].reads;
    for (const ValueRef& base : reads) {
      const auto found = last_reduction_.find(key(base));
      if (found == last_reduction_.end()) continue;
      const int32_t sibling = find(found->second);
      const Draft &a = drafts_[size_t(sibling)], &b = drafts_[size_t(id)];
      if (sibling == id || !a.group.tile || !(a.group.extent == b.group.extent) ||
          !(a.group.reduced == b.group.reduced) || a.group.tree != b.group.tree ||
          a.before.test(size_t(id)) || b.before.test(size_t(sibling)) ||
          a.group.members.size() + b.group.members.size() > kMaxMembers ||
          a.reads.size() + b.reads.size() > kMaxOperands)
        continue;
      id = merge(sibling, id);
      break;
    }
    for (const ValueRef& base : reads)
      if (is_large(base)) last_reduction_[key(base)] = id;
  }
  bool is_large(ValueRef base) const {
    return numel(resolved_.shape(base)) * int64_t(itemsize(resolved_.dtype(base))) >=
           large_value_bytes();
  }
  static int64_t key(ValueRef base) { return int64_t(base.node) << 32 | uint32_t(base.index); }

  void read(Draft& draft, ValueRef base) const {
    if (std::find(draft.reads.begin(), draft.reads.end(), base) == draft.reads.end())
      draft.reads.push_back(base);
  }

  int32_t find(int32_t g) const {
    while (drafts_[size_t(g)].merged_away) g = merged_into_[size_t(g)];
    return g;
  }

  // Derives who it depends on from what it reads.
  void finish(Draft& draft) const {
    draft.direct.clear();
    for (const ValueRef& base : draft.reads) {
      if (base.is_leaf()) continue;
      const int32_t g = find(group_of_[size_t(base.node)]);
      if (std::find(draft.direct.begin(), draft.direct.end(), g) == draft.direct.end())
        draft.direct.push_back(g);
    }
    for (int32_t g : draft.direct) {
      draft.before.set(size_t(g));
      draft.before |= drafts_[size_t(g)].before;
    }
  }

  // Whether `consumer` can run inside `producer`'s loop.
  bool can_merge(int32_t producer_id, int32_t consumer_id) {
    const Draft& p = drafts_[size_t(producer_id)];
    const Draft& c = drafts_[size_t(consumer_id)];
    if (!p.group.tile || !c.group.tile) return false;
    if (p.group.members.size() + c.group.members.size() > kMaxMembers) return false;
    if (p.reads.size() + c.reads.size() > kMaxOperands) return false;
    for (int32_t m : p.group.members)
      if (resolved_.is_copy(m)) return false;
    // No way round through a third group, in either direction.
    for (int32_t d : c.direct)
      if (d != producer_id && drafts_[size_t(d)].before.test(size_t(producer_id))) return false;
    if (p.before.test(size_t(consumer_id))) return false;

    Group joined;
    if (!join_spaces(p.group, c.group, joined)) return false;
    return uses_fit(p, c, joined);
  }

  static bool join_spaces(const Group& p, const Group& c, Group& joined) {
    joined.tile = true;
    const bool p_reduces = !p.reduced.empty(), c_reduces = !c.reduced.empty();
    if (p.extent == c.extent) {
      if (p_reduces && c_reduces && !(p.reduced == c.reduced && p.tree == c.tree)) return false;
      joined.extent = p.extent;
      joined.reduced = p_reduces ? p.reduced : c.reduced;
      joined.tree = p_reduces ? p.tree : c.tree;
      return true;
    }
    // An elementwise tail on the rows of a reduction.
    if (!p_reduces || c_reduces || !(row_shape(p) == c.extent)) return false;
    joined.extent = p.extent;
    joined.reduced = p.reduced;
    joined.tree = p.tree;
    return true;
  }

  static Shape row_shape(const Group& g) {
    Shape shape = g.extent;
    for (int64_t axis : g.reduced) shape[size_t(axis)] = 1;
    return shape;
  }

  // Every value that one group takes from the other must be seen point by point or row by row.
  bool uses_fit(const Draft& p, const Draft& c, const Group& joined) const {
    const Snapshot& s = resolved_.snapshot();
    const bool has_rows = !joined.reduced.empty();
    const bool tail = !(c.group.extent == joined.extent);
    if (has_rows && row_shape(joined) == joined.extent) return false;  // levels are ambiguous
    for (int32_t member : c.group.members) {
      const bool member_full = resolved_.is_reduction(member) ||
                               s.nodes[size_t(member)]->outputs[0].shape == joined.extent;
      for (const ValueRef& input : s.inputs[size_t(member)]) {
        const Located& located = resolved_.locate(input);
        if (located.base.is_leaf() || find(group_of_[size_t(located.base.node)]) != id_of(p))
          continue;
        const Level level = level_in(resolved_, joined, located, resolved_.shape(input));
        if (level == Level::none) return false;
        if (level == Level::full && !member_full) return false;
        if (level == Level::row && member_full) {
          // A second pass over the row: only where a row fits the cache.
          int64_t row = 1;
          for (int64_t axis : joined.reduced) row *= joined.extent[size_t(axis)];
          if (joined.tree != ReduceTree::rows || row > kMaxRow) return false;
        }
      }
    }
    return !tail || has_rows;
  }

  int32_t id_of(const Draft& draft) const { return int32_t(&draft - drafts_.data()); }

  int32_t merge(int32_t into, int32_t from) {
    Draft& a = drafts_[size_t(into)];
    Draft& b = drafts_[size_t(from)];
    Group joined;
    join_spaces(a.group, b.group, joined);
    joined.members = a.group.members;
    joined.members.insert(joined.members.end(), b.group.members.begin(), b.group.members.end());
    std::sort(joined.members.begin(), joined.members.end());
    a.group = std::move(joined);
    for (const ValueRef& base : b.reads) read(a, base);
    b.merged_away = true;
    merged_into_.resize(drafts_.size(), -1);
    merged_into_[size_t(from)] = into;
    std::erase_if(a.reads, [&](const ValueRef& base) {
      return !base.is_leaf() && find(group_of_[size_t(base.node)]) == into;
    });
    // Whatever runs after the joined group now also runs after all that runs before it. Mostly
    // that is nothing new: a group grows at its end, where nobody depends on it yet.
    Ancestors added = b.before;
    added.reset(size_t(into));
    const bool changed = !a.before.contains(added) || size_t(from) + 1 != drafts_.size();
    a.before |= added;
    for (int32_t g : b.direct)
      if (g != into && std::find(a.direct.begin(), a.direct.end(), g) == a.direct.end())
        a.direct.push_back(g);
    if (!changed) return into;
    for (Draft& d : drafts_) {
      if (d.merged_away || &d == &a) continue;
      if (d.before.test(size_t(into)) || d.before.test(size_t(from))) {
        d.before.set(size_t(into));
        d.before |= a.before;
        for (int32_t& g : d.direct) g = find(g);
        std::sort(d.direct.begin(), d.direct.end());
        d.direct.erase(std::unique(d.direct.begin(), d.direct.end()), d.direct.end());
      }
    }
    return into;
  }

  const Resolved& resolved_;
  std::vector<int32_t> group_of_;  // by node
  std::vector<Draft> drafts_;
  std::vector<int32_t> merged_into_;
  std::vector<int32_t> rider_;  // by group: another that may be its epilogue, or -1
  std::unordered_map<int64_t, int32_t> last_reduction_;  // that reads a large value: a group
};

}  // namespace

Strides align_strides(const Shape& shape, const Strides& strides, const Shape& extent) {
  Strides result(extent.size(), 0);
  const size_t lead = extent.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i) result[lead + i] = shape[i] == 1 ? 0 : strides[i];
  return result;
}

Level level_in(const Resolved& resolved, const Group& group, const Located& located,
               const Shape& shape) {
  if (located.offset != 0 || !located.dynamic.empty()) return Level::none;
  if (shape.size() > group.extent.size()) return Level::none;
  const size_t lead = group.extent.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != 1 && shape[i] != group.extent[lead + i]) return Level::none;
  const Strides seen = align_strides(shape, located.strides, group.extent);
  const Shape& base_shape = resolved.shape(located.base);
  const Strides& base_strides = resolved.locate(located.base).strides;
  const bool dense = base_strides == contiguous_strides(base_shape);
  const auto same = [&](const Shape& natural) {
    if (numel(natural) != numel(base_shape) || !(dense || natural == base_shape)) return false;
    const Strides strides = dense ? contiguous_strides(natural) : base_strides;
    for (size_t i = 0; i < natural.size(); ++i)
      if (group.extent[i] != 1 && seen[i] != (natural[i] == 1 ? 0 : strides[i])) return false;
    return true;
  };
  if (same(group.extent)) return Level::full;
  if (group.reduced.empty()) return Level::none;
  Shape rows = group.extent;
  for (int64_t axis : group.reduced) rows[size_t(axis)] = 1;
  return same(rows) ? Level::row : Level::none;
}

std::vector<Group> fuse(const Resolved& resolved) { return Fuser(resolved).take(); }

}  // namespace tegula
