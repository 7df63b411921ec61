#include "plan/evaluate.h"

#include <list>
#include <unordered_map>

#include "graph/trace.h"
#include "plan/memory_report.h"
#include "plan/run.h"
#include "runtime/host.h"

namespace tegula {
namespace {

// Plans by key, least recently used last.
class PlanCache {
 public:
  std::shared_ptr<Plan> find(const Snapshot& snapshot) {
    const auto [begin, end] = index_.equal_range(snapshot.hash);
    for (auto it = begin; it != end; ++it) {
      if (it->second->key != snapshot.key) continue;
      entries_.splice(entries_.begin(), entries_, it->second);
      ++stats.hits;
      return it->second->plan;
    }
    ++stats.misses;
    return nullptr;
  }

  void insert(const Snapshot& snapshot, std::shared_ptr<Plan> plan) {
    entries_.push_front({snapshot.hash, snapshot.key, std::move(plan)});
    index_.emplace(snapshot.hash, entries_.begin());
    evict();
  }

  void set_limit(size_t limit) {
    limit_ = limit;
    evict();
  }
  void clear() {
    entries_.clear();
    index_.clear();
    stats = {};
  }
  size_t size() const { return entries_.size(); }

  PlanCacheStats stats;

 private:
  struct Entry {
    uint64_t hash;
    std::vector<int64_t> key;
    std::shared_ptr<Plan> plan;
  };

  void evict() {
    while (entries_.size() > limit_) {
      const auto last = std::prev(entries_.end());
      const auto [begin, end] = index_.equal_range(last->hash);
      for (auto it = begin; it != end; ++it) {
        if (it->second != last) continue;
        index_.erase(it);
        break;
      }
      entries_.erase(last);
      ++stats.evictions;
    }
  }

  size_t limit_ = 512;
  std::list<Entry> entries_;
  std::unordered_multimap<uint64_t, std::list<Entry>::iterator> index_;
};

PlanCache& cache() {
  static auto* cache = new PlanCache;  // plans may be in use until the process ends
  return *cache;
}

std::shared_ptr<Plan> find_or_make(const Snapshot& snapshot) {
  ProfileScope scope(ProfileEvent::find, "plan found");
  scope.event().count = int64_t(snapshot.nodes.size());
  if (std::shared_ptr<Plan> plan = cache().find(snapshot)) return plan;
  scope.event().kind = ProfileEvent::plan;
  scope.event().name = "plan made";
  std::shared_ptr<Plan> plan = make_plan(snapshot);
  show_new(*plan);
  cache().insert(snapshot, plan);
  return plan;
}

// The profile shows what was recorded since the evaluation before.
void note_recorded(const Snapshot& snapshot) {
  if (!profiling()) return;
  ProfileEvent event{};
  event.kind = ProfileEvent::record;
  event.name = "record";
  event.begin = first_recorded();
  event.end = profile_now();
  event.count = int64_t(snapshot.nodes.size());
  if (event.begin >= 0) add_event(std::move(event));
}

// Letting go of one node may end others of the snapshot: holds them all until it is done.
void let_go(const Snapshot& snapshot) {
  std::vector<Ref<Node>> alive;
  alive.reserve(snapshot.nodes.size());
  for (Node* node : snapshot.nodes) alive.emplace_back(node);
  for (Node* node : snapshot.nodes) {
    PendingList::remove(node);
    node->state = NodeState::evaluated;
    bool in_memory = false;
    for (Output& output : node->outputs) {
      output.previous = {};
      in_memory |= bool(output.buffer);
    }
    if (in_memory) evaluated_nodes().append(node);
    if (!node->on_tape) node->inputs.clear();
  }
}

// No plan could be made: whoever reads one of the values is told why, and nothing stays pending.
void settle_failed(const Snapshot& snapshot, std::exception_ptr error) {
  const Ref<Event> event = make_ref<Event>();
  event->complete(std::move(error));
  for (Node* node : snapshot.nodes) {
    for (Output& output : node->outputs) {
      output.buffer = make_ref<Buffer>(*node->device, 0);
      output.buffer->set_event(event);
      output.layout = {contiguous_strides(output.shape), 0};
    }
  }
  let_go(snapshot);
}

// Hands the run's memory to the nodes whose values are kept, and lets go of the graph behind them.
void settle(const Snapshot& snapshot, const Plan& plan, Run& run, const Ref<Event>& event) {
  for (const Kept& kept : plan.kept) {
    Output& output = snapshot.nodes[size_t(kept.value.node)]->outputs[size_t(kept.value.index)];
    auto [buffer, layout] = run.memory_of(kept, snapshot);
    output.buffer = std::move(buffer);
    output.layout = std::move(layout);
    if (kept.output < 0) continue;
    if (!output.previous || !run.replace(kept.output, output.previous))
      output.buffer->set_event(event);
  }
  let_go(snapshot);
}

void evaluate_on(Backend& device, std::span<const Tensor> wanted, bool about_to_wait) {
  const Snapshot snapshot = take_snapshot(wanted, device);
  if (snapshot.nodes.empty()) return;
  device.queue().refuse_inside_work("evaluation");  // before handles let go of old values
  note_recorded(snapshot);
  std::shared_ptr<Plan> plan;
  try {
    plan = find_or_make(snapshot);
  } catch (const Error&) {
    settle_failed(snapshot, std::current_exception());
    throw;
  }
  PlanCacheStats& stats = cache().stats;
  stats.steps = int64_t(plan->steps.size());
  stats.nodes = int64_t(snapshot.nodes.size());
  stats.arena_bytes = plan->arena_bytes;
  auto run = std::make_unique<Run>(plan, snapshot);
  const Ref<Event> event = make_ref<Event>();
  settle(snapshot, *plan, *run, event);
  if (plan->steps.empty()) {
    event->complete();
    run->state_event()->complete();
    return;
  }
  submit(std::move(run), about_to_wait, event);
}

void run_evaluation(std::span<const Tensor> wanted, Wait wait) {
  HeldLines::release_ended();
  if (!Trace::current()) PendingList::current().adopt_effects();
  for (Backend* device : pending_devices(wanted)) evaluate_on(*device, wanted, wait == Wait::yes);
  if (wait == Wait::no) return;
  for (const Tensor& t : wanted) {
    const Ref<Buffer>& buffer = t.output().buffer;
    if (!buffer || !buffer->event()) continue;
    const Ref<Event> event = buffer->event();
    if (event->done() && !event->error()) {
      buffer->set_event({});
      continue;
    }
    Backend& device = buffer->backend();
    const ProfileScope scope(ProfileEvent::wait, "wait");
    const Unlocked unlocked;
    device.queue().wait(event);
  }
}

}  // namespace

void install_evaluator() {
  set_evaluator(run_evaluation);
  install_memory_report();
}

PlanCacheStats plan_cache_stats() {
  PlanCacheStats stats = cache().stats;
  stats.plans = int64_t(cache().size());
  return stats;
}
void clear_plan_cache() { cache().clear(); }
void set_plan_cache_limit(size_t plans) { cache().set_limit(plans); }

std::string explain_pending(std::span<const Tensor> wanted, bool graph, bool programs) {
  std::string text;
  for (Backend* device : pending_devices(wanted)) {
    const Snapshot snapshot = take_snapshot(wanted, *device);
    if (snapshot.nodes.empty()) continue;
    if (graph) text += to_string(snapshot);
    text += make_plan(snapshot)->to_string(programs);
  }
  return text;
}

void synchronize() {
  const Unlocked unlocked;
  for (Backend* device : backends()) device->queue().synchronize();
}

}  // namespace tegula
