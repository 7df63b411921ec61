#include "plan/memory_report.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <mutex>
#include <numeric>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "graph/primitive.h"
#include "runtime/host.h"

namespace tegula {
namespace {

constexpr size_t kMaxOccupants = 32;
constexpr size_t kMaxRows = 20;

// The run that had most memory in use, by device. Its lines are let go of like those of any run.
struct Peaks {
  struct Peak {
    int64_t bytes = 0;
    std::shared_ptr<const Occupancy> run;
  };
  std::mutex mutex;
  std::unordered_map<const Backend*, Peak> by_device;
};
Peaks& peaks() {
  static auto& instance = *std::make_unique<Peaks>().release();  // runs outlive static objects
  return instance;
}

std::string_view operation_of(const Node& node) {
  if (node.primitive) return operation_name(node);
  return node.made_by ? node.made_by->name : "given";
}

void add_row(std::ostream& out, int64_t bytes, const std::string& what, const std::string& where) {
  out << "\n  " << std::setw(10) << readable_bytes(bytes) << "  " << what;
  if (!where.empty()) out << "  (" << where << ")";
}

// What is in memory by what it is and where it comes from, largest first.
struct Holdings {
  struct Row {
    int64_t bytes = 0;
    int count = 0;
  };
  std::map<std::pair<std::string, std::string>, Row> rows;  // by description and line
  int64_t small = 0;

  void print(std::ostream& out, int64_t live) const {
    std::vector<decltype(rows)::const_iterator> order;
    for (auto it = rows.begin(); it != rows.end(); ++it) order.push_back(it);
    std::stable_sort(order.begin(), order.end(),
                     [](auto a, auto b) { return a->second.bytes > b->second.bytes; });
    int64_t rest = live;
    for (size_t i = 0; i < std::min(order.size(), kMaxRows); ++i) {
      const auto& [key, row] = *order[i];
      const std::string times = row.count > 1 ? cat(row.count, " x ") : "";
      add_row(out, row.bytes, times + key.first, key.second);
      rest -= row.bytes;
    }
    if (rest > 0)
      add_row(out, rest, "smaller values, prepared weights, and what is being computed", "");
  }
};

Holdings find_holdings(Backend& device) {
  Holdings holdings;
  std::unordered_set<const Buffer*> seen;
  NodeList& nodes = evaluated_nodes();
  for (const Node* node = nodes.first(); node; node = NodeList::next(node)) {
    if (node->device != &device) continue;
    for (const Output& output : node->outputs) {
      const Buffer* buffer = output.buffer.get();
      if (!buffer || buffer->bytes() < kNamedBytes) continue;
      // A buffer that is being computed belongs to the thread that runs the plan.
      if (buffer->event() && !buffer->event()->done()) continue;
      if (!buffer->data() || !seen.insert(buffer).second) continue;
      const std::string what = cat(operation_of(*node), " ", output.dtype, to_string(output.shape));
      Holdings::Row& row = holdings.rows[{what, describe(node->where)}];
      row.bytes += int64_t(buffer->bytes());
      ++row.count;
    }
  }
  return holdings;
}

std::string held_now(Backend& device) {
  std::ostringstream out;
  const int64_t live = device.allocator().stats().live_bytes;
  out << "in memory on '" << device.name() << "' now: " << readable_bytes(live);
  find_holdings(device).print(out, live);
  return out.str();
}

std::string explain_shortage(Backend& device) {
  const Locked lock;
  return lock ? held_now(device) : "";
}

const char* name(Occupant::Role role) {
  switch (role) {
    case Occupant::input:
      return "input";
    case Occupant::result:
      return "result";
    case Occupant::temporary:
      return "temporary";
  }
  return "";
}

// Most of the arena's bytes that are in use at once, and at which step.
std::pair<int64_t, int32_t> find_peak(size_t steps, const std::vector<ArenaValue>& values) {
  std::vector<int64_t> change(steps + 1, 0);
  for (const ArenaValue& v : values) {
    if (v.life.last < v.life.first) continue;
    change[size_t(v.life.first)] += v.life.bytes;
    change[size_t(v.life.last) + 1] -= v.life.bytes;
  }
  std::partial_sum(change.begin(), change.end(), change.begin());
  const auto most = std::max_element(change.begin(), change.end());
  return {*most, int32_t(most - change.begin())};
}

}  // namespace

void note_occupants(Plan& plan, const Snapshot& snapshot, const std::vector<ArenaValue>& values) {
  std::vector<Occupant> found;
  const auto add = [&](Occupant::Role role, ValueRef value, int64_t bytes) {
    plan.peak_bytes += bytes;
    if (bytes < int64_t(kNamedBytes)) return;
    const Output& output = value.is_leaf()
                               ? snapshot.leaves[size_t(value.index)].output()
                               : snapshot.nodes[size_t(value.node)]->outputs[size_t(value.index)];
    found.push_back({role, value, output.dtype, output.shape, bytes});
  };
  for (size_t i = 0; i < snapshot.leaves.size(); ++i) {
    const Leaf& leaf = snapshot.leaves[i];
    if (leaf.memory == int32_t(i))
      add(Occupant::input, {-1, int32_t(i)}, int64_t(leaf.output().buffer->bytes()));
  }
  std::vector<uint8_t> seen(plan.output_bytes.size(), 0);
  for (const Kept& kept : plan.kept) {
    if (kept.output < 0 || plan.donor[size_t(kept.output)] >= 0) continue;
    if (!std::exchange(seen[size_t(kept.output)], 1))
      add(Occupant::result, kept.value, plan.output_bytes[size_t(kept.output)]);
  }
  plan.held_bytes = plan.peak_bytes;
  for (int32_t leaf : plan.donor)
    if (leaf >= 0)
      plan.held_bytes -= int64_t(snapshot.leaves[size_t(leaf)].output().buffer->bytes());
  const auto [bytes, step] = find_peak(plan.stages.size(), values);
  if (!plan.stages.empty()) plan.peak_step = plan.stages[size_t(step)].begin;
  for (const ArenaValue& v : values)
    if (v.life.first <= step && step <= v.life.last)
      add(Occupant::temporary, v.value, v.life.bytes);
  plan.peak_bytes += plan.arena_bytes - bytes;
  std::stable_sort(found.begin(), found.end(),
                   [](const Occupant& a, const Occupant& b) { return a.bytes > b.bytes; });
  if (found.size() > kMaxOccupants) found.resize(kMaxOccupants);
  plan.occupants = std::move(found);
}

Occupancy::Occupancy(std::shared_ptr<const Plan> plan, const Snapshot& snapshot)
    : plan_(std::move(plan)) {
  for (size_t i = 0; i < plan_->occupants.size(); ++i) {
    const ValueRef value = plan_->occupants[i].value;
    const Node& node = value.is_leaf() ? *snapshot.leaves[size_t(value.index)].node
                                       : *snapshot.nodes[size_t(value.node)];
    operations_.push_back(operation_of(node));
    lines_.add(int32_t(i), node.where);
  }
}

std::string Occupancy::to_string() const {
  std::ostringstream out;
  out << readable_bytes(plan_->peak_bytes) << " in all, " << readable_bytes(plan_->arena_bytes)
      << " of it temporary; at step " << plan_->peak_step + 1 << " of " << plan_->steps.size();
  int64_t rest = plan_->peak_bytes;
  for (size_t i = 0; i < plan_->occupants.size(); ++i) {
    const Occupant& o = plan_->occupants[i];
    add_row(out, o.bytes,
            cat(name(o.role), ": ", operations_[i], " ", o.dtype, tegula::to_string(o.shape)),
            lines_.describe(int32_t(i)));
    rest -= o.bytes;
  }
  if (rest > 0)
    add_row(out, rest, "smaller values, and temporary memory not in use at that step", "");
  return out.str();
}

void note_run(Backend& device, const Plan& plan,
              const std::shared_ptr<const Occupancy>& occupancy) {
  const int64_t peak = device.allocator().note_plan(plan.peak_bytes);
  if (peak == 0 || !occupancy) return;
  Peaks& all = peaks();
  std::shared_ptr<const Occupancy> before = occupancy;
  const std::lock_guard lock(all.mutex);
  all.by_device[&device].bytes = peak;
  all.by_device[&device].run.swap(before);
}

std::string memory_report(Backend& device) {
  std::string report = held_now(device);
  Peaks::Peak peak;
  {
    Peaks& all = peaks();
    const std::lock_guard lock(all.mutex);
    peak = all.by_device[&device];
  }
  if (peak.run)
    report += cat("\nmost in use: ", readable_bytes(peak.bytes), ", when a plan ran that needs ",
                  peak.run->to_string());
  return report;
}

void reset_peak_memory(Backend& device) {
  device.allocator().reset_peak();
  Peaks& all = peaks();
  Peaks::Peak before;
  const std::lock_guard lock(all.mutex);
  std::swap(before, all.by_device[&device]);
}

void install_memory_report() { set_shortage_explainer(explain_shortage); }

}  // namespace tegula
