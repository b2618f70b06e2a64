#include "engine/container/mount_parent.hpp"

#include <filesystem>
#include <sstream>

#include "base/file.hpp"

namespace lab::engine::container {

namespace {

bool is_below(const std::string& path, const std::string& point) {
  if (point == "/") return true;
  return path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
}

}  // namespace

Result<MountParent> mount_of(const std::string& path) {
  std::error_code ignored;
  std::string real = std::filesystem::canonical(path, ignored).string();
  if (ignored) real = path;
  LAB_TRY(std::string table, read_file("/proc/self/mountinfo", std::size_t{8} << 20));
  std::istringstream lines(table);
  MountParent found;
  // Of two on the same place, the later hides the other.
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, options, tag;
    fields >> id >> parent >> device >> root >> point >> options;
    if (!is_below(real, point) || point.size() < found.point.size()) continue;
    found = MountParent{point, false, false};
    while (fields >> tag && tag != "-") {
      found.shared = found.shared || tag.starts_with("shared:");
      found.slave = found.slave || tag.starts_with("master:");
    }
  }
  return found;
}

}  // namespace lab::engine::container
