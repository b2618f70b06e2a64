#include "engine/container/changes.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/file.hpp"
#include "base/random.hpp"
#include "engine/layer/tree.hpp"

namespace lab::engine::container {

namespace {

constexpr int nesting_max = 4096;
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool same_time(const timespec& a, const timespec& b) {
  // Archives carry whole seconds.
  return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

bool differs(const struct stat& a, const struct stat& b) {
  if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
      a.st_rdev != b.st_rdev)
    return true;
  if (S_ISDIR(a.st_mode)) return false;
  return a.st_size != b.st_size || !same_time(a.st_mtim, b.st_mtim);
}

// The writable layer's folders beside those below it.
class Comparison {
 public:
  // `lower` is -1 where there is nothing below. True if something differs.
  Result<bool> folder(int upper, int lower, const std::string& path, int depth) {
    if (depth > nesting_max)
      return make_error(Code::invalid_argument, "{}: folders nested too deep", path);
    LAB_TRY(const std::vector<std::string> names, layer::names_in(upper));
    bool any = false;
    for (const std::string& name : names) {
      LAB_TRY(const bool changed, object(upper, lower, name, path + "/" + name, depth));
      any = any || changed;
    }
    char opaque = 0;
    if (lower < 0 || fgetxattr(upper, "trusted.overlay.opaque", &opaque, 1) != 1) return any;
    LAB_TRY(const std::vector<std::string> hidden, layer::names_in(lower));
    for (const std::string& name : hidden) {
      if (std::binary_search(names.begin(), names.end(), name)) continue;
      add(path + "/" + name, Change::Kind::deleted);
      any = true;
    }
    return any;
  }

  std::vector<Change> changes;

 private:
  void add(const std::string& path, Change::Kind kind) { changes.push_back({path, kind}); }

  Result<bool> object(int upper, int lower, const std::string& name, const std::string& path,
                      int depth) {
    struct stat now {};
    struct stat before {};
    if (fstatat(upper, name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return true;  // gone since the folder was read
      return errno_error(errno, "reading " + path);
    }
    const bool was_there =
        lower >= 0 && fstatat(lower, name.c_str(), &before, AT_SYMLINK_NOFOLLOW) == 0;
    if (S_ISCHR(now.st_mode) && now.st_rdev == 0) {
      if (was_there) add(path, Change::Kind::deleted);
      return was_there;
    }
    bool changed = !was_there || differs(now, before);
    const std::size_t own = changes.size();
    if (S_ISDIR(now.st_mode)) {
      const Fd upper_folder(openat(upper, name.c_str(), folder_flags));
      Fd lower_folder;
      if (was_there && S_ISDIR(before.st_mode))
        lower_folder = Fd(openat(lower, name.c_str(), folder_flags));
      if (!upper_folder) return errno_error(errno, "opening " + path);
      LAB_TRY(const bool inside, folder(upper_folder.get(), lower_folder.get(), path, depth + 1));
      changed = changed || inside;
    }
    if (!changed) return false;
    const Change change{path, was_there ? Change::Kind::modified : Change::Kind::added};
    changes.insert(changes.begin() + static_cast<std::ptrdiff_t>(own), change);
    return true;
  }
};

}  // namespace

Result<std::vector<Change>> changes_of(const Containers& containers, const Container& container) {
  const Fd upper(open(containers.rootfs(container.id).upper.c_str(), folder_flags));
  if (!upper && errno == ENOENT) return std::vector<Change>();  // it never ran
  if (!upper) return errno_error(errno, "opening the writable layer");
  LAB_TRY(const auto lowers, containers.lowers(container.id));
  // What is below, mounted for a look.
  const RootfsPaths below = containers.rootfs(secure_random_hex(32));
  Comparison comparison;
  Result<bool> done = mount_rootfs(below, lowers) ? Result<bool>(true) : Error{};
  if (done) {
    const Fd lower(open(below.merged.c_str(), folder_flags));
    done = lower ? comparison.folder(upper.get(), lower.get(), "", 0)
                 : errno_error(errno, "opening the image's files");
  }
  LAB_CHECK(remove_rootfs(below));
  if (!done) return std::move(done).error();
  std::sort(comparison.changes.begin(), comparison.changes.end(),
            [](const Change& a, const Change& b) { return a.path < b.path; });
  return std::move(comparison.changes);
}

}  // namespace lab::engine::container
