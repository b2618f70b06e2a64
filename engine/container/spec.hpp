// The OCI runtime document (config.json) of a container, and the process document of an exec.
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/container/rootfs.hpp"

namespace lab::engine::container {

// What the host offers; found once.
struct HostFeatures {
  bool cgroup_v2 = false;
  bool seccomp = true;
  int cpus = 1;
};
[[nodiscard]] HostFeatures detect_host_features();

struct SpecPaths {
  std::filesystem::path rootfs;
  std::filesystem::path hostname;
  std::filesystem::path hosts;
  std::filesystem::path resolv_conf;
  std::filesystem::path init;  // the program for --init, of the host
  // Namespace files; empty: the host's own for "host" mode, a new one otherwise.
  std::filesystem::path network;
  std::filesystem::path shared_pid;  // of another container
  std::filesystem::path shared_ipc;
  std::vector<std::string> link_environment;
};

[[nodiscard]] Result<boost::json::object> make_spec(const Container& container,
                                                    const SpecPaths& paths, const User& user,
                                                    const HostFeatures& host);

// The section linux.resources without devices: what `docker update` can change.
[[nodiscard]] boost::json::object resource_limits(const boost::json::object& host_config);

struct ExecOptions {
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::vector<std::string> link_environment;
  std::string working_directory;
  bool terminal = false;
  bool privileged = false;
};
[[nodiscard]] boost::json::object make_process(const Container& container,
                                               const ExecOptions& options, const User& user);

// The capabilities of the container after CapAdd, CapDrop and Privileged ("CAP_CHOWN"). An unknown
// name is Code::invalid_argument.
[[nodiscard]] Result<std::set<std::string>> capabilities_of(const boost::json::object& host_config);

}  // namespace lab::engine::container
