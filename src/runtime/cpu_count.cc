#include "runtime/cpu_count.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace tegula {
namespace {

// CPUs granted by one cgroup directory, if it has a quota.
std::optional<double> quota_in(const std::string& directory) {
  double quota = 0, period = 0;
  if (std::ifstream v2(directory + "/cpu.max"); v2) {
    if (v2 >> quota >> period && quota > 0 && period > 0) return quota / period;
    return std::nullopt;  // "max": no limit
  }
  std::ifstream v1_quota(directory + "/cpu.cfs_quota_us");
  std::ifstream v1_period(directory + "/cpu.cfs_period_us");
  if (v1_quota >> quota && v1_period >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

// The least quota from `path` under `mount` up to the mount itself. In a container the path may
// belong to the host's view and not exist here: its parents still count.
std::optional<double> least_quota(const std::string& mount, std::string path) {
  std::optional<double> least;
  while (true) {
    if (const auto quota = quota_in(mount + path)) least = std::min(least.value_or(*quota), *quota);
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

bool lists_cpu(const std::string& controllers) {
  std::istringstream words(controllers);
  for (std::string word; std::getline(words, word, ',');)
    if (word == "cpu") return true;
  return false;
}

int affinity_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return int(std::thread::hardware_concurrency());
}

}  // namespace

int cgroup_cpu_quota(const std::string& root) {
  std::optional<double> least;
  const auto consider = [&](const std::string& mount, const std::string& path) {
    if (const auto quota = least_quota(root + mount, path))
      least = std::min(least.value_or(*quota), *quota);
  };
  // Lines are "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1).
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      consider("/sys/fs/cgroup", path);
      consider("/sys/fs/cgroup/unified", path);
    } else if (lists_cpu(controllers)) {
      consider("/sys/fs/cgroup/cpu", path);
      consider("/sys/fs/cgroup/" + controllers, path);
    }
  }
  return least ? int(std::ceil(std::min(*least, 1e6))) : 0;
}

int available_cpus() {
  const int cpus = std::max(affinity_cpus(), 1);
  const int quota = cgroup_cpu_quota();
  return quota > 0 ? std::min(cpus, quota) : cpus;
}

}  // namespace tegula
