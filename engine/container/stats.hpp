// What a running container uses, from its cgroups (v1 or v2) and its network devices, in the shape
// of GET /containers/ID/stats. Reading blocks, shortly.
#pragma once

#include <sys/types.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace lab::engine::container {

// Where a process's cgroup is: controller -> folder; in v2 all controllers share the one of "".
using CgroupFolders = std::map<std::string, std::filesystem::path, std::less<>>;

// `text` is /proc/PID/cgroup, `mount` where the hierarchies are mounted.
[[nodiscard]] CgroupFolders cgroup_folders(std::string_view text,
                                           const std::filesystem::path& mount);

struct StatsSource {
  CgroupFolders cgroups;
  bool cgroup_v2 = false;
  std::string network_devices;  // /proc/PID/net/dev; empty: none are shown
  std::string host_cpu;         // /proc/stat
  std::int64_t host_memory_bytes = 0;
  int cpus = 1;
};
// The source of a process that is there now.
[[nodiscard]] StatsSource stats_source(pid_t pid, bool cgroup_v2, bool networks, int cpus);

// One sample; `previous` is the last one (empty: the first), whose CPU times become "precpu_stats".
[[nodiscard]] boost::json::object stats_document(const StatsSource& source, WallTime now,
                                                 const boost::json::object& previous);
// Of a container that does not run.
[[nodiscard]] boost::json::object empty_stats_document();

}  // namespace lab::engine::container
