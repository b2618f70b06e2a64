// Volumes of the "local" driver that are mounts: `docker volume create -o type=... -o device=...
// -o o=...`. Such a volume is mounted as long as a container that runs has it.
#pragma once

#include <boost/json/value.hpp>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/error.hpp"

namespace lab::engine::volume {

struct MountOptions {
  std::string type;     // "tmpfs", "nfs", "none"
  std::string device;   // "tmpfs", ":/export", "/a/folder"
  std::string options;  // as mount(8) takes them: "bind,ro", "size=1m,uid=33"
};
// Empty type: a plain folder. Docker's texts: 'invalid option: "foo"', 'missing required option:
// "device"'.
[[nodiscard]] Result<MountOptions> parse_mount_options(const boost::json::value& options);

// Thread-safe; calls block.
class LocalMounts {
 public:
  // Mounts `folder` unless it is, for this user (a container's id).
  [[nodiscard]] Result<void> acquire(const std::filesystem::path& folder,
                                     const MountOptions& options, const std::string& user);
  // Unmounts with the last user; also when it was never acquired, as after a crash of ours.
  [[nodiscard]] Result<void> release(const std::filesystem::path& folder, const std::string& user);

 private:
  std::mutex mutex_;
  std::map<std::filesystem::path, std::set<std::string>> users_;
};

}  // namespace lab::engine::volume
