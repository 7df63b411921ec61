#include "plan/plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>

#include "plan/control.h"
#include "plan/cost.h"
#include "plan/draft.h"
#include "plan/memory.h"
#include "plan/memory_report.h"

namespace tegula {
namespace {

// A view kept alive instead of a copy holds its whole base: worth it up to this ratio.
constexpr int64_t kMaxViewWaste = 4;
// Running steps at once may take so many bytes more than running them one by one.
constexpr int64_t kMoreMemory = int64_t(256) << 10;

class Builder {
 public:
  explicit Builder(const Snapshot& snapshot)
      : snapshot_(snapshot), resolved_(snapshot), plan_(std::make_unique<Plan>()) {
    plan_->device = snapshot.device;
    plan_->leaf_count = snapshot.leaves.size();
    if (!snapshot.nodes.empty())
      plan_->dynamic_words =
          snapshot.dynamic_begin.back() + int32_t(snapshot.nodes.back()->dynamic.size());
    groups_ = fuse(resolved_);
    recompute(resolved_, groups_);
    find_stored();
    draft_steps();
    keep_outputs();
    choose_donations();
    schedule();
    place_operands();
    finish();
  }
  std::unique_ptr<Plan> take() { return std::move(plan_); }

 private:
  // What must be in memory: read by another step, or kept.
  void find_stored() {
    const size_t count = snapshot_.nodes.size();
    stored_nodes_.assign(count, 0);
    draft_.ids.resize(count);
    read_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      draft_.ids[i].assign(snapshot_.nodes[i]->outputs.size(), -1);
      read_[i].assign(snapshot_.nodes[i]->outputs.size(), 0);
      for (size_t k = 0; k < snapshot_.live[i].size(); ++k) {
        if (!snapshot_.live[i][k]) continue;
        const Located& located = resolved_.locate({int32_t(i), int32_t(k)});
        if (!located.base.is_leaf()) note_read(located.base);
      }
    }
    std::vector<int32_t> computed_in(count, -1);  // the last group that computes a node
    for (size_t g = 0; g < groups_.size(); ++g) {
      for_nodes(groups_[g], [&](int32_t m) { computed_in[size_t(m)] = int32_t(g); });
      for_nodes(groups_[g], [&](int32_t m) {
        for (const ValueRef& input : snapshot_.inputs[size_t(m)]) {
          const ValueRef base = resolved_.locate(input).base;
          if (!base.is_leaf() && computed_in[size_t(base.node)] != int32_t(g)) note_read(base);
        }
      });
    }
  }
  void note_read(ValueRef base) {
    stored_nodes_[size_t(base.node)] = 1;
    read_[size_t(base.node)][size_t(base.index)] = 1;
  }

  void draft_steps() {
    for (const Group& group : groups_) {
      DraftStep draft;
      Step& step = draft.step;
      const int32_t index = int32_t(draft_.steps.size());
      for_nodes(group, [&](int32_t node) { step.nodes.push_back(node); });
      if (!group.tile || group.carrier >= 0) draft_kernel(draft, step.nodes[0], index);
      if (group.tile) {
        Lowered lowered = lower(resolved_, group, stored_nodes_);
        if (group.carrier >= 0) {
          draft.reads.insert(draft.reads.end(), lowered.inputs.begin() + 1, lowered.inputs.end());
        } else {
          draft.reads = std::move(lowered.inputs);
        }
        for (const ValueRef& v : lowered.outputs) draft.writes.push_back(define(v, index));
        set_tile(step, std::move(lowered.program));
        if (group.carrier >= 0) place_result(draft);
      }
      draft_.steps.push_back(std::move(draft));
    }
  }

  void draft_kernel(DraftStep& draft, int32_t n, int32_t index) {
    Step& step = draft.step;
    const Node& node = *snapshot_.nodes[size_t(n)];
    step.kind = node.primitive->name;
    if (node.primitive->label) step.label = node.primitive->label(node.attrs);
    step.attrs = node.attrs;
    step.dynamic_begin = snapshot_.dynamic_begin[size_t(n)];
    step.dynamic_count = int32_t(node.dynamic.size());
    for (const ValueRef& input : snapshot_.inputs[size_t(n)])
      draft.reads.push_back(resolved_.locate(input));
    Operands operands = operands_of(resolved_, n);
    step.inputs = std::move(operands.inputs);
    step.outputs = std::move(operands.outputs);
    const Kernel* kernel = plan_->device->find_kernel(spec(step));
    step.control = make_control(node, step, read_[size_t(n)]);
    const bool optional = step.control || (kernel && kernel->optional_outputs);
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      draft.writes.push_back(define({n, int32_t(k)}, index));
      if (optional && !read_[size_t(n)][k])
        draft_.stored.back() = {.value = {n, int32_t(k)}, .def = index, .absent = true};
    }
    if (step.control)
      draft.scratch = draft_.new_stored({n, 0}, step.control->scratch_bytes(), index);
  }

  // The result that an epilogue alone reads needs no memory of its own: it lies where one of the
  // epilogue's outputs will, if there is one as large.
  void place_result(const DraftStep& draft) {
    const Step& step = draft.step;
    const int32_t result = draft.writes[0];
    if (read_[size_t(step.nodes[0])][0]) return;
    for (size_t k = 1; k < draft.writes.size(); ++k) {
      const View& out = step.outputs[k];
      const View& own = step.outputs[0];
      const bool in_order = is_contiguous(own.shape, own.strides)
                                ? is_contiguous(out.shape, out.strides)
                                : out.shape == own.shape && out.strides == own.strides;
      if (out.dtype != own.dtype || !in_order) continue;
      draft_.stored[size_t(result)].bytes = 0;
      draft_.stored[size_t(result)].inside = draft.writes[k];
      draft_.stored[size_t(draft.writes[k])].holds_result = true;
      return;
    }
  }

  int32_t define(ValueRef v, int32_t step) {
    const int64_t bytes = numel(resolved_.shape(v)) * int64_t(itemsize(resolved_.dtype(v)));
    return draft_.id_of(v) = draft_.new_stored(v, bytes, step);
  }

  int32_t new_output(int64_t bytes) {
    plan_->output_bytes.push_back(bytes);
    return int32_t(plan_->output_bytes.size()) - 1;
  }

  void keep_outputs() {
    for (size_t i = 0; i < snapshot_.nodes.size(); ++i)
      for (size_t k = 0; k < snapshot_.live[i].size(); ++k)
        if (snapshot_.live[i][k]) keep({int32_t(i), int32_t(k)});
    std::vector<int32_t> holders(plan_->output_bytes.size(), 0);
    for (const Kept& kept : plan_->kept)
      if (kept.output >= 0) ++holders[size_t(kept.output)];
    for (int32_t count : holders) plan_->sole.push_back(count == 1);
  }

  void keep(ValueRef value) {
    const Located& located = resolved_.locate(value);
    const Shape& shape = resolved_.shape(value);
    const DType dtype = resolved_.dtype(value);
    Kept kept{.value = value,
              .strides = located.strides,
              .offset = located.offset,
              .dynamic = located.dynamic};
    const int64_t bytes = numel(shape) * int64_t(itemsize(dtype));
    bool copy;
    if (located.base.is_leaf()) {
      copy = snapshot_.results_apart || snapshot_.leaves[size_t(located.base.index)].is_scalar();
      if (!copy) {
        kept.leaf = located.base.index;
        held_leaves_.push_back(located.base.index);
      }
    } else {
      Stored& stored = draft_.stored[size_t(draft_.id_of(located.base))];
      const bool base_kept = snapshot_.live[size_t(located.base.node)][size_t(located.base.index)];
      const bool own = located.base == value && stored.output < 0;
      copy = snapshot_.results_apart ? !own : !base_kept && bytes * kMaxViewWaste < stored.bytes;
      if (!copy) {
        if (stored.output < 0) stored.output = new_output(stored.bytes);
        kept.output = stored.output;
      }
    }
    if (copy) {
      DraftStep draft;
      draft.step.nodes = {value.node};
      draft.reads = {located};
      set_tile(draft.step, copy_program(shape, dtype, located.strides));
      const int32_t id = draft_.new_stored(value, bytes, int32_t(draft_.steps.size()));
      draft_.stored[size_t(id)].output = new_output(bytes);
      draft.writes = {id};
      draft_.steps.push_back(std::move(draft));
      kept.output = draft_.stored[size_t(id)].output;
      kept.strides = contiguous_strides(shape);
      kept.offset = 0;
      kept.dynamic.clear();
    }
    plan_->kept.push_back(std::move(kept));
  }

  bool can_fail(const DraftStep& draft) const {
    const Kernel* kernel = plan_->device->find_kernel(spec(draft.step));
    return draft.step.control || (kernel && kernel->can_fail);
  }
  static StepSpec spec(const Step& step) {
    return {step.kind, step.inputs, step.outputs, step.attrs, step.program.get()};
  }

  // Leaves may be different views of one buffer.
  int32_t memory_of(int32_t leaf) const { return snapshot_.leaves[size_t(leaf)].memory; }
  bool same_memory(ValueRef a, ValueRef b) const {
    return a == b || (a.is_leaf() && b.is_leaf() && memory_of(a.index) >= 0 &&
                      memory_of(a.index) == memory_of(b.index));
  }

  // The inputs of a step whose memory output k could be written over: those read once, in the
  // same order as it is written.
  SmallVector<size_t, 4> in_place_inputs(const DraftStep& draft, size_t k) const {
    const Step& step = draft.step;
    SmallVector<size_t, 4> found;
    const auto usable = [&](size_t i) {
      const Located& read = draft.reads[i];
      if (read.offset != 0 || !read.dynamic.empty()) return false;
      for (size_t j = 0; j < draft.reads.size(); ++j)
        if (j != i && same_memory(draft.reads[j].base, read.base)) return false;
      return step.inputs[i].dtype == step.outputs[k].dtype &&
             step.inputs[i].strides == step.outputs[k].strides &&
             step.inputs[i].shape == step.outputs[k].shape;
    };
    if (draft_.stored[size_t(draft.writes[k])].holds_result) return found;
    if (step.kind != "tile") {
      if (k > 0 && step.program) {
        const size_t own = step.inputs.size() - (step.program->inputs.size() - 1);
        for (size_t i = own; i < step.inputs.size(); ++i)
          if (usable(i) && is_dense(step.outputs[k].shape, step.outputs[k].strides))
            found.push_back(i);
        return found;
      }
      const Node& node = *snapshot_.nodes[size_t(step.nodes[0])];
      const auto rule = node.primitive->in_place;
      const int i = rule ? rule(node, int(k)) : -1;
      if (i >= 0 && usable(size_t(i))) found.push_back(size_t(i));
      return found;
    }
    // Programs that go over a row twice might read what they have written.
    if (step.program->reduce_axes > 0) return found;
    for (size_t i = 0; i < step.inputs.size(); ++i)
      if (usable(i) && is_dense(step.outputs[k].shape, step.outputs[k].strides)) found.push_back(i);
    return found;
  }

  struct Donation {
    int32_t step, stored, leaf;
  };

  // Which kept outputs take over the memory of a leaf nobody else refers to. Such writes come
  // last, after every step that can fail, and after every other reader of the leaf.
  void choose_donations() {
    std::vector<Donation> donations;
    std::vector<uint8_t> taken(snapshot_.leaves.size(), 0);
    for (int32_t leaf : held_leaves_)
      if (memory_of(leaf) >= 0) taken[size_t(memory_of(leaf))] = 1;
    for (size_t s = 0; s < draft_.steps.size(); ++s) {
      const DraftStep& draft = draft_.steps[s];
      for (size_t k = 0; k < draft.writes.size(); ++k) {
        if (draft_.stored[size_t(draft.writes[k])].output < 0) continue;
        for (size_t i : in_place_inputs(draft, k)) {
          if (!draft.reads[i].base.is_leaf()) continue;
          const int32_t leaf = draft.reads[i].base.index;
          if (!snapshot_.leaves[size_t(leaf)].donatable || taken[size_t(memory_of(leaf))]) continue;
          const Output& from = snapshot_.leaves[size_t(leaf)].output();
          if (int64_t(from.buffer->bytes()) != draft_.stored[size_t(draft.writes[k])].bytes)
            continue;
          taken[size_t(memory_of(leaf))] = 1;
          donations.push_back({int32_t(s), draft.writes[k], leaf});
          break;
        }
      }
    }
    const std::vector<uint8_t> fatal = leads_to_failure();
    std::vector<uint8_t> late;
    for (bool changed = true; changed;) {
      late = late_steps(donations);
      const std::vector<int32_t> reader = late_reader(late);
      const size_t before = donations.size();
      std::erase_if(donations, [&](const Donation& d) {
        const int32_t other = reader[size_t(memory_of(d.leaf))];
        return fatal[size_t(d.step)] || (other != kNone && other != d.step);
      });
      changed = donations.size() != before;
    }
    plan_->donor.assign(plan_->output_bytes.size(), -1);
    for (const Donation& d : donations)
      plan_->donor[size_t(draft_.stored[size_t(d.stored)].output)] = d.leaf;
    move_late(late);
  }

  // Steps that write donated memory, and whatever depends on them.
  std::vector<uint8_t> late_steps(const std::vector<Donation>& donations) const {
    std::vector<uint8_t> late(draft_.steps.size(), 0);
    for (const Donation& d : donations) late[size_t(d.step)] = 1;
    for (size_t s = 0; s < draft_.steps.size(); ++s)
      for (const Located& read : draft_.steps[s].reads)
        if (!read.base.is_leaf() &&
            late[size_t(draft_.stored[size_t(draft_.id_of(read.base))].def)])
          late[s] = 1;
    return late;
  }

  // Steps that can fail, and whatever they depend on: what these write over would be lost.
  std::vector<uint8_t> leads_to_failure() const {
    std::vector<uint8_t> fatal(draft_.steps.size(), 0);
    for (size_t s = draft_.steps.size(); s-- > 0;) {
      if (can_fail(draft_.steps[s])) fatal[s] = 1;
      if (!fatal[s]) continue;
      for (const Located& read : draft_.steps[s].reads)
        if (!read.base.is_leaf())
          fatal[size_t(draft_.stored[size_t(draft_.id_of(read.base))].def)] = 1;
    }
    return fatal;
  }
  // For each memory of leaves the late step that reads it.
  static constexpr int32_t kNone = -1, kSeveral = -2;
  std::vector<int32_t> late_reader(const std::vector<uint8_t>& late) const {
    std::vector<int32_t> reader(snapshot_.leaves.size(), kNone);
    for (size_t s = 0; s < draft_.steps.size(); ++s)
      for (const Located& read : draft_.steps[s].reads) {
        if (!late[s] || !read.base.is_leaf() || memory_of(read.base.index) < 0) continue;
        int32_t& known = reader[size_t(memory_of(read.base.index))];
        if (known != int32_t(s)) known = known == kNone ? int32_t(s) : kSeveral;
      }
    return reader;
  }

  void move_late(const std::vector<uint8_t>& late) {
    draft_.late_begin = size_t(std::count(late.begin(), late.end(), 0));
    draft_.reorder({late.begin(), late.end()});
  }

  // Which steps run at once, unless that takes noticeably more memory than one after the other.
  void schedule() {
    for (DraftStep& draft : draft_.steps) {
      std::vector<uint8_t> has_memory;
      for (int32_t id : draft.writes) has_memory.push_back(draft_.stored[size_t(id)].inside < 0);
      count_work(draft.step, has_memory);
    }
    stage_of_.resize(draft_.steps.size());
    std::iota(stage_of_.begin(), stage_of_.end(), 0);
    share_memory();
    const size_t steps_before = draft_.steps.size();
    rematerialize(draft_, resolved_, in_arena_, plan_->donor);
    if (draft_.steps.size() != steps_before) {
      stage_of_.resize(draft_.steps.size());
      std::iota(stage_of_.begin(), stage_of_.end(), 0);
      share_memory();
    }
    if (!plan_->device->runs_steps_at_once()) return;
    const std::vector<StagedStep> steps = staged_steps();
    std::vector<int32_t> stages = find_stages(steps, 0, draft_.late_begin, 0);
    const int32_t early = stages.empty() ? 0 : 1 + *std::max_element(stages.begin(), stages.end());
    const std::vector<int32_t> late = find_stages(steps, draft_.late_begin, steps.size(), early);
    stages.insert(stages.end(), late.begin(), late.end());
    if (stages == stage_of_) return;
    const int64_t one_by_one = plan_->arena_bytes;
    const std::vector<int32_t> position = draft_.reorder(stages);
    std::sort(stages.begin(), stages.end());
    std::swap(stage_of_, stages);
    share_memory();
    if (plan_->arena_bytes <= one_by_one + std::max(one_by_one / 16, kMoreMemory)) return;
    std::vector<int32_t> back(position.size());
    for (size_t s = 0; s < position.size(); ++s) back[size_t(position[s])] = int32_t(s);
    draft_.reorder(back);
    std::iota(stage_of_.begin(), stage_of_.end(), 0);
    share_memory();
  }

  std::vector<StagedStep> staged_steps() const {
    std::vector<StagedStep> steps(draft_.steps.size());
    for (size_t s = 0; s < draft_.steps.size(); ++s) {
      const Kernel* kernel = plan_->device->find_kernel(spec(draft_.steps[s].step));
      // Of several steps that fail the first is to say so.
      steps[s].alone = !kernel || kernel->can_fail;
      steps[s].cost_us = cost_us(draft_.steps[s].step);
      for (const Located& read : draft_.steps[s].reads)
        if (!read.base.is_leaf())
          steps[s].after.push_back(draft_.stored[size_t(draft_.id_of(read.base))].def);
    }
    return steps;
  }

  // Arena offsets from lifetimes, in stages; an output may take over an input that dies with its
  // step.
  void share_memory() {
    std::vector<Lifetime> lives(draft_.stored.size());
    for (size_t i = 0; i < draft_.stored.size(); ++i) {
      const int32_t stage = stage_of_[size_t(draft_.stored[i].def)];
      lives[i] = {draft_.stored[i].output < 0 ? draft_.stored[i].bytes : 0, stage, stage};
    }
    constexpr int32_t kSeveralReaders = -1;
    std::vector<int32_t> last_reader(draft_.stored.size(), kSeveralReaders);  // in the last stage
    for (size_t s = 0; s < draft_.steps.size(); ++s)
      for (const Located& read : draft_.steps[s].reads) {
        if (read.base.is_leaf()) continue;
        const size_t id = size_t(draft_.id_of(read.base));
        const bool later = stage_of_[s] > lives[id].last;
        if (later) lives[id].last = stage_of_[s];
        if (later) last_reader[id] = int32_t(s);
        else if (last_reader[id] != int32_t(s)) last_reader[id] = kSeveralReaders;
      }
    in_arena_.clear();
    for (size_t i = 0; i < lives.size(); ++i)
      in_arena_.push_back({draft_.stored[i].value, lives[i]});
    std::vector<int32_t> owner(draft_.stored.size());
    for (size_t i = 0; i < owner.size(); ++i) owner[i] = int32_t(i);
    std::vector<uint8_t> given(draft_.stored.size(), 0);
    for (size_t s = 0; s < draft_.steps.size(); ++s) {
      for (size_t k = 0; k < draft_.steps[s].writes.size(); ++k) {
        const int32_t out = draft_.steps[s].writes[k];
        if (draft_.stored[size_t(out)].output >= 0) continue;
        for (size_t i : in_place_inputs(draft_.steps[s], k)) {
          if (draft_.steps[s].reads[i].base.is_leaf()) continue;
          const int32_t in = draft_.id_of(draft_.steps[s].reads[i].base);
          if (draft_.stored[size_t(in)].output >= 0 || given[size_t(in)] ||
              last_reader[size_t(in)] != int32_t(s) ||
              draft_.stored[size_t(in)].bytes != draft_.stored[size_t(out)].bytes)
            continue;
          given[size_t(in)] = 1;
          owner[size_t(out)] = owner[size_t(in)];
          Lifetime& whole = lives[size_t(owner[size_t(in)])];
          whole.last = std::max(whole.last, lives[size_t(out)].last);
          lives[size_t(out)].bytes = 0;
          in_arena_[size_t(in)].life.last = stage_of_[s] - 1;  // from here on it is the output's
          break;
        }
      }
    }
    std::vector<int32_t> lender;
    plan_->arena_bytes = lay_out(lives, lent_memory(lender));
    places_.resize(draft_.stored.size());
    for (size_t i = 0; i < draft_.stored.size(); ++i) {
      const Lifetime& life = lives[size_t(owner[i])];
      places_[i] = {Place::arena, 0, life.offset, {}};
      if (life.lent >= 0) places_[i] = {Place::output, lender[size_t(life.lent)], life.offset, {}};
    }
  }

  // The memory of large results, which is there when the run begins, is lent to other values until
  // it is written. Appends the result's output number to `lender` for each.
  std::vector<LentMemory> lent_memory(std::vector<int32_t>& lender) const {
    std::vector<LentMemory> lent;
    if (snapshot_.results_apart) return lent;  // the caller's
    for (const Stored& stored : draft_.stored) {
      if (stored.output < 0 || stored.bytes < large_value_bytes() ||
          plan_->donor[size_t(stored.output)] >= 0)
        continue;
      lent.push_back({stored.bytes, stage_of_[size_t(stored.def)]});
      lender.push_back(stored.output);
    }
    return lent;
  }

  Place place_of(int32_t stored) const {
    const Stored& s = draft_.stored[size_t(stored)];
    if (s.absent) return {Place::none, 0, 0, {}};
    if (s.inside >= 0) return place_of(s.inside);
    if (s.output >= 0) return {Place::output, s.output, 0, {}};
    return places_[size_t(stored)];
  }

  void place_operands() {
    for (DraftStep& draft : draft_.steps) {
      Step& step = draft.step;
      for (size_t i = 0; i < draft.reads.size(); ++i) {
        const Located& read = draft.reads[i];
        Place place;
        if (!read.base.is_leaf()) {
          place = place_of(draft_.id_of(read.base));
        } else {
          const bool is_scalar = snapshot_.leaves[size_t(read.base.index)].is_scalar();
          place = {is_scalar ? Place::scalar : Place::leaf, read.base.index, 0, {}};
        }
        const int64_t item = int64_t(itemsize(step.inputs[i].dtype));
        place.offset += read.offset * item;
        for (const auto& [word, multiplier] : read.dynamic)
          place.dynamic.push_back({word, multiplier * item});
        step.input_places.push_back(std::move(place));
      }
      for (int32_t id : draft.writes) step.output_places.push_back(place_of(id));
      if (draft.scratch >= 0) step.scratch = place_of(draft.scratch);
      plan_->steps.push_back(std::move(step));
    }
  }

  void finish() {
    for (Step& step : plan_->steps) {
      const StepSpec s = spec(step);
      step.kernel = plan_->device->find_kernel(s);
      if (!step.kernel && !step.control)
        fail(ErrorKind::unsupported, "the device '", plan_->device->name(), "' has no kernel for ",
             step.kind);
      if (step.program) check(*step.program);
      if (step.kernel && step.kernel->prepare) step.prepared = step.kernel->prepare(s);
      plan_->cost_us += cost_us(step) + (step.control ? step.control->cost_us() : 0);
    }
    for (size_t s = 0; s < stage_of_.size(); ++s) {
      if (s == 0 || stage_of_[s] != stage_of_[s - 1]) {
        if (s == draft_.late_begin) plan_->late_begin = plan_->stages.size();
        plan_->stages.push_back({.begin = int32_t(s)});
      }
      plan_->stages.back().end = int32_t(s) + 1;
      plan_->stages.back().cost_us += cost_us(plan_->steps[s]);
    }
    if (draft_.late_begin == stage_of_.size()) plan_->late_begin = plan_->stages.size();
    for (size_t i = 0; i < places_.size(); ++i)
      if (places_[i].source != Place::arena) in_arena_[i].life.last = in_arena_[i].life.first - 1;
    note_occupants(*plan_, snapshot_, in_arena_);
  }

  const Snapshot& snapshot_;
  Resolved resolved_;
  std::unique_ptr<Plan> plan_;
  std::vector<Group> groups_;
  std::vector<uint8_t> stored_nodes_;
  std::vector<std::vector<uint8_t>> read_;  // by node and output: outside of its step
  Draft draft_;
  std::vector<int32_t> held_leaves_;
  std::vector<Place> places_;  // of stored values without memory of their own
  std::vector<ArenaValue> in_arena_;
  std::vector<int32_t> stage_of_;  // by step
};

}  // namespace

std::unique_ptr<Plan> make_plan(const Snapshot& snapshot) { return Builder(snapshot).take(); }

}  // namespace tegula
