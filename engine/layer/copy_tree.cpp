#include "engine/layer/copy_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <map>
#include <vector>

#include "base/file.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::layer {

namespace {

constexpr int nesting_max = 4096;
constexpr std::string_view overlay_attributes = "trusted.overlay.";
// The one of them that belongs to a layer's content.
constexpr const char* overlay_opaque = "trusted.overlay.opaque";

Result<void> copy_bytes(int from, int to, const std::string& name) {
  for (;;) {
    ssize_t copied = copy_file_range(from, nullptr, to, nullptr, SSIZE_MAX / 2, 0);
    if (copied == 0) return {};
    if (copied < 0) break;  // between file systems that cannot
  }
  char buffer[65536];
  ssize_t got = 0;
  while ((got = read(from, buffer, sizeof buffer)) > 0) {
    for (ssize_t put = 0; put < got;) {
      ssize_t written = write(to, buffer + put, static_cast<std::size_t>(got - put));
      if (written < 0) return errno_error(errno, "writing " + name);
      put += written;
    }
  }
  if (got < 0) return errno_error(errno, "reading " + name);
  return {};
}

// "/proc/self/fd/N/NAME": for calls that have no *at form; NAME itself is not followed by them.
std::string path_of(int folder, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", folder, name);
}

Result<void> copy_attributes(const std::string& from, const std::string& to) {
  std::string names(65536, '\0');
  ssize_t size = llistxattr(from.c_str(), names.data(), names.size());
  for (const char* name = names.data(); size > 0 && name < names.data() + size;
       name += std::strlen(name) + 1) {
    if (std::string_view(name).starts_with(overlay_attributes) &&
        std::string_view(name) != overlay_opaque)
      continue;
    std::string value(65536, '\0');
    ssize_t length = lgetxattr(from.c_str(), name, value.data(), value.size());
    if (length < 0) continue;
    if (lsetxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(length), 0) == 0)
      continue;
    if (errno == ENOTSUP || errno == EPERM) continue;  // not on this file system
    return errno_error(errno, fmt::format("setting attribute {} of {}", name, to));
  }
  return {};
}

class TreeCopy {
 public:
  TreeCopy(const CopyOptions& options, int root) : options_(options), root_(root) {}

  // `path` is where `to` lies below the root.
  Result<void> contents(int from, int to, const std::string& path, int depth) {
    if (depth > nesting_max)
      return make_error(Code::invalid_argument, "{}: folders nested too deep", path);
    LAB_TRY(std::vector<std::string> names, names_in(from));
    for (const std::string& name : names) LAB_CHECK(object(from, name, to, name, path, depth));
    return {};
  }

  Result<void> object(int from, const std::string& name, int to, const std::string& to_name,
                      const std::string& path, int depth) {
    struct stat status {};
    if (fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, "reading " + name);
    LAB_TRY(const bool replaces_whiteout, make_room(from, name, to, to_name, status));
    const std::string to_path = path + to_name;
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, to_path);
      if (!is_new) {
        if (linkat(root_, first->second.c_str(), to, to_name.c_str(), 0) == 0) return {};
        return errno_error(errno, "linking " + to_path);
      }
    }
    LAB_CHECK(make(from, name, to, to_name, status, to_path, depth));
    LAB_CHECK(set_metadata(from, name, to, to_name, status));
    if (!replaces_whiteout || !S_ISDIR(status.st_mode)) return {};
    // It still has to hide what the whiteout hid.
    if (lsetxattr(path_of(to, to_name).c_str(), overlay_opaque, "y", 1, 0) == 0) return {};
    return errno_error(errno, "marking folder " + to_path + " as opaque");
  }

 private:
  // True if a whiteout had to go.
  [[nodiscard]] Result<bool> make_room(int from, const std::string& name, int to,
                                       const std::string& to_name,
                                       const struct stat& status) const {
    struct stat there {};
    if (fstatat(to, to_name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) return false;
    const bool whiteout = options_.layers && S_ISCHR(there.st_mode) && there.st_rdev == 0;
    char value = 0;
    const bool hides =
        options_.layers && lgetxattr(path_of(from, name).c_str(), overlay_opaque, &value, 1) == 1;
    if (S_ISDIR(status.st_mode) && S_ISDIR(there.st_mode) && !hides) return false;
    LAB_CHECK(remove_at(to, to_name));
    return whiteout;
  }

  Result<void> make(int from, const std::string& name, int to, const std::string& to_name,
                    const struct stat& status, const std::string& to_path, int depth) {
    if (S_ISREG(status.st_mode)) {
      Fd source(openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!source) return errno_error(errno, "opening " + name);
      Fd target(
          openat(to, to_name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!target) return errno_error(errno, "creating " + to_path);
      return copy_bytes(source.get(), target.get(), to_path);
    }
    if (S_ISLNK(status.st_mode)) {
      char link[PATH_MAX];
      ssize_t length = readlinkat(from, name.c_str(), link, sizeof link - 1);
      if (length < 0) return errno_error(errno, "reading link " + name);
      link[length] = '\0';
      if (symlinkat(link, to, to_name.c_str()) == 0) return {};
      return errno_error(errno, "linking " + to_path);
    }
    if (!S_ISDIR(status.st_mode)) {
      if (mknodat(to, to_name.c_str(), status.st_mode, status.st_rdev) == 0) return {};
      return errno_error(errno, "making node " + to_path);
    }
    if (mkdirat(to, to_name.c_str(), 0700) != 0 && errno != EEXIST)
      return errno_error(errno, "creating folder " + to_path);
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    Fd source(openat(from, name.c_str(), flags));
    Fd target(openat(to, to_name.c_str(), flags));
    if (!source || !target) return errno_error(errno, "opening folder " + to_path);
    return contents(source.get(), target.get(), to_path + "/", depth + 1);
  }

  // Owner first (it clears set-user-id bits and capabilities), times last.
  Result<void> set_metadata(int from, const std::string& name, int to, const std::string& to_name,
                            const struct stat& status) const {
    const Owner owner = options_.owner.value_or(Owner{status.st_uid, status.st_gid});
    if (fchownat(to, to_name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, "changing the owner of " + to_name);
    if (!S_ISLNK(status.st_mode) && fchmodat(to, to_name.c_str(), status.st_mode & 07777, 0) != 0)
      return errno_error(errno, "changing the mode of " + to_name);
    LAB_CHECK(copy_attributes(path_of(from, name), path_of(to, to_name)));
    timespec times[2] = {status.st_atim, status.st_mtim};
    if (utimensat(to, to_name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, "setting the times of " + to_name);
    return {};
  }

  const CopyOptions& options_;
  int root_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // first copies, below the root
};

}  // namespace

Result<void> copy_contents(int from, int to, const CopyOptions& options) {
  return TreeCopy(options, to).contents(from, to, "", 0);
}

Result<void> copy_object(int from, const std::string& name, int to, const std::string& to_name,
                         const CopyOptions& options) {
  return TreeCopy(options, to).object(from, name, to, to_name, "", 0);
}

}  // namespace lab::engine::layer
