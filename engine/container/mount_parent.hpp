// The mount of this host that a path is on.
#pragma once

#include <string>

#include "base/error.hpp"

namespace lab::engine::container {

struct MountParent {
  std::string point;  // where it is mounted
  bool shared = false;
  bool slave = false;
};
// Symbolic links are followed. Reads /proc/self/mountinfo.
[[nodiscard]] Result<MountParent> mount_of(const std::string& path);

}  // namespace lab::engine::container
