// How many CPUs this process may really use.
#pragma once

#include <string>

namespace tegula {

// The CPUs in the affinity mask, or fewer where a cgroup (v1 or v2) grants less time: the quota
// rounded up. At least 1.
int available_cpus();

// The smallest CPU quota on the way from this process's cgroup to the top, rounded up; 0 without
// one. `root` replaces "/" in front of /proc and /sys (tests).
int cgroup_cpu_quota(const std::string& root = "");

}  // namespace tegula
