// Lowers the peak of a plan's memory. An activation that the forward pass reads at once and the
// backward pass much later lies there for nothing in between; where an elementwise program makes it
// from values that are in memory anyway, it is cheaper made twice.
#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "plan/cost.h"
#include "plan/draft.h"

namespace tegula {
namespace {

// Plans that need less, in large_value_bytes(), are left alone, as are values that are so many
// times smaller than the peak.
constexpr int64_t kLargePlan = 256;
constexpr int64_t kSmallShare = 512;
// A plan may become longer by this share of its estimated time.
constexpr double kLonger = 1.0 / 64;
constexpr size_t kMaxMembers = 48;

class Rematerialize {
 public:
  Rematerialize(Draft& draft, const Resolved& resolved, const std::vector<ArenaValue>& lives,
                const std::vector<int32_t>& donor)
      : draft_(draft), resolved_(resolved) {
    // Positions: step s is at 2 s, what is made again for it just before.
    for (const ArenaValue& v : lives)
      lives_.push_back({v.life.bytes, 2 * v.life.first, 2 * v.life.last});
    end_ = 2 * int32_t(draft_.steps.size());
    for (size_t i = 0; i < lives_.size(); ++i) {
      const int32_t output = draft_.stored[i].output;
      if (output >= 0 && donor[size_t(output)] < 0)
        lives_[i] = {draft_.stored[i].bytes, 2 * draft_.stored[i].def, end_};
    }
    readers_.resize(lives_.size());
    for (size_t s = 0; s < draft_.steps.size(); ++s) {
      cost_left_ += kLonger * model_us(draft_.steps[s].step);
      for (const Located& read : draft_.steps[s].reads)
        if (!read.base.is_leaf()) note_reader(draft_.id_of(read.base), 2 * int32_t(s));
    }
  }

  void run() {
    measure();
    const int64_t before = peak_bytes();
    if (before < kLargePlan * large_value_bytes()) return;
    smallest_ = std::max(large_value_bytes(), before / kSmallShare);
    std::vector<Again> chosen;
    while (std::optional<Again> best = find_best()) {
      take(*best);
      chosen.push_back(std::move(*best));
      measure();
    }
    if (peak_bytes() < before) apply(chosen);
  }

 private:
  struct Life {
    int64_t bytes;
    int32_t first, last;
  };
  // A value made again, and what for.
  struct Again {
    int32_t stored = -1;
    int32_t position = 0;  // just before the step that reads it next
    std::vector<int32_t> members;
    std::vector<int32_t> reads;  // stored values
    Step work;  // how much of it there is
    int64_t gain = 0;
    double cost_us = 0;
  };

  void note_reader(int32_t id, int32_t position) {
    auto& all = readers_[size_t(id)];
    if (all.empty() || all.back() != position) all.push_back(position);
  }

  // Bytes in use at each position.
  void measure() {
    in_use_.assign(size_t(end_) + 2, 0);
    for (const Life& life : lives_) {
      if (life.last < life.first) continue;
      in_use_[size_t(life.first)] += life.bytes;
      in_use_[size_t(life.last) + 1] -= life.bytes;
    }
    std::partial_sum(in_use_.begin(), in_use_.end(), in_use_.begin());
    peak_ = int32_t(std::max_element(in_use_.begin(), in_use_.end()) - in_use_.begin());
  }
  int64_t peak_bytes() const { return in_use_[size_t(peak_)]; }

  bool is_there(int32_t id) const {
    const Life& life = lives_[size_t(id)];
    return life.first <= peak_ && peak_ <= life.last;
  }

  std::optional<Again> find_best() const {
    std::optional<Again> best;
    for (size_t i = 0; i < draft_.stored.size(); ++i) {
      if (lives_[i].bytes < smallest_ || draft_.stored[i].output >= 0 || !is_there(int32_t(i)))
        continue;
      std::optional<Again> again = consider(int32_t(i));
      if (!again) continue;
      if (!best || double(again->gain) * best->cost_us > double(best->gain) * again->cost_us)
        best = std::move(again);
    }
    return best;
  }

  std::optional<Again> consider(int32_t id) const {
    const Life& life = lives_[size_t(id)];
    const std::vector<int32_t>& readers = readers_[size_t(id)];
    const auto next = std::lower_bound(readers.begin(), readers.end(), peak_);
    if (next == readers.end() || *next <= peak_ + 1 || *next >= 2 * int32_t(draft_.late_begin) ||
        std::any_of(next, readers.end(), [](int32_t position) { return position % 2 != 0; }))
      return {};
    Again again;
    again.stored = id;
    again.position = *next - 1;
    const ValueRef value = draft_.stored[size_t(id)].value;
    const Shape& shape = resolved_.shape(value);
    again.work.bytes = double(life.bytes);
    if (!gather(value.node, shape, again)) return {};
    again.work.flops = double(numel(shape)) * double(again.members.size());
    again.cost_us = model_us(again.work);
    if (again.cost_us > cost_left_) return {};
    again.gain = life.bytes;
    const int32_t gone = next == readers.begin() ? life.first : next[-1];
    for (int32_t read : again.reads) {
      const Life& other = lives_[size_t(read)];
      if (other.last >= again.position) continue;
      if (other.last < peak_) again.gain -= other.bytes;
      // What is kept for longer must not make another peak.
      for (int32_t p = other.last + 1; p <= again.position; ++p) {
        const int64_t less = gone < p && p < again.position ? life.bytes : 0;
        if (in_use_[size_t(p)] + other.bytes - less >= peak_bytes()) return {};
      }
    }
    if (again.gain < smallest_) return {};
    return again;
  }

  // Adds `node`, and what it is made of as far as that is not in memory then.
  bool gather(int32_t node, const Shape& shape, Again& again) const {
    auto& members = again.members;
    if (std::find(members.begin(), members.end(), node) != members.end()) return true;
    const auto& inputs = resolved_.snapshot().inputs[size_t(node)];
    if (!resolved_.is_elementwise(node) || resolved_.is_copy(node) || inputs.empty() ||
        !(resolved_.shape({node, 0}) == shape) || members.size() == kMaxMembers)
      return false;
    members.push_back(node);
    for (const ValueRef& input : inputs) {
      const Located& located = resolved_.locate(input);
      const int32_t id = located.base.is_leaf() ? -1 : draft_.id_of(located.base);
      if (located.base.is_leaf() || (id >= 0 && can_be_read(id))) {
        again.work.bytes +=
            double(numel(resolved_.shape(input)) * int64_t(itemsize(resolved_.dtype(input))));
        if (id >= 0) again.reads.push_back(id);
        continue;
      }
      if (!resolved_.is_as_stored(located, shape) || !gather(located.base.node, shape, again))
        return false;
    }
    return true;
  }
  // Whether a stored value is in memory at the peak, or can be kept at little cost.
  bool can_be_read(int32_t id) const {
    const Stored& stored = draft_.stored[size_t(id)];
    return !stored.absent && stored.inside < 0 && !is_made_again(id) &&
           (is_there(id) || lives_[size_t(id)].bytes < smallest_);
  }
  bool is_made_again(int32_t id) const { return size_t(id) < again_.size() && again_[size_t(id)]; }

  // Brings the lives up to date. The value made again is a new one.
  void take(const Again& again) {
    cost_left_ -= again.cost_us;
    auto& readers = readers_[size_t(again.stored)];
    const auto next = std::upper_bound(readers.begin(), readers.end(), again.position);
    Life& life = lives_[size_t(again.stored)];
    const int32_t last = std::exchange(life.last, next == readers.begin() ? life.first : next[-1]);
    readers.erase(next, readers.end());
    const int64_t bytes = life.bytes;
    lives_.push_back({bytes, again.position, last});
    readers_.emplace_back();
    again_.resize(lives_.size(), 0);
    again_[size_t(again.stored)] = again_.back() = 1;
    for (int32_t read : again.reads) {
      Life& kept = lives_[size_t(read)];
      kept.last = std::max(kept.last, again.position);
      auto& all = readers_[size_t(read)];
      all.insert(std::upper_bound(all.begin(), all.end(), again.position), again.position);
    }
  }

  DraftStep make_step(const Again& again, int32_t result) const {
    const ValueRef value = draft_.stored[size_t(again.stored)].value;
    Group group;
    group.tile = true;
    group.extent = resolved_.shape(value);
    group.members = again.members;
    std::sort(group.members.begin(), group.members.end());
    std::vector<uint8_t> stored(resolved_.snapshot().nodes.size(), 0);
    stored[size_t(value.node)] = 1;
    Lowered lowered = lower(resolved_, group, stored);
    DraftStep draft;
    draft.step.nodes = group.members;
    draft.reads = std::move(lowered.inputs);
    draft.writes = {result};
    set_tile(draft.step, std::move(lowered.program));
    count_work(draft.step, std::vector<uint8_t>{1});
    return draft;
  }

  void apply(const std::vector<Again>& chosen) {
    std::vector<int32_t> rank(draft_.steps.size());
    for (size_t s = 0; s < rank.size(); ++s) rank[s] = 2 * int32_t(s);
    const size_t steps = rank.size();
    for (const Again& again : chosen) {
      const Stored old = draft_.stored[size_t(again.stored)];
      const ValueRef made{int32_t(draft_.ids.size()), 0};
      const int32_t id = draft_.new_stored(old.value, old.bytes, int32_t(draft_.steps.size()));
      draft_.ids.push_back({id});
      for (size_t s = size_t(again.position + 1) / 2; s < steps; ++s)
        for (Located& read : draft_.steps[s].reads)
          if (read.base == old.value) read.base = made;
      draft_.steps.push_back(make_step(again, id));
      rank.push_back(again.position);
    }
    draft_.late_begin += chosen.size();
    draft_.reorder(rank);
  }

  Draft& draft_;
  const Resolved& resolved_;
  std::vector<Life> lives_;  // by stored value, then of those made again
  std::vector<std::vector<int32_t>> readers_;  // by stored value: positions in order
  std::vector<uint8_t> again_;  // by stored value: whether it is made twice
  std::vector<int64_t> in_use_;  // by position
  int32_t end_ = 0, peak_ = 0;
  int64_t smallest_ = 0;
  double cost_left_ = 0;
};

}  // namespace

std::vector<int32_t> Draft::reorder(const std::vector<int32_t>& rank) {
  std::vector<int32_t> order(steps.size()), position(steps.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return rank[size_t(a)] < rank[size_t(b)]; });
  std::vector<DraftStep> ordered;
  for (int32_t s : order) {
    position[size_t(s)] = int32_t(ordered.size());
    ordered.push_back(std::move(steps[size_t(s)]));
  }
  steps = std::move(ordered);
  for (Stored& s : stored) s.def = position[size_t(s.def)];
  return position;
}

void set_tile(Step& step, TileProgram program) {
  const bool rides = !step.kind.empty();
  if (!rides) step.kind = "tile";
  for (size_t i = rides; i < program.inputs.size(); ++i)
    step.inputs.push_back(
        {nullptr, program.inputs[i].dtype, program.extent, program.inputs[i].strides});
  for (const TileOperand& o : program.outputs)
    step.outputs.push_back({nullptr, o.dtype, program.extent, o.strides});
  step.program = std::make_shared<const TileProgram>(std::move(program));
}

void rematerialize(Draft& draft, const Resolved& resolved, const std::vector<ArenaValue>& lives,
                   const std::vector<int32_t>& donor) {
  Rematerialize(draft, resolved, lives, donor).run();
}

}  // namespace tegula
